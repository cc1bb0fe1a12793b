package conf

import (
	"fmt"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	good := func(s string, want time.Duration, shown string) {
		t.Helper()
		var d Duration
		if err := d.UnmarshalText([]byte(s)); err != nil || d.D() != want || d.String() != shown {
			t.Errorf("%q: %v %v %q", s, d.D(), err, d.String())
		}
	}
	good("250ms", 250*time.Millisecond, "250ms")
	good("90m", 90*time.Minute, "1h30m")
	good("2h", 2*time.Hour, "2h")
	good("2d", 48*time.Hour, "2d")
	good("0", 0, "0s")
	for _, s := range []string{"", "10", "-1s", "1x", "d", "-1d", "99999999d", "1.5d"} {
		var d Duration
		if err := d.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q was taken as %v", s, d)
		}
	}
}

func TestSizes(t *testing.T) {
	good := func(s string, want Size, shown string) {
		t.Helper()
		var z Size
		if err := z.UnmarshalText([]byte(s)); err != nil || z != want || z.String() != shown {
			t.Errorf("%q: %d %v %q", s, z, err, z.String())
		}
	}
	good("512B", 512, "512B")
	good("64KiB", 64<<10, "64KiB")
	good("1.5MiB", 3<<19, "1536KiB")
	good("1GB", 1e9, "1000000000B")
	good("0", 0, "0B")
	for _, s := range []string{"", "10", "-1B", "1XB", "KiB", "NaNB", "1e300GiB", "infB"} {
		var z Size
		if err := z.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q was taken as %d", s, z)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	s := NewSecret("hunter2")
	text, _ := s.MarshalText()
	for _, shown := range []string{s.String(), string(text), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), fmt.Sprintf("%v", struct{ S Secret }{s})} {
		if len(shown) == 0 || contains(shown, "hunter2") {
			t.Errorf("shown as %q", shown)
		}
	}
	if s.Reveal() != "hunter2" || s.Empty() || !(Secret{}).Empty() {
		t.Error("the value is lost")
	}
}

func contains(s, part string) bool {
	for i := 0; i+len(part) <= len(s); i++ {
		if s[i:i+len(part)] == part {
			return true
		}
	}
	return false
}

func TestUnder(t *testing.T) {
	got := Under("routes[1]", []Problem{{"", "a"}, {"origin", "b"}, {"[0]", "c"}})
	want := []string{"routes[1]: a", "routes[1].origin: b", "routes[1][0]: c"}
	for i := range want {
		if got[i].String() != want[i] {
			t.Errorf("%q", got[i])
		}
	}
}
