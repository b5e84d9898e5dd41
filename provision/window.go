package provision

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxWindowSpan is how long a window may be open.
const maxWindowSpan = 30 * time.Minute

// Window is a time in which an administrator expects new devices: those that it is for are confirmed by asking. Empty
// conditions are none, but one of Device and Network must be given.
type Window struct {
	ID      string // given by [Gate.OpenWindow]
	Device  DeviceID
	Network string
	OUI     string // the first six digits of a MAC, in hwaddr.OUI's spelling
	Vendor  string
	Count   int // devices that it is for; 0: as many as come
	Opened  time.Time
	Closes  time.Time
	By      string     // who opened it
	Used    []DeviceID // that it has confirmed
}

// fits reports whether the window is for a device, now.
func (w *Window) fits(d *Device, network string, at time.Time) bool {
	if at.Before(w.Opened) || !at.Before(w.Closes) {
		return false
	}
	if slices.Contains(w.Used, d.ID) {
		return true
	}
	return (w.Count == 0 || len(w.Used) < w.Count) && (w.Device == "" || w.Device == d.ID) && (w.Network == "" || w.Network == network) &&
		(w.Vendor == "" || strings.EqualFold(w.Vendor, d.Vendor)) &&
		(w.OUI == "" || strings.HasPrefix(d.HW.Join(""), w.OUI))
}

// OpenWindow opens a window and returns it with its ID. ErrInvalid: it is for nobody in particular, or open for more than
// half an hour.
func (g *Gate) OpenWindow(ctx context.Context, w Window) (Window, error) {
	w.OUI = plainOUI(w.OUI)
	if err := w.check(); err != nil {
		return Window{}, err
	}
	w.ID, w.Used = strings.ToLower(rand.Text()[:8]), nil
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.expire(ctx, w.Opened); err != nil {
		return Window{}, fmt.Errorf("open window: %w", err)
	}
	if len(g.windows) >= maxWindows {
		return Window{}, fmt.Errorf("open window: %d are open; close some: %w", len(g.windows), ErrConflict)
	}
	if g.store != nil {
		if err := g.store.PutWindow(ctx, w); err != nil {
			return Window{}, fmt.Errorf("open window: %w", err)
		}
	}
	g.windows = append(g.windows, w)
	return w, nil
}

// CheckWindow returns what OpenWindow would refuse of a window.
func (g *Gate) CheckWindow(w Window) error {
	w.OUI = plainOUI(w.OUI)
	if err := w.check(); err != nil {
		return err
	}
	if n := len(g.Windows(w.Opened)); n >= maxWindows {
		return fmt.Errorf("open window: %d are open; close some: %w", n, ErrConflict)
	}
	return nil
}

func plainOUI(oui string) string {
	return strings.ToLower(strings.NewReplacer(":", "", "-", "", ".", "").Replace(oui))
}

// check returns what is wrong with a window by itself.
func (w *Window) check() error {
	switch {
	case w.Device == "" && w.Network == "":
		return fmt.Errorf("open window: name the device or the network that it is for: %w", ErrInvalid)
	case w.OUI != "" && (len(w.OUI) != 6 || strings.Trim(w.OUI, "0123456789abcdef") != ""):
		return fmt.Errorf("open window: %q is not the first six digits of a MAC, such as 00:15:65: %w", w.OUI, ErrInvalid)
	case w.Count < 0 || !w.Closes.After(w.Opened):
		return fmt.Errorf("open window: it must be for some time and not for fewer than no devices: %w", ErrInvalid)
	case w.Closes.Sub(w.Opened) > maxWindowSpan:
		return fmt.Errorf("open window: %s is longer than %s, the most there is: %w", w.Closes.Sub(w.Opened), maxWindowSpan, ErrInvalid)
	}
	return nil
}

// expire forgets the windows that have closed.
func (g *Gate) expire(ctx context.Context, at time.Time) error {
	for i := 0; i < len(g.windows); {
		if at.Before(g.windows[i].Closes) {
			i++
			continue
		}
		if g.store != nil {
			if err := g.store.DeleteWindow(ctx, g.windows[i].ID); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		g.windows = slices.Delete(g.windows, i, i+1)
	}
	return nil
}

// CloseWindow closes a window before its time. ErrNotFound if there is none.
func (g *Gate) CloseWindow(ctx context.Context, id string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.windows, func(w Window) bool { return w.ID == id })
	if i < 0 {
		return fmt.Errorf("close window %s: %w", id, ErrNotFound)
	}
	if g.store != nil {
		if err := g.store.DeleteWindow(ctx, id); err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("close window %s: %w", id, err)
		}
	}
	g.windows = slices.Delete(g.windows, i, i+1)
	return nil
}

// Windows returns the windows that are open, in the order in which they were opened.
func (g *Gate) Windows(at time.Time) []Window {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Window
	for _, w := range g.windows {
		if at.Before(w.Closes) {
			w.Used = slices.Clone(w.Used)
			out = append(out, w)
		}
	}
	return out
}

// windowed reports whether a window is open for a device.
func (g *Gate) windowed(d *Device, network string, at time.Time) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.windows {
		if g.windows[i].fits(d, network, at) {
			return true
		}
	}
	return false
}

// pass uses a window for a new device, and reports whether there was one. In two requests of one device at once it is
// used once.
func (g *Gate) pass(ctx context.Context, d *Device, network string, at time.Time, dry bool) (bool, error) {
	if g == nil {
		return false, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.windows {
		w := g.windows[i]
		if !w.fits(d, network, at) {
			continue
		}
		if dry || slices.Contains(w.Used, d.ID) {
			return true, nil
		}
		w.Used = append(slices.Clone(w.Used), d.ID)
		if g.store != nil {
			if err := g.store.PutWindow(ctx, w); err != nil {
				return false, fmt.Errorf("use window %s: %w", w.ID, err)
			}
		}
		g.windows[i] = w
		return true, nil
	}
	return false, nil
}
