//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeReport writes results.md, results.json and the plots.
func writeReport(dir string, o *outcome) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	data, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	files := map[string]string{"results.json": string(data) + "\n", "results.md": markdown(o)}
	for name, text := range plots(o) {
		files[name] = text
	}
	if err := os.MkdirAll(filepath.Join(dir, "profiles"), 0o755); err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	for id, p := range o.Profiles {
		files[profileFile(id)] = string(p.raw)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("cannot write the results: %w", err)
		}
	}
	fmt.Print(targetTable(o))
	fmt.Println("\nwritten to", dir)
	return nil
}

func markdown(o *outcome) string {
	var b strings.Builder
	b.WriteString("# tzero beside nginx, HAProxy and Varnish\n\nMade by `make bench`")
	if o.Quick {
		b.WriteString(" QUICK=1: few rounds, short ones. Not the figures to quote")
	}
	b.WriteString(". What is measured and how stands in [README.md](../README.md). Times drift from run to run and from machine to machine: " +
		"the ratios, taken round by round within one run, are what counts.\n\n")
	about(&b, o)
	b.WriteString("\n## Targets\n\n" + targetTable(o) + missedProfiles(o))
	closedTables(&b, o)
	openTable(&b, o)
	memoryTable(&b, o)
	crowdTable(&b, o)
	sharedTable(&b, o)
	if len(o.Warnings) > 0 {
		b.WriteString("\n## Remarks of the run\n\n")
		for _, w := range o.Warnings {
			b.WriteString("- " + w + "\n")
		}
	}
	return b.String()
}

func about(b *strings.Builder, o *outcome) {
	m := &o.Machine
	b.WriteString("| | |\n|---|---|\n")
	row := func(k, v string) { fmt.Fprintf(b, "| %s | %s |\n", k, v) }
	row("taken", o.Taken.Format("2006-01-02 15:04 UTC"))
	row("machine", fmt.Sprintf("%s, %d cores, %.0f GiB; servers, origin and client share it", m.CPU, m.Cores, m.MemoryGiB))
	row("system", fmt.Sprintf("%s, Linux %s", m.System, m.Kernel))
	row("load average", "before "+m.LoadBefore+", after "+m.LoadAfter)
	for _, name := range o.Servers {
		row(name, o.Versions[name])
	}
	row("Go", m.Go)
}

func targetTable(o *outcome) string {
	var b strings.Builder
	b.WriteString("| target | bound | found | range | |\n|---|---|---|---|---|\n")
	for _, t := range o.Targets {
		sign, found, span := "≤", "", ""
		if t.Least {
			sign = "≥"
		}
		if t.State != "not measured" {
			found = fmt.Sprintf("%.2f %s", t.Found.Median, t.Unit)
			if t.Found.Least != t.Found.Most {
				span = fmt.Sprintf("%.2f–%.2f", t.Found.Least, t.Found.Most)
			}
		}
		state := t.State
		if state == "missed" {
			state = "**missed**"
		}
		if t.Note != "" {
			state += " (" + t.Note + ")"
		}
		fmt.Fprintf(&b, "| %s | %s %.2g %s | %s | %s | %s |\n", t.What, sign, t.Bound, t.Unit, found, span, state)
	}
	return b.String()
}

// table writes one row per cell that want accepts and one column per server.
func table(b *strings.Builder, o *outcome, open bool, text func(c *cellOutcome, server string) string) {
	b.WriteString("| case | connections |")
	for _, s := range o.Servers {
		b.WriteString(" " + s + " |")
	}
	b.WriteString("\n|---|---:|" + strings.Repeat("---:|", len(o.Servers)) + "\n")
	for i := range o.Cells {
		c := &o.Cells[i]
		if (c.OpenRate > 0) != open {
			continue
		}
		fmt.Fprintf(b, "| %s | %d |", c.Title, c.Connections)
		for _, s := range o.Servers {
			b.WriteString(" " + text(c, s) + " |")
		}
		b.WriteString("\n")
	}
}

func closedTables(b *strings.Builder, o *outcome) {
	b.WriteString("\n## CPU time per request\n\nMicroseconds of all the server's processes, in a closed loop: median (least–greatest), and tzero's ratio to each.\n\n")
	figures(b, o, cpu, "%.1f (%.1f–%.1f)")
	b.WriteString("\n![CPU time per request](cpu.svg)\n\n## Requests per second\n\nThe same runs.\n\n")
	figures(b, o, rate, "%.0f (%.0f–%.0f)")
	b.WriteString("\n![Requests per second](rate.svg)\n")
}

func figures(b *strings.Builder, o *outcome, m metric, format string) {
	table(b, o, false, func(c *cellOutcome, server string) string {
		s := c.spread(server, m)
		text := fmt.Sprintf(format, s.Median, s.Least, s.Most)
		if server == tzero {
			return text
		}
		if r, ok := c.ratio(tzero, server, m); ok {
			text += fmt.Sprintf(" **×%.2f**", r.Median)
		}
		return text
	})
}

func openTable(b *strings.Builder, o *outcome) {
	b.WriteString("\n## Latency at a fixed rate\n\nMicroseconds at p50 / p99 / p99.9, counted from the moment a request was due (open loop); " +
		"the median of the rounds. CPU time per request in parentheses: at a low rate a server cannot serve many events at a time.\n\n")
	table(b, o, true, func(c *cellOutcome, server string) string {
		of := func(m metric) float64 { return c.spread(server, m).Median }
		return fmt.Sprintf("%.0f / %.0f / %.0f (%.1f)", of(func(s sample) float64 { return s.P50 }),
			of(func(s sample) float64 { return s.P99 }), of(func(s sample) float64 { return s.P999 }), of(cpu))
	})
	b.WriteString("\nRates:")
	for _, c := range o.Cells {
		if c.OpenRate > 0 {
			fmt.Fprintf(b, " %s %.0f/s;", c.Title, c.OpenRate)
		}
	}
	b.WriteString("\n\n![Latency at a fixed rate](latency.svg)\n")
}

func memoryTable(b *strings.Builder, o *outcome) {
	b.WriteString("\n## Memory\n\nRSS and PSS of all processes together after the rounds, with the objects of all cases stored; nginx's objects are files on tmpfs and " +
		"count only as far as they are mapped.")
	if len(o.Idle) > 0 {
		fmt.Fprintf(b, " Idle: growth of PSS per keep-alive connection %v after its one request, on a fresh process; memory of the kernel not included.", o.IdleTime)
	}
	b.WriteString("\n\n| server | RSS MiB | PSS MiB | idle connections | bytes per idle connection |\n|---|---:|---:|---:|---:|\n")
	for _, s := range o.Servers {
		m := o.Memory[s]
		fmt.Fprintf(b, "| %s | %.0f | %.0f |", s, float64(m.RSS)/(1<<20), float64(m.PSS)/(1<<20))
		if i, ok := o.Idle[s]; ok {
			fmt.Fprintf(b, " %d | %.0f |\n", i.Connections, i.Bytes)
		} else {
			b.WriteString(" | |\n")
		}
	}
}

func crowdTable(b *strings.Builder, o *outcome) {
	c := o.Crowd
	if c == nil {
		return
	}
	fmt.Fprintf(b, "\n## Hits among many objects\n\ntzero alone: hits on a thousand objects of 1 KiB at %.0f/s while one request in ten stores a new one, "+
		"and the collector is made to run every 3 s.\n\n| objects stored | p50 µs | p99.9 µs | collections |\n|---:|---:|---:|---:|\n| %d | %.0f | %.0f | %d |\n| %d | %.0f | %.0f | %d |\n\nRSS at the end: %.0f MiB; %.0f %% of the objects were found stored then.\n",
		c.Rate, c.Few, c.FewP50, c.FewP999, c.FewGC, c.Many, c.ManyP50, c.ManyP999, c.ManyGC, float64(c.ManyRSS)/(1<<20), 100*c.Kept)
}
