package provision

import (
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// AlarmKind is what an alarm is about: stable, for programs.
type AlarmKind string

// The kinds.
const (
	AlarmLocked        AlarmKind = "source-locked"     // a source asked for the files of many devices
	AlarmContradiction AlarmKind = "contradiction"     // what tells who asks disagrees
	AlarmPretence      AlarmKind = "source-suspicious" // a device said often that it is another one
	AlarmToken         AlarmKind = "token-replayed"
	AlarmPort          AlarmKind = "port-changed"   // a pinned device is at another switch port
	AlarmClone         AlarmKind = "two-ports"      // a device was at two switch ports within a minute
	AlarmRetired       AlarmKind = "retired-device" // a retired device asks still
	AlarmFull          AlarmKind = "adding-stopped" // more devices want to be added than may
)

// Alarm is something that an administrator should look into. Alarms of one kind about one subject are one.
type Alarm struct {
	Kind        AlarmKind
	Subject     string // a device's ID, an address, or a network
	Network     string
	Text        string // of the latest
	First, Last time.Time
	Count       int
}

type alarmKey struct {
	kind    AlarmKind
	subject string
}

// raise adds an alarm, or counts it.
func (g *Gate) raise(a Alarm) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.raiseLocked(a)
}

func (g *Gate) raiseLocked(a Alarm) {
	key := alarmKey{a.Kind, a.Subject}
	old, again := g.alarms.get(key)
	if again {
		a.First, a.Count = old.First, old.Count
	} else {
		g.changed() // how often it came since may be kept with something else
	}
	a.Count++
	g.alarms.put(key, a)
}

// Alarms returns the alarms, the latest first.
func (g *Gate) Alarms() []Alarm {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.alarms.all()
}

// Quiet drops the alarms about a subject, unlocks it if it is a source, and no longer holds against it, if it is a device,
// what it said it was. It reports whether there was anything.
func (g *Gate) Quiet(subject string) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	any := false
	for _, a := range g.alarms.all() {
		if a.Subject == subject {
			g.alarms.drop(alarmKey{a.Kind, a.Subject})
			any = true
		}
	}
	g.pretenders.drop(DeviceID(subject))
	g.changed()
	if addr, err := netip.ParseAddr(subject); err == nil {
		any = g.remembers(addr) || any
		g.strikes.drop(addr)
		g.locks.drop(addr)
	}
	return any
}

// About returns the alarms about a subject, and whether it is a source that is remembered.
func (g *Gate) About(subject string) (list []Alarm, source bool) {
	if g == nil {
		return nil, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.alarms.all() {
		if a.Subject == subject {
			list = append(list, a)
		}
	}
	if addr, err := netip.ParseAddr(subject); err == nil {
		source = g.remembers(addr)
	}
	return list, source
}

func (g *Gate) remembers(source netip.Addr) bool {
	_, struck := g.strikes.get(source)
	_, locked := g.locks.get(source)
	return struck || locked
}

// Waiting is a device that an administrator should approve or deny.
type Waiting struct {
	Device      DeviceID
	HW          hwaddr.Addr
	Identity    Identity
	Network     string
	Peer        netip.Addr
	Path        string // that it asked for last
	Rule        string // row of the guard's table
	Why         string
	Served      bool // it got the file nevertheless, as the network's policy lets new devices have theirs
	First, Last time.Time
	Count       int
}

// wait lists a device, or counts its request.
func (g *Gate) wait(w Waiting) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if old, ok := g.waiting.get(w.Device); ok {
		w.First, w.Count = old.First, old.Count
		if !old.Served { // the refusal is what matters
			w.Served = false
		}
	}
	w.Count++
	g.waiting.put(w.Device, w)
}

// Waiting returns the devices that wait, the latest first.
func (g *Gate) Waiting() []Waiting {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting.all()
}

// Settle takes a device off the list of those that wait, because an administrator has decided.
func (g *Gate) Settle(id DeviceID) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting.drop(id)
}
