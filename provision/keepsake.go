package provision

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// maxKept bounds what [Gate.Recall] reads.
const maxKept = 64 << 20

// kept is what a gate remembers beyond what its store has, and must not forget because the program starts anew: else
// whoever can make it do so starts anew, too. Lists have the latest first.
type kept struct {
	Locks     []keptLock     `json:"locks,omitempty"`
	Strikes   []keptStrike   `json:"strikes,omitempty"`
	Pretences []keptPretence `json:"pretences,omitempty"`
	Budgets   []keptBudget   `json:"budgets,omitempty"`
	Ports     []keptPort     `json:"ports,omitempty"`
	Alarms    []keptAlarm    `json:"alarms,omitempty"`
}

type (
	keptLock struct {
		Source netip.Addr `json:"source"`
		At     time.Time  `json:"at"`
	}
	keptStrike struct {
		Source netip.Addr `json:"source"`
		Who    string     `json:"who"`
		At     time.Time  `json:"at"`
	}
	keptPretence struct {
		Device DeviceID    `json:"device"`
		All    []time.Time `json:"all"`
		Sure   []time.Time `json:"sure,omitempty"`
	}
	keptBudget struct {
		Device DeviceID  `json:"device"`
		N      int       `json:"n"`
		From   time.Time `json:"from"`
	}
	keptPort struct {
		HW      hwaddr.Addr `json:"mac"`
		Network string      `json:"network"`
		Port    string      `json:"port"`
		At      time.Time   `json:"at"`
	}
	keptAlarm struct {
		Kind    AlarmKind `json:"kind"`
		Subject string    `json:"subject"`
		Network string    `json:"network,omitempty"`
		Text    string    `json:"text"`
		First   time.Time `json:"first"`
		Last    time.Time `json:"last"`
		Count   int       `json:"count"`
	}
)

// Changed tells when there is something new to keep. It has one reader.
func (g *Gate) Changed() <-chan struct{} { return g.news }

// changed tells it. The gate's mutex is held.
func (g *Gate) changed() {
	select {
	case g.news <- struct{}{}:
	default: // it has been told
	}
}

// Keep writes what the gate must still know after a restart, in a form for [Gate.Recall]. What doesn't count any more at that
// time is left out.
func (g *Gate) Keep(w io.Writer, at time.Time) error {
	if err := json.NewEncoder(w).Encode(g.toKeep(at)); err != nil {
		return fmt.Errorf("keep what the guard remembers: %w", err)
	}
	return nil
}

func (g *Gate) toKeep(at time.Time) (k kept) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for source, since := range g.locks.each {
		if within(since, at, lockSpan) {
			k.Locks = append(k.Locks, keptLock{source, since})
		}
	}
	for source, strikes := range g.strikes.each {
		for _, x := range strikes {
			if within(x.at, at, strikeSpan) {
				k.Strikes = append(k.Strikes, keptStrike{source, x.who, x.at})
			}
		}
	}
	for id, p := range g.pretenders.each {
		if slices.ContainsFunc(p.all, func(t time.Time) bool { return within(t, at, pretenceSpan) }) {
			k.Pretences = append(k.Pretences, keptPretence{id, p.all, p.sure})
		}
	}
	for id, b := range g.fetches.each {
		if within(b.from, at, budgetSpan) {
			k.Budgets = append(k.Budgets, keptBudget{id, b.n, b.from})
		}
	}
	for hw, b := range g.boots.each {
		if b.port != "" && within(b.portAt, at, hopSpan) {
			k.Ports = append(k.Ports, keptPort{hw, b.network, b.port, b.portAt})
		}
	}
	for _, a := range g.alarms.each {
		k.Alarms = append(k.Alarms, keptAlarm(a))
	}
	return k
}

// Recall takes in what [Gate.Keep] wrote; it is called once, before the gate's first use. Times that are yet to come, as the
// clock has been set back since or isn't set yet, count as now.
func (g *Gate) Recall(r io.Reader, now time.Time) error {
	var k kept
	if err := json.NewDecoder(io.LimitReader(r, maxKept)).Decode(&k); err != nil {
		return fmt.Errorf("recall what the guard remembered: %w", err)
	}
	past := func(t time.Time) time.Time {
		if t.After(now) {
			return now
		}
		return t
	}
	pasts := func(times []time.Time) (out []time.Time) {
		for _, t := range times {
			out = append(out, past(t))
		}
		return latest(out)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, x := range slices.Backward(k.Locks) {
		g.locks.put(x.Source, past(x.At))
	}
	for _, x := range slices.Backward(k.Strikes) {
		strikes, _ := g.strikes.get(x.Source)
		if len(strikes) < maxStrikes {
			g.strikes.put(x.Source, append(strikes, strike{x.Who, past(x.At)}))
		}
	}
	for _, x := range slices.Backward(k.Pretences) {
		g.pretenders.put(x.Device, pretences{pasts(x.All), pasts(x.Sure)})
	}
	for _, x := range slices.Backward(k.Budgets) {
		g.fetches.put(x.Device, budget{x.N, past(x.From)})
	}
	for _, x := range slices.Backward(k.Ports) {
		g.boots.put(x.HW, boot{network: x.Network, port: x.Port, portAt: past(x.At)})
	}
	for _, x := range slices.Backward(k.Alarms) {
		g.alarms.put(alarmKey{x.Kind, x.Subject}, Alarm(x))
	}
	return nil
}
