package strict

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Decode reads data into the struct that into points to and that holds the defaults. It returns where each
// value came from, and every problem; with problems, the struct holds what could be read.
func Decode(data []byte, into any, o Options) (*Sources, []Problem) {
	d := decoder{options: &o, sources: newSources(o.File), shapes: map[reflect.Type][]field{}}
	if o.Lookup == nil {
		o.Lookup = func(string) (string, bool) { return "", false }
	}
	root, problems := parse(data, o.File)
	if len(problems) > 0 || root == nil {
		return d.sources, problems
	}
	d.root = reflect.TypeOf(into).Elem()
	d.value(root, reflect.ValueOf(into).Elem(), &field{}, "")
	return d.sources, d.problems
}

type decoder struct {
	options  *Options
	sources  *Sources
	shapes   map[reflect.Type][]field
	problems []Problem
	root     reflect.Type
}

func (d *decoder) fields(t reflect.Type) []field {
	f, ok := d.shapes[t]
	if !ok {
		f = fieldsOf(t)
		d.shapes[t] = f
	}
	return f
}

// refuse notes a problem. The list stops growing well above what is shown.
func (d *decoder) refuse(n *yaml.Node, path, format string, args ...any) {
	if len(d.problems) >= 50*maxProblems {
		return
	}
	p := at(d.options.File, n, format, args...)
	p.Path = path
	d.problems = append(d.problems, p)
}

func (d *decoder) place(path string, n *yaml.Node) {
	d.sources.at[path] = Source{File: d.options.File, Line: n.Line, Column: n.Column}
}

// value decodes a node into v, which holds the default.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f *field, path string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		d.refuse(n, path, "has no value; remove the key or give it one%s", emptyForm(v.Type()))
		return
	}
	t := v.Type()
	if t.Kind() == reflect.Pointer && !isText(t) {
		item := d.options.newItem(t.Elem())
		d.value(n, item, f, path)
		v.Set(item.Addr())
		return
	}
	switch {
	case isScalar(t):
		d.scalar(n, v, f, path)
	case t.Kind() == reflect.Struct:
		d.structure(n, v, path)
	case t.Kind() == reflect.Map:
		d.mapping(n, v, f, path)
	case t.Kind() == reflect.Slice:
		d.list(n, v, f, path)
	}
}

// emptyForm tells how to say "empty" aloud.
func emptyForm(t reflect.Type) string {
	t = deref(t)
	switch {
	case isText(t):
		return ""
	case t.Kind() == reflect.Struct:
		return " ({} for the defaults)"
	case t.Kind() == reflect.Map:
		return " ({} for none)"
	case t.Kind() == reflect.Slice:
		return " ([] for none)"
	case t.Kind() == reflect.String:
		return ` ("" for an empty text)`
	}
	return ""
}

// pairs calls each for every key of a mapping node that is a plain, new name.
func (d *decoder) pairs(n *yaml.Node, path string, each func(key string, kn, vn *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.refuse(n, path, "expected keys with values, found %s", nodeWord(n))
		return
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		kn := n.Content[i]
		first, twice := seen[kn.Value]
		switch {
		case kn.Kind != yaml.ScalarNode || kn.Tag == "!!null" || kn.Value == "":
			d.refuse(kn, path, "a key must be a name")
		case kn.Tag == "!!merge":
			d.refuse(kn, path, "merge keys are not supported; write the values out")
		case twice:
			d.refuse(kn, join(path, kn.Value), "the key is here twice; the first is on line %d", first)
		default:
			seen[kn.Value] = kn.Line
			each(kn.Value, kn, n.Content[i+1])
		}
	}
}

// anchorAt is the node whose position stands for a value: its own for a plain one, its key's for a
// section or list, which begins on the next line.
func anchorAt(key, value *yaml.Node) *yaml.Node {
	if value.Kind == yaml.ScalarNode && value.Tag != "!!null" {
		return value
	}
	return key
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	fields := d.fields(v.Type())
	d.pairs(n, path, func(key string, kn, vn *yaml.Node) {
		for i := range fields {
			if f := &fields[i]; f.key == key {
				p := join(path, key)
				d.place(p, anchorAt(kn, vn))
				if vn.Tag == "!!null" {
					vn.Line, vn.Column = kn.Line, kn.Column
				}
				d.value(vn, v.FieldByIndex(f.index), f, p)
				return
			}
		}
		d.refuse(kn, path, "unknown key %s%s", excerpt(key), d.keyHint(key, fields))
		d.problems[len(d.problems)-1].unknown = true
	})
}

// keyHint says which key may have been meant: one of the section's, or one a level deeper (path written
// beside match instead of under it).
func (d *decoder) keyHint(key string, fields []field) string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].key
	}
	if n := Nearest(key, names); n != "" {
		return fmt.Sprintf("; did you mean %q?", n)
	}
	for i := range fields {
		t := deref(fields[i].typ)
		if t.Kind() != reflect.Struct || isText(t) {
			continue
		}
		var inner []string
		for _, f := range d.fields(t) {
			inner = append(inner, f.key)
		}
		if n := Nearest(key, inner); n != "" {
			return fmt.Sprintf("; did you mean %q under %q?", n, fields[i].key)
		}
	}
	if homes := d.homes(key, d.root, ""); len(homes) == 1 && homes[0] != "" {
		return fmt.Sprintf("; it belongs under %q", homes[0])
	}
	return Hint(key, names)
}

// homes lists the sections that have the key.
func (d *decoder) homes(key string, t reflect.Type, path string) []string {
	t = deref(t)
	if isScalar(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Slice:
		return d.homes(key, t.Elem(), path+"[]")
	case reflect.Map:
		return d.homes(key, t.Elem(), path+".<name>")
	}
	var found []string
	for _, f := range d.fields(t) {
		if f.key == key {
			found = append(found, path)
		}
		found = append(found, d.homes(key, f.typ, join(path, f.key))...)
	}
	return found
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, f *field, path string) {
	t := v.Type()
	m := reflect.MakeMap(t)
	d.pairs(n, path, func(key string, kn, vn *yaml.Node) {
		p := join(path, key)
		d.place(p, anchorAt(kn, vn))
		item := d.options.newItem(t.Elem())
		d.value(vn, item, f, p)
		m.SetMapIndex(reflect.ValueOf(key).Convert(t.Key()), item)
	})
	v.Set(m)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, f *field, path string) {
	t := v.Type()
	content := n.Content
	switch {
	case n.Kind == yaml.SequenceNode:
	case n.Kind == yaml.ScalarNode && f.oneOrMany:
		content = []*yaml.Node{n}
	default:
		d.refuse(n, path, "expected a list, found %s%s", nodeWord(n), listForm(n, t))
		return
	}
	s := reflect.MakeSlice(t, 0, len(content))
	for i, c := range content {
		p := index(path, i)
		d.place(p, c)
		item := d.options.newItem(t.Elem())
		d.value(c, item, f, p)
		s = reflect.Append(s, item)
	}
	v.Set(s)
}

// listForm shows how the one value that was found is written as a list.
func listForm(n *yaml.Node, t reflect.Type) string {
	if n.Kind == yaml.ScalarNode && isScalar(t.Elem()) && deref(t.Elem()) != secretType {
		return fmt.Sprintf("; write [%s]", excerpt(n.Value))
	}
	return ""
}

func nodeWord(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch {
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return "a text"
	case n.Tag == "!!int", n.Tag == "!!float":
		return "a number"
	case n.Tag == "!!bool":
		return "true or false"
	}
	return "a text"
}

// scalar decodes one plain value.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, f *field, path string) {
	t := v.Type()
	if n.Kind != yaml.ScalarNode {
		d.refuse(n, path, "expected %s, found %s", article(typeWord(t)), nodeWord(n))
		return
	}
	text, used, err := expander{d.options.Lookup, d.options.ReadFile}.expand(n.Value, t == secretType)
	if err != nil {
		d.refuse(n, path, "%s", err)
		return
	}
	if used && text != "" {
		d.sources.references[path] = reference{n.Value, text}
	}
	quoted := !used && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if err := setScalar(v, text, quoted, f.enum); err != nil {
		d.refuse(n, path, "%s", d.sources.elide(err.Error()))
	}
}

// setScalar puts a text into a value. quoted says that the writer marked it as text.
func setScalar(v reflect.Value, text string, quoted bool, enum []string) error {
	if enum != nil && !contains(enum, text) {
		return fmt.Errorf("%s is not one of %s%s", excerpt(text), words(enum), didYouMean(text, enum))
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	k := v.Kind()
	if k == reflect.String {
		v.SetString(text)
		return nil
	}
	if quoted {
		return fmt.Errorf("expected %s, found a text; write it without quotes", article(typeWord(v.Type())))
	}
	switch k {
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%s is not true or false", excerpt(text))
		}
		v.SetBool(text == "true")
		return nil
	case reflect.Float32, reflect.Float64:
		return setFloat(v, text)
	}
	return setInt(v, text)
}

func setFloat(v reflect.Value, text string) error {
	x, err := strconv.ParseFloat(text, v.Type().Bits())
	if err != nil || x != x || x-x != 0 {
		return fmt.Errorf("%s is not a number", excerpt(text))
	}
	v.SetFloat(x)
	return nil
}

// setInt reads decimal digits only: 010 and 0x10 mean different numbers to different readers.
func setInt(v reflect.Value, text string) error {
	digits := text
	if len(digits) > 1 && digits[0] == '-' {
		digits = digits[1:]
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' || digits[0] == '0' && len(digits) > 1 {
			return fmt.Errorf("%s is not a whole number in plain digits", excerpt(text))
		}
	}
	if v.CanInt() {
		x, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return intError(text, err)
		}
		v.SetInt(x)
		return nil
	}
	x, err := strconv.ParseUint(text, 10, v.Type().Bits())
	if err != nil {
		return intError(text, err)
	}
	v.SetUint(x)
	return nil
}

func intError(text string, err error) error {
	switch {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("%s is out of range", excerpt(text))
	case text != "" && text[0] == '-':
		return fmt.Errorf("%s is negative", excerpt(text))
	}
	return fmt.Errorf("%s is not a whole number in plain digits", excerpt(text))
}
