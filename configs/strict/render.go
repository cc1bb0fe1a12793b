package strict

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Render writes a configuration as YAML with every key, in the order of the structs, secrets elided. With
// sources, each plain value carries where it came from as a comment; values with none are defaults. Elided
// are secrets, passwords in URLs, values of maps whose name looks like a secret's (Authorization), and values
// by reference to a variable whose name does (${API_KEY} stays as it is written).
//
// It writes the text itself, since the library's encoder takes quadratic time.
func Render(config any, sources *Sources) []byte {
	r := renderer{sources: sources, shapes: map[reflect.Type][]field{}}
	v := reflect.ValueOf(config)
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	r.structure(v, "", 0)
	return r.b.Bytes()
}

type renderer struct {
	b       bytes.Buffer
	sources *Sources
	shapes  map[reflect.Type][]field
}

func (r *renderer) structure(v reflect.Value, path string, indent int) {
	t := v.Type()
	fields, ok := r.shapes[t]
	if !ok {
		fields = fieldsOf(t)
		r.shapes[t] = fields
	}
	for i := range fields {
		if fv := v.FieldByIndex(fields[i].index); !unwritable(fv, &fields[i]) {
			r.pair(fields[i].key, fv, join(path, fields[i].key), indent, false)
		}
	}
}

// pair writes one key with its value. secret elides what a map holds under a telling name.
func (r *renderer) pair(key string, v reflect.Value, path string, indent int, secret bool) {
	for v.Kind() == reflect.Pointer && !isText(v.Type()) {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	r.b.WriteString(strings.Repeat(" ", indent) + quote(key, true) + ":")
	if isScalar(v.Type()) {
		text := r.scalar(v, path)
		if secret && text != `""` {
			text = "(secret)"
		}
		r.end(" "+text, path)
		return
	}
	switch k := v.Kind(); {
	case k == reflect.Struct:
		r.b.WriteByte('\n')
		r.structure(v, path, indent+2)
	case k == reflect.Map && v.Len() == 0:
		r.end(" {}", path)
	case k == reflect.Map:
		r.b.WriteByte('\n')
		r.named(v, path, indent+2)
	case isScalar(v.Type().Elem()):
		r.end(" ["+r.flow(v, path)+"]", path)
	case v.Len() == 0:
		r.end(" []", path)
	default:
		r.b.WriteByte('\n')
		r.items(v, path, indent+2)
	}
}

func (r *renderer) named(v reflect.Value, path string, indent int) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range keys {
		r.pair(k.String(), v.MapIndex(k), join(path, k.String()), indent, looksSecret(k.String()))
	}
}

// items writes a list of sections: the dash goes where the first key's indentation is.
func (r *renderer) items(v reflect.Value, path string, indent int) {
	for i := range v.Len() {
		start := r.b.Len()
		r.structure(v.Index(i), index(path, i), indent+2)
		if r.b.Len() > start {
			r.b.Bytes()[start+indent] = '-'
		}
	}
}

func (r *renderer) flow(v reflect.Value, path string) string {
	items := make([]string, v.Len())
	for i := range items {
		items[i] = r.scalar(v.Index(i), index(path, i))
	}
	return strings.Join(items, ", ")
}

// end finishes a line with the value's source.
func (r *renderer) end(text, path string) {
	r.b.WriteString(text)
	if r.sources != nil {
		comment := "default"
		if s, ok := r.sources.Of(path); ok {
			s.File, s.Column = filepath.Base(s.File), 0 // one file, one line: enough to find it
			comment = s.String()
		}
		r.b.WriteString("  # " + strings.Map(printable, comment))
	}
	r.b.WriteByte('\n')
}

// printable keeps an odd file name from ending the comment.
func printable(c rune) rune {
	if strconv.IsPrint(c) {
		return c
	}
	return '?'
}

// unwritable reports whether a value is one that no file can say: a zero that the key's own list of words
// or its type refuses means "not given".
func unwritable(v reflect.Value, f *field) bool {
	if !isScalar(v.Type()) || !v.IsZero() {
		return false
	}
	text, _ := plain(v)
	return setScalar(reflect.New(v.Type()).Elem(), text, false, f.enum) != nil
}

func (r *renderer) scalar(v reflect.Value, path string) string {
	text, isString := plain(v)
	if !isString {
		return text
	}
	text = strings.ReplaceAll(text, "${", "$${") // or Decode would take it for a reference
	if r.sources != nil {
		if ref, ok := r.sources.references[path]; ok && looksSecret(ref.written) {
			text = ref.written
		}
	}
	return quote(text, v.Kind() == reflect.String)
}

// quote writes a text plainly where no reader can take it for anything else, and as a JSON string, which
// is YAML too, elsewhere.
func quote(text string, isString bool) string {
	if isPlain(text) && !(isString && resembles(text)) {
		return text
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return `""`
	}
	return escapeUnprintable(strings.TrimSuffix(b.String(), "\n"))
}

// escapeUnprintable writes what JSON leaves alone but YAML or a terminal does not, such as DEL, C1 controls
// and invisible characters, as escapes that both know.
func escapeUnprintable(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case strconv.IsPrint(c):
			b.WriteRune(c)
		case c <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	return b.String()
}

// isPlain reports whether a text has only characters that mean nothing to YAML in its place.
func isPlain(text string) bool {
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '/', c == '(':
		case i > 0 && strings.IndexByte("_.%+@()=*;-", c) >= 0:
		case i > 0 && c == ':' && i+1 < len(text):
		default:
			return false
		}
	}
	return text != ""
}

// resembles reports whether YAML could read a plain text as a number, a date, a boolean or null.
func resembles(text string) bool {
	switch strings.ToLower(text) {
	case "true", "false", "yes", "no", "on", "off", "y", "n", "null":
		return true
	}
	// Two dots make an address or a version, which nothing mistakes.
	return text[0] >= '0' && text[0] <= '9' && strings.Count(text, ".") < 2 && strings.Trim(text, "0123456789.:_-+eExXabcdfABCDFoTZ") == ""
}

// plain returns a value's text and whether YAML has to mark it as text where it could be misread.
func plain(v reflect.Value) (text string, isString bool) {
	if v.Type() == secretType && v.CanInterface() {
		return fmt.Sprint(v.Interface()), true
	}
	if isText(v.Type()) {
		return elideUserinfo(marshalText(v)), true
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), false
	case reflect.String:
		return elideUserinfo(v.String()), true
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits()), false
	}
	if v.CanInt() {
		return strconv.FormatInt(v.Int(), 10), false
	}
	return strconv.FormatUint(v.Uint(), 10), false
}

func marshalText(v reflect.Value) string {
	// A copy, since methods with pointer receivers need an address.
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	if m, ok := p.Interface().(encoding.TextMarshaler); ok {
		if b, err := m.MarshalText(); err == nil {
			return string(b)
		}
		return ""
	}
	return fmt.Sprint(p.Interface())
}

// elideUserinfo takes a password out of a URL: it belongs in a secret, but people write it there.
func elideUserinfo(s string) string {
	scheme := strings.Index(s, "://")
	if scheme < 0 {
		return s
	}
	rest := s[scheme+3:]
	authority, _, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return s
	}
	return s[:scheme+3] + "(secret)" + rest[at:]
}

// looksSecret judges a name of the writer's choice: of an environment variable, or of a header to set.
func looksSecret(name string) bool {
	name = strings.NewReplacer("-", "_", "}", "", ":", "_").Replace(strings.ToUpper(name)) + "_"
	for _, word := range []string{"SECRET", "TOKEN", "PASSW", "CREDENTIAL", "AUTHORIZATION", "COOKIE", "KEY_", "AUTH_", "DSN_"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
