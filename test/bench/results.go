package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// results are all that one run measured.
type results struct {
	settings
	began      time.Time
	took       time.Duration
	loadBefore string
	facts      []fact
	bound      map[string]string
	sets       []dataset
	heaps      [][]heapRun
	keyHeaps   [][]heapRun
	stores     *dataset
	storeHeaps []heapRun
	schedule   *schedule
}

// document is RESULTS.md.
func (r *results) document() string {
	var t text
	r.title(&t, "Results of `make bench`")
	for _, d := range r.sets {
		r.dataset(&t, d)
	}
	r.heap(&t)
	t.section("How it was measured", strings.Split(strings.TrimSpace(method), "\n")...)
	for _, d := range r.sets {
		stagesTable(&t, d)
		roundsTable(&t, d, append(slices.Clone(limited), stated...))
	}
	return t.String()
}

const method = `
- One member on loopback, its data folder on a local disk, filled by test/data/fill, compacted, and written to a little
  more, as a control plane is between two compactions. All is warm: nothing drops the page cache, and a round that does
  not count goes first. Before each run all that was written earlier is brought to disk, outside the time.
- Medians of interleaved rounds: ours, theirs, ours, theirs. The ratio is that of the medians.
- Ours: ` + "`etcdsafe snapshot`" + ` as shipped, to one file store, one age recipient, compared with the member (HashKV equal, or the
  run is void), read back, all synced. Its time to the stream's end is what its log says (took); etcdctl's is the wall of
  the whole command, with its start and its fsync. Both are given without those under "Stated beside".
- Theirs: the commands one after the other, each a process of its own, nothing between them. zstd runs as people run it,
  with its default of one thread of compression. ` + "`sync -f`" + ` syncs the whole file system of the store, so also g and h.
- CPU is user and system of the client's processes and all that they waited for (wait4), without the member's.
- Restore: ours with ` + "`--bump-revision 0`" + `, which syncs all it made and opens it again to compare keys and HashKV; theirs do
  what they do by themselves, nothing more: etcdutl checks the digest, and does not sync everything.
- Heap is runtime/metrics' /gc/heap/live:bytes, looked at a thousand times a second in each process of a run by a sampler
  that is compiled in for this alone (test/bench/sampler). The figure is the sum of the process's peak and of its largest
  child's: one child runs at a time, so no moment had more.`

func (r *results) dataset(t *text, d dataset) {
	t.section("Speed: "+d.kind, fmt.Sprintf("%.0f MB of database, %.0f MB in use, %d objects and %d updates; rounds: %d.",
		float64(d.db.DBSize)/1e6, float64(d.db.DBSizeInUse)/1e6, d.db.Objects, d.db.Updates, r.rounds), "")
	t.head("figure", "against", "ours", "theirs", "ratio", "must", "aim", "verdict", "bound by")
	for _, f := range limited {
		t.row(f.row(d, r.bound)...)
	}
	t.line("")
	t.line("Stated beside:")
	t.line("")
	t.head("figure", "against", "ours", "theirs", "ratio")
	for _, f := range stated {
		t.row(f.row(d, r.bound)...)
	}
}

func (r *results) heap(t *text) {
	if len(r.heaps)+len(r.keyHeaps) == 0 {
		return
	}
	t.section("Heap")
	t.head("figure", "ours", "must", "aim", "verdict", "bound by")
	for _, runs := range r.heaps {
		t.row(heapRow(runs, r.bound)...)
	}
	all := slices.Concat(r.keyHeaps...)
	more := growth(all)
	for _, job := range slices.Sorted(maps.Keys(more)) {
		t.row("growth of "+job+" per million keys written since the last compaction", mebibytes(more[job]), "-", "-", "stated", boundBy(r.bound, "growth"))
	}
	t.line("")
	t.line("Each run, live after a collection, and in brackets with what was not collected yet:")
	t.line("")
	t.head("database", "job", "process", "its largest child", "both, live")
	for _, h := range append(slices.Concat(r.heaps...), all...) {
		t.row(h.database, h.job, h.parent.String(), h.child.String(), mebibytes(float64(h.live())))
	}
}

func (p peak) String() string {
	if p.live == 0 {
		return fmt.Sprintf("no collection (%s)", mebibytes(float64(p.objects)))
	}
	return fmt.Sprintf("%s (%s)", mebibytes(float64(p.live)), mebibytes(float64(p.objects)))
}

// stagesTable shows where time goes on both sides.
func stagesTable(t *text, d dataset) {
	t.section("Where the time goes: "+d.kind, "Medians. Ours by the time since the start at which the log line came, theirs by what each command took.", "")
	t.head("job", "ours", "at", "theirs", "took")
	for _, p := range []struct {
		job string
		pair
	}{{"snapshot", d.snapshotStages}, {"restore", d.restoreStages}} {
		for i := range max(len(p.ours.names), len(p.theirs.names)) {
			left, at := p.ours.cell(i)
			right, took := p.theirs.cell(i)
			t.row(p.job, left, at, right, took)
		}
	}
}

func (s stages) cell(i int) (name, value string) {
	if i >= len(s.names) {
		return "", ""
	}
	return s.names[i], seconds(median(s.values[s.names[i]]))
}

// roundsTable shows the values that the medians were made of.
func roundsTable(t *text, d dataset, figures []figure) {
	t.section("All rounds: " + d.kind)
	t.head("figure", "ours", "theirs")
	for _, f := range figures {
		s := d.of(f.id)
		t.row(f.id, each(f.unit, s.ours), each(f.unit, s.theirs))
	}
}

func each(unit func(float64) string, values []float64) string {
	var out []string
	for _, v := range values {
		out = append(out, unit(v))
	}
	return strings.Join(out, ", ")
}

// text is a Markdown document being written.
type text struct{ strings.Builder }

func (t *text) line(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

func (t *text) section(title string, lines ...string) {
	t.line("")
	t.line("## %s", title)
	t.line("")
	for _, l := range lines {
		t.line("%s", l)
	}
}

func (t *text) head(cells ...string) {
	t.row(cells...)
	t.line("|%s", strings.Repeat("---|", len(cells)))
}

func (t *text) row(cells ...string) {
	for _, c := range cells {
		t.WriteString("| " + strings.ReplaceAll(c, "|", `\|`) + " ")
	}
	t.line("|")
}
