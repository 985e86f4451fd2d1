package main

import "fmt"

// A figure is something measured on both sides. Its limits are for the ratio of the medians,
// ours to theirs; a figure without limits is only stated.
type figure struct {
	id, text, against string
	unit              func(float64) string
	must, aim         float64
}

// limited are the figures that have limits, in the table's order.
var limited = []figure{
	{"stream", "time until the member's stream is closed", "`etcdctl snapshot save`", seconds, 0.95, 0.85},
	{"snapshot", "whole snapshot, proven and read back, wall", "`etcdctl snapshot save && zstd -3 && age && cp && sync -f`", seconds, 0.85, 0.70},
	{"cpu", "the same, client CPU", "the same", seconds, 1.2, 0.9},
	{"bytes", "bytes stored", "`zstd -3` and `age`", megabytes, 1.0, 0.9},
	{"restore", "restore to a ready data folder, wall", "`age -d | zstd -d > f && etcdutl snapshot restore f`", seconds, 0.9, 0.7},
}

// stated stand beside them, so that nobody is misled by one way to look at it.
var stated = []figure{
	{"stream-alone", "the stream alone, by both logs: opened to completed", "etcdctl without its start and its fsync", seconds, 0, 0},
	{"stream-from-start", "from the start of the process until the stream is closed", "the same of etcdctl, without its fsync", seconds, 0, 0},
	{"member-cpu", "the member's CPU meanwhile (hundredths; ours asks it for HashKV)", "`etcdctl snapshot save` and all after it", seconds, 0, 0},
	{"restore-cpu", "restore, CPU", "the same as of restore", seconds, 0, 0},
}

// Limits of the heap, in bytes.
const (
	heapMust = 128 << 20
	heapAim  = 64 << 20
)

func seconds(v float64) string   { return fmt.Sprintf("%.2f s", v) }
func megabytes(v float64) string { return fmt.Sprintf("%.1f MB", v/1e6) }
func mebibytes(v float64) string { return fmt.Sprintf("%.1f MiB", v/(1<<20)) }

// verdict says whether a value is within its limits.
func verdict(value, must, aim float64) string {
	switch {
	case must == 0:
		return "stated"
	case value <= aim:
		return "aim reached"
	case value <= must:
		return "reached"
	}
	return "**missed**"
}

// row is the figure's line in a table.
func (f figure) row(d dataset, bound map[string]string) []string {
	s := d.of(f.id)
	ours, theirs := median(s.ours), median(s.theirs)
	ratio := 0.0
	if theirs > 0 {
		ratio = ours / theirs
	}
	cells := []string{f.text, f.against, f.unit(ours), f.unit(theirs), fmt.Sprintf("%.2f", ratio)}
	if f.must == 0 {
		return cells
	}
	return append(cells, fmt.Sprintf("≤ %.2f", f.must), fmt.Sprintf("%.2f", f.aim), verdict(ratio, f.must, f.aim), boundBy(bound, f.id))
}

// heapRow is the line of the job that needs most over one database.
func heapRow(runs []heapRun, bound map[string]string) []string {
	worst := runs[0]
	for _, r := range runs {
		if r.live() > worst.live() {
			worst = r
		}
	}
	live := float64(worst.live())
	return []string{"live heap, " + worst.database + ": most of " + worst.job, mebibytes(live),
		"≤ " + mebibytes(heapMust), mebibytes(heapAim), verdict(live, heapMust, heapAim), boundBy(bound, "heap")}
}

// growth is what each job's live heap grows by for a million more keys, between the smallest
// and the largest number measured.
func growth(runs []heapRun) map[string]float64 {
	least, most := map[string]heapRun{}, map[string]heapRun{}
	for _, r := range runs {
		if l, ok := least[r.job]; !ok || r.keys < l.keys {
			least[r.job] = r
		}
		if r.keys > most[r.job].keys {
			most[r.job] = r
		}
	}
	out := map[string]float64{}
	for job, m := range most {
		if l := least[job]; m.keys > l.keys {
			out[job] = float64(m.live()-l.live()) / float64(m.keys-l.keys) * 1e6
		}
	}
	return out
}
