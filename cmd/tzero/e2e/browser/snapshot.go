package browser

import (
	"fmt"
	"regexp"
	"strings"
)

// Snapshot is a page as it stands, in a form that two can be compared in: one that came directly from its
// app and one that came through a gateway.
type Snapshot struct {
	Path  string   // with query and fragment, without the host
	Title string   //
	Text  []string // the visible text, a line each
	DOM   []string // an element or a text a line, indented, attributes in alphabetical order, no scripts
}

// outline walks the document. Scripts are left out and the head is sorted: frameworks put the same things
// there in pieces and in an order that depend on how the page's bytes arrived. What moves between reloads
// is left to the caller.
const outline = `(() => {
  const lines = [];
  let text = ""; // texts that only comments separate are one
  const flush = (depth) => {
    if ((text = text.replace(/\s+/g, " ").trim())) lines.push(" ".repeat(depth) + text);
    text = "";
  };
  const walk = (element, depth) => {
    if (element.tagName === "SCRIPT") return;
    const attributes = [...element.attributes].map((a) => a.name + "=" + JSON.stringify(a.value)).sort();
    lines.push(" ".repeat(depth) + [element.tagName.toLowerCase(), ...attributes].join(" "));
    const inside = lines.length;
    for (const child of element.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) text += child.data;
      if (child.nodeType !== Node.ELEMENT_NODE) continue;
      flush(depth + 1);
      walk(child, depth + 1);
    }
    flush(depth + 1);
    if (element.tagName === "HEAD") lines.push(...lines.splice(inside).sort());
  };
  walk(document.documentElement, 0);
  return lines.join("\n");
})()`

// Snapshot describes the page.
func (tab *Tab) Snapshot() Snapshot {
	tab.t.Helper()
	return Snapshot{
		Path:  tab.Text(`location.pathname + location.search + location.hash`),
		Title: tab.Text(`document.title`),
		Text:  lines(tab.Text(`document.body.innerText`)),
		DOM:   lines(tab.Text(outline)),
	}
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// Without returns the snapshot with everything that matches replaced by "…": ports, times, counters.
func (s Snapshot) Without(volatile *regexp.Regexp) Snapshot {
	mask := func(in []string) []string {
		out := make([]string, len(in))
		for i, line := range in {
			out[i] = volatile.ReplaceAllString(line, "…")
		}
		return out
	}
	s.Path, s.Title = volatile.ReplaceAllString(s.Path, "…"), volatile.ReplaceAllString(s.Title, "…")
	s.Text, s.DOM = mask(s.Text), mask(s.DOM)
	return s
}

// Diff says where two snapshots first differ, or nothing.
func (s Snapshot) Diff(other Snapshot) string {
	if s.Path != other.Path {
		return fmt.Sprintf("path: %q, %q", s.Path, other.Path)
	}
	if s.Title != other.Title {
		return fmt.Sprintf("title: %q, %q", s.Title, other.Title)
	}
	if d := firstDifference(s.Text, other.Text); d != "" {
		return "text, " + d
	}
	if d := firstDifference(s.DOM, other.DOM); d != "" {
		return "DOM, " + d
	}
	return ""
}

func firstDifference(a, b []string) string {
	for i := range max(len(a), len(b)) {
		x, y := "(nothing)", "(nothing)"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d: %q, %q", i+1, x, y)
		}
	}
	return ""
}
