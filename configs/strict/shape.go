package strict

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"github.com/tzero-edge/tzero/internal/conf"
)

// field is one key of a struct.
type field struct {
	index       []int // for reflect.Value.FieldByIndex
	key         string
	doc         string
	enum        []string
	oneOrMany   bool
	restart     bool     // a change takes effect only at the next start
	restartKeys []string // likewise, of the keys in the items
	typ         reflect.Type
}

var (
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	oneOrMany       = reflect.TypeFor[interface{ OneOrMany() }]()
	secretType      = reflect.TypeFor[conf.Secret]()
)

// fieldsOf lists the keys of a struct in the order of its fields.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key, options, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if options == "inline" {
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				fields = append(fields, f)
			}
			continue
		}
		if !sf.IsExported() || key == "" || key == "-" {
			continue
		}
		f := field{index: []int{i}, key: key, doc: sf.Tag.Get("doc"), typ: sf.Type}
		if r := sf.Tag.Get("restart"); r == "true" {
			f.restart = true
		} else if r != "" {
			f.restartKeys = strings.Split(r, ",")
		}
		f.oneOrMany = options == "oneormany" || sf.Type.Implements(oneOrMany)
		if e, ok := sf.Tag.Lookup("enum"); ok {
			f.enum = strings.Split(e, "|")
		}
		fields = append(fields, f)
	}
	return fields
}

// isText reports whether values of t are written as one plain value that the type itself reads.
func isText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textUnmarshaler) }

// isScalar reports whether values of t are written as one plain value.
func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Map, reflect.Pointer:
		return isText(t)
	}
	return true
}

// deref returns what a pointer type points to, and any other type itself.
func deref(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer && !isText(t) {
		return t.Elem()
	}
	return t
}

// Check reports what in a configuration's type the package cannot serve: a field without tags, a type that
// no file can express, a type inside itself. It is for tests.
func Check(t reflect.Type) []string { return check(t, t.Name(), nil) }

func check(t reflect.Type, path string, above []reflect.Type) []string {
	t = deref(t)
	for _, a := range above {
		if a == t {
			return []string{path + ": contains itself"}
		}
	}
	if isText(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Uint,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float64:
		return nil
	case reflect.Int64:
		if t.PkgPath() == "time" {
			return []string{path + ": time.Duration has no strict form; use conf.Duration"}
		}
		return nil
	case reflect.Slice:
		return check(t.Elem(), path+"[]", append(above, t))
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return []string{path + ": the keys of a map are strings"}
		}
		return check(t.Elem(), path+".<name>", append(above, t))
	case reflect.Struct:
		return checkStruct(t, path, append(above, t))
	}
	return []string{fmt.Sprintf("%s: type %s cannot be read from a file", path, t)}
}

func checkStruct(t reflect.Type, path string, above []reflect.Type) []string {
	var faults []string
	for i := range t.NumField() {
		sf := t.Field(i)
		if _, tagged := sf.Tag.Lookup("yaml"); sf.IsExported() && !tagged {
			faults = append(faults, path+"."+sf.Name+": has no yaml tag")
		}
	}
	seen := map[string]bool{}
	for _, f := range fieldsOf(t) {
		if seen[f.key] {
			faults = append(faults, path+"."+f.key+": two fields have this key")
		}
		seen[f.key] = true
		if f.doc == "" {
			faults = append(faults, path+"."+f.key+": has no doc tag")
		}
		faults = append(faults, check(f.typ, path+"."+f.key, above)...)
	}
	return faults
}

// typeWord names a type for the writer of a file.
func typeWord(t reflect.Type) string {
	t = deref(t)
	switch {
	case t == reflect.TypeFor[conf.Duration]():
		return "duration"
	case t == reflect.TypeFor[conf.Size]():
		return "size"
	case t == secretType:
		return "secret"
	case t.PkgPath() == "net/netip" && t.Name() == "Prefix":
		return "address range"
	case t.PkgPath() == "net/netip" && t.Name() == "Addr":
		return "address"
	case isText(t):
		return spaced(t.Name())
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list of " + plural(typeWord(t.Elem()))
	case reflect.Map:
		return "mapping of names to " + plural(typeWord(t.Elem()))
	case reflect.Struct:
		return "section"
	}
	return "whole number"
}

// article puts "a" or "an" before a type's word.
func article(word string) string {
	switch {
	case word == "true or false":
		return word
	case strings.IndexByte("aeiou", word[0]) >= 0:
		return "an " + word
	}
	return "a " + word
}

func plural(word string) string {
	switch word {
	case "text":
		return "texts"
	case "address":
		return "addresses"
	case "section", "duration", "size", "secret", "number", "whole number", "address range":
		return word + "s"
	}
	return word
}

// spaced turns a Go type's name into words: StatusRange becomes "status range".
func spaced(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}
