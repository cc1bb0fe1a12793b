//go:build linux

package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// plots draws the tables as SVG, by name of the file.
func plots(o *outcome) map[string]string {
	var cpus, rates, late []group
	for i := range o.Cells {
		c := &o.Cells[i]
		label := fmt.Sprintf("%s, %d connections", c.Title, c.Connections)
		if c.OpenRate > 0 {
			late = append(late, groupOf(label, o, c, func(s sample) float64 { return s.P99 }))
			continue
		}
		cpus = append(cpus, groupOf(label, o, c, cpu))
		rates = append(rates, groupOf(label, o, c, rate))
	}
	cpuAxis, rateAxis := relative(cpus, o.Servers), relative(rates, o.Servers)
	return map[string]string{
		"cpu.svg":     chart{"CPU time per request, × nginx (less is better)", o.Servers, cpus, "%.2f", cpuAxis}.svg(),
		"rate.svg":    chart{"Requests per second, × nginx (more is better)", o.Servers, rates, "%.2f", rateAxis}.svg(),
		"latency.svg": chart{"p99 at a fixed rate, µs, logarithmic (less is better)", o.Servers, late, "%.0f", decades(late)}.svg(),
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

// relative divides by nginx's median, in place, which makes cases of different size comparable. Without nginx the figures
// stay as they are.
func relative(groups []group, servers []string) axis {
	at := slices.Index(servers, nginx)
	if at < 0 {
		most := math.Max(greatest(groups), 1e-9)
		return axis{func(v float64) float64 { return v / most }, nil}
	}
	for _, g := range groups {
		by := g.bars[at].Median
		for i := range g.bars {
			if by > 0 {
				g.bars[i] = spread{g.bars[i].Median / by, g.bars[i].Least / by, g.bars[i].Most / by}
			}
		}
	}
	most := math.Max(1, math.Min(ratioMost, greatest(groups)))
	return axis{func(v float64) float64 { return v / most }, []float64{1}}
}

// chart is a bar chart that lies on its side.
type chart struct {
	title   string
	servers []string
	groups  []group
	format  string
	axis    axis
}

// axis says where a figure lies, as a share of the width, and which ones have a line across the chart.
type axis struct {
	at    func(float64) float64
	lines []float64
}

// ratioMost is where the axis of ratios ends: one server that is ten times as slow must not hide what the others do. Its bar
// ends with an arrow, and the figure stands beside it.
const ratioMost = 4

// decades is logarithmic, from a power of ten to a power of ten: latencies differ by orders of magnitude.
func decades(groups []group) axis {
	least, most := math.Inf(1), greatest(groups)
	for _, g := range groups {
		for _, b := range g.bars {
			if b.Median > 0 {
				least = math.Min(least, b.Median)
			}
		}
	}
	if most <= 0 {
		return axis{func(float64) float64 { return 0 }, nil}
	}
	low := math.Floor(math.Log10(least))
	high := math.Max(low+1, math.Ceil(math.Log10(most)))
	a := axis{at: func(v float64) float64 { return (math.Log10(math.Max(v, 1e-9)) - low) / (high - low) }}
	for d := low; d <= high; d++ {
		a.lines = append(a.lines, math.Pow(10, d))
	}
	return a
}

func greatest(groups []group) (most float64) {
	for _, g := range groups {
		for _, b := range g.bars {
			most = math.Max(most, b.Median)
		}
	}
	return most
}

// x is where a figure lies in the drawing, and whether it lies beyond its end.
func (c chart) x(v float64) (x float64, beyond bool) {
	at := c.axis.at(v)
	return labelWidth + math.Max(0, math.Min(1, at))*(chartWidth-labelWidth-60), at > 1
}

const (
	chartWidth = 890
	labelWidth = 262
	barHeight  = 11
	groupGap   = 10
	chartTop   = 66
)

// colours are told apart by people who see fewer of them, too.
var colours = [...]string{"#0072b2", "#e69f00", "#009e73", "#999999"}

func (c chart) svg() string {
	height := chartTop + len(c.groups)*(len(c.servers)*barHeight+groupGap) + 10
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n",
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="10" y="20" font-size="14">%s</text>`+"\n", html.EscapeString(c.title))
	c.legend(&b)
	for _, v := range c.axis.lines {
		x, _ := c.x(v)
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ccc"/><text x="%.1f" y="%d" font-size="9" fill="#666" text-anchor="middle">%.0f</text>`+"\n",
			x, chartTop-2, x, height-6, x, chartTop-4, v)
	}
	y := chartTop
	for _, g := range c.groups {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelWidth-8, y+len(c.servers)*barHeight/2+4, html.EscapeString(g.label))
		for i, bar := range g.bars {
			c.bar(&b, bar, i, y)
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
func (c chart) bar(b *strings.Builder, s spread, i, y int) {
	right, beyond := c.x(s.Median)
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, labelWidth, y, right-labelWidth, barHeight-2, colours[i%len(colours)])
	mid := float64(y) + float64(barHeight-2)/2
	least, _ := c.x(s.Least)
	most, _ := c.x(s.Most)
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#000"/>`, least, mid, most, mid)
	figure := fmt.Sprintf(c.format, s.Median)
	if beyond {
		figure = "→ " + figure
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%d" font-size="9">%s</text>`+"\n", math.Max(right, most)+4, y+barHeight-3, figure)
}
