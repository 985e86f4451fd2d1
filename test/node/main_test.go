//go:build e2e

package node

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// n is the node of all tests, which run one after the other.
var n *Node

// TestMain brings the node up; the sandbox takes it down.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "node")
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	n, err = Start(ctx, Config{Tools: os.Getenv("ETCDSAFE_TOOLS"), Bin: os.Getenv("E2E_BIN"), Image: os.Getenv("E2E_IMAGE"), Dir: dir, Log: os.Stdout})
	stop()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
