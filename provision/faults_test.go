package provision_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

var errDisk = errors.New("input/output error")

// failing is a store of which one method fails.
type failing struct {
	provisiontest.Stores
	method string
}

func (f *failing) fail(method string) error {
	if f.method == method {
		return errDisk
	}
	return nil
}

func (f *failing) DeviceByHW(ctx context.Context, hw hwaddr.Addr) (provision.Device, error) {
	if err := f.fail("DeviceByHW"); err != nil {
		return provision.Device{}, err
	}
	return f.Stores.DeviceByHW(ctx, hw)
}

func (f *failing) DeviceBySerial(ctx context.Context, s string) (provision.Device, error) {
	if err := f.fail("DeviceBySerial"); err != nil {
		return provision.Device{}, err
	}
	return f.Stores.DeviceBySerial(ctx, s)
}

func (f *failing) DeviceByUUID(ctx context.Context, s string) (provision.Device, error) {
	if err := f.fail("DeviceByUUID"); err != nil {
		return provision.Device{}, err
	}
	return f.Stores.DeviceByUUID(ctx, s)
}

func (f *failing) PutDevice(ctx context.Context, d provision.Device) (provision.Device, error) {
	if err := f.fail("PutDevice"); err != nil {
		return provision.Device{}, err
	}
	return f.Stores.PutDevice(ctx, d)
}

func (f *failing) AddDevice(ctx context.Context, d provision.Device, c provision.Config) (provision.Device, error) {
	if err := f.fail("AddDevice"); err != nil {
		return provision.Device{}, err
	}
	return f.Stores.AddDevice(ctx, d, c)
}

func (f *failing) Config(ctx context.Context, id provision.ConfigID) (provision.Config, error) {
	if err := f.fail("Config"); err != nil {
		return provision.Config{}, err
	}
	return f.Stores.Config(ctx, id)
}

func (f *failing) ConfigByRole(ctx context.Context, r provision.Role) (provision.Config, error) {
	if err := f.fail("ConfigByRole"); err != nil {
		return provision.Config{}, err
	}
	return f.Stores.ConfigByRole(ctx, r)
}

func (f *failing) PutConfig(ctx context.Context, c provision.Config) (provision.Config, error) {
	if err := f.fail("PutConfig"); err != nil {
		return provision.Config{}, err
	}
	return f.Stores.PutConfig(ctx, c)
}

func TestStoreErrorIsNoMissingFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method string
		known  bool // the device has been stored, without plugin and config
	}{
		{"DeviceByHW", false},
		{"DeviceBySerial", false},
		{"DeviceByUUID", false},
		{"AddDevice", false},
		{"Config", false},
		{"ConfigByRole", false},
		{"PutDevice", true},
		{"PutConfig", true},
	} {
		t.Run(c.method, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			pl := aastra(t, "3.2.2")
			extract := pl.OnExtract
			pl.OnExtract = func(r *provision.Request) []provision.Claim {
				return append(extract(r), claims("sn", provision.SourceHeader, "sn", "S1", "uuid", "U1")...)
			}
			w.plugins.Set(pl)
			w.hold(addrA, aastraA, "AastraIPPhone6730i")
			if c.known {
				w.device(t, provision.Device{ID: "a", HW: aastraA})
			}
			broken := &failing{w.memory, c.method}
			w.Devices, w.Configs = broken, broken
			_, o := w.ask(t, tftp(addrA, "00085D112233.cfg"))
			if got, want := o.Status(), provision.StatusFailed; got != want || !errors.Is(o.Err, errDisk) {
				t.Errorf("status %s, error %v; want %s for %v", got, o.Err, want, errDisk)
			}
		})
	}
}

// A config that is gone, or wrong, is a fault of ours.
func TestBrokenConfigIsNoMissingFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]provision.Config{
		"missing":        {ID: "other"},
		"missing parent": {ID: "own", Parents: []provision.ConfigID{"gone"}},
		"circle":         {ID: "own", Parents: []provision.ConfigID{"own"}},
		"wrong value":    {ID: "own", Params: provision.Params{"vlan_id": int64(9999)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.config(t, c)
			w.device(t, provision.Device{ID: "a", HW: aastraA, Config: "own"})
			w.hold(addrA, aastraA, "AastraIPPhone6730i")
			_, o := w.ask(t, tftp(addrA, "00085D112233.cfg"))
			if got, want := o.Status(), provision.StatusFailed; got != want {
				t.Errorf("status = %s (%v), want %s", got, o.Err, want)
			}
		})
	}
}

func TestEndedContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := tftp(addrA, "x")
	if _, o := w.Handle(ctx, &r); !errors.Is(o.Err, context.Canceled) || o.Status() != provision.StatusGone || !strings.Contains(o.Err.Error(), "hung up") {
		t.Errorf("error = %v (%s), want that whoever asked hung up", o.Err, o.Status())
	}
}

// A device that was removed left its ID and its config behind, or somebody took them.
func TestIDIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device(t, provision.Device{ID: "00085d112233", HW: aastraB})
	w.config(t, provision.Config{ID: "auto-00085d112233", Params: provision.Params{"ntp_ip": "192.0.2.7"}})
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	got, o := w.ask(t, tftp(addrA, "00085D112233.cfg"))
	if o.Err != nil || !o.Created || o.Device.ID == "00085d112233" || o.Device.HW != aastraA {
		t.Errorf("answer %q, %v, device %+v; want a device with an ID of its own", got, o.Err, o.Device)
	}
}

func TestFormerConfigIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config(t, provision.Config{ID: "auto-00085d112233", Params: provision.Params{"ntp_ip": "192.0.2.7"}})
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	got, o := w.ask(t, tftp(addrA, "00085D112233.cfg"))
	if o.Device.ID != "00085d112233" || o.Device.Config != "auto-00085d112233" || !strings.HasSuffix(got, "ntp 192.0.2.7") {
		t.Errorf("answer %q (%v), device %+v; want the config that was its own", got, o.Err, o.Device)
	}
}

// What plugins score is the record completed by the request, never a mixture of two products.
func TestScoredIdentityIsOneProduct(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pl := aastra(t, "3.2.2")
	var scored provision.Identity
	pl.OnSupport = func(id provision.Identity) (provision.Support, string) {
		scored = id
		return provision.SupportUnknown, ""
	}
	w.plugins.Set(pl)
	w.hold(addrC, ciscoC, "")
	w.device(t, provision.Device{ID: "c", HW: ciscoC, Vendor: "Cisco", Serial: "S"})
	w.ask(t, tftp(addrC, "6730i.st"))
	want := provision.Identity{Vendor: "Cisco", VendorBy: provision.SourceStored} // and nothing of who asks
	if diff := cmp.Diff(want, scored); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestSerialOfAnotherDevice(t *testing.T) {
	t.Parallel()
	sn := func(t *testing.T) *world {
		t.Helper()
		w := newWorld(t)
		pl := aastra(t, "3.2.2")
		extract := pl.OnExtract
		pl.OnExtract = func(r *provision.Request) []provision.Claim {
			if s := r.Fields[provision.FieldHost]; s != "" {
				return append(extract(r), claims("sn", provision.SourceHeader, "sn", s)...)
			}
			return extract(r)
		}
		w.plugins.Set(pl)
		w.device(t, provision.Device{ID: "b", HW: aastraB, Serial: "S-B", Plugin: pl.Name, Config: "guest"})
		return w
	}
	ask := func(peer string, agent, serial string) provision.Request {
		r := get(addrA, "labels.cfg", agent)
		if peer == "nowhere" {
			r.Peer = addrP
		}
		r.Fields[provision.FieldHost] = serial
		return r
	}
	t.Run("backed by a lease", func(t *testing.T) {
		t.Parallel()
		w := sn(t)
		w.hold(addrA, aastraA, "AastraIPPhone6730i")
		_, o := w.ask(t, ask("here", aastraAgent(aastraA, "3.2.2"), "S-B"))
		if o.Err != nil || !o.Created || o.Device.Serial != "" || o.Device.HW != aastraA {
			t.Errorf("%v, device %+v; want one of its own without the serial", o.Err, o.Device)
		}
	})
	t.Run("a claim", func(t *testing.T) {
		t.Parallel()
		w := sn(t)
		_, o := w.ask(t, ask("nowhere", aastraAgent(aastraA, "3.2.2"), "S-B"))
		if o.Created || o.Device.ID != "" || len(o.Identity.Conflicts) != 1 {
			t.Errorf("device %+v, conflicts %v; want none, one", o.Device, o.Identity.Conflicts)
		}
	})
	t.Run("of a phone that is elsewhere", func(t *testing.T) {
		t.Parallel()
		w := sn(t)
		w.hold(addrB, aastraB, "")
		_, o := w.ask(t, ask("nowhere", "", "S-B"))
		if o.Device.ID != "b" || o.Verdict.Rule != "ID-04" || len(o.Changes) > 0 {
			t.Errorf("device %s, verdict %+v, changes %v; want b, refused, unchanged", o.Device.ID, o.Verdict, o.Changes)
		}
	})
	t.Run("alone and uncontradicted", func(t *testing.T) {
		t.Parallel()
		w := sn(t)
		w.policy.Guard = provision.GuardLegacy
		got, o := w.ask(t, ask("nowhere", "", "S-B"))
		if o.Err != nil || o.Device.ID != "b" || !strings.HasPrefix(got, "user guest") {
			t.Errorf("answer %q, %v, device %s; want b's", got, o.Err, o.Device.ID)
		}
	})
}

func TestAssociation(t *testing.T) {
	t.Parallel()
	const v32, v33 = provision.PluginID("aastra-67xx-3.2.2"), provision.PluginID("aastra-67xx-3.3.1")
	for _, c := range []struct {
		name    string
		device  provision.Device
		version string
		want    provision.PluginID
	}{
		{"nothing known of the firmware: newest", provision.Device{}, "", v33},
		{"the firmware decides", provision.Device{}, "3.2.2", v32},
		{"equal support leaves the present one", provision.Device{Plugin: v32}, "", v32},
		{"better evidence moves", provision.Device{Plugin: v32}, "3.3.1", v33},
		{"but not a pinned one", provision.Device{Plugin: v32, Pinned: true}, "3.3.1", v32},
		{"nor one pinned to what isn't there", provision.Device{Plugin: "gone-1", Pinned: true}, "3.3.1", "gone-1"},
		{"what isn't there is replaced", provision.Device{Plugin: "gone-1"}, "3.3.1", v33},
		{"another vendor's is replaced", provision.Device{Plugin: "cisco-79xx-sccp-9.4"}, "3.3.1", v33},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.hold(addrA, aastraA, "AastraIPPhone6730i")
			c.device.ID, c.device.HW = "a", aastraA
			w.device(t, c.device)
			r := tftp(addrA, "6730i.st")
			if c.version != "" {
				r = get(addrA, "6730i.st", aastraAgent(aastraA, c.version))
			}
			if _, o := w.ask(t, r); o.Plugin != c.want || o.Device.Plugin != c.want {
				t.Errorf("plugin %s, device's %s; want %s (scores %v)", o.Plugin, o.Device.Plugin, c.want, o.Scores)
			}
		})
	}
}

// A name of a file that many phones share is no reason to believe that the device is one of them.
func TestGuessTeachesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrP, pcP, "MSFT 5.0")
	w.device(t, provision.Device{ID: "pc", HW: pcP})
	for range 2 {
		if _, o := w.ask(t, tftp(addrP, "6730i.st")); len(o.Changes) > 0 || o.Status() != provision.StatusMissing {
			t.Errorf("changes %v, status %s; want none, missing", o.Changes, o.Status())
		}
	}
}
