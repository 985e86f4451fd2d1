package main

import (
	"fmt"
	"strings"
	"time"
)

// storeFigures are those of object stores, in the table's order. There is no aim beyond their limits.
var storeFigures = []figure{
	{"upload", "upload of an archive of 100 MB, wall", "the SDK's multipart upload", seconds, 1.15, 0},
	{"list", "`list` of 10,000 archives, wall", "the bare LIST pages of manifests, receipts and holds, side by side", seconds, 1.3, 0},
	{"list-long", "`list --long` of 10,000 archives, wall", "the bare GETs of the same documents, 16 at a time", seconds, 1.3, 0},
	{"plan", "`prune --dry-run` over 10,000 archives, wall", "the bare GETs of the same documents, 16 at a time", seconds, 1.3, 0},
	{"list-growth", "`list`, from 5,000 to 10,000", "itself at 5,000", seconds, 2.2, 0},
	{"list-long-growth", "`list --long`, from 5,000 to 10,000", "itself at 5,000", seconds, 2.2, 0},
	{"plan-growth", "`prune --dry-run`, from 5,000 to 10,000", "itself at 5,000", seconds, 2.2, 0},
	{"plan-function", "the plan function over 100,000 archives, CPU", "a second", seconds, 1, 0},
}

// storeStated stand beside them.
var storeStated = []figure{
	{"list-long-whole", "`list --long` of 10,000 archives, wall", "the bare LIST pages, then the GETs", seconds, 0, 0},
	{"plan-whole", "`prune --dry-run` over 10,000 archives, wall", "the bare LIST pages, then the GETs", seconds, 0, 0},
	{"upload-put", "upload of an archive of 100 MB, wall", "one PutObject", seconds, 0, 0},
}

const storeMethod = `
- One versitygw on loopback, its objects on a local disk; client and gateway share the machine's cores. Medians of
  interleaved rounds, ours first and theirs first in turn but for uploads; a round that does not count goes first.
- Theirs is a few lines around the AWS SDK in the bench's own process, with its defaults and 32 idle connections: it
  throws away what it reads. Ours is the whole command, from the start of its process to its end: it lists before it
  reads, checks each document's SHA-256, decodes, decides, and prints JSON of every archive.
- The upload alone is a call on both sides: bucket.Put, from a file, under a name that must not be taken.
- Each archive has a manifest of three members and a receipt, every tenth a hold. The bare GETs read all of those. The
  plan is that of a prune that ran lately: it keeps all but 64.
- versitygw closes each connection after its answer, as it does by default: a GET costs a connection on both sides.
- Heap as in RESULTS.md. copy brings an archive from a folder to the gateway: spool, upload, read back.`

// storesDocument is STORES.md.
func (r *results) storesDocument() string {
	var t text
	r.title(&t, "Results of `make bench`: object stores")
	t.section("Speed", fmt.Sprintf("Rounds: %d.", r.rounds), "")
	t.head("figure", "against", "ours", "theirs", "ratio", "must", "verdict", "bound by")
	for _, f := range storeFigures {
		cells := f.row(*r.stores, r.bound)
		t.row(append(cells[:6:6], cells[7:]...)...)
	}
	t.line("")
	t.line("Stated beside:")
	t.line("")
	t.head("figure", "against", "ours", "theirs", "ratio")
	for _, f := range storeStated {
		t.row(f.row(*r.stores, r.bound)...)
	}
	t.section("Heap")
	t.head("over", "command", "live (with what was not collected)", "must", "verdict", "bound by")
	for _, h := range r.storeHeaps {
		live := float64(h.live())
		t.row(h.database, h.job, h.parent.String(), "≤ "+mebibytes(heapMust), verdict(live, heapMust, 0), boundBy(r.bound, "store-heap"))
	}
	t.section("How it was measured", strings.Split(strings.TrimSpace(storeMethod), "\n")...)
	roundsTable(&t, *r.stores, append(storeFigures[:len(storeFigures):len(storeFigures)], storeStated...))
	return t.String()
}

// title is the head of both documents.
func (r *results) title(t *text, title string) {
	t.line("# %s", title)
	t.line("")
	t.line("Written by `scripts/bench.sh`; do not edit. %s, %s, load before it %s.",
		r.began.UTC().Format("2006-01-02 15:04 UTC"), r.took.Round(time.Second), r.loadBefore)
	t.line("")
	t.head("what", "value")
	for _, f := range r.facts {
		t.row(f.name, f.value)
	}
}
