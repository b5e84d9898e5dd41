package provision_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

func TestSameURLTwoFirmwares(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	w.hold(addrB, aastraB, "AastraIPPhone6730i")
	w.ask(t, get(addrA, "aastra.cfg", aastraAgent(aastraA, "3.2.2")))
	w.ask(t, get(addrB, "aastra.cfg", aastraAgent(aastraB, "3.3.1")))
	if got, o := w.ask(t, tftp(addrA, "6730i.st")); got != "firmware 3.2.2" {
		t.Errorf("phone A got %q (%v), want firmware 3.2.2", got, o.Err)
	}
	if got, o := w.ask(t, tftp(addrB, "6730i.st")); got != "firmware 3.3.1" {
		t.Errorf("phone B got %q (%v), want firmware 3.3.1", got, o.Err)
	}
}

func TestBrowserOnPCWithLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrP, pcP, "MSFT 5.0")
	_, o := w.ask(t, get(addrP, "6730i.st", "Mozilla/5.0"))
	if got, want := o.Status(), provision.StatusMissing; got != want {
		t.Errorf("status = %s, want %s", got, want)
	}
	if _, err := w.memory.DeviceByHW(t.Context(), pcP); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("device of the PC: %v, want ErrNotFound", err)
	}
	if got := w.Sightings.List(); !o.Sighted || len(got) != 1 || got[0].Identity.HW != pcP || got[0].Why == "" {
		t.Errorf("sightings = %+v, want the PC with a reason", got)
	}
}

// A browser that forges a phone's User-Agent says it of another MAC than its lease's, so nothing of it counts.
func TestForgedAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrP, pcP, "MSFT 5.0")
	_, o := w.ask(t, get(addrP, "00085D112233.cfg", aastraAgent(aastraA, "3.2.2")))
	if o.Created || o.Identity.Vendor != "" || len(o.Identity.Conflicts) == 0 {
		t.Errorf("created %v, vendor %q, conflicts %v; want none, none, some", o.Created, o.Identity.Vendor, o.Identity.Conflicts)
	}
}

func TestToldApartByAddressAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrC, ciscoC, "Cisco Systems, Inc. IP Phone CP-7941G\x00")
	got, o := w.ask(t, tftp(addrC, "RINGLIST.XML"))
	if want := "ring for 00:11:22:aa:bb:cc"; got != want {
		t.Errorf("answer = %q (%v), want %q", got, o.Err, want)
	}
	if got, want := o.Request.Fields[provision.FieldVendorClass], "Cisco Systems, Inc. IP Phone CP-7941G"; got != want {
		t.Errorf("vendor class = %q, want %q", got, want)
	}
}

func TestAddressChangesHands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const class = "Cisco Systems, Inc. IP Phone CP-7941G"
	other := hwaddr.MustParse("00:11:22:dd:ee:ff")
	w.hold(addrC, ciscoC, class)
	w.ask(t, tftp(addrC, "RINGLIST.XML"))
	w.hold(addrC, other, class)
	if got, o := w.ask(t, tftp(addrC, "RINGLIST.XML")); got != "ring for 00:11:22:dd:ee:ff" {
		t.Errorf("answer = %q (%v), want the new holder's", got, o.Err)
	}
}

func TestNewDeviceInOneRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrA, aastraA, "")
	got, o := w.ask(t, get(addrA, "00085D112233.cfg", aastraAgent(aastraA, "3.3.1")))
	if want := "user guest auth guest password " + planted + " ntp 192.0.2.1"; got != want {
		t.Errorf("answer = %q (%v), want %q", got, o.Err, want)
	}
	d, err := w.memory.DeviceByHW(t.Context(), aastraA)
	if err != nil {
		t.Fatal(err)
	}
	if !o.Created || !d.Auto || d.Plugin != "aastra-67xx-3.3.1" || d.Model != "6730i" || d.Version != "3.3.1" {
		t.Errorf("created %v, device %+v", o.Created, d)
	}
	c, err := w.memory.Config(t.Context(), d.Config)
	if err != nil || !c.Transient || len(c.Parents) != 1 || c.Parents[0] != "guest" {
		t.Errorf("config %+v, %v; want a transient child of guest", c, err)
	}
	if got, want := o.Layers["sip_lines.1.password"], provision.ConfigID("guest"); got != want {
		t.Errorf("the password's layer = %s, want %s", got, want)
	}
	if got, want := o.Layers["sip_lines.1.auth_username"], provision.LayerDefault; got != want {
		t.Errorf("the default's layer = %s, want %s", got, want)
	}
	if got, want := w.writes.n.Load(), int64(1); got != want {
		t.Errorf("writes = %d, want %d", got, want)
	}
}

func TestNoPlugins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.plugins.Set()
	w.policy.AutoAdd = provision.AddAny
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	_, o := w.ask(t, tftp(addrA, "00085D112233.cfg"))
	if o.Status() != provision.StatusMissing || !o.Created || o.Device.Config != "" {
		t.Errorf("status %s, created %v, config %q; want missing, a device, no config", o.Status(), o.Created, o.Device.Config)
	}
	if got, want := explainText(t, o), "there are no plugins, so nothing can be configured"; !strings.Contains(got, want) {
		t.Errorf("explanation lacks %q:\n%s", want, got)
	}
}

func TestOtherPhonesFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	w.hold(addrB, aastraB, "AastraIPPhone6730i")
	w.ask(t, tftp(addrA, "aastra.cfg"))
	w.ask(t, tftp(addrB, "aastra.cfg"))
	before := w.writes.n.Load()
	got, o := w.ask(t, tftp(addrA, "00085D445566.cfg"))
	if got != "" || !errors.Is(o.Err, provision.ErrForbidden) {
		t.Errorf("answer %q, error %v; want ErrForbidden", got, o.Err)
	}
	want := "the path names 00:08:5d:44:55:66, the request comes from 00:08:5d:11:22:33"
	if !strings.Contains(o.Err.Error(), want) {
		t.Errorf("error = %v, want %q", o.Err, want)
	}
	if got := w.writes.n.Load(); got != before {
		t.Errorf("a refused request wrote %d times", got-before)
	}
}

// A MAC that is only claimed, from an address without a lease, while the lease table knows it elsewhere.
func TestClaimOfMACThatIsElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	_, o := w.ask(t, get(addrP, "00085D112233.cfg", aastraAgent(aastraA, "3.3.1")))
	if o.Created || len(o.Identity.Conflicts) != 1 {
		t.Errorf("created %v, conflicts %v; want no device and one conflict", o.Created, o.Identity.Conflicts)
	}
	w.ask(t, get(addrA, "aastra.cfg", aastraAgent(aastraA, "3.2.2")))
	before := w.writes.n.Load()
	got, o := w.ask(t, get(addrP, "00085D112233.cfg", aastraAgent(aastraA, "3.3.1")))
	if got != "" || o.Verdict.Rule != "ID-04" || !strings.Contains(o.Verdict.Why, "00:08:5d:11:22:33 at 192.0.2.21") {
		t.Errorf("answer %q, verdict %+v; want a refusal that names the lease", got, o.Verdict)
	}
	if got := w.writes.n.Load(); got != before {
		t.Error("the contradicted request changed the device")
	}
}

func TestFiftyFirstRequestsMakeOneDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Log = nil // strings.Builder takes one writer
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	var wg sync.WaitGroup
	start := make(chan struct{})
	outcomes := make([]*provision.Outcome, 50)
	for i := range outcomes {
		wg.Go(func() {
			<-start
			r := get(addrA, "00085D112233.cfg", aastraAgent(aastraA, "3.2.2"))
			_, outcomes[i] = w.Handle(t.Context(), &r)
		})
	}
	close(start)
	wg.Wait()
	created := 0
	for _, o := range outcomes {
		if o.Err != nil {
			t.Errorf("request %d: %v", o.Request.ID, o.Err)
		}
		if o.Created {
			created++
		}
		if o.Device.ID != outcomes[0].Device.ID {
			t.Errorf("device %s, want %s", o.Device.ID, outcomes[0].Device.ID)
		}
	}
	if created != 1 {
		t.Errorf("created %d devices, want 1", created)
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.hold(addrC, ciscoC, "Cisco Systems, Inc. IP Phone CP-7941G")
	o := w.Observe(t.Context(), lease.Event{Seq: 1, At: time.Now(), Kind: lease.KindBound, Lease: l})
	if o.Err != nil || !o.Created || o.Device.Plugin != "cisco-79xx-sccp-9.4" || o.Device.Config == "" {
		t.Errorf("outcome %+v; want a device with plugin and config", o)
	}
	before := w.writes.n.Load()
	if o := w.Observe(t.Context(), lease.Event{Seq: 2, At: time.Now(), Kind: lease.KindRenewed, Lease: l}); o.Err != nil || len(o.Changes) > 0 {
		t.Errorf("renewal: %v, changes %v", o.Err, o.Changes)
	}
	if got := w.writes.n.Load(); got != before {
		t.Errorf("the renewal wrote %d times, want none", got-before)
	}
	for _, kind := range []lease.Kind{lease.KindNone, lease.KindReleased, lease.KindDeclined, lease.KindExpired} {
		if o := w.Observe(t.Context(), lease.Event{Kind: kind, Lease: l}); o != nil {
			t.Errorf("event of kind %d has outcome %+v, want none", kind, o)
		}
	}
}

func TestKnownPhoneWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	for i := range 3 {
		before := w.writes.n.Load()
		w.ask(t, get(addrA, "aastra.cfg", aastraAgent(aastraA, "3.2.2")))
		if n := w.writes.n.Load() - before; i > 0 && n != 0 {
			t.Errorf("request %d wrote %d times", i, n)
		}
	}
}

func TestExplainChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrA, aastraA, "")
	r := get(addrA, "00085D112233.cfg", aastraAgent(aastraA, "3.3.1"))
	a, o := w.Explain(t.Context(), &r)
	if got := bodyOf(t, a); !o.Created || !strings.Contains(got, "user guest") {
		t.Errorf("created %v, answer %q, %v; want what Handle would give", o.Created, got, o.Err)
	}
	if _, err := w.memory.DeviceByHW(t.Context(), aastraA); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("device: %v, want none", err)
	}
	if n := w.writes.n.Load(); n != 0 || len(w.Journal.Recent(0)) != 0 || w.log.Len() != 0 || w.Counters.Created() != 0 {
		t.Errorf("%d writes, journal %v, log %q, %d counted; want nothing", n, w.Journal.Recent(0), w.log.String(), w.Counters.Created())
	}
	w.hold(addrP, pcP, "")
	r = tftp(addrP, "x")
	if _, o := w.Explain(t.Context(), &r); o.Sighted || len(w.Sightings.List()) != 0 {
		t.Error("Explain left a sighting")
	}
}

func TestPanickingPluginLosesItsOwnClaimsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := &provisiontest.Plugin{
		T: t, Name: "bad-1",
		OnExtract: func(*provision.Request) []provision.Claim { panic("a nasty header") },
		OnSupport: func(provision.Identity) (provision.Support, string) { panic("a nasty model") },
	}
	w.plugins.Set(aastra(t, "3.2.2"), bad)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	got, o := w.ask(t, tftp(addrA, "6730i.st"))
	if got != "firmware 3.2.2" || !strings.Contains(o.Steps[0].Note, "bad-1 lost its claims") {
		t.Errorf("answer %q (%v), note %q", got, o.Err, o.Steps[0].Note)
	}
}

func TestAutoAdd(t *testing.T) {
	t.Parallel()
	phone := get(addrA, "x", aastraAgent(aastraA, "3.2.2"))
	for _, c := range []struct {
		name    string
		policy  provision.AutoAdd
		request provision.Request
		want    bool
	}{
		{"recognised phone", provision.AddRecognised, phone, true},
		{"zero policy, recognised phone", "", phone, true},
		{"unrecognised", provision.AddRecognised, tftp(addrP, "x"), false},
		{"any, unrecognised", provision.AddAny, tftp(addrP, "x"), true},
		{"any, nobody", provision.AddAny, tftp(addrB, "x"), false},
		{"off", provision.AddOff, phone, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.policy.AutoAdd = c.policy
			w.hold(addrA, aastraA, "")
			w.hold(addrP, pcP, "")
			_, o := w.ask(t, c.request)
			if o.Created != c.want || o.Sighted == c.want {
				t.Errorf("created %v, sighted %v; want created %v", o.Created, o.Sighted, c.want)
			}
		})
	}
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.AutoAdd = provision.AddOff
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	w.ask(t, tftp(addrA, "6730i.st"))
	seen := w.Sightings.List()
	if len(seen) != 1 || seen[0].Key != "mac 00:08:5d:11:22:33" {
		t.Fatalf("sightings = %+v", seen)
	}
	o := w.Adopt(t.Context(), seen[0].Key)
	if o.Err != nil || !o.Created || o.Device.Auto || o.Device.Plugin != "aastra-67xx-3.3.1" {
		t.Errorf("adopted %+v, %v; want a device of its newest plugin, not auto", o.Device, o.Err)
	}
	if left := w.Sightings.List(); len(left) != 0 {
		t.Errorf("sightings left: %+v", left)
	}
	if o := w.Adopt(t.Context(), "mac nobody"); !errors.Is(o.Err, provision.ErrNotFound) {
		t.Errorf("adopting nobody: %v, want ErrNotFound", o.Err)
	}
	if got, o := w.ask(t, tftp(addrA, "6730i.st")); got != "firmware 3.3.1" {
		t.Errorf("answer = %q (%v)", got, o.Err)
	}
}

func TestWithoutConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Configure = false
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	for path, want := range map[string]string{
		"00085D112233.cfg": "", "labels.cfg": "", "6730i.st": "firmware 3.3.1",
		"aastra.cfg": "url http://192.0.2.1:8667 locale de_DE lines map[]",
	} {
		got, o := w.ask(t, tftp(addrA, path))
		if got != want || (want == "" && !strings.Contains(o.Err.Error(), "has no config")) {
			t.Errorf("%s = %q (%v), want %q", path, got, o.Err, want)
		}
	}
}

func TestSecretsAreWithheld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	// A secret that was stored as a plain text is a secret all the same.
	w.device(t, provision.Device{ID: "a", HW: aastraA, Config: "guest", Override: provision.Params{
		"sip_lines": map[string]any{"1": map[string]any{"password": planted}},
	}})
	for _, path := range []string{"labels.cfg", "aastra.cfg"} {
		if got, o := w.ask(t, tftp(addrA, path)); o.Err != nil || strings.Contains(got, planted) {
			t.Errorf("%s = %q, %v; want it without the secret", path, got, o.Err)
		}
	}
	got, o := w.ask(t, tftp(addrA, "00085D112233.cfg"))
	if !strings.Contains(got, planted) || o.Layers["sip_lines.1.password"] != provision.LayerDevice {
		t.Errorf("device file = %q (%v), layer %s", got, o.Err, o.Layers["sip_lines.1.password"])
	}
	failing := aastra(t, "9.9.9")
	failing.OnSupport = supports("Aastra", "6730i", "")
	w.device(t, provision.Device{ID: "b", HW: aastraB, Config: "guest", Plugin: "aastra-67xx-9.9.9", Pinned: true})
	failing.OnAnswer = func(_ context.Context, _ provision.Route, v *provision.View) (*provision.Answer, error) {
		line := v.Params["sip_lines"].(map[string]any)["1"].(map[string]any)
		return nil, errors.New("can't escape " + line["password"].(string))
	}
	w.plugins.Set(failing)
	w.hold(addrB, aastraB, "")
	if _, o := w.ask(t, tftp(addrB, "00085D445566.cfg")); o.Err == nil || !strings.Contains(o.Err.Error(), "[secret]") {
		t.Errorf("error = %v, want one that hides the secret", o.Err)
	}
	for _, o := range w.Journal.Recent(0) {
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"JSON": string(b), "text": explainText(t, o), "log": w.log.String()} {
			if strings.Contains(text, planted) {
				t.Errorf("the %s of request %d has the secret: %s", name, o.Request.ID, text)
			}
		}
	}
}

func explainText(tb testing.TB, o *provision.Outcome) string {
	tb.Helper()
	var b strings.Builder
	if err := o.Explain(&b); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// ruled is a plugin whose rules are asked one by one.
type ruled struct {
	*provisiontest.Plugin
	rules []provision.Rule
}

func (p *ruled) Rules() []provision.Rule { return p.rules }

// A rule that panics costs its plugin's claims, those of its other rules too, and nobody else's.
func TestPanickingRuleLosesItsPluginsClaimsOnly(t *testing.T) {
	t.Parallel()
	says := func(vendor string, then any) func([]provision.Claim, string) []provision.Claim {
		return func(cs []provision.Claim, _ string) []provision.Claim {
			cs = append(cs, claims("", provision.SourceHeader, "vendor", vendor)...)
			if then != nil {
				panic(then)
			}
			return cs
		}
	}
	bad := &ruled{&provisiontest.Plugin{T: t, Name: "bad-1", OnSupport: supports("Bad", "1", "1")}, []provision.Rule{
		{Field: provision.FieldPath, By: "bad-1 extract[0]", Find: says("Bad", nil)},
		{Field: provision.FieldPath, By: "bad-1 extract[1]", Find: says("Half", "a nasty path")},
	}}
	good := &ruled{&provisiontest.Plugin{T: t, Name: "good-1", OnSupport: supports("Good", "1", "1")}, []provision.Rule{
		{Field: provision.FieldPath, By: "good-1 extract[0]", Find: says("Good", nil)},
	}}
	w := newWorld(t)
	w.plugins.Set(bad, good)
	for range 2 { // the second time from memory
		_, o := w.ask(t, tftp(addrP, "x"))
		if len(o.Claims) != 1 || o.Claims[0].By != "good-1 extract[0]" || o.Identity.Vendor != "Good" || !strings.Contains(o.Steps[0].Note, "bad-1 lost its claims") {
			t.Errorf("claims %+v, vendor %q, note %q", o.Claims, o.Identity.Vendor, o.Steps[0].Note)
		}
	}
}
