package plugin

import (
	"slices"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

var _ provision.Booter = (*Plugin)(nil)

// BootOrder implements [provision.Booter]: the manifest's steps for a device's model, with its own names in the paths.
func (p *Plugin) BootOrder(d provision.Device) []provision.BootStep {
	var steps []provision.BootStep
	for _, s := range p.manifest.Boot {
		if len(s.Models) > 0 && !slices.Contains(s.Models, d.Model) {
			continue
		}
		step := provision.BootStep{
			Proto: provision.Proto(s.Ask), Path: Expand(s.Path, d.HW, d.Model), Required: s.Required, IfMissing: s.IfMissing,
		}
		if step.Proto == provision.DHCP {
			step.Path = ""
		}
		steps = append(steps, step)
	}
	return steps
}

// Expand fills a phone's own facts into a text of a boot step: {mac}, {MAC} and {model}, and {mac:}, {MAC-} and the like
// with that separator between the bytes.
func Expand(text string, hw hwaddr.Addr, model string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	pairs := []string{"{model}", model}
	for _, sep := range []string{"", ":", "-", "."} {
		mac := hw.Join(sep)
		pairs = append(pairs, "{mac"+sep+"}", mac, "{MAC"+sep+"}", strings.ToUpper(mac))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
