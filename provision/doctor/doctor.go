// Package doctor looks at the machine that the appliance runs on and says what would keep it from serving phones, and
// what to do about it. It changes nothing.
package doctor

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Level is how bad a finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warning Level = "warning" // phones are served, but not well, or not for long
	Error   Level = "error"   // they aren't
	Skipped Level = "skipped" // it can't be said; Text tells why
)

// Finding is what was found in one area.
type Finding struct {
	Area   string `json:"area"`
	Level  Level  `json:"level"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// Worst returns the worst level of the findings.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		switch f.Level {
		case Error:
			return Error
		case Warning:
			worst = Warning
		case OK, Skipped:
		}
	}
	return worst
}

// Port is one that the appliance listens on.
type Port struct {
	Name string // key of the setting: "tftp.listen"
	Net  string // udp4, tcp
	Addr netip.AddrPort
}

// Ports tries to listen on each port and names who has it otherwise. It is for a daemon that isn't running.
func Ports(ctx context.Context, ports []Port) []Finding {
	var list []Finding
	for _, p := range ports {
		f := Finding{Area: "port " + p.Name, Level: OK, Text: p.Addr.String() + " is free"}
		if err := try(ctx, p); err != nil {
			f.Level, f.Text = Error, fmt.Sprintf("%s: %v", p.Addr, err)
			switch {
			case errors.Is(err, syscall.EADDRINUSE):
				f.Text = fmt.Sprintf("%s is taken", p.Addr)
				f.Remedy = "End the program that has it, or choose another address or port in " + p.Name + "."
				if who := holder("/proc", p); who != "" {
					f.Text += " by " + who
				}
			case errors.Is(err, syscall.EACCES):
				f.Text = fmt.Sprintf("%s needs a right that this user doesn't have", p.Addr)
				f.Remedy = "Run it as the service, which has CAP_NET_BIND_SERVICE, or ask as root."
			case errors.Is(err, syscall.EADDRNOTAVAIL):
				f.Text = fmt.Sprintf("%s isn't an address of this machine", p.Addr.Addr())
				f.Remedy = "Give the machine this address, or change " + p.Name + "."
			}
		}
		list = append(list, f)
	}
	return list
}

func try(ctx context.Context, p Port) error {
	var lc net.ListenConfig
	if strings.HasPrefix(p.Net, "udp") {
		c, err := lc.ListenPacket(ctx, p.Net, p.Addr.String())
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := lc.Listen(ctx, p.Net, p.Addr.String())
	if err != nil {
		return err
	}
	return l.Close()
}

// holder names the program that has a port, as far as /proc shows it to this user.
func holder(proc string, p Port) string {
	inodes := make(map[string]bool)
	for _, v := range []string{"", "6"} {
		table, err := os.ReadFile(filepath.Join(proc, "net", p.Net[:3]+v))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			// The columns are those of proc(5): local address, state, inode. A listening TCP socket is in state 0A.
			if len(f) < 10 || p.Net[:3] == "tcp" && f[3] != "0A" {
				continue
			}
			_, hexPort, _ := strings.Cut(f[1], ":")
			if n, err := strconv.ParseUint(hexPort, 16, 16); err == nil && uint16(n) == p.Addr.Port() {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	fds, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*")) // the pattern is a good one
	for _, fd := range fds {
		link, err := os.Readlink(fd)
		if err != nil || !inodes[link] {
			continue
		}
		pid := filepath.Base(filepath.Dir(filepath.Dir(fd)))
		name, err := os.ReadFile(filepath.Join(proc, pid, "comm"))
		if err != nil {
			continue
		}
		return fmt.Sprintf("%s (process %s)", bytes.TrimSpace(name), pid)
	}
	return ""
}

// lowDisk is how little space is too little: a store of a large site and its snapshots.
const lowDisk = 256 << 20

// State looks at the state folder: may it be written, and is there room?
func State(dir string) []Finding {
	f := Finding{Area: "state folder", Level: OK}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Level, f.Text = Warning, dir+" doesn't exist yet"
		f.Remedy = "The first start makes it; nothing is known until then."
		return []Finding{f}
	case err != nil:
		f.Level, f.Text, f.Remedy = Error, err.Error(), "See that the service's user may read it."
		return []Finding{f}
	case !info.IsDir():
		f.Level, f.Text, f.Remedy = Error, dir+" is not a folder", "Name a folder in the setting state."
		return []Finding{f}
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		f.Level, f.Text, f.Remedy = Error, fmt.Sprintf("%s can't be written: %v", dir, err), "Give it to the service's user; a file system that is mounted read-only has met an error."
		return []Finding{f}
	}
	if info.Mode().Perm()&0o077 != 0 {
		f.Level, f.Text = Warning, fmt.Sprintf("%s is open to other users (%s)", dir, info.Mode().Perm())
		f.Remedy = "It holds the phones' passwords: chmod 700 " + dir
	} else {
		f.Text = dir + " can be written"
	}
	return []Finding{f, disk(dir)}
}

func disk(dir string) Finding {
	f := Finding{Area: "disk", Level: OK}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		f.Level, f.Text = Skipped, err.Error()
		return f
	}
	free := int64(s.Bavail) * s.Bsize //nolint:gosec // bytes of a disk
	f.Text = fmt.Sprintf("%d MiB are free", free>>20)
	if free < lowDisk {
		f.Level, f.Remedy = Warning, "Make room: with a full disk, phones that have an address keep it for a while, and nothing new is remembered."
	}
	return f
}

// Clock looks at the machine's time: certificates, leases and phones go by it.
func Clock(now time.Time) Finding {
	f := Finding{Area: "clock", Level: OK, Text: now.Format(time.RFC3339)}
	if now.Year() < 2026 {
		f.Level, f.Text, f.Remedy = Error, "it shows "+now.Format(time.DateOnly), "Set the clock, or let it be set by NTP (timedatectl set-ntp true)."
		return f
	}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		f.Level, f.Text = Skipped, "whether it is set by NTP can't be said: "+err.Error()
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		f.Level, f.Text = Warning, "it isn't set by NTP, so it will drift"
		f.Remedy = "timedatectl set-ntp true"
	}
	return f
}

// Rights looks at what this process may do beside what every user may. It is for a daemon that isn't running, asked as the
// user that it runs as.
func Rights() Finding {
	f := Finding{Area: "rights", Level: OK, Text: "raw frames and low ports are allowed"}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		f.Level, f.Text = Skipped, err.Error()
		return f
	}
	return rights(string(status))
}

func rights(status string) Finding {
	f := Finding{Area: "rights", Level: OK, Text: "raw frames and low ports are allowed"}
	for line := range strings.Lines(status) {
		hex, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		caps, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		if err != nil {
			break
		}
		var missing []string
		if caps&(1<<unix.CAP_NET_RAW) == 0 {
			missing = append(missing, "CAP_NET_RAW")
		}
		if caps&(1<<unix.CAP_NET_BIND_SERVICE) == 0 {
			missing = append(missing, "CAP_NET_BIND_SERVICE")
		}
		if len(missing) > 0 {
			f.Level, f.Text = Warning, "this user lacks "+strings.Join(missing, " and ")
			f.Remedy = "The service has them; to start it by hand, do so as root."
		}
		return f
	}
	f.Level, f.Text = Skipped, "the kernel doesn't say"
	return f
}

// Address is one of this machine's.
type Address struct {
	Addr    netip.Addr
	Iface   string
	Dynamic bool // given by a DHCP server, and for a time
}

// Own sees that each address by which phones are to reach us is this machine's, and that it stays so.
func Own(servers []netip.Addr, own []Address) []Finding {
	var list []Finding
	for _, s := range servers {
		f := Finding{Area: "own address", Level: OK}
		i := slices.IndexFunc(own, func(a Address) bool { return a.Addr == s })
		switch {
		case i < 0:
			f.Level, f.Text = Error, s.String()+", which a network names as ours, isn't this machine's"
			f.Remedy = "Give the machine this address, or change the network's server."
		case own[i].Dynamic:
			f.Level, f.Text = Warning, fmt.Sprintf("%s on %s was given by a DHCP server, which may give another one", s, own[i].Iface)
			f.Remedy = "Give the machine a fixed address: phones keep the old one in mind."
		default:
			f.Text = fmt.Sprintf("%s on %s", s, own[i].Iface)
		}
		list = append(list, f)
	}
	return list
}

// soon is how long before its end a certificate is worth a word.
const soon = 14 * 24 * time.Hour

// Certificates looks at the certificates in a folder's .pem and .crt files. What isn't one is left alone.
func Certificates(dir string, now time.Time) []Finding {
	var list []Finding
	root := os.DirFS(dir)
	_ = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".pem", ".crt"}, filepath.Ext(name)) {
			return nil //nolint:nilerr // what can't be read is no certificate of ours
		}
		path := filepath.Join(dir, name)
		data, err := fs.ReadFile(root, name)
		if err != nil {
			list = append(list, Finding{Area: "certificate", Level: Warning, Text: err.Error(), Remedy: "See that the service's user may read it."})
			return nil //nolint:nilerr // it is told; the others are looked at all the same
		}
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				continue
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				list = append(list, Finding{Area: "certificate", Level: Warning, Text: path + ": " + err.Error(), Remedy: "Put a good one in its place."})
				continue
			}
			list = append(list, certificate(path, c, now))
		}
		return nil
	})
	return list
}

func certificate(path string, c *x509.Certificate, now time.Time) Finding {
	f := Finding{Area: "certificate", Level: OK, Text: fmt.Sprintf("%s (%s) is good until %s", path, c.Subject, c.NotAfter.Format(time.DateOnly))}
	switch {
	case now.After(c.NotAfter):
		f.Level, f.Text, f.Remedy = Error, fmt.Sprintf("%s (%s) ended on %s", path, c.Subject, c.NotAfter.Format(time.DateOnly)), "Renew it: phones refuse it."
	case now.Before(c.NotBefore):
		f.Level, f.Text = Error, fmt.Sprintf("%s (%s) begins on %s only", path, c.Subject, c.NotBefore.Format(time.DateOnly))
		f.Remedy = "Look at the clock."
	case c.NotAfter.Sub(now) < soon:
		f.Level, f.Remedy = Warning, "Renew it in time."
	}
	return f
}
