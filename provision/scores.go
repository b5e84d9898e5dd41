package provision

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// maxScored bounds how many products a set of plugins remembers its scores for. A site has a few dozen, with their
// firmware versions; what a scan makes up takes the place of older ones.
const maxScored = 512

// product is the part of an identity that plugins score by.
type product struct {
	vendor, model, version       string
	vendorBy, modelBy, versionBy Source
}

// scoreMemo remembers the scores of products. The plugins of a set never change, so neither do their scores.
type scoreMemo struct {
	mu        sync.RWMutex // guards byProduct
	byProduct map[product][]Score
}

// Scores asks every plugin how well it supports a product, best first: by support, then newest version. The caller must
// not change the slice.
func (s *PluginSet) Scores(id Identity) []Score {
	if s == nil {
		return nil
	}
	key := product{id.Vendor, id.Model, id.Version, id.VendorBy, id.ModelBy, id.VersionBy}
	s.scores.mu.RLock()
	scores, ok := s.scores.byProduct[key]
	s.scores.mu.RUnlock()
	if ok {
		return scores
	}
	// The plugins see nothing but what the scores are remembered by.
	scores = s.score(Identity{
		Vendor: id.Vendor, Model: id.Model, Version: id.Version, VendorBy: id.VendorBy, ModelBy: id.ModelBy, VersionBy: id.VersionBy,
	})
	s.scores.mu.Lock()
	defer s.scores.mu.Unlock()
	if s.scores.byProduct == nil || len(s.scores.byProduct) >= maxScored {
		s.scores.byProduct = make(map[product][]Score)
	}
	s.scores.byProduct[key] = scores
	return scores
}

// support returns how well one plugin supports a product; [SupportNone] if it isn't in the set.
func (s *PluginSet) support(of PluginID, id Identity) Support {
	for _, x := range s.Scores(id) {
		if x.Plugin == of {
			return x.Support
		}
	}
	return SupportNone
}

func (s *PluginSet) score(id Identity) []Score {
	scores := make([]Score, 0, len(s.all))
	for _, pl := range s.all {
		x := Score{Plugin: pl.ID()}
		if _, fault := safely(func() struct{} {
			x.Support, x.Why = pl.Support(id)
			return struct{}{}
		}); fault != nil {
			x = Score{Plugin: pl.ID(), Why: fmt.Sprintf("its rules panicked: %v", fault)}
		}
		scores = append(scores, x)
	}
	slices.SortFunc(scores, func(a, b Score) int {
		return cmp.Or(cmp.Compare(b.Support, a.Support), CompareVersions(string(b.Plugin), string(a.Plugin)))
	})
	return scores
}
