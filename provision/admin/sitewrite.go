package admin

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/dialtone-project/dialtone/provision"
)

// writeConfigs writes the configs, after it has taken roles away that others are to have.
func (p *sitePlan) writeConfigs(ctx context.Context) error {
	for i := range p.now.Configs {
		old := p.now.Configs[i]
		taken := slices.ContainsFunc(p.configs, func(c provision.Config) bool { return c.Role == old.Role && c.ID != old.ID })
		if old.Role == provision.RoleNone || !taken {
			continue
		}
		old.Role = provision.RoleNone
		saved, err := p.Configs.PutConfigBy(ctx, old, p.by)
		if err != nil {
			return fmt.Errorf("config %s: %w", old.ID, err)
		}
		for j := range p.configs {
			if p.configs[j].ID == old.ID {
				p.configs[j].Rev = saved.Rev
			}
		}
	}
	for _, c := range p.configs {
		if _, err := p.Configs.PutConfigBy(ctx, c, p.by); err != nil {
			return fmt.Errorf("config %s: %w", c.ID, err)
		}
	}
	return nil
}

func (p *sitePlan) writeNetworks(ctx context.Context) error {
	if !p.redeclare {
		return nil
	}
	if _, err := p.Networks.Declare(ctx, p.networks, p.rev); err != nil {
		return fmt.Errorf("networks: %w", err)
	}
	return nil
}

// writePhones removes and writes phones, so that what a removed one was known by is free.
func (p *sitePlan) writePhones(ctx context.Context) error {
	for _, d := range p.gonePhones {
		if err := p.Devices.DeleteDevice(ctx, d.ID, d.Rev); err != nil {
			return fmt.Errorf("remove phone %s: %w", d.ID, err)
		}
		p.Gate.Settle(d.ID)
		p.Gate.Quiet(string(d.ID))
	}
	if len(p.phones) == 0 {
		return nil
	}
	saved, err := p.Devices.PutDevices(ctx, p.phones...)
	if err != nil {
		return fmt.Errorf("phones: %w", err)
	}
	for i := range saved {
		if saved[i].State != provision.StateNew {
			p.Gate.Settle(saved[i].ID)
		}
		p.Sightings.Drop(deviceKey(&saved[i]))
	}
	return nil
}

// removeRest removes configs, children before their parents. Transient ones went with their phones.
func (p *sitePlan) removeRest(ctx context.Context) error {
	for _, c := range slices.Backward(parentsFirst(p.goneConfigs)) {
		if err := p.Configs.DeleteConfigBy(ctx, c.ID, p.by); err != nil && !errors.Is(err, provision.ErrNotFound) {
			return fmt.Errorf("remove config %s: %w", c.ID, err)
		}
	}
	return nil
}

// same reports whether two values mean the same: an empty list is no list, times are moments, and how often something was
// written doesn't matter.
func same[T any](a, b T) bool { return alike(reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem()) }

func alike(a, b reflect.Value) bool {
	if a.Kind() == reflect.Interface {
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		a, b = a.Elem(), b.Elem()
	}
	a, b = unnamed(a), unnamed(b)
	if a.Type() != b.Type() {
		return false
	}
	switch a.Kind() {
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !alike(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for _, k := range a.MapKeys() {
			if x, y := a.MapIndex(k), b.MapIndex(k); !y.IsValid() || !alike(x, y) {
				return false
			}
		}
		return true
	case reflect.Struct:
		if equal := a.MethodByName("Equal"); equal.IsValid() {
			return equal.Call([]reflect.Value{b})[0].Bool()
		}
		if a.NumField() > 0 && !a.Type().Field(0).IsExported() {
			return a.Equal(b) // an address, whose parts are its own
		}
		for i := range a.NumField() {
			if a.Type().Field(i).Name != "Rev" && !alike(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	default:
		return a.Equal(b)
	}
}

// differing names the fields in which two structs aren't the same: NoAutoconfigure is no_autoconfigure.
func differing[T any](a, b T) (names []string) {
	x, y := reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem()
	for i, f := range reflect.VisibleFields(x.Type()) {
		if alike(x.Field(i), y.Field(i)) {
			continue
		}
		var name strings.Builder
		for j, c := range f.Name {
			if j > 0 && unicode.IsUpper(c) && unicode.IsLower(rune(f.Name[j-1])) {
				name.WriteByte('_')
			}
			name.WriteRune(unicode.ToLower(c))
		}
		names = append(names, name.String())
	}
	return names
}

// unnamed is a value as a plain map where it is Params.
func unnamed(v reflect.Value) reflect.Value {
	if v.Type() == reflect.TypeFor[provision.Params]() {
		return v.Convert(reflect.TypeFor[map[string]any]())
	}
	return v
}
