package provision_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// telling returns an Aastra plugin whose template prints all that a template may see, and counts its answers.
func telling(tb testing.TB, version string, size int, count *int) *provisiontest.Plugin {
	tb.Helper()
	pl := aastra(tb, version)
	pl.OnAnswer = func(_ context.Context, r provision.Route, v *provision.View) (*provision.Answer, error) {
		*count++
		a := provisiontest.TextAnswer(fmt.Sprintf("%s %s %+v", version, r.Template, *v) + strings.Repeat(".", size))
		a.Type = "text/" + version
		return a, nil
	}
	return pl
}

// renderWorld is a world whose stores can tell that nothing has changed.
func renderWorld(tb testing.TB) *world {
	tb.Helper()
	w := newWorld(tb)
	w.Devices, w.Configs = w.memory, w.memory
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	w.hold(addrB, aastraB, "AastraIPPhone6730i")
	w.config(tb, provision.Config{ID: "own", Parents: []provision.ConfigID{"base"}})
	w.device(tb, provision.Device{ID: "a", HW: aastraA, Plugin: "aastra-67xx-3.2.2", Config: "own"})
	return w
}

// TestRenders: what is kept is never another file than the one that would be made now, whatever is changed between two
// requests.
func TestRenders(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := renderWorld(t)
		count := 0
		version, local := "3.2.2", netip.MustParseAddr("192.0.2.1")
		w.plugins.Set(telling(t, version, 0, &count))
		plain := provision.Pipeline{
			Leases: w.leases, PolicyFor: w.PolicyFor, Devices: w.memory, Configs: w.memory, Plugins: w.plugins, HTTP: w.HTTP,
		}
		flat := provision.Pipeline{
			Leases: w.leases, PolicyFor: w.PolicyFor, Devices: w.memory, Configs: w.memory, Plugins: w.plugins, HTTP: w.HTTP,
		}
		flat.Flats = provision.NewFlats(rapid.SampledFrom([]int{0, 1, 100_000}).Draw(rt, "flats"))
		w.Flats = provision.NewFlats(0)
		w.Renders = provision.NewRenders(rapid.SampledFrom([]int{0, 1, 30 << 10}).Draw(rt, "limit"))
		change := func(ctx context.Context, id provision.ConfigID, f func(*provision.Config)) {
			c, err := w.memory.Config(ctx, id)
			if err == nil {
				f(&c)
				_, err = w.memory.PutConfig(ctx, c)
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		edit := func(f func(*provision.Device)) {
			d, err := w.memory.Device(t.Context(), "a")
			if err == nil {
				f(&d)
				_, err = w.memory.PutDevice(t.Context(), d)
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		word := func() string { return rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "word") }
		rt.Repeat(map[string]func(*rapid.T){
			"config": func(*rapid.T) {
				change(t.Context(), "own", func(c *provision.Config) { c.Params = provision.Params{"X_own": word()} })
			},
			"parent": func(*rapid.T) {
				change(t.Context(), "base", func(c *provision.Config) { c.Params = provision.Params{"X_base": word(), "ntp_ip": "192.0.2.7"} })
			},
			"parents": func(*rapid.T) {
				change(t.Context(), "own", func(c *provision.Config) {
					c.Parents = rapid.SliceOfNDistinct(rapid.SampledFrom([]provision.ConfigID{"base", "guest", "site"}), 0, 3, rapid.ID).Draw(rt, "parents")
				})
			},
			"label":    func(*rapid.T) { edit(func(d *provision.Device) { d.Label = word() }) },
			"override": func(*rapid.T) { edit(func(d *provision.Device) { d.Override = provision.Params{"X_mine": word()} }) },
			"options":  func(*rapid.T) { edit(func(d *provision.Device) { d.Options = map[string]any{"o": word()} }) },
			"configuring": func(*rapid.T) {
				edit(func(d *provision.Device) {
					d.Config = rapid.SampledFrom([]provision.ConfigID{"own", "guest"}).Draw(rt, "id")
				})
			},
			"secrets": func(*rapid.T) {
				edit(func(d *provision.Device) { d.Override = provision.Params{"admin_password": provision.Secret(word())} })
			},
			"reload":  func(*rapid.T) { w.plugins.Set(telling(t, version, 0, &count)) },
			"upgrade": func(*rapid.T) { version += "0"; w.plugins.Set(telling(t, version, 0, &count)) },
			"address": func(*rapid.T) {
				local = rapid.SampledFrom([]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")}).Draw(rt, "local")
			},
			"": func(rt *rapid.T) {
				for _, path := range []string{"00085D112233.cfg", rapid.SampledFrom([]string{"labels.cfg", "aastra.cfg"}).Draw(rt, "path")} {
					req := get(addrA, path, aastraAgent(aastraA, "3.2.2"))
					req.Local = local
					plainReq := req
					want, wo := plain.Handle(t.Context(), &plainReq)
					for _, p := range []*provision.Pipeline{&flat, &w.Pipeline, &w.Pipeline} {
						again := req
						got, o := p.Handle(t.Context(), &again)
						if fmt.Sprint(o.Err) != fmt.Sprint(wo.Err) {
							rt.Fatalf("%s: %v, want %v", req.Path, o.Err, wo.Err)
						}
						if want == nil {
							continue
						}
						if diff := cmp.Diff(wo.Layers, o.Layers); diff != "" {
							rt.Fatalf("%s: layers (-want +got)\n%s", req.Path, diff)
						}
						if a, b := bodyOf(t, got), fmt.Sprint(want.Hash, want.Type, want.Size); fmt.Sprint(got.Hash, got.Type, got.Size) != b || int64(len(a)) != want.Size {
							rt.Fatalf("%s: a file that would not be made now: %s", req.Path, a)
						}
					}
				}
			},
		})
	})
}

// A file that nothing has changed for isn't made twice; Explain makes it anew and keeps nothing.
func TestRendersAreUsed(t *testing.T) {
	t.Parallel()
	w := renderWorld(t)
	count := 0
	w.plugins.Set(telling(t, "3.2.2", 0, &count))
	w.Renders = provision.NewRenders(0)
	req := get(addrA, "labels.cfg", aastraAgent(aastraA, "3.2.2"))
	explain := func() {
		t.Helper()
		a, o := w.Explain(t.Context(), &req)
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		bodyOf(t, a)
	}
	explain()
	for range 5 {
		w.ask(t, req)
	}
	explain()
	if got, want := count, 3; got != want {
		t.Errorf("the template ran %d times, want %d", got, want)
	}
}

// Secrets that the guard withholds are not in the file that another request was given them in.
func TestRendersKeepSecretsApart(t *testing.T) {
	t.Parallel()
	w := renderWorld(t)
	w.Renders = provision.NewRenders(0)
	w.device(t, provision.Device{ID: "b", HW: aastraB, Plugin: "aastra-67xx-3.2.2", Config: "guest"})
	own := get(addrB, strings.ToUpper(aastraB.Join(""))+".cfg", aastraAgent(aastraB, "3.2.2"))
	if body, _ := w.ask(t, own); !strings.Contains(body, planted) {
		t.Fatalf("its own file has no secret: %s", body)
	}
	for _, path := range []string{"labels.cfg", "aastra.cfg"} {
		if body, _ := w.ask(t, get(addrB, path, aastraAgent(aastraB, "3.2.2"))); strings.Contains(body, planted) {
			t.Errorf("%s has a secret: %s", path, body)
		}
	}
}

// The bytes that are kept stay within their bound, and the last ones used stay.
func TestRendersBound(t *testing.T) {
	t.Parallel()
	w := renderWorld(t)
	count := 0
	w.plugins.Set(telling(t, "3.2.2", 10<<10, &count))
	w.Renders = provision.NewRenders(150 << 10) // less than fifteen files
	for round, want := range []int{20, 40} {
		for i := range 20 {
			hw := aastraA
			hw[5] = byte(i)
			if round == 0 && hw != aastraA {
				w.device(t, provision.Device{ID: provision.DeviceID(hw.Join("")), HW: hw, Plugin: "aastra-67xx-3.2.2", Config: "own"})
			}
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)})
			w.hold(addr, hw, "")
			w.ask(t, get(addr, "labels.cfg", aastraAgent(hw, "3.2.2")))
			w.ask(t, get(addr, "labels.cfg", aastraAgent(hw, "3.2.2")))
		}
		if count != want {
			t.Errorf("the template ran %d times, want %d", count, want)
		}
	}
}
