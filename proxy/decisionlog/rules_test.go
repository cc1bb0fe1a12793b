package decisionlog

import (
	"fmt"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/proxy"
)

func TestRules(t *testing.T) {
	base := Default()
	base.Sample, base.FullRate = 1, 0
	try := func(want bool, change func(*Config), set func(*proxy.Outcome), steps ...proxy.Step) {
		t.Helper()
		c := base
		change(&c)
		o, _ := outcome()
		set(o)
		if got := compile(c).keep(o, steps); got != want {
			t.Errorf("kept: %v, want %v", got, want)
		}
	}
	none := func(*Config) {}
	all := func(*proxy.Outcome) {}
	try(true, none, all)
	try(false, func(c *Config) { c.Enabled = false }, func(o *proxy.Outcome) { o.Status = 500 })
	try(false, func(c *Config) { c.Sample = 0 }, all)
	try(true, func(c *Config) { c.Sample = 0; c.Everything = true }, all)

	// Always kept, whatever filters say.
	off := func(c *Config) {
		c.Sample, c.SkipRoutes, c.SkipClass = 0, []string{"products"}, []string{"2xx", "4xx", "5xx"}
	}
	try(false, off, all)
	try(true, off, func(o *proxy.Outcome) { o.Status = 500 })
	try(true, off, func(o *proxy.Outcome) { o.Duration = 1001 * time.Millisecond })
	try(true, off, func(o *proxy.Outcome) { o.Status, o.Fault = 0, proxy.FaultGateway })
	try(true, off, func(o *proxy.Outcome) { o.Status = 429 }, proxy.Step{State: proxy.StateSynth})
	try(false, off, func(o *proxy.Outcome) { o.Status = 404 }, proxy.Step{State: proxy.StateDeliver})
	try(false, off, func(o *proxy.Outcome) { o.Status = 301 }, proxy.Step{State: proxy.StateSynth})
	try(false, func(c *Config) { off(c); c.Slow = 0 }, func(o *proxy.Outcome) { o.Duration = time.Hour })

	// Filters.
	try(false, func(c *Config) { c.SkipRoutes = []string{"products"} }, all)
	try(true, func(c *Config) { c.SkipRoutes = []string{"product"} }, all)
	try(false, func(c *Config) { c.SkipClass = []string{"2xx"} }, all)
	try(true, func(c *Config) { c.SkipClass = []string{"3xx"} }, all)
	try(true, func(c *Config) { c.SkipClass = []string{"3xx"} }, func(o *proxy.Outcome) { o.Status = 0 })

	// Page furniture.
	typed := func(ct, target string, status int) func(*proxy.Outcome) {
		return func(o *proxy.Outcome) { o.ContentType, o.Target, o.Status = []byte(ct), []byte(target), status }
	}
	try(false, none, typed("image/png", "/x", 200))
	try(false, none, typed("Text/CSS ; charset=utf-8", "/x", 200))
	try(false, none, typed("", "/app.JS?v=3", 304))
	try(false, none, typed("", "/f.woff2", 206))
	try(true, none, typed("image/png", "/x", 404))
	try(true, none, typed("text/html", "/x.png", 200))
	try(true, none, typed("", "/x.html", 304))
	try(true, none, typed("", "/js", 200))
	try(true, none, typed("image/", "/x", 200))
	try(true, none, func(o *proxy.Outcome) { typed("image/png", "/x", 200)(o); o.Aborted = true })
	try(true, none, func(o *proxy.Outcome) { typed("image/png", "/x", 200)(o); o.Method = []byte("POST") })
	try(true, func(c *Config) { c.DropStatic = false }, typed("image/png", "/x", 200))
	try(true, func(c *Config) { c.Everything = true }, typed("image/png", "/x", 200))
}

// The same ids are chosen every time, in about the right number.
func TestSampling(t *testing.T) {
	c := Default()
	c.Sample, c.FullRate = 0.1, 0
	one, two := compile(c), compile(c)
	o, _ := outcome()
	kept := 0
	for i := range 20000 {
		o.RequestID = fmt.Appendf(nil, "id-%d", i)
		k := one.keep(o, nil)
		if k != two.keep(o, nil) {
			t.Fatalf("%s is chosen once and not again", o.RequestID)
		}
		if k {
			kept++
		}
	}
	if kept < 1800 || kept > 2200 {
		t.Errorf("%d of 20000 were kept at 0.1", kept)
	}
}

func TestFullRate(t *testing.T) {
	c := Default()
	c.Sample, c.FullRate = 0, 100
	r := compile(c)
	o, _ := outcome()
	second := func() (kept int) {
		for range 1000 {
			if r.keep(o, nil) {
				kept++
			}
		}
		return kept
	}
	if n := second(); n != 100 {
		t.Errorf("%d lines in the first second", n)
	}
	o.Start = o.Start.Add(time.Second)
	if n := second(); n != 100 {
		t.Errorf("%d lines in the next", n)
	}
}

func TestValidate(t *testing.T) {
	if p := Default().Validate(); len(p) > 0 {
		t.Errorf("the defaults are refused: %v", p)
	}
	try := func(path string, change func(*Config)) {
		t.Helper()
		c := Default()
		change(&c)
		if p := c.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("want one problem with %s, got %v", path, p)
		}
	}
	try("output", func(c *Config) { c.Output = "log.json" })
	try("output", func(c *Config) { c.Output = "" })
	try("output", func(c *Config) { c.Output = "/var/log/" })
	try("format", func(c *Config) { c.Format = "xml" })
	try("sample", func(c *Config) { c.Sample = 1.01 })
	try("sample", func(c *Config) { c.Sample = -1 })
	try("full_rate", func(c *Config) { c.FullRate = -1 })
	try("skip_classes", func(c *Config) { c.SkipClass = []string{"2xx", "200"} })
	try("address", func(c *Config) { c.Address = "" })
	try("query", func(c *Config) { c.Query = "some" })
	try("buffer", func(c *Config) { c.Buffer = 1 << 10 })
	try("flush", func(c *Config) { c.Flush = 0 })
	try("flush", func(c *Config) { c.Flush = conf.Duration(time.Hour) })
}

func TestRefusalsAreKeptUpToABound(t *testing.T) {
	c := Default()
	c.FullRate, c.Sample = 0, 0
	r := compile(c)
	steps := []proxy.Step{{State: proxy.StateSynth}}
	o := &proxy.Outcome{Status: 408, Fault: proxy.FaultClient, Start: time.Unix(1_800_000_000, 0)}
	kept := 0
	for range 2 * maxRefusals {
		if r.keep(o, steps) {
			kept++
		}
	}
	if kept != maxRefusals {
		t.Errorf("%d of %d refusals in one second were kept", kept, 2*maxRefusals)
	}
	o.Start = o.Start.Add(time.Second)
	if !r.keep(o, steps) {
		t.Error("the next second does not begin anew")
	}
	o.Status = 502
	for range 2 * maxRefusals {
		if !r.keep(o, steps) {
			t.Fatal("an error from 500 was left out")
		}
	}
}
