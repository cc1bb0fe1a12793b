package strict

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// section is one struct of the configuration, described for the reference page.
type section struct {
	path string // "origins.<name>.targets[]"
	doc  string
	rows []row
}

type row struct {
	key, kind, standard, doc, example string
	enum                              []string
	restart                           bool
	section                           string // path of the section that describes it further
}

// describer walks the type, its defaults and an example file side by side.
type describer struct {
	items    *Options
	sections []*section
}

// Reference writes the reference page's tables (Markdown): every key with type, default, meaning and, where
// the example file has one, an example. config points to the defaults.
func Reference(config any, example []byte, o Options) ([]byte, error) {
	root, problems := parse(example, o.File)
	if len(problems) > 0 {
		return nil, Refuse(problems)
	}
	d := describer{items: &o}
	var nodes []*yaml.Node
	if root != nil {
		nodes = []*yaml.Node{root}
	}
	d.structure(reflect.ValueOf(config).Elem(), "", field{}, nodes)
	var b strings.Builder
	for _, s := range d.sections {
		s.write(&b)
	}
	return []byte(b.String()), nil
}

// structure describes one struct, then those beneath it.
func (d *describer) structure(v reflect.Value, path string, at field, nodes []*yaml.Node) {
	s := &section{path: path, doc: at.doc}
	d.sections = append(d.sections, s)
	for _, f := range fieldsOf(v.Type()) {
		fv, found := v.FieldByIndex(f.index), children(nodes, f.key)
		s.rows = append(s.rows, row{
			key: f.key, kind: typeWord(f.typ), standard: defaultText(fv), doc: f.doc, enum: f.enum,
			restart: f.restart || slices.Contains(at.restartKeys, f.key), example: exampleText(f.typ, found),
		})
		first := len(d.sections)
		d.beneath(fv, join(path, f.key), f, found)
		if len(d.sections) > first {
			s.rows[len(s.rows)-1].section = d.sections[first].path
		}
	}
}

// beneath descends to the structs in a value.
func (d *describer) beneath(v reflect.Value, path string, at field, nodes []*yaml.Node) {
	t := v.Type()
	if isScalar(t) {
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		d.beneath(d.items.newItem(t.Elem()), path, at, nodes)
	case reflect.Struct:
		d.structure(v, path, at, nodes)
	case reflect.Map:
		d.beneath(d.items.newItem(t.Elem()), path+".<name>", at, allChildren(nodes))
	case reflect.Slice:
		d.beneath(d.items.newItem(t.Elem()), path+"[]", at, allChildren(nodes))
	}
}

// children returns the values that the example has for a key, in any of the given mappings.
func children(nodes []*yaml.Node, key string) []*yaml.Node {
	var found []*yaml.Node
	for _, n := range nodes {
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				found = append(found, n.Content[i+1])
			}
		}
	}
	return found
}

// allChildren returns the items of lists and the values of mappings.
func allChildren(nodes []*yaml.Node) []*yaml.Node {
	var found []*yaml.Node
	for _, n := range nodes {
		switch n.Kind {
		case yaml.SequenceNode:
			found = append(found, n.Content...)
		case yaml.MappingNode:
			for i := 1; i < len(n.Content); i += 2 {
				found = append(found, n.Content[i])
			}
		}
	}
	return found
}

func defaultText(v reflect.Value) string {
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer && !isText(t):
		if v.IsNil() {
			return "absent"
		}
		return defaultText(v.Elem())
	case isScalar(t):
		text, _ := plain(v)
		return text
	case t.Kind() == reflect.Struct:
		return ""
	case v.Len() == 0:
		return "none"
	}
	text, err := json.Marshal(jsonValue(v))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(text), ",", ", ")
}

// exampleText writes the first short example on one line.
func exampleText(t reflect.Type, nodes []*yaml.Node) string {
	for _, n := range nodes {
		switch {
		case n.Kind == yaml.ScalarNode && len(n.Value) < 60 && !strings.Contains(n.Value, "\n"):
			return n.Value
		case n.Kind == yaml.SequenceNode && isScalar(deref(t).Elem()):
			values := make([]string, len(n.Content))
			for i, c := range n.Content {
				values[i] = c.Value
			}
			if text := "[" + strings.Join(values, ", ") + "]"; len(values) > 0 && len(text) < 100 {
				return text
			}
		}
	}
	return ""
}

// write prints a section as a heading and a table.
func (s *section) write(b *strings.Builder) {
	if s.path != "" {
		fmt.Fprintf(b, "\n## `%s`\n", s.path)
	}
	if s.doc != "" {
		fmt.Fprintf(b, "\n%s\n", s.doc)
	}
	b.WriteString("\n| key | type | default | meaning | example |\n|---|---|---|---|---|\n")
	for _, r := range s.rows {
		kind, doc := r.kind, r.doc
		if r.enum != nil {
			kind += ": " + words(r.enum)
		}
		if r.restart {
			doc += " *A change needs a restart.*"
		}
		if r.section != "" {
			kind = fmt.Sprintf("[%s](#%s)", kind, headingAnchor(r.section))
		} else {
			kind = cell(kind)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", r.key, kind, code(r.standard), cell(doc), code(r.example))
	}
}

// headingAnchor is the link target that renderers of Markdown make of a heading.
func headingAnchor(heading string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(heading))
}

func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(s)
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}
