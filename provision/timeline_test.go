package provision_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

// story makes outcomes of one phone. Each line is "seconds what": bound, renewed, or a file, with what came of it.
func story(t *testing.T, text string) (all []*provision.Outcome, at func(seconds int) time.Time) {
	t.Helper()
	begin := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	at = func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	for line := range strings.Lines(text) {
		var second int
		var what, how string
		if n, _ := fmt.Sscanf(line, "%d %s %s", &second, &what, &how); n < 2 {
			continue
		}
		o := &provision.Outcome{Request: provision.Request{
			ID: uint64(len(all) + 1), Proto: provision.TFTP, At: at(second), Path: what, Peer: netip.MustParseAddr("192.0.2.23"),
		}}
		switch what {
		case "bound":
			o.Request.Proto, o.Request.Path, o.Request.Event = provision.DHCP, "", lease.KindBound
		case "renewed":
			o.Request.Proto, o.Request.Path, o.Request.Event = provision.DHCP, "", lease.KindRenewed
		}
		switch how {
		case "":
			o.Route.Rule, o.Size = "r", 100
			o.Delivery = &provision.Delivery{Bytes: 100}
		case "missing":
			o.Err = provision.ErrNotFound
		case "refused":
			o.Err = fmt.Errorf("nobody vouches for it: %w", provision.ErrForbidden)
		case "gone":
			o.Err = fmt.Errorf("answer: hung up: %w", context.Canceled)
		case "failed":
			o.Err = errors.New("template x: line 3")
		case "broken":
			o.Size, o.Delivery = 100, &provision.Delivery{Bytes: 10, Err: errors.New("timed out")}
		default:
			t.Fatalf("story: %q", how)
		}
		all = append(all, o)
	}
	return all, at
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	order := []provision.BootStep{
		{Proto: provision.DHCP, Required: true},
		{Proto: provision.TFTP, Path: "CTLSEP.tlv"},
		{Proto: provision.TFTP, Path: "SEP.cnf.xml", Required: true},
		{Proto: provision.TFTP, Path: "XMLDefault.cnf.xml", IfMissing: true},
		{Proto: provision.TFTP, Path: "RINGLIST.XML"},
	}
	for name, tc := range map[string]struct {
		story string
		now   int
		want  []string // "state stuck: stages", the newest boot first
		why   string
	}{
		"nothing": {"", 0, nil, ""},
		"all went well": {
			"0 bound\n3 CTLSEP.tlv missing\n4 SEP.cnf.xml\n5 ringlist.xml", 6,
			[]string{"running : dhcp=done CTLSEP.tlv=missing SEP.cnf.xml=done RINGLIST.XML=done"},
			"",
		},
		"on its way": {
			"0 bound\n3 CTLSEP.tlv missing", 20, []string{"booting : dhcp=done CTLSEP.tlv=missing SEP.cnf.xml=waiting RINGLIST.XML=waiting"}, "",
		},
		"gone silent": {
			"0 bound\n3 CTLSEP.tlv missing", 200,
			[]string{"stuck SEP.cnf.xml: dhcp=done CTLSEP.tlv=missing SEP.cnf.xml=waiting RINGLIST.XML=waiting"},
			"stopped asking",
		},
		"asks elsewhere": {
			"0 bound", 200, []string{"stuck SEP.cnf.xml: dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=waiting RINGLIST.XML=waiting"}, "asks us for no file",
		},
		"just leased": {
			"0 bound", 10, []string{"booting : dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=waiting RINGLIST.XML=waiting"}, "",
		},
		"required one is missing": {
			"0 bound\n3 CTLSEP.tlv missing\n4 SEP.cnf.xml missing\n5 XMLDefault.cnf.xml", 6,
			[]string{"stuck SEP.cnf.xml: dhcp=done CTLSEP.tlv=missing SEP.cnf.xml=missing XMLDefault.cnf.xml=done RINGLIST.XML=waiting"},
			"not found",
		},
		"refused": {
			"0 bound\n4 SEP.cnf.xml refused", 5,
			[]string{"stuck SEP.cnf.xml: dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=refused RINGLIST.XML=waiting"},
			"nobody vouches",
		},
		"our fault": {
			"0 bound\n4 SEP.cnf.xml failed", 5,
			[]string{"stuck SEP.cnf.xml: dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=failed RINGLIST.XML=waiting"},
			"line 3",
		},
		"lost packets": {
			"0 bound\n4 SEP.cnf.xml broken", 5,
			[]string{"stuck SEP.cnf.xml: dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=broken RINGLIST.XML=waiting"},
			"10 of 100 bytes",
		},
		"hung up": {
			"0 bound\n4 SEP.cnf.xml gone", 5,
			[]string{"stuck SEP.cnf.xml: dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=broken RINGLIST.XML=waiting"},
			"hung up",
		},
		"tried again with success": {
			"0 bound\n4 SEP.cnf.xml broken\n8 SEP.cnf.xml", 9,
			[]string{"running : dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=waiting"},
			"",
		},
		"address from elsewhere": {
			"4 SEP.cnf.xml", 5, []string{"running : dhcp=waiting CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=waiting"}, "",
		},
		"a file of its own choice": {
			"0 bound\n4 SEP.cnf.xml\n5 Desktops/List.xml missing", 6,
			[]string{"running : dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=waiting Desktops/List.xml=missing"},
			"",
		},
		"optional one fails": {
			"0 bound\n4 SEP.cnf.xml\n5 RINGLIST.XML failed", 6,
			[]string{"running RINGLIST.XML: dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=failed"},
			"line 3",
		},
		"loop": {
			"0 bound\n4 SEP.cnf.xml\n20 SEP.cnf.xml\n40 SEP.cnf.xml", 41,
			[]string{"running SEP.cnf.xml: dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=waiting"},
			"3 times",
		},
		"renewals are no boots": {
			"0 bound\n4 SEP.cnf.xml\n1800 renewed\n3600 renewed", 3601,
			[]string{"running : dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=waiting"},
			"",
		},
		"INIT-REBOOT": {
			"0 bound\n4 SEP.cnf.xml\n1800 renewed\n1803 SEP.cnf.xml refused", 1804,
			[]string{
				"stuck SEP.cnf.xml: dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=refused RINGLIST.XML=waiting",
				"running : dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=waiting",
			},
			"nobody vouches",
		},
		"from the data to the voice network": {
			"0 bound\n2 bound\n4 SEP.cnf.xml", 5, []string{"running : dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=waiting"}, "",
		},
		"restarted at once": {
			"0 bound\n4 SEP.cnf.xml\n30 bound\n34 SEP.cnf.xml", 35,
			[]string{
				"running : dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=waiting",
				"running : dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=waiting",
			},
			"",
		},
		"renewed while it boots": {
			"0 bound\n4 CTLSEP.tlv missing\n5 renewed\n6 SEP.cnf.xml", 7,
			[]string{"running : dhcp=done CTLSEP.tlv=missing SEP.cnf.xml=done RINGLIST.XML=waiting"},
			"",
		},
		"resync without a restart": {
			"0 bound\n4 SEP.cnf.xml\n900 SEP.cnf.xml", 901,
			[]string{
				"running : dhcp=waiting CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=waiting",
				"running : dhcp=done CTLSEP.tlv=waiting SEP.cnf.xml=done RINGLIST.XML=waiting",
			},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcomes, at := story(t, tc.story)
			slices.Reverse(outcomes) // as a journal has them
			boots := provision.Timeline(order, outcomes, at(tc.now))
			var got []string
			for _, b := range boots {
				line := []string{fmt.Sprintf("%s %s:", b.State, b.Stuck)}
				for _, s := range b.Stages {
					name := s.Path
					if s.Proto == provision.DHCP {
						name = "dhcp"
					}
					line = append(line, fmt.Sprintf("%s=%s", name, s.State))
				}
				got = append(got, strings.Join(line, " "))
				if (b.Why == "") != (b.Stuck == "") || (b.Remedy == "") != (b.Stuck == "") {
					t.Errorf("stuck at %q, why %q, remedy %q: all three or none", b.Stuck, b.Why, b.Remedy)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("boots:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
			if len(boots) > 0 && !strings.Contains(boots[0].Why, tc.why) || tc.why == "" && len(boots) > 0 && boots[0].Why != "" {
				t.Errorf("why: %q, want %q in it", boots[0].Why, tc.why)
			}
		})
	}
}
