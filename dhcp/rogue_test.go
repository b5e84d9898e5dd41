package dhcp

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/bpf"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// serverFrame is a frame from another server to a client.
func serverFrame(payload []byte) []byte {
	return frame(rivalHW, somebody(), netip.AddrPortFrom(rivalAddr, serverPort), netip.AddrPortFrom(limitedBroadcast(), clientPort), payload)
}

func TestServersOnly(t *testing.T) {
	t.Parallel()
	instructions, ok := bpf.Disassemble(serversOnly())
	if !ok {
		t.Fatal("the filter can't be read")
	}
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		t.Fatal(err)
	}
	good := serverFrame(reply(offer, []byte("abcd"), phone, ip("192.0.2.77")))
	options := append(append(good[:etherHeader+ipHeader:etherHeader+ipHeader], 1, 1, 1, 1), good[etherHeader+ipHeader:]...) // four of IP's no-ops
	options[etherHeader] = 0x46
	binary.BigEndian.PutUint16(options[etherHeader+2:], uint16(len(options)-etherHeader))
	change := func(at int, v byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = v
		return b
	}
	for name, c := range map[string]struct {
		frame []byte
		want  bool
	}{
		"an offer":              {good, true},
		"one with IP options":   {options, true},
		"TCP":                   {change(etherHeader+9, 6), false},
		"a fragment":            {change(etherHeader+7, 1), false},
		"more fragments follow": {change(etherHeader+6, 0x20), false},
		"from another port":     {change(etherHeader+ipHeader+1, 69), false},
		"to another port":       {change(etherHeader+ipHeader+3, 67), false},
	} {
		n, err := vm.Run(c.frame)
		if err != nil || n > 0 != c.want {
			t.Errorf("%s: the filter keeps %d bytes, %v", name, n, err)
		}
		if _, _, _, ok := readFrame(c.frame); ok != c.want {
			t.Errorf("%s: readFrame says %t", name, ok)
		}
	}
}

func TestOverhearing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.ours.Store(&[]netip.Addr{ourAddr, ourFar})
		good := reply(offer, []byte("abcd"), phone, ip("192.0.2.77"))
		change := func(f func(b []byte)) []byte {
			b := append([]byte(nil), good...)
			f(b)
			return b
		}
		server := func(a netip.Addr) []byte {
			return change(func(b []byte) { copy(b[optionsAt+5:], a.AsSlice()) })
		}
		for name, b := range map[string][]byte{
			"a request":        change(func(b []byte) { b[0] = 1 }),
			"no cookie":        change(func(b []byte) { b[cookieAt] = 0 }),
			"too short":        good[:optionsAt-1],
			"a DISCOVER":       change(func(b []byte) { b[optionsAt+2] = discover }),
			"ourselves":        server(ourAddr),
			"we behind relays": server(ourFar),
			"a relay of ours":  server(relay),
		} {
			l.overheard(t.Context(), "eth0", rivalHW, ip("192.0.2.99"), b)
			if r := l.Rogues(); len(r) != 0 {
				t.Errorf("%s counts as another server: %v", name, r)
			}
		}
		l.overheard(t.Context(), "eth0", rivalHW, ourAddr, good)
		if r := l.Rogues(); len(r) != 0 {
			t.Errorf("what we sent counts as another server's: %v", r)
		}
		l.overheard(t.Context(), "eth0", rivalHW, rivalAddr, good)
		since := time.Now()
		<-time.After(time.Hour)
		l.overheard(t.Context(), "eth0", rivalHW, rivalAddr, client(phone, byte(nak), addr(optServer, rivalAddr)).with(func(p *draft) { p.op = 2 }).bytes())
		r := l.Rogues()
		if len(r) != 1 || r[0].Offered != ip("192.0.2.77") || !r[0].Since.Equal(since) || !r[0].Last.Equal(time.Now()) {
			t.Errorf("after a NAK an hour later: %v", r)
		}
		want := `192.0.2.9 (00:1b:d4:aa:bb:09, Cisco) on eth0 offers 192.0.2.77, router 192.0.2.9, option 66 tftp\n.example.net, option 150 192.0.2.9`
		if got := r[0].String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		<-time.After(rogueKept)
		if r := l.Rogues(); len(r) != 0 {
			t.Errorf("a week later: %v", r)
		}
	})
}

// A flood of forged replies costs neither memory nor log.
func TestRoguesAreBounded(t *testing.T) {
	t.Parallel()
	l, log := newLab(t), &syncBuffer{}
	l.Log = textLog(log)
	for i := range 5000 {
		l.overheard(t.Context(), "eth0", made(i), rivalAddr, reply(offer, []byte("abcd"), phone, ip("192.0.2.77")))
	}
	if n := len(l.Rogues()); n != maxRogues || len(l.Problems()) != 1 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("%d rogues, %d problems, log:\n%s", n, len(l.Problems()), log)
	}
}

// Of two interfaces of ours on one link, one doesn't answer what the other asks.
func TestWatchDoesNotHearItself(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	var question []byte
	l.round(ctx, "eth1", phone, func(frame []byte) error {
		question = frame
		cancel()
		return nil
	})
	m, _, _ := decode(question[frameHeader:])
	if start, why := l.admit(&job{msg: m, ing: direct(), port: &port{}}); start != nil || why != ReasonLoop {
		t.Errorf("our own question: %v, %s", start, why)
	}
	if a, b := watchMAC(phone), watchMAC(watchMAC(phone)); !a.IsLocal() || a == phone || b == a || a.IsGroup() || b.IsGroup() {
		t.Errorf("the watch asks as %s and as %s", a, b)
	}
}

func FuzzOverhear(f *testing.F) {
	for _, b := range seeds() {
		f.Add(serverFrame(b))
	}
	f.Add(serverFrame(reply(offer, []byte("abcd"), phone, ip("192.0.2.77"))))
	f.Add(serverFrame(reply(nak, []byte("abcd"), phone, netip.Addr{})))
	f.Fuzz(func(t *testing.T, b []byte) {
		hw, from, payload, ok := readFrame(b)
		if !ok {
			return
		}
		l := newLab(t)
		l.overheard(t.Context(), "eth0", hw, from, payload)
		for _, r := range l.Rogues() {
			if s := r.String(); strings.ContainsAny(s, "\n\r\x1b\x00") || len(s) > 12000 {
				t.Errorf("%q", s)
			}
		}
	})
}

func FuzzQuery(f *testing.F) {
	id := opt(optClientID, 1, 0, 0x15, 0x65, 0xaa, 0xbb, 1)
	for _, b := range append(seeds(), asking(nil, ip("192.0.2.20")), asking(phone[:], netip.Addr{}), asking(nil, netip.Addr{}, id)) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !isQuery(b) {
			return
		}
		l := newLab(t)
		l.lease(phone, opt(optClientID, 1, 0, 0x15, 0x65, 0xaa, 0xbb, 1))
		reply, reason := l.inquire(b, byRelay(relay))
		if reason != ReasonNone {
			return
		}
		out, _ := Encode(reply, maxReply)
		if len(out) > maxReply || out[0] != 2 {
			t.Errorf("% x", out[:8])
		}
	})
}

func FuzzEcho(f *testing.F) {
	nonce := [nonceLen]byte{1, 2, 3, 4, 5, 6, 7, 8}
	answer := echo(7, nonce)
	answer[0] = echoReply
	f.Add(answer)
	f.Add(echo(7, nonce))
	f.Fuzz(func(t *testing.T, b []byte) {
		if isEcho(b, nonce) && (len(b) != len(answer) || hwaddr.Addr(b[8:14]) != hwaddr.Addr(nonce[:6])) {
			t.Errorf("% x passes for an answer", b)
		}
	})
}
