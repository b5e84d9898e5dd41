package provision

import (
	"reflect"
	"testing"
	"time"
)

// TestSame: a kept file isn't used for a device or a view of which anything is another, whatever is added to them.
func TestSame(t *testing.T) {
	t.Parallel()
	check := func(name string, of reflect.Type, same func(x reflect.Value) bool) {
		for f := range of.Fields() {
			if name == "view" && (f.Name == "Params" || f.Name == "Model") {
				continue // they follow from the others
			}
			x := reflect.New(of)
			set(t, x.Elem().FieldByIndex(f.Index))
			if same(x) {
				t.Errorf("%s: another %s is taken for the same", name, f.Name)
			}
		}
	}
	check("device", reflect.TypeFor[Device](), func(x reflect.Value) bool {
		d, _ := reflect.TypeAssert[*Device](x)
		return d.same(&Device{}) || !d.same(d)
	})
	check("view", reflect.TypeFor[View](), func(x reflect.Value) bool {
		v, _ := reflect.TypeAssert[*View](x)
		return v.same(&View{}) || !v.same(v)
	})
}

// set gives a field another value than its zero one.
func set(t *testing.T, f reflect.Value) {
	t.Helper()
	switch f.Interface().(type) {
	case time.Time:
		f.Set(reflect.ValueOf(time.Unix(1, 0)))
		return
	case Device:
		f.FieldByName("Label").SetString("x")
		return
	}
	switch {
	case f.Kind() == reflect.String:
		f.SetString("x")
	case f.CanUint():
		f.SetUint(1)
	case f.Kind() == reflect.Bool:
		f.SetBool(true)
	case f.Kind() == reflect.Array:
		f.Index(0).SetUint(1)
	case f.Kind() == reflect.Slice:
		f.Set(reflect.MakeSlice(f.Type(), 1, 1))
	case f.Kind() == reflect.Map:
		f.Set(reflect.MakeMap(f.Type()))
		f.SetMapIndex(reflect.ValueOf("x"), reflect.ValueOf(1))
	default:
		t.Fatalf("no value for a %s", f.Type())
	}
}
