package strict

import (
	"reflect"
	"slices"
)

// KeepRestart compares the running configuration with a new one (both pointers to the same struct type).
// Where a value tagged restart differs, the running one is kept in next and its path is returned: next is
// then what really runs. A list or map that holds such values stays whole when items come or go.
func KeepRestart(running, next any) []string {
	k := keeper{}
	k.keep(reflect.ValueOf(running).Elem(), reflect.ValueOf(next).Elem(), "", nil)
	return k.changed
}

type keeper struct{ changed []string }

func (k *keeper) whole(running, next reflect.Value, path string) {
	if !reflect.DeepEqual(running.Interface(), next.Interface()) {
		k.changed = append(k.changed, path)
		next.Set(running)
	}
}

// keep descends; keys are those that the tag of an outer field names.
func (k *keeper) keep(running, next reflect.Value, path string, keys []string) {
	t := next.Type()
	if !hasRestart(t, keys) {
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		if running.IsNil() || next.IsNil() {
			k.whole(running, next, path)
			return
		}
		k.keep(running.Elem(), next.Elem(), path, keys)
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			old, now, p := running.FieldByIndex(f.index), next.FieldByIndex(f.index), join(path, f.key)
			if f.restart || slices.Contains(keys, f.key) {
				k.whole(old, now, p)
			} else {
				k.keep(old, now, p, f.restartKeys)
			}
		}
	case reflect.Slice:
		if running.Len() != next.Len() {
			k.whole(running, next, path)
			return
		}
		for i := range next.Len() {
			k.keep(running.Index(i), next.Index(i), index(path, i), keys)
		}
	case reflect.Map:
		k.keepMap(running, next, path, keys)
	}
}

// keepMap treats a map whose values hold something fixed: the names must stay, too.
func (k *keeper) keepMap(running, next reflect.Value, path string, keys []string) {
	same := running.Len() == next.Len()
	for _, name := range running.MapKeys() {
		same = same && next.MapIndex(name).IsValid()
	}
	if !same {
		k.whole(running, next, path)
		return
	}
	for _, name := range next.MapKeys() {
		item := reflect.New(next.Type().Elem()).Elem() // map values have no address
		item.Set(next.MapIndex(name))
		k.keep(running.MapIndex(name), item, join(path, name.String()), keys)
		next.SetMapIndex(name, item)
	}
}

// hasRestart reports whether anything beneath a type is tagged.
func hasRestart(t reflect.Type, keys []string) bool {
	if isText(t) {
		return false
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return hasRestart(t.Elem(), keys)
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			if f.restart || slices.Contains(keys, f.key) || hasRestart(f.typ, f.restartKeys) {
				return true
			}
		}
	}
	return false
}
