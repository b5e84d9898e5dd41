package leasetest_test

import (
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	leasetest.TestStore(t, func(*testing.T) lease.Store { return new(leasetest.Memory) })
}
