// Package conf holds the value types of the configuration file (durations and sizes with units,
// secrets) and [Problem], the way in which a package reports what is wrong with its part.
//
// Every package owns its Config struct with three struct tags: `yaml` names the key, `doc` says what it
// means (one sentence or more, plain text; the reference page and the JSON Schema are made from it)
// and `enum` lists the permitted words, separated by "|", where there are few. Defaults come from the
// package's Default function.
package conf

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Problem is one fault in a configuration. Path is relative to the Config that found it, keys joined
// by dots and list indices in brackets ("targets[1].url"). Reason says what is wrong and what to do.
type Problem struct {
	Path   string
	Reason string
}

func (p Problem) String() string { return p.Path + ": " + p.Reason }

// Under prefixes the paths of problems with the place where the reporting Config stands.
func Under(path string, problems []Problem) []Problem {
	for i := range problems {
		switch sub := problems[i].Path; {
		case sub == "":
			problems[i].Path = path
		case path == "" || sub[0] == '[':
			problems[i].Path = path + sub
		default:
			problems[i].Path = path + "." + sub
		}
	}
	return problems
}

// Duration is a time.Duration written with units: "250ms", "10s", "1h30m", "2d". A bare number other
// than 0 is refused, since nobody can tell its unit.
type Duration time.Duration

// D returns the duration as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string {
	t := time.Duration(d)
	if t != 0 && t%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(t/(24*time.Hour)), 10) + "d"
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses a duration; negative ones are refused.
func (d *Duration) UnmarshalText(b []byte) error {
	s := string(b)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%q is too long; at most 65535d", s)
		}
		if err != nil {
			return fmt.Errorf("%q is not a duration; write it as 250ms, 10s, 5m, 2h or 2d", s)
		}
		*d = Duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	t, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration; write it with a unit, as 250ms, 10s, 5m, 2h or 2d", s)
	}
	if t < 0 {
		return fmt.Errorf("%q is negative", s)
	}
	*d = Duration(t)
	return nil
}

// Size is a number of bytes written with a unit: "64KiB", "8MiB", "1GiB", or "512B". Decimal units
// (KB, MB, GB) are taken at their decimal value.
type Size int64

var units = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

func (s Size) String() string {
	for _, u := range units[:3] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText parses a size; a bare number other than 0 is refused.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	if text == "0" {
		*s = 0
		return nil
	}
	for _, u := range units {
		num, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
		if err != nil || f < 0 || math.IsNaN(f) || f*float64(u.bytes) > math.MaxInt64/2 {
			break
		}
		*s = Size(f * float64(u.bytes))
		return nil
	}
	return fmt.Errorf("%q is not a size; write it with a unit, as 512B, 64KiB, 8MiB or 1GiB", string(b))
}

// Secret is a value that no output ever shows. Reveal is for the one place that needs it.
type Secret struct{ value string }

// NewSecret wraps a value.
func NewSecret(v string) Secret { return Secret{v} }

// Reveal returns the value itself; never log or print it.
func (s Secret) Reveal() string { return s.value }

// Empty reports whether no value was given.
func (s Secret) Empty() bool { return s.value == "" }

func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return "(secret)"
}

// GoString keeps %#v from showing the value.
func (s Secret) GoString() string { return s.String() }

func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s *Secret) UnmarshalText(b []byte) error { s.value = string(b); return nil }

var (
	_ encoding.TextUnmarshaler = (*Duration)(nil)
	_ encoding.TextUnmarshaler = (*Size)(nil)
	_ encoding.TextUnmarshaler = (*Secret)(nil)
)
