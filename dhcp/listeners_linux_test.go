package dhcp

import "testing"

// TestRelistenOnWire is TestRelisten… on real links.
func TestRelistenOnWire(t *testing.T) { namespaced(t, "^TestRelistenOnWire$", interfaceComesLate) }

// interfaceComesLate is told to serve an interface that there isn't yet.
func interfaceComesLate(t *testing.T) {
	t.Helper()
	w := onCable(t)
	defer w.stop(t)
	late := []Listener{{Interface: "srv0"}, {Interface: "srv1"}}
	if err := w.Relisten(t.Context(), late); err == nil {
		t.Fatal("an interface is served that isn't there")
	}
	run(t, "ip addr del 192.0.2.1/24 dev srv0")
	cable(t, "srv1", "cl1")
	run(t, "ip addr add 192.0.2.1/24 dev srv1")
	eventually(t, "the interface is served", func() bool { return len(w.Deaf()) == 0 && len(w.ports()[1].ours()) == 1 })
	w.attach(t, "srv1", "cl1")
	w.shout(t, client(phone, discover))
	eventually(t, "the client on it is offered an address", func() bool { return w.Snapshot().Sent["offer"] == 1 })
	if err := w.Relisten(t.Context(), late[:1]); err != nil {
		t.Error(err)
	}
	w.shout(t, client(phone2, discover))
	run(t, "ip addr del 192.0.2.1/24 dev srv1")
	run(t, "ip addr add 192.0.2.1/24 dev srv0")
	eventually(t, "the address is back", func() bool { return len(w.ports()[0].ours()) == 1 })
	w.attach(t, "srv0", "cl0")
	w.shout(t, client(number(9), discover))
	eventually(t, "the other client is offered one", func() bool { return w.Snapshot().Sent["offer"] == 2 })
	if got := w.Snapshot().Received["discover"]; got != 2 {
		t.Errorf("%d messages were heard, want 2: none of the interface that is served no more", got)
	}
}
