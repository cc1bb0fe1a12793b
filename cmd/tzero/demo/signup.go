package demo

import (
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/mail"
	"strings"
	"sync"
	"time"
)

// sessionCookie names the visitor who signed up.
const sessionCookie = "nimbus_session"

// signup is one place on the waiting list.
type signup struct {
	Email    string    `json:"email"`
	Position int       `json:"position"`
	At       time.Time `json:"at"`
	session  string
}

// signups is the waiting list: the last maxSignups in memory, in a ring, and how many there were.
type signups struct {
	mu        sync.Mutex
	total     int
	ring      []signup
	byEmail   map[string]int // to the place in ring
	bySession map[string]int
}

// add puts an address on the list; one that is there already keeps its place and its session.
func (l *signups) add(email, session string, now time.Time) signup {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.byEmail[email]; ok {
		return l.ring[at]
	}
	if l.byEmail == nil {
		l.byEmail, l.bySession = map[string]int{}, map[string]int{}
	}
	at := l.total % maxSignups
	l.total++
	s := signup{email, l.total, now, session}
	if at == len(l.ring) {
		l.ring = append(l.ring, s)
	} else {
		delete(l.byEmail, l.ring[at].Email)
		delete(l.bySession, l.ring[at].session)
		l.ring[at] = s
	}
	l.byEmail[email], l.bySession[session] = at, at
	return s
}

func (l *signups) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

func (l *signups) find(session string) (signup, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.bySession[session]
	if !ok {
		return signup{}, false
	}
	return l.ring[at], true
}

// signup takes the form. The answer to a good one is 303, so that a reload does not send it again.
func (s *site) signup(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", cacheNever)
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "That was not a form of a sensible size.", status)
		return
	}
	typed := strings.TrimSpace(r.PostForm.Get("email"))
	email, ok := plainAddress(typed)
	if !ok {
		s.render(w, r, view{Page: "signup", Email: typed, Status: http.StatusUnprocessableEntity,
			Problem: "That does not look like an email address. It should have the form name@example.com."})
		return
	}
	var name [16]byte
	if _, err := io.ReadFull(s.opts.Rand, name[:]); err != nil {
		http.Error(w, "No session could be made.", http.StatusInternalServerError)
		return
	}
	known := s.signups.add(email, hex.EncodeToString(name[:]), s.opts.Now())
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: known.session, Path: "/", MaxAge: 86400,
		HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/welcome", http.StatusSeeOther)
}

// plainAddress accepts an address without a display name, lower-cased.
func plainAddress(typed string) (string, bool) {
	a, err := mail.ParseAddress(typed)
	if err != nil || a.Address != typed || len(typed) > 254 || !strings.Contains(typed, ".") {
		return "", false
	}
	return strings.ToLower(typed), true
}

// session returns the sign-up of the visitor who asks.
func (s *site) session(r *http.Request) (signup, bool) {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return signup{}, false
	}
	return s.signups.find(c.Value)
}

func (s *site) welcome(w http.ResponseWriter, r *http.Request) {
	known, ok := s.session(r)
	if !ok {
		w.Header().Set("Cache-Control", cacheNever)
		http.Redirect(w, r, "/signup", http.StatusSeeOther)
		return
	}
	w.Header().Set("Cache-Control", "private, no-cache")
	w.Header().Set("Vary", "Cookie")
	s.render(w, r, view{Page: "welcome", Email: known.Email, Position: known.Position})
}
