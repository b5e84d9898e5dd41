package provision_test

import (
	"testing"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	provisiontest.TestStores(t, func(*testing.T) provisiontest.Stores { return provision.NewMemory() })
	provisiontest.TestRevisions(t, func(*testing.T) provisiontest.RevisionStores { return provision.NewMemory() })
}
