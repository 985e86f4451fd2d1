package main

import "time"

// These are set by the linker in builds for tests that wait for such a time to pass (-X main.testLease=5s), and
// empty in every other one. No flag and no variable of the environment sets them.
var (
	testLease = "" // of the lock in etcd or Kubernetes
	testWatch = "" // for which defrag, beyond --wait, watches members where no lock is to be had
)

// orUsual is the time that text says; 0, which is the usual one, where it says none.
func orUsual(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return d
}
