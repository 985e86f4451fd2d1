package kubetest

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the package for a goroutine that a test leaves behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
