package strict

import (
	"encoding/json"
	"reflect"

	"github.com/tzero-edge/tzero/internal/conf"
)

// referencePattern matches a value that comes by reference; editors cannot know its type.
const referencePattern = `\$\{`

// Schema writes a JSON Schema (draft 2020-12) for editors. config points to the defaults.
func Schema(config any, title string, o Options) ([]byte, error) {
	s := schemer{&o}
	root := s.structure(reflect.ValueOf(config).Elem())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = title
	b, err := json.MarshalIndent(root, "", "  ")
	return append(b, '\n'), err
}

type object = map[string]any

type schemer struct{ items *Options }

func (s schemer) structure(v reflect.Value) object {
	properties := object{}
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		p := s.value(fv, &f)
		if f.doc != "" {
			p["description"] = f.doc
		}
		if isScalar(f.typ) && f.typ != secretType {
			p["default"] = jsonValue(fv)
		}
		properties[f.key] = p
	}
	return object{"type": "object", "additionalProperties": false, "properties": properties}
}

func (s schemer) value(v reflect.Value, f *field) object {
	t := v.Type()
	switch {
	case isScalar(t):
		return scalarSchema(t, f.enum)
	case t.Kind() == reflect.Pointer:
		return s.value(s.items.newItem(t.Elem()), f)
	case t.Kind() == reflect.Struct:
		return s.structure(v)
	case t.Kind() == reflect.Map:
		return object{"type": "object", "additionalProperties": s.value(s.items.newItem(t.Elem()), f)}
	}
	item := s.value(s.items.newItem(t.Elem()), f)
	list := object{"type": "array", "items": item}
	if f.oneOrMany {
		return object{"anyOf": []object{list, item}}
	}
	return list
}

func scalarSchema(t reflect.Type, enum []string) object {
	byReference := object{"type": "string", "pattern": referencePattern}
	or := func(o object) object { return object{"anyOf": []object{o, byReference}} }
	switch {
	case enum != nil:
		return or(object{"enum": enum})
	case t == reflect.TypeFor[conf.Duration]():
		return object{"anyOf": []object{{"const": 0}, {"type": "string",
			"pattern": `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+|[0-9]+d)$|` + referencePattern}}}
	case t == reflect.TypeFor[conf.Size]():
		return object{"anyOf": []object{{"const": 0}, {"type": "string",
			"pattern": `^(0|[0-9]+(\.[0-9]+)?[ ]?(B|[kK]B|MB|GB|KiB|MiB|GiB))$|` + referencePattern}}}
	case isText(t):
		return object{"type": []string{"string", "number", "boolean"}}
	}
	switch t.Kind() {
	case reflect.Bool:
		return or(object{"type": "boolean"})
	case reflect.String:
		return object{"type": []string{"string", "number", "boolean"}}
	case reflect.Float32, reflect.Float64:
		return or(object{"type": "number"})
	}
	integer := object{"type": "integer"}
	if k := t.Kind(); k >= reflect.Uint && k <= reflect.Uint64 {
		integer["minimum"] = 0
	}
	return or(integer)
}

// jsonValue returns a value as JSON has it, secrets elided, without what is zero in a section.
func jsonValue(v reflect.Value) any {
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer && !isText(t):
		if v.IsNil() {
			return nil
		}
		return jsonValue(v.Elem())
	case isScalar(t):
		text, isString := plain(v)
		if isString {
			return text
		}
		return json.RawMessage(text)
	case t.Kind() == reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = jsonValue(v.Index(i))
		}
		return list
	case t.Kind() == reflect.Map:
		o := object{}
		for _, k := range v.MapKeys() {
			o[k.String()] = jsonValue(v.MapIndex(k))
		}
		return o
	}
	o := object{}
	for _, f := range fieldsOf(t) {
		if fv := v.FieldByIndex(f.index); !fv.IsZero() {
			o[f.key] = jsonValue(fv)
		}
	}
	return o
}
