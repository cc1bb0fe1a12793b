// Package strict reads a YAML file into a struct and forgives nothing: an unknown or repeated key, a wrong
// type, a missing unit, a word that is not in the list, an empty value, an alias, a second document. Every
// problem of a file is reported at once, each with its file:line:column and, where a name is wrong, the
// nearest one that is right.
//
// The struct is described by its tags, which also make the reference page and the JSON Schema:
//
//	yaml:"key"            the key; "-" or no tag leaves the field out; ",inline" lifts an embedded struct's keys
//	yaml:"key,oneormany"  a list that may be written as one plain value
//	doc:"One sentence."   what it means
//	enum:"a|b"            the permitted words (of the value, or of each item of a list or map)
//	restart:"true"        a change takes effect only at the next start
//	restart:"key,key"     likewise for these keys of the section, or of each item of the list or map
//
// Types: bool, integers, floats, strings, whatever implements encoding.TextUnmarshaler, structs, pointers
// to them (nil when absent), lists, and maps with names of the writer's choice. A list type with a method
// OneOrMany() asks for the same convenience as the tag. The value handed in holds the defaults; a list or
// map in the file replaces the default one whole, and its items start from the defaults in [Options].Items.
//
// In every plain value ${NAME} stands for an environment variable, ${NAME:-text} gives a default, $${ is
// a literal ${, and in secrets ${file:/path} stands for a file's content.
package strict

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/tzero-edge/tzero/internal/conf"
)

// Bounds on what a file may be; a configuration written by people is far below all of them.
const (
	MaxFile     = 1 << 20 // bytes
	maxDepth    = 24      // nested mappings and lists
	maxNodes    = 200_000 // keys and values
	maxProblems = 20      // reported; the others are counted
	maxExcerpt  = 48      // bytes of a value shown in a message
)

// Options says where a file's values may come from.
type Options struct {
	File     string                                // the name used in messages
	Lookup   func(name string) (string, bool)      // the environment
	ReadFile func(path string) ([]byte, error)     // for ${file:…}; nil refuses them
	Items    map[reflect.Type]func() reflect.Value // defaults of list items and map values, from Items
}

// Items collects the functions that give the defaults of list items and map values: each is a func() T.
func Items(defaults ...any) map[reflect.Type]func() reflect.Value {
	m := make(map[reflect.Type]func() reflect.Value, len(defaults))
	for _, f := range defaults {
		v := reflect.ValueOf(f)
		m[v.Type().Out(0)] = func() reflect.Value { return v.Call(nil)[0] }
	}
	return m
}

// newItem returns an addressable T with its defaults.
func (o *Options) newItem(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	if f, ok := o.Items[t]; ok {
		v.Set(f())
	}
	return v
}

// Problem is one fault, placed.
type Problem struct {
	Source Source
	Path   string // as in conf.Problem, from the root; "" for the file as a whole
	Reason string

	unknown bool // the problem is a key that does not exist, in the section at Path
}

func (p Problem) String() string {
	var b strings.Builder
	if s := p.Source.String(); s != "" {
		b.WriteString(s + ": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Reason)
	return b.String()
}

// Error is a refused configuration: its problems in the order of the file.
type Error struct {
	Problems []Problem
	More     int // further ones, not listed
}

// Refuse makes an error of problems, bounded; nil when there are none.
func Refuse(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	more := max(0, len(problems)-maxProblems)
	return &Error{Problems: problems[:len(problems)-more], More: more}
}

func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more problems", e.More))
	}
	return strings.Join(lines, "\n")
}

// Source is where a value came from: a place in a file, or a label such as "flag --origin". The zero
// Source means a default.
type Source struct {
	File         string
	Line, Column int
	Label        string
}

func (s Source) String() string {
	switch {
	case s.Label != "":
		return s.Label
	case s.File == "":
		return ""
	case s.Line == 0:
		return s.File
	case s.Column == 0:
		return fmt.Sprintf("%s:%d", s.File, s.Line)
	}
	return fmt.Sprintf("%s:%d:%d", s.File, s.Line, s.Column)
}

// Sources remembers where every value that is not a default came from.
type Sources struct {
	at         map[string]Source
	root       Source
	references map[string]reference // by path
}

// reference is a value that came from the environment or a secret's file: messages show what is written,
// never what it stands for.
type reference struct{ written, value string }

func newSources(file string) *Sources {
	s := &Sources{at: map[string]Source{}, references: map[string]reference{}}
	if file != "" {
		s.root = Source{File: file, Line: 1, Column: 1}
	}
	return s
}

// NoFile returns the sources of a configuration without a file.
func NoFile() *Sources { return newSources("") }

// Of returns the source of exactly this path.
func (s *Sources) Of(path string) (Source, bool) {
	src, ok := s.at[path]
	return src, ok
}

// Set records that the value at path, with all beneath it, came from elsewhere than the file.
func (s *Sources) Set(path string, src Source) {
	for p := range s.at {
		if beneath(p, path) {
			delete(s.at, p)
			delete(s.references, p)
		}
	}
	s.at[path] = src
}

// Nearest returns the source of the path, or of its nearest ancestor that has one.
func (s *Sources) Nearest(path string) Source {
	for {
		if src, ok := s.at[path]; ok {
			return src
		}
		if path == "" {
			return s.root
		}
		path = parent(path)
	}
}

// Place gives a package's problem its position, and takes out of its text what came by reference.
func (s *Sources) Place(p conf.Problem) Problem {
	return Problem{Source: s.Nearest(p.Path), Path: p.Path, Reason: s.elide(p.Reason)}
}

// PlaceAll places what the packages found, leaving out what only follows from a problem of Decode: a
// value that could not be read is missed by its owner, too.
func (s *Sources) PlaceAll(found []conf.Problem, decoding []Problem) []Problem {
	var placed []Problem
	for _, p := range found {
		if !s.follows(p.Path, decoding) {
			placed = append(placed, s.Place(p))
		}
	}
	return placed
}

func (s *Sources) follows(path string, decoding []Problem) bool {
	for _, d := range decoding {
		section := parent(d.Path)
		if d.unknown {
			section = d.Path
		}
		_, given := s.at[path]
		switch {
		case beneath(d.Path, path), !d.unknown && beneath(path, d.Path), !given && beneath(path, section):
			return true
		}
	}
	return false
}

// Sort brings problems into the order of the file.
func Sort(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Source.File, b.Source.File), cmp.Compare(a.Source.Line, b.Source.Line),
			cmp.Compare(a.Source.Column, b.Source.Column))
	})
}

// elide replaces values that came by reference with what is written. Short ones are left alone unless
// quoted: replacing every "10" in a sentence would garble it, and no secret is that short.
func (s *Sources) elide(reason string) string {
	longestFirst := slices.SortedFunc(maps.Values(s.references), func(a, b reference) int {
		return cmp.Or(cmp.Compare(len(b.value), len(a.value)), cmp.Compare(a.value, b.value), cmp.Compare(a.written, b.written))
	})
	for _, r := range longestFirst {
		reason = strings.ReplaceAll(reason, fmt.Sprintf("%q", r.value), fmt.Sprintf("%q", r.written))
		if len(r.value) >= 6 {
			reason = strings.ReplaceAll(reason, r.value, r.written)
		}
	}
	return reason
}

// parent cuts the last key or index off a path.
func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i > 0 {
		return path[:i]
	}
	return ""
}

// beneath reports whether path is at or under root.
func beneath(path, root string) bool {
	rest, ok := strings.CutPrefix(path, root)
	return ok && (root == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// excerpt quotes a value for a message, bounded.
func excerpt(s string) string {
	if len(s) > maxExcerpt {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:maxExcerpt], ""))
	}
	return fmt.Sprintf("%q", s)
}
