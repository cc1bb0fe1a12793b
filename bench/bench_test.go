//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/bench/load"
)

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	c := &cellOutcome{Samples: map[string][]sample{
		tzero: {{CPU: 8}, {CPU: 16}, {CPU: 4}}, // the machine was half as fast in the second round
		nginx: {{CPU: 10}, {CPU: 20}, {CPU: 5}},
	}}
	if r, ok := c.ratio(tzero, nginx, cpu); !ok || r != (spread{.8, .8, .8}) {
		t.Errorf("ratio %+v, want 0.8 in every round", r)
	}
	if _, ok := c.ratio(tzero, varnish, cpu); ok {
		t.Error("a ratio to a server that was not measured")
	}
}

func TestTargetsAreJudgedByTheirBound(t *testing.T) {
	state := func(least bool, found float64, measured bool, want string) {
		t.Helper()
		tg := target{Bound: 1.2, Least: least}
		if tg.settle(spread{found, found, found}, measured); tg.State != want {
			t.Errorf("least %v, found %v: %q, want %q", least, found, tg.State, want)
		}
	}
	state(false, 1.2, true, "met")
	state(false, 1.21, true, "missed")
	state(true, 1.2, true, "met")
	state(true, 1.19, true, "missed")
	state(true, 0, false, "not measured")
}

func TestRequestsLookLikeABrowsers(t *testing.T) {
	if n := len(request(path1K, "")); n < 550 || n > 650 {
		t.Errorf("a request has %d bytes, want about 600", n)
	}
	q := numbered()
	if got := string(q.Bytes[:q.Number+10]); got != "GET "+pathMany+"0000000000" {
		t.Errorf("a numbered request begins with %q", got)
	}
}

func TestChangingFieldsNeverRepeat(t *testing.T) {
	requests, order := changingLoad()
	for i, q := range requests {
		if n := len(q.Bytes); n < 550 || n > 650 {
			t.Errorf("kind %d has %d bytes, want about 600", i, n)
		}
		number := string(q.Bytes[q.Number : q.Number+load.NumberDigits+2])
		if line := q.Bytes[:q.Number]; number != "0000000000\r\n" || !bytes.HasPrefix(line[bytes.LastIndexByte(line, '\n')+1:], []byte("Referer: ")) {
			t.Errorf("kind %d has %q in %q", i, number, q.Bytes)
		}
		for _, other := range requests[:i] {
			if bytes.Equal(other.Bytes, q.Bytes) {
				t.Errorf("kind %d is no other", i)
			}
		}
		if n := slices.Index(order, uint32(i)); n < 0 {
			t.Errorf("kind %d is never asked for", i)
		}
	}
}

func TestMixedLoadIsSkewedAndAlwaysTheSame(t *testing.T) {
	requests, order := mixedLoad()
	_, again := mixedLoad()
	counts := make([]int, len(requests))
	for i, n := range order {
		counts[n]++
		if again[i] != n {
			t.Fatal("two mixed loads differ")
		}
	}
	if counts[0] < 50*max(counts[2*1000], 1)/10 {
		t.Errorf("the first object was asked for %d times, the thousandth %d times", counts[0], counts[2*1000])
	}
	if share := float64(counts[2*mixedObjects]) / float64(len(order)); share < .04 || share > .06 {
		t.Errorf("%.3f of the requests are forwarded, want 0.05", share)
	}
}

func TestPlotsAreWellFormed(t *testing.T) {
	o := sampleOutcome()
	for name, text := range plots(o) {
		d := xml.NewDecoder(strings.NewReader(text))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func TestAnOutlierHidesNothing(t *testing.T) {
	o := sampleOutcome()
	o.Cells[0].Samples[tzero][0].CPU = 6000 // a thousand times nginx's
	if text := plots(o)["cpu.svg"]; !strings.Contains(text, "→ 1000.00<") || !strings.Contains(text, fmt.Sprintf(`width="%.1f"`, (chartWidth-labelWidth-60)/4.0)) {
		t.Errorf("the long bar should end with an arrow, nginx's at a quarter of the width:\n%s", text)
	}
}

func TestLatenciesAreDrawnByDecades(t *testing.T) {
	a := decades([]group{{bars: []spread{{Median: 200}, {Median: 3000}, {Median: 0}}}})
	if len(a.lines) != 3 || a.at(100) != 0 || a.at(1000) != .5 || a.at(10000) != 1 || a.at(0) > 0 {
		t.Errorf("lines %v, 100 at %v, 1000 at %v", a.lines, a.at(100), a.at(1000))
	}
	if a := decades(nil); a.at(5) != 0 {
		t.Error("nothing to draw, and yet something lies somewhere")
	}
}

func TestReportSaysWhatWasMissed(t *testing.T) {
	o := sampleOutcome()
	o.Targets = judge(o)
	text := markdown(o)
	for _, want := range []string{"| hit 1 KiB, 64 connections: CPU per request, × nginx | ≤ 0.8 × | 1.50 × |  | **missed** |", "not measured", "a <remark>"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
}

func TestReportSaysWhyATargetWasMissed(t *testing.T) {
	o := sampleOutcome()
	o.Profiles = map[string]profile{"hit-1k/64/closed": {Title: "the hit", Top: "90% write"}, "forward-1k/64/closed": {Title: "not measured", Top: "x"}}
	o.Targets = judge(o)
	text := markdown(o)
	if strings.Count(text, "### the hit\n\n```\n90% write\n```") != 1 || strings.Contains(text, "### not measured") {
		t.Errorf("the profile of the missed target alone should show, once:\n%s", text)
	}
	o.Cells[0].Samples[tzero] = []sample{{CPU: 4, Rate: 100}}
	if o.Targets = judge(o); missedProfiles(o) != "" {
		t.Errorf("nothing was missed, and yet:\n%s", missedProfiles(o))
	}
	if got := topOf("File: tzero\nType: cpu\n      flat  flat%   sum%\n  1s 50% a\n"); got != "      flat  flat%   sum%\n  1s 50% a" {
		t.Errorf("the table without its preface: %q", got)
	}
}

func sampleOutcome() *outcome {
	return &outcome{Servers: []string{tzero, nginx}, Warnings: []string{"a <remark>"}, Cells: []cellOutcome{
		{ID: "hit-1k/64/closed", Title: "hit <1>", Connections: 64, Samples: map[string][]sample{
			tzero: {{CPU: 9, Rate: 10}}, nginx: {{CPU: 6, Rate: 20}}}},
		{ID: "hit-1k/64/open", Title: "hit", Connections: 64, OpenRate: 100, Samples: map[string][]sample{}},
	}}
}

func TestFamilyFindsChildren(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	pids := family(os.Getpid())
	found := false
	for _, pid := range pids {
		found = found || pid == cmd.Process.Pid
	}
	if pids[0] != os.Getpid() || !found {
		t.Errorf("family %v lacks the process or its child %d", pids, cmd.Process.Pid)
	}
	if m, err := memoryOf(pids[:1]); err != nil || m.RSS < 1<<20 || m.PSS > m.RSS {
		t.Errorf("memory %+v, %v", m, err)
	}
}

func TestConfigurationsAreFilledIn(t *testing.T) {
	set := settings{Addr: "127.0.0.1:1", Admin: "127.0.0.1:2", Origin: "127.0.0.1:3", OriginHost: "127.0.0.1", OriginPort: "3",
		Workers: 2, Sendfile: "off", Dir: t.TempDir()}
	for _, name := range []string{"nginx.conf", "haproxy.cfg", "varnish.vcl", "tzero.yaml"} {
		file, err := render(name, &set)
		if err != nil {
			t.Error(err)
			continue
		}
		if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), "{{") || !strings.Contains(string(b), "127.0.0.1") {
			t.Errorf("%s is not filled in: %v", name, err)
		}
	}
}
