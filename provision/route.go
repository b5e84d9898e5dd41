package provision

import (
	"context"
	"fmt"
)

// route finds the plugin's rule for the path.
func (r *passage) route(context.Context) error {
	id := r.device.Plugin
	switch {
	case r.device.ID == "":
		return fmt.Errorf("no device, so no plugin: %w", ErrNotFound)
	case id == "" && len(r.plugins.All()) == 0:
		return fmt.Errorf("there are no plugins: %w", ErrNotFound)
	case id == "":
		return fmt.Errorf("device %s has no plugin: %w", r.device.ID, ErrNotFound)
	}
	plugin, ok := r.plugins.Get(id)
	if !ok {
		return fmt.Errorf("plugin %s isn't installed: %w", id, ErrNotFound)
	}
	route, ok := plugin.Route(&r.out.Request, r.known)
	if !ok {
		return fmt.Errorf("plugin %s has no such file: %w", id, ErrNotFound)
	}
	r.out.Route = route
	if !route.HW.IsZero() && route.HW != r.known.HW {
		asks := "from nobody that we know"
		if !r.known.HW.IsZero() {
			asks = "from " + r.known.HW.String()
		}
		return fmt.Errorf("the path names %s, the request comes %s: %w", route.HW, asks, ErrForbidden)
	}
	r.tell(route.Rule, " of plugin ", string(id), ", class ", route.Class.String())
	return nil
}
