package headers

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/field"
)

// Changes is a compiled list of changes: immutable, shared by all requests of a route.
type Changes struct {
	remove [][]byte
	set    []field.Field
	add    []field.Field
}

// Compile checks and compiles a list of changes for one side. It returns nil for an empty list.
func (c ChangeConfig) Compile(side Side) (*Changes, []conf.Problem) {
	if problems := c.Validate(side); len(problems) > 0 {
		return nil, problems
	}
	if len(c.Set)+len(c.Add)+len(c.Remove) == 0 {
		return nil, nil
	}
	out := &Changes{}
	for _, n := range c.Remove {
		out.remove = append(out.remove, []byte(n))
	}
	for _, n := range sortedNames(c.Set) {
		out.set = append(out.set, field.Field{Name: []byte(n), Value: []byte(c.Set[n])})
	}
	for _, n := range sortedNames(c.Add) {
		out.add = append(out.add, field.Field{Name: []byte(n), Value: []byte(c.Add[n])})
	}
	return out, nil
}

// Apply makes the changes in place: it removes, then sets, then adds. A nil Changes does nothing.
func (c *Changes) Apply(l *field.List) {
	if c == nil {
		return
	}
	if len(c.remove) > 0 {
		out := (*l)[:0]
		for _, f := range *l {
			if !slices.ContainsFunc(c.remove, func(n []byte) bool { return equalFold(n, f.Name) }) {
				out = append(out, f)
			}
		}
		*l = out
	}
	for i := range c.set {
		setLine(l, &c.set[i])
	}
	*l = append(*l, c.add...)
}

// setLine puts a line in place of the first of its name and removes the others.
func setLine(l *field.List, line *field.Field) {
	out := (*l)[:0]
	done := false
	for _, f := range *l {
		if equalFold(f.Name, line.Name) {
			if done {
				continue
			}
			done, f = true, *line
		}
		out = append(out, f)
	}
	if !done {
		out = append(out, *line)
	}
	*l = out
}

// changeFault says why a header must not be changed, or "".
func changeFault(side Side, name, value string) string {
	lower := strings.ToLower(name)
	switch {
	case !isToken([]byte(name)):
		return fmt.Sprintf("%q is not a header name", name)
	case side == Request && strings.Contains(name, "_"):
		return "names with an underscore collide with others in many applications and are never sent"
	case !fairValue([]byte(value)) || strings.Trim(value, " \t") != value:
		return "the value contains control characters, or begins or ends with space"
	case slices.Contains([]string{"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "expect", "http2-settings"}, lower),
		strings.HasPrefix(lower, "proxy-") && lower != "proxy-status":
		return "this header belongs to the connection or the framing; tzero writes it itself"
	case lower == "host" && side == Request:
		return "the host is rewritten by the origin's configuration, not here"
	case lower == "content-encoding" || lower == "content-range":
		return "this header says how the body is to be read; changing it alone would break the body"
	case lower == "via" || lower == "cdn-loop":
		return "this header keeps requests from running in circles"
	case lookup([]byte(name)).fate == internal:
		return "this header is tzero's own"
	}
	return ""
}

// sortedNames returns the keys of a map in order, so that results never depend on chance.
func sortedNames(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
