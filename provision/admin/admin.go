// Package admin has what an administrator can see and do: one set of use cases behind the API, the console and the
// command line. It decides nothing about requests of phones (package provision does) and knows no HTTP.
package admin

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// Leases is what the use cases need of the lease table.
type Leases interface {
	provision.LeaseView
	All() []lease.Lease
}

// Devices is what they need of the store.
type Devices interface {
	provision.DeviceStore
	Devices(context.Context) ([]provision.Device, error)
	// PutDevices writes several, all or none, each as PutDevice.
	PutDevices(context.Context, ...provision.Device) ([]provision.Device, error)
	// DeleteDevice deletes a device, and its config with it if that is transient and nobody else's. ErrConflict if rev isn't
	// the device's; 0 is any.
	DeleteDevice(ctx context.Context, id provision.DeviceID, rev uint64) error
}

// Pipeline is what they need of the pipeline.
type Pipeline interface {
	Explain(context.Context, *provision.Request) (*provision.Answer, *provision.Outcome)
	ExplainBy(context.Context, *provision.Request, func(netip.Addr) provision.Policy) (*provision.Answer, *provision.Outcome)
	ExplainAs(context.Context, *provision.Request, provision.Device) (*provision.Answer, *provision.Outcome)
	Adopt(ctx context.Context, key string) *provision.Outcome
}

// PluginHost is what they need of the plugin host.
type PluginHost interface {
	provision.PluginSource
	// Statuses returns one entry for each plugin in force and each folder that holds a broken one, by ID.
	Statuses() []PluginStatus
	// Rescan reads the plugin folder again, now.
	Rescan(context.Context) error
}

// PluginStatus is how a plugin stands.
type PluginStatus struct {
	ID       provision.PluginID
	Version  string // the plugin's own
	Vendor   string
	Models   []string
	Firmware []FirmwareFile // installed files, by name
	InForce  bool
	Problem  string // what is wrong with the files in the folder; empty if nothing is
	Notes    []string
}

// FirmwareFile is a file of firmware that phones of a plugin can fetch.
type FirmwareFile struct {
	Name   string
	Size   int64  // bytes
	SHA256 string // of its content, in hexadecimal
}

// Problem is something that an administrator should look into.
type Problem struct {
	Part    string // backup, dhcp, guard, plugins, store or tls
	Kind    string // stable, for programs
	Network string // empty: it concerns none or several
	Subject string // of an alarm: what [Service.Quiet] forgets it by
	Text    string // what is wrong and what to do about it
	Since   time.Time
}

// Service is the use cases. Fields are needed that don't say otherwise; it is safe for concurrent use.
type Service struct {
	Leases    Leases
	Told      Told
	Devices   Devices
	Pipeline  Pipeline
	Plugins   PluginHost
	Journal   *provision.Journal
	Sightings *provision.Sightings
	Gate      *provision.Gate // nil: nothing waits for approval
	History   History         // may be nil
	// Backup writes the whole state, all secrets included. May be nil.
	Backup func(context.Context, io.Writer) error
	// Backups are those that the appliance keeps, and Jobs does what takes long. Both or none.
	Backups Backups
	Jobs    *Jobs
	// RotateKey makes a new key for the secrets in the store, or says what it would do.
	RotateKey func(ctx context.Context, dryRun bool) (Rotation, error)
	// Problems returns what is wrong with the parts that the use cases don't know. May be nil.
	Problems func() []Problem
	// Local returns the address of ours that a phone at an address would speak to, for explanations.
	Local func(netip.Addr) netip.Addr

	Configs  Configs
	Networks Networks
	// EndLease is the lease table's Release: it ends the lease of an address that a client holds of us. ErrNone of package
	// lease if it doesn't.
	EndLease func(context.Context, lease.Scope, lease.Client, netip.Addr) error
	// HTTP and PolicyFor are the pipeline's; for previews. May be nil.
	HTTP      func(local netip.Addr) string
	PolicyFor func(netip.Addr) provision.Policy
	// PolicyBy is PolicyFor as it would be by other networks; for dry runs of them. May be nil.
	PolicyBy func(*network.Set) func(netip.Addr) provision.Policy
	// AskDHCP tells what the DHCP server would offer, without a trace. Nil: DHCP isn't served.
	AskDHCP func(context.Context, OfferQuery) Offer
}

// Phone is a device with what the lease table and the journal know of it.
type Phone struct {
	provision.Device
	Addresses []netip.Addr // those that it holds now
	Seen      time.Time    // its last request; zero: none since the program started
}

func (s *Service) phone(d provision.Device) Phone {
	p := Phone{Device: d, Addresses: s.addresses(&d)}
	if outcomes := s.Journal.ByDevice(d.ID, 1); len(outcomes) > 0 {
		p.Seen = outcomes[0].Request.At
	}
	return p
}

// addresses returns those that a device holds.
func (s *Service) addresses(d *provision.Device) (list []netip.Addr) {
	if d.HW.IsZero() {
		return nil
	}
	for _, l := range s.Leases.ByHW(d.HW) {
		list = append(list, l.Addr)
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// Phone finds one by what a person has at hand: the ID, the MAC in any spelling, the address that it holds, the serial
// number, the UUID or, if it is only one phone's, the label. ErrAmbiguous names those that share a label.
func (s *Service) Phone(ctx context.Context, key string) (Phone, error) {
	d, err := s.find(ctx, key)
	if err != nil {
		return Phone{}, fmt.Errorf("phone %q: %w", key, err)
	}
	return s.phone(d), nil
}

func (s *Service) find(ctx context.Context, key string) (provision.Device, error) {
	if addr, err := netip.ParseAddr(key); err == nil {
		l, ok := s.Leases.ByAddr(addr)
		if !ok {
			return provision.Device{}, fmt.Errorf("nobody holds this address: %w", provision.ErrNotFound)
		}
		return s.Devices.DeviceByHW(ctx, l.Client.HW)
	}
	if hw, err := hwaddr.Parse(key); err == nil {
		if d, err := s.Devices.DeviceByHW(ctx, hw); !isNotFound(err) {
			return d, err
		}
	}
	d, err := s.Devices.Device(ctx, provision.DeviceID(key))
	if isNotFound(err) {
		d, err = s.Devices.DeviceBySerial(ctx, key)
	}
	if isNotFound(err) {
		d, err = s.Devices.DeviceByUUID(ctx, key)
	}
	if isNotFound(err) {
		return s.labelled(ctx, key)
	}
	return d, err
}

// labelled finds the phone that people call so.
func (s *Service) labelled(ctx context.Context, label string) (d provision.Device, err error) {
	all, err := s.Devices.Devices(ctx)
	if err != nil {
		return d, err
	}
	var found []string
	for i := range all {
		if label != "" && strings.EqualFold(all[i].Label, label) {
			d, found = all[i], append(found, string(all[i].ID))
		}
	}
	switch len(found) {
	case 0:
		return d, fmt.Errorf("none has this ID, MAC, address, serial number, UUID or label: %w", provision.ErrNotFound)
	case 1:
		return d, nil
	}
	const shown = 10
	return provision.Device{}, fmt.Errorf("%d phones have this label, such as %s: %w", len(found), strings.Join(found[:min(shown, len(found))], ", "), provision.ErrAmbiguous)
}
