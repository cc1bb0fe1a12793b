//go:build linux

package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// plots draws the tables as SVG, by name of the file.
func plots(o *outcome) map[string]string {
	var cpus, rates, late []group
	for i := range o.Cells {
		c := &o.Cells[i]
		label := fmt.Sprintf("%s × %d", c.Title, c.Connections)
		if c.OpenRate > 0 {
			late = append(late, groupOf(label, o, c, func(s sample) float64 { return s.P99 }))
			continue
		}
		cpus = append(cpus, groupOf(label, o, c, cpu))
		rates = append(rates, groupOf(label, o, c, rate))
	}
	return map[string]string{
		"cpu.svg":     chart{"CPU time per request, × nginx (less is better)", o.Servers, relative(cpus, o.Servers), "%.2f"}.svg(),
		"rate.svg":    chart{"Requests per second, × nginx (more is better)", o.Servers, relative(rates, o.Servers), "%.2f"}.svg(),
		"latency.svg": chart{"p99 at a fixed rate, µs (less is better)", o.Servers, late, "%.0f"}.svg(),
	}
}

// group is one case: a bar per server, with the range of its rounds.
type group struct {
	label string
	bars  []spread
}

func groupOf(label string, o *outcome, c *cellOutcome, m metric) group {
	g := group{label: label}
	for _, s := range o.Servers {
		g.bars = append(g.bars, c.spread(s, m))
	}
	return g
}

// relative divides by nginx's median, which makes cases of different size comparable. Without nginx the
// figures stay as they are.
func relative(groups []group, servers []string) []group {
	at := -1
	for i, s := range servers {
		if s == nginx {
			at = i
		}
	}
	if at < 0 {
		return groups
	}
	for _, g := range groups {
		by := g.bars[at].Median
		for i := range g.bars {
			if by > 0 {
				g.bars[i] = spread{g.bars[i].Median / by, g.bars[i].Least / by, g.bars[i].Most / by}
			}
		}
	}
	return groups
}

// chart is a bar chart that lies on its side.
type chart struct {
	title   string
	servers []string
	groups  []group
	format  string
}

const (
	chartWidth = 860
	labelWidth = 230
	barHeight  = 11
	groupGap   = 10
	chartTop   = 58
)

// colours are told apart by people who see fewer of them, too.
var colours = [...]string{"#0072b2", "#e69f00", "#009e73", "#999999"}

func (c chart) svg() string {
	most := 0.0
	for _, g := range c.groups {
		for _, b := range g.bars {
			most = math.Max(most, b.Median)
		}
	}
	if most == 0 {
		most = 1
	}
	scale := float64(chartWidth-labelWidth-60) / most
	height := chartTop + len(c.groups)*(len(c.servers)*barHeight+groupGap) + 10
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n",
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="10" y="20" font-size="14">%s</text>`+"\n", html.EscapeString(c.title))
	c.legend(&b)
	y := chartTop
	for _, g := range c.groups {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelWidth-8, y+len(c.servers)*barHeight/2+4, html.EscapeString(g.label))
		for i, bar := range g.bars {
			c.bar(&b, bar, i, y, scale)
			y += barHeight
		}
		y += groupGap
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c chart) legend(b *strings.Builder) {
	for i, s := range c.servers {
		x := labelWidth + i*110
		fmt.Fprintf(b, `<rect x="%d" y="33" width="10" height="10" fill="%s"/><text x="%d" y="42">%s</text>`+"\n",
			x, colours[i%len(colours)], x+15, html.EscapeString(s))
	}
}

// bar draws the median as a bar and the range of the rounds as a line through its end.
func (c chart) bar(b *strings.Builder, s spread, i, y int, scale float64) {
	right := float64(labelWidth) + s.Median*scale
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, labelWidth, y, s.Median*scale, barHeight-2, colours[i%len(colours)])
	mid := float64(y) + float64(barHeight-2)/2
	most := math.Min(float64(labelWidth)+s.Most*scale, chartWidth-45)
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#000"/>`, float64(labelWidth)+s.Least*scale, mid, most, mid)
	fmt.Fprintf(b, `<text x="%.1f" y="%d" font-size="9">`+c.format+"</text>\n", math.Max(right, most)+4, y+barHeight-3, s.Median)
}
