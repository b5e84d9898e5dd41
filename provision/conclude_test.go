package provision_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/provision"
)

func TestConclude(t *testing.T) {
	t.Parallel()
	claim := func(attr, value string, s provision.Source, by string) provision.Claim {
		return provision.Claim{Attr: attr, Value: value, Source: s, By: by}
	}
	const lease, header, path, guess = provision.SourceLease, provision.SourceHeader, provision.SourcePath, provision.SourceGuess
	a, b := aastraA.String(), aastraB.String()
	for _, c := range []struct {
		name   string
		claims []provision.Claim
		want   provision.Identity
	}{
		{"nothing", nil, provision.Identity{}},
		{
			"any spelling of one mac",
			[]provision.Claim{claim("mac", a, lease, "core"), claim("mac", "00085D112233", path, "p")},
			provision.Identity{HW: aastraA, Assurance: lease},
		},
		{
			"lease beats header",
			[]provision.Claim{claim("mac", b, header, "p"), claim("mac", a, lease, "core")},
			provision.Identity{HW: aastraA, Assurance: lease, Conflicts: []provision.Conflict{
				{Won: claim("mac", a, lease, "core"), Lost: claim("mac", b, header, "p")},
			}},
		},
		{
			"equals: the lesser, and a conflict",
			[]provision.Claim{claim("mac", b, path, "p"), claim("mac", a, path, "q")},
			provision.Identity{HW: aastraA, Assurance: path, Conflicts: []provision.Conflict{
				{Won: claim("mac", a, path, "q"), Lost: claim("mac", b, path, "p")},
			}},
		},
		{
			"no device's mac",
			[]provision.Claim{claim("mac", "000000000000", header, "p"), claim("mac", "01:00:5e:00:00:01", header, "p")},
			provision.Identity{},
		},
		{"no source", []provision.Claim{claim("mac", a, provision.SourceNone, "p")}, provision.Identity{}},
		{
			"serial assures when there is no mac",
			[]provision.Claim{claim("sn", "S", header, "p"), claim("uuid", "U", path, "p")},
			provision.Identity{Serial: "S", UUID: "U", Assurance: header},
		},
		{"products aren't mixed", []provision.Claim{
			claim("vendor", "Cisco", header, "p"), claim("model", "7941G", header, "p"),
			claim("vendor", "Aastra", path, "q"), claim("model", "6730i", path, "q"), claim("version", "3.3.1", path, "q"),
		}, provision.Identity{Vendor: "Cisco", VendorBy: header, Model: "7941G", ModelBy: header}},
		{"a model of another vendor's is none", []provision.Claim{
			claim("vendor", "Cisco", header, "p"), claim("vendor", "Aastra", path, "q"), claim("model", "6730i", path, "q"),
		}, provision.Identity{Vendor: "Cisco", VendorBy: header}},
		{"rules that agree complete each other", []provision.Claim{
			claim("vendor", "Cisco", header, "p"), claim("vendor", "Cisco", guess, "q"), claim("model", "7941G", guess, "q"),
		}, provision.Identity{Vendor: "Cisco", VendorBy: header, Model: "7941G", ModelBy: guess}},
		{"who says most wins among equals", []provision.Claim{
			claim("vendor", "Aardvark", header, "p"),
			claim("vendor", "Cisco", header, "q"), claim("model", "7941G", header, "q"),
		}, provision.Identity{Vendor: "Cisco", VendorBy: header, Model: "7941G", ModelBy: header}},
		{"a rule that speaks of another device", []provision.Claim{
			claim("mac", a, lease, "core"), claim("mac", b, header, "p"), claim("vendor", "Cisco", header, "p"),
		}, provision.Identity{HW: aastraA, Assurance: lease, Conflicts: []provision.Conflict{
			{Won: claim("mac", a, lease, "core"), Lost: claim("mac", b, header, "p")},
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, provision.Conclude(c.claims), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func drawClaims(t *rapid.T) []provision.Claim {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) provision.Claim {
		attr := rapid.SampledFrom([]string{"mac", "sn", "uuid", "vendor", "model", "version"}).Draw(t, "attr")
		values := []string{"x", "y", "z"}
		if attr == "mac" {
			values = []string{aastraA.String(), "00085D112233", aastraB.String(), "junk"}
		}
		return provision.Claim{
			Attr: attr, Value: rapid.SampledFrom(values).Draw(t, "value"),
			Source: provision.Source(rapid.IntRange(0, int(provision.SourceCert)).Draw(t, "source")),
			By:     rapid.SampledFrom([]string{"core", "p extract[0]", "p extract[1]", "q extract[0]"}).Draw(t, "by"),
		}
	}), 0, 12).Draw(t, "claims")
}

func TestConcludeIgnoresOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		claims := drawClaims(t)
		want := provision.Conclude(claims)
		got := provision.Conclude(rapid.Permutation(claims).Draw(t, "permuted"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("another order concludes otherwise:\n%s", diff)
		}
	})
}

func TestConcludeProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		claims := drawClaims(t)
		id := provision.Conclude(claims)
		for _, c := range claims {
			if c.Attr == "mac" && c.Value != "junk" && c.Source > id.Assurance {
				t.Fatalf("assurance %s, though there is %+v", id.Assurance, c)
			}
		}
		for _, x := range id.Conflicts {
			if x.Won.Attr != x.Lost.Attr || x.Won.Value == x.Lost.Value || x.Won.Source < x.Lost.Source {
				t.Fatalf("conflict %+v", x)
			}
		}
		twice := provision.Conclude(append(claims, claims...))
		if len(twice.Conflicts) != len(id.Conflicts) || twice.HW != id.HW || twice.Serial != id.Serial {
			t.Fatalf("saying all twice changes it: %+v, %+v", id, twice)
		}
	})
}
