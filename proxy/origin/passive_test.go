package origin

import (
	"io"
	"strings"
	"testing"
	"time"
)

// troubled fails in its own way at each path, and is well everywhere else.
func troubled(p *peer) {
	for h := p.head(); h != ""; h = p.head() {
		switch strings.Fields(h)[1] {
		case "/closes":
			return
		case "/garbage":
			p.say("SSH-2.0-OpenSSH_9.2\r\n")
			return
		case "/half":
			p.say("HTTP/1.1 200 O")
			return
		case "/silent":
			p.ended()
			return
		case "/short":
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
			return
		default:
			p.say(ok("fine"))
		}
	}
}

// ejects has a visitor ask for path ten times in a row, after a success or without one.
func ejects(t *testing.T, path string, well, want bool) {
	t.Helper()
	s := serve(t, troubled)
	c := config(s.url())
	c.Timeouts.FirstByte = ms(1)
	c.Pool.MaxIdle = 0 // every connection is new
	g := start(t, c)
	if well {
		c.Timeouts.FirstByte = ms(1000)
		g.Apply(map[string]Config{"app": c})
		g.answers(get("/"), 200)
		c.Timeouts.FirstByte = ms(1)
		g.Apply(map[string]Config{"app": c})
	}
	for range 10 {
		if r, err := g.do(get(path)); err == nil {
			io.Copy(io.Discard, &r.Body)
			r.Close()
		}
	}
	if got := g.target().Ejections > 0; got != want {
		t.Errorf("%s, after a success %v: ejected %v, want %v", path, well, got, want)
	}
}

func TestOneBrokenURLDoesNotTakeATargetOut(t *testing.T) {
	ejects(t, "/garbage", true, false)
	ejects(t, "/silent", true, false)
	ejects(t, "/half", true, false)
	ejects(t, "/short", true, false)
}

func TestWhatSpeaksOfTheTargetTakesItOut(t *testing.T) {
	ejects(t, "/closes", true, true)
	ejects(t, "/closes", false, true)
	ejects(t, "/garbage", false, true)
	ejects(t, "/silent", false, true)
	ejects(t, "/half", false, true)
	ejects(t, "/short", false, false) // its head was a success
}

// A success protects for the length of the window, and a target that has gone dumb since is taken out.
func TestSuccessProtectsForAWindow(t *testing.T) {
	p := Default().Passive
	var h health
	now := func(s int) int64 { return int64(time.Duration(s) * time.Second) }
	missed := func(s, times int, whole bool) (out bool) {
		for range times {
			out = h.miss(now(s), &p, whole) || out
		}
		return out
	}
	h.hit(now(1))
	if missed(5, 20, false) || missed(11, 20, false) {
		t.Error("taken out within the window of a success")
	}
	if !missed(12, 5, false) {
		t.Error("not taken out when the success was long ago")
	}
	h = health{}
	h.hit(now(1))
	if !missed(2, 5, true) {
		t.Error("not taken out although it cannot be reached")
	}
	h = health{}
	if !missed(1, 5, false) {
		t.Error("a target that never answered was not taken out")
	}
}
