package defrag

import (
	"cmp"
	"time"
)

// pace is how often a run looks, and how long it is patient. Members answer fewer than 50 requests a
// minute while it waits.
type pace struct {
	again    time.Duration // between two looks at members that answer at slightly different moments
	unwell   time.Duration // between two looks at a cluster that is not well: some five requests of each member
	recover  time.Duration // how long a cluster may take to be well again, beyond Wait
	settle   time.Duration // between two looks at pages that a compaction frees
	follow   time.Duration // between two questions to a member in defragmentation: 30 requests a minute
	patience time.Duration // how long a call may be open while the member knows of none: it never arrived
}

// orUsers is p with users' pace where it has none.
func (p pace) orUsers() pace {
	return pace{
		again:    cmp.Or(p.again, time.Second),
		unwell:   cmp.Or(p.unwell, 10*time.Second),
		recover:  cmp.Or(p.recover, 5*time.Minute),
		settle:   cmp.Or(p.settle, 3*time.Second),
		follow:   cmp.Or(p.follow, 2*time.Second),
		patience: cmp.Or(p.patience, 30*time.Second),
	}
}
