package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/stores"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

func TestMedianIsTheMiddleOrTheMeanOfTheTwo(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestVerdictHoldsAValueToItsLimits(t *testing.T) {
	for _, c := range []struct {
		value float64
		want  string
	}{{0.85, "aim reached"}, {0.851, "reached"}, {0.95, "reached"}, {0.951, "**missed**"}} {
		if got := verdict(c.value, 0.95, 0.85); got != c.want {
			t.Errorf("verdict(%v) = %q, want %q", c.value, got, c.want)
		}
	}
}

func TestLogLinesReadsBothLogs(t *testing.T) {
	text := `not a line of JSON
{"time":"2026-11-23T14:08:39.5Z","level":"INFO","msg":"snapshot stream completed","took":"1.25s"}
{"level":"info","ts":"2026-11-23T15:08:40.500000+0100","caller":"x","msg":"completed snapshot read; closing"}
`
	lines := logLines([]byte(text))
	if len(lines) != 2 {
		t.Fatalf("logLines found %d lines, want 2: %+v", len(lines), lines)
	}
	if lines[0].Took.Duration != 1250*time.Millisecond || lines[1].at().Sub(lines[0].at()) != time.Second {
		t.Errorf("logLines = %+v, want 1.25 s and lines a second apart", lines)
	}
	if _, err := find(lines, "nothing"); err == nil {
		t.Error("find of a message that is not there gave no error")
	}
}

func TestReadBoundRefusesAFigureThatIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bound.txt")
	for text, want := range map[string]string{
		"# comment\n\nstream\tthe member: etcd's own read\n": "the member: etcd's own read",
		"streams\tx\n": "", "stream x\n": "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readBound(path)
		if got["stream"] != want || (err == nil) != (want != "") {
			t.Errorf("readBound of %q = %q, %v, want %q", text, got, err, want)
		}
	}
	if _, err := readBound("bound.txt"); err != nil {
		t.Errorf("readBound of the file that is kept: %v", err)
	}
}

func TestGrowthIsPerMillionKeys(t *testing.T) {
	runs := []heapRun{
		{keys: 2e6, job: "verify", child: peak{live: 90 << 20}},
		{keys: 1e6, job: "verify", child: peak{live: 50 << 20}},
		{keys: 1e6, job: "restore"},
	}
	if got := growth(runs); len(got) != 1 || got["verify"] != 40<<20 {
		t.Errorf("growth = %v, want verify alone, 40 MiB", got)
	}
}

func TestDocumentHasEveryFigureAndWholeRows(t *testing.T) {
	d := dataset{kind: "kubernetes"}
	for _, f := range append(limited, stated...) {
		d.of(f.id).addOurs(1)
		d.of(f.id).addTheirs(2)
	}
	d.restoreStages.theirs.add("age -d | zstd -d", 1)
	r := results{
		settings: settings{rounds: 1}, sets: []dataset{d}, bound: map[string]string{"cpu": "zstd"},
		heaps:    [][]heapRun{{{database: "0.2 GB", job: "verify", parent: peak{live: 129 << 20}, child: peak{objects: 1 << 20}}}},
		keyHeaps: [][]heapRun{{{keys: 1e6, job: "verify"}}, {{keys: 2e6, job: "verify"}}},
	}
	text := r.document()
	for _, want := range []string{"| 1.00 s | 2.00 s | 0.50 | ≤ 0.95 | 0.85 | aim reached |", "| zstd |", "130.0 MiB | ≤ 128.0 MiB | 64.0 MiB | **missed**", "growth of verify"} {
		if !strings.Contains(text, want) {
			t.Errorf("document has no %q:\n%s", want, text)
		}
	}
	cells := 0
	for line := range strings.Lines(text) {
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if strings.HasPrefix(line, "|") && cells > 0 && n != cells {
			t.Errorf("row of %d bars in a table of %d: %s", n, cells, line)
		}
		cells = n
	}
}

func TestStoresDocumentHasEveryFigure(t *testing.T) {
	r := results{settings: settings{rounds: 1}, stores: &dataset{}, bound: map[string]string{"list": "the gateway", "store-heap": "the SDK"},
		storeHeaps: []heapRun{{database: "10 archives", job: "list", parent: peak{live: 129 << 20}}}}
	for _, f := range append(slices.Clone(storeFigures), storeStated...) {
		r.stores.of(f.id).addOurs(2.6)
		r.stores.of(f.id).addTheirs(2)
	}
	text := r.storesDocument()
	for _, want := range []string{
		"| `list` of 10,000 archives, wall | the bare LIST pages of manifests, receipts and holds, side by side | 2.60 s | 2.00 s | 1.30 | ≤ 1.30 | reached | the gateway |",
		"| 1.30 | ≤ 1.15 | **missed** |", "| 1.30 | ≤ 2.20 | reached |", "| list | 129.0 MiB (0.0 MiB) | ≤ 128.0 MiB | **missed** | the SDK |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("document has no %q:\n%s", want, text)
		}
	}
	for _, f := range append(slices.Clone(storeFigures), storeStated...) {
		if !strings.Contains(text, "| "+f.id+" | 2.60 s | 2.00 s |") {
			t.Errorf("document has no rounds of %q", f.id)
		}
	}
}

// An archive that its own catalogue would refuse is not what users have.
func TestSeededArchivesAreSound(t *testing.T) {
	store, err := stores.Open(t.Context(), "file://"+t.TempDir(), noVariable, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	cat, err := catalog.Open(store, "bench")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{stderr: io.Discard}
	now := time.Now().Truncate(time.Second)
	if err := b.seed(t.Context(), cat, now, 0, 30); err != nil {
		t.Fatal(err)
	}
	held := 0
	items, err := cat.KnowAll(t.Context(), cat.Names(t.Context()), func(it catalog.Item, k catalog.Known) {
		held += len(catalog.Lasting(k.Said, now))
		if k.Fault != nil || k.Verified != catalog.Content || it.Future(now) {
			t.Errorf("archive %s: %v, verified %q, future %t", it.ID, k.Fault, k.Verified, it.Future(now))
		}
	})
	if err != nil || len(items) != 30 || held != 3 {
		t.Errorf("seeded 30 archives, KnowAll told of %d, %d held, want 3: %v", len(items), held, err)
	}
}

func TestBenchRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, args := range [][]string{{}, {"-mb", "x"}, {"-heap-mb", "200 0"}, {"more"}, {"-rounds", "-1"}, {"-parts", "none"}, {"-parts", "stores", "-rounds", "0"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 10 || stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("bench %q exits with %d, says %q", args, code, &stderr)
		}
	}
}

// The sampler is compiled by scripts/bench.sh alone: a name that it shares with the program
// would be seen too late.
func TestSamplerFitsIntoTheProgram(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(root, "cmd/etcdsafe/sampler.go"): filepath.Join(root, "test/bench/sampler/sampler.go"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "vet", "-tags", "benchheap", "-overlay", path, "./cmd/etcdsafe")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go vet with the sampler: %v: %s", err, out)
	}
}
