package provision_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// step is what happens to one call of a store: how long it waits for its turn, and how it fails.
type step struct {
	wait  time.Duration
	fault fault
}

type fault int

const (
	faultNone   fault = iota
	faultBefore       // nothing was done
	faultAfter        // it was done, and the caller doesn't hear of it
)

type scriptKey struct{}

// script is the steps of one client's calls. Where it ends it begins anew, without faults.
type script struct {
	steps []step
	n     int
}

func (s *script) next() step {
	st := s.steps[s.n%len(s.steps)]
	if s.n >= len(s.steps) {
		st.fault = faultNone
	}
	s.n++
	return st
}

// scripted is a store whose calls go by the script in their context.
type scripted struct{ provisiontest.Stores }

func call[T any](ctx context.Context, do func() (T, error)) (T, error) {
	var zero T
	st := ctx.Value(scriptKey{}).(*script).next()
	<-time.After(st.wait)
	if st.fault == faultBefore {
		return zero, errDisk
	}
	v, err := do()
	if st.fault == faultAfter && err == nil {
		return zero, errDisk
	}
	return v, err
}

func (s scripted) Device(ctx context.Context, id provision.DeviceID) (provision.Device, error) {
	return call(ctx, func() (provision.Device, error) { return s.Stores.Device(ctx, id) })
}

func (s scripted) DeviceByHW(ctx context.Context, hw hwaddr.Addr) (provision.Device, error) {
	return call(ctx, func() (provision.Device, error) { return s.Stores.DeviceByHW(ctx, hw) })
}

func (s scripted) DeviceBySerial(ctx context.Context, sn string) (provision.Device, error) {
	return call(ctx, func() (provision.Device, error) { return s.Stores.DeviceBySerial(ctx, sn) })
}

func (s scripted) DeviceByUUID(ctx context.Context, u string) (provision.Device, error) {
	return call(ctx, func() (provision.Device, error) { return s.Stores.DeviceByUUID(ctx, u) })
}

func (s scripted) PutDevice(ctx context.Context, d provision.Device) (provision.Device, error) {
	return call(ctx, func() (provision.Device, error) { return s.Stores.PutDevice(ctx, d) })
}

func (s scripted) AddDevice(ctx context.Context, d provision.Device, c provision.Config) (provision.Device, error) {
	return call(ctx, func() (provision.Device, error) { return s.Stores.AddDevice(ctx, d, c) })
}

func (s scripted) Config(ctx context.Context, id provision.ConfigID) (provision.Config, error) {
	return call(ctx, func() (provision.Config, error) { return s.Stores.Config(ctx, id) })
}

func (s scripted) ConfigByRole(ctx context.Context, r provision.Role) (provision.Config, error) {
	return call(ctx, func() (provision.Config, error) { return s.Stores.ConfigByRole(ctx, r) })
}

func (s scripted) PutConfig(ctx context.Context, c provision.Config) (provision.Config, error) {
	return call(ctx, func() (provision.Config, error) { return s.Stores.PutConfig(ctx, c) })
}

func drawScript(rt *rapid.T, faults bool) *script {
	kinds := []fault{faultNone}
	if faults {
		kinds = []fault{faultNone, faultNone, faultNone, faultBefore, faultAfter}
	}
	return &script{steps: rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
		return step{time.Duration(rapid.IntRange(1, 9).Draw(rt, "wait")) * time.Millisecond, rapid.SampledFrom(kinds).Draw(rt, "fault")}
	}), 1, 24).Draw(rt, "script")}
}

// TestEveryInterleaving: in whatever order the store serves the calls of a phone's first requests, and whichever of them
// fail, done or not done, there is one device of the phone. Nobody gets another's file. A phone that is known, which asks
// meanwhile, gets its own or is told to come again; it never hears that its file is missing.
func TestEveryInterleaving(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]bool{"sound": false, "faults": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) { interleave(t, rt, faults) })
		})
	}
}

func interleave(t *testing.T, rt *rapid.T, faults bool) {
	w := newWorld(t)
	w.Log = nil // strings.Builder takes one writer
	w.config(t, provision.Config{ID: "own", Params: provision.Params{"sip_lines": map[string]any{"1": map[string]any{
		"username": "known", "password": provision.Secret("its own"), "display_name": "Known",
	}}}})
	w.device(t, provision.Device{ID: "b", HW: aastraB, Plugin: "aastra-67xx-3.2.2", Config: "own"})
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	w.hold(addrB, aastraB, "AastraIPPhone6730i")
	w.Devices, w.Configs = scripted{w.memory}, scripted{w.memory}
	ask := map[bool]provision.Request{
		false: get(addrA, fileA, aastraAgent(aastraA, "3.2.2")),
		true:  get(addrB, "00085D445566.cfg", aastraAgent(aastraB, "3.2.2")),
	}
	want := map[bool]string{false: "user guest auth guest password " + planted, true: "user known auth known password its own"}
	adds := rapid.Bool().Draw(rt, "adds itself")
	if !adds {
		w.policy.AutoAdd = provision.AddOff
	}
	said := make(chan string, 100)
	clients := rapid.IntRange(2, 6).Draw(rt, "clients")
	scripts := make([]*script, clients)
	for i := range scripts {
		scripts[i] = drawScript(rt, faults)
	}
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		defer wg.Wait()
		for i, s := range scripts {
			known := i == len(scripts)-1
			wg.Go(func() {
				ctx := context.WithValue(t.Context(), scriptKey{}, s)
				for range 3 {
					r := ask[known]
					a, o := w.Handle(ctx, &r)
					switch body := bodyOf(t, a); {
					case !adds && !known && a == nil: // it is nobody's phone
					case a != nil && (!strings.HasPrefix(body, want[known]) || !adds && !known):
						said <- fmt.Sprintf("known %t: a wrong file: %q", known, body)
					case a == nil && (o.Status() != provision.StatusFailed || !faults):
						said <- fmt.Sprintf("known %t: %s: %v", known, o.Status(), o.Err)
					}
				}
			})
		}
	})
	close(said)
	for s := range said {
		rt.Error(s)
	}
	list, err := w.memory.Devices(t.Context())
	if err != nil {
		rt.Fatal(err)
	}
	phones := 0
	for _, d := range list {
		if d.HW == aastraA {
			phones++
		}
	}
	if len(list) > 2 || phones > 1 || phones == 0 && !faults && adds {
		rt.Fatalf("%d devices, %d of them the phone: %+v", len(list), phones, list)
	}
}
