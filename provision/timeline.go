package provision

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// How long a phone is quiet between two boots, how long after its lease it begins to ask for files, and how long a
// booting one may be quiet before it counts as stuck. Phones of 2008 take a minute to unpack their firmware.
const (
	bootGap   = 5 * time.Minute
	bootBegin = 2 * time.Minute
	bootStall = 90 * time.Second
)

// bootLoop is how often a file may be fetched in one boot before that looks like a loop.
const bootLoop = 3

// BootStep is one thing that a device of a kind does when it comes up, in the order in which its plugin lists them.
type BootStep struct {
	Proto     Proto
	Path      string // of the file, as Request.Path; empty for DHCP
	Required  bool   // without it the device doesn't come up
	IfMissing bool   // only asked for where the step before was answered with "no such file"
}

// Booter is implemented by plugins that know what their devices do when they come up.
type Booter interface{ BootOrder(Device) []BootStep }

// BootState is how far a boot has come.
type BootState string

// The states.
const (
	BootGoing BootState = "booting"
	BootDone  BootState = "running" // it has all that it can't do without
	BootStuck BootState = "stuck"
)

// StageState is what came of one step of a boot.
type StageState string

// The states.
const (
	StageDone    StageState = "done"
	StageWaiting StageState = "waiting" // not asked for yet
	StageMissing StageState = "missing" // there is no such file, which is normal for one that isn't required
	StageRefused StageState = "refused"
	StageFailed  StageState = "failed" // by our fault
	StageBroken  StageState = "broken" // the transfer ended before the file did
)

// Stage is one step of a boot as it went.
type Stage struct {
	BootStep
	State    StageState
	Expected bool      // the plugin lists it; else the phone asked for it all the same
	At       time.Time // when it was last asked for; zero: not yet
	Times    int       // how often it was asked for
	Request  uint64    // ID of the last request
	Note     string    // what was answered, or why nothing
}

// Boot is the story of a device from its lease to its last file.
type Boot struct {
	ID         uint64 // that of its first request
	Begun, End time.Time
	State      BootState
	Stages     []Stage
	// Stuck names the stage, Why and Remedy say what to do. They may be set where the state isn't BootStuck: a phone that
	// fetches the same file again and again seems to be running each time.
	Stuck, Why, Remedy string
}

// Timeline tells a device's boots, the newest first, from its outcomes in any order and from what its plugin says that it
// does. It is a pure function; now decides what is late.
func Timeline(order []BootStep, outcomes []*Outcome, now time.Time) []Boot {
	outcomes = slices.Clone(outcomes)
	slices.SortStableFunc(outcomes, func(a, b *Outcome) int {
		return cmp.Or(a.Request.At.Compare(b.Request.At), cmp.Compare(a.Request.ID, b.Request.ID))
	})
	var boots []Boot
	for _, group := range splitBoots(outcomes) {
		boots = append(boots, tellBoot(order, group, now))
	}
	slices.Reverse(boots)
	return boots
}

// splitBoots groups outcomes, which are sorted by time. A lease that is merely renewed is part of no boot: it only begins
// one if the phone asks for files right after it.
func splitBoots(outcomes []*Outcome) (boots [][]*Outcome) {
	var pending []*Outcome // leases that may begin a boot
	for _, o := range outcomes {
		var last *Outcome
		if n := len(boots); n > 0 {
			last = boots[n-1][len(boots[n-1])-1]
		}
		quiet := last == nil || o.Request.At.Sub(last.Request.At) > bootGap
		switch {
		case o.Request.Proto == DHCP && (quiet || o.Request.Event == lease.KindBound):
			if len(pending) > 0 && o.Request.At.Sub(pending[len(pending)-1].Request.At) > bootBegin {
				boots = appendLease(boots, pending)
				pending = nil
			}
			pending = append(pending, o)
		case o.Request.Proto == DHCP:
			boots[len(boots)-1] = append(boots[len(boots)-1], o)
		case len(pending) > 0 && o.Request.At.Sub(pending[len(pending)-1].Request.At) <= bootBegin:
			boots = append(boots, append(pending, o))
			pending = nil
		default:
			boots = appendLease(boots, pending)
			pending = nil
			if quiet {
				boots = append(boots, []*Outcome{o})
			} else {
				boots[len(boots)-1] = append(boots[len(boots)-1], o)
			}
		}
	}
	return appendLease(boots, pending)
}

// appendLease adds leases that no file followed, if one of them was new: that phone came up and asked us for nothing.
func appendLease(boots [][]*Outcome, pending []*Outcome) [][]*Outcome {
	if !slices.ContainsFunc(pending, func(o *Outcome) bool { return o.Request.Event == lease.KindBound }) {
		return boots
	}
	return append(boots, pending)
}

func tellBoot(order []BootStep, group []*Outcome, now time.Time) Boot {
	b := Boot{ID: group[0].Request.ID, Begun: group[0].Request.At, End: group[len(group)-1].Request.At}
	missed := false // the step before was answered with "no such file"
	used := make(map[string]bool)
	for _, step := range order {
		s := stageOf(step, group)
		s.Expected = true
		if step.IfMissing && !missed && s.Times == 0 {
			continue
		}
		missed = s.State == StageMissing
		used[stageKey(step.Proto, step.Path)] = true
		b.Stages = append(b.Stages, s)
	}
	for _, o := range group {
		if key := stageKey(o.Request.Proto, o.Request.Path); !used[key] {
			used[key] = true
			b.Stages = append(b.Stages, stageOf(BootStep{Proto: o.Request.Proto, Path: o.Request.Path}, group))
		}
	}
	b.judge(now)
	return b
}

// stageKey tells stages apart. Phones ask for the same file by TFTP and by HTTP, and in several spellings.
func stageKey(p Proto, path string) string {
	if p == DHCP {
		return string(DHCP)
	}
	return "file " + strings.ToLower(path)
}

func stageOf(step BootStep, group []*Outcome) Stage {
	s := Stage{BootStep: step, State: StageWaiting}
	key := stageKey(step.Proto, step.Path)
	for _, o := range group {
		if stageKey(o.Request.Proto, o.Request.Path) != key {
			continue
		}
		s.Times++
		s.At, s.Request, s.Proto = o.Request.At, o.Request.ID, o.Request.Proto
		s.State, s.Note = stageState(o)
	}
	return s
}

func stageState(o *Outcome) (StageState, string) {
	switch o.Status() {
	case StatusOK:
	case StatusMissing, StatusInvalid:
		return StageMissing, oneLine(o.Err)
	case StatusForbidden:
		return StageRefused, oneLine(o.Err)
	case StatusGone:
		return StageBroken, oneLine(o.Err)
	case StatusFailed:
		return StageFailed, oneLine(o.Err)
	}
	switch d := o.Delivery; {
	case o.Request.Proto == DHCP:
		return StageDone, addrText(o.Request.Peer)
	case d != nil && d.Err != nil:
		return StageBroken, fmt.Sprintf("%d of %d bytes were sent: %s", d.Bytes, o.Size, oneLine(d.Err))
	}
	return StageDone, fmt.Sprintf("%d bytes", o.Size)
}

// judge concludes from the stages how far the boot has come, and what to look into.
func (b *Boot) judge(now time.Time) {
	late := now.Sub(b.End) > bootStall
	asked := false
	for _, s := range b.Stages {
		asked = asked || s.Proto != DHCP && s.Times > 0
	}
	b.State = BootDone
	for _, s := range b.Stages {
		switch {
		case s.Proto == DHCP || !s.Required || s.State == StageDone: // a phone may have its address from elsewhere
		case s.State == StageWaiting && !late:
			b.State = BootGoing
		default:
			b.State, b.Stuck = BootStuck, stageName(s)
			b.Why, b.Remedy = advice(s, asked)
			return
		}
	}
	if !asked {
		b.State = BootGoing
		if late {
			b.State, b.Stuck = BootStuck, "files"
			b.Why, b.Remedy = advice(Stage{State: StageWaiting}, false)
		}
		return
	}
	for _, s := range b.Stages {
		switch {
		case s.Proto == DHCP:
		case s.State == StageFailed || s.State == StageRefused:
			b.Stuck = stageName(s)
			b.Why, b.Remedy = advice(s, asked)
			return
		case s.State == StageDone && s.Times >= bootLoop:
			b.Stuck = stageName(s)
			b.Why = fmt.Sprintf("it was fetched %d times in one boot, so the phone doesn't keep what it gets", s.Times)
			b.Remedy = "If it is firmware, see that the plugin's files suit the model; if it is a configuration, look at the phone's own log for the line that it refuses."
			return
		}
	}
}

func stageName(s Stage) string {
	if s.Proto == DHCP {
		return "address"
	}
	return s.Path
}

// advice says why a stage didn't go well, and what a person can do about it.
func advice(s Stage, asked bool) (why, remedy string) {
	switch {
	case s.State == StageWaiting && !asked:
		return "the phone has an address, but asks us for no file",
			"It may have been told to ask elsewhere: look for another DHCP server, and for a provisioning address typed into the phone. A factory reset makes it forget that one."
	case s.State == StageWaiting:
		return "the phone stopped asking before this file",
			"Look at its display. If it shows an error, the file before this one is what it doesn't like; if it loads firmware, give it a few minutes."
	case s.State == StageMissing:
		return s.Note, "See whether the phone has the right plugin and a config: `dialtone phone show` tells both, and `dialtone explain` why."
	case s.State == StageRefused:
		return s.Note, "If it is your phone, approve it, or open an enrolment window for it. If you don't know it, leave it as it is."
	case s.State == StageFailed:
		return s.Note, "The fault is on our side: the message names the config or template to mend."
	case s.State == StageBroken:
		return s.Note, "The network loses packets between us and the phone, or the phone was restarted: check its cable and its switch port, and for TFTP the block size."
	}
	return s.Note, ""
}
