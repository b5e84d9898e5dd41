package plugins_test

import (
	"slices"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// TestTemplatesAreCompiled: what the plugins that ship ask of templates is all done by their compiled form. That shows in
// what a file takes: text/template needs several times as many allocations.
func TestTemplatesAreCompiled(t *testing.T) { //nolint:paralleltest // allocations are counted of all goroutines
	for _, p := range all(t) {
		d := provision.Device{Plugin: p.ID(), HW: hwaddr.MustParse("00:08:5d:23:73:01"), Model: slices.Min(p.Models())}
		facts, _ := p.Model(d.Model)
		view := provision.View{Device: d, Params: provision.Complete(full(provision.Vocabulary(), 0)), Base: "192.0.2.1", HTTP: "http://192.0.2.1", Model: facts}
		for _, r := range templated(p) {
			got := testing.AllocsPerRun(10, func() {
				a, err := p.Answer(t.Context(), r, &view)
				if err != nil {
					t.Fatal(err)
				}
				_ = a.Body.Close()
			})
			t.Logf("%s %s: %g", p.ID(), r.Template, got)
			const most = 160
			if got > most {
				t.Errorf("%s %s: %g allocations, want %d at most", p.ID(), r.Template, got, most)
			}
		}
	}
}
