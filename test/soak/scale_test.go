package soak

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scale is how much of everything a run does.
type scale struct {
	snapshotKills, restoreKills int
	hitsEach                    int    // kills in each stage, at least
	killBytes                   string // of the database, so large that each stage lasts
	flips                       int    // in each kind of object
	interleavings               int
	defrags, noSpacePairs       int
	noSpaceAtOnce, lockStarts   int
	cutDefrag                   time.Duration // of the defragmentation whose connection is cut
	replicas                    time.Duration // in which leaders are struck
	memoryBytes                 string        // of the database
	memoryLimit                 int64
}

// The three sizes: what the issue asks for; go test; go test -short.
var (
	whole = scale{snapshotKills: 100, restoreKills: 50, hitsEach: 5, killBytes: "64Mi", flips: 100, interleavings: 200, defrags: 100, noSpacePairs: 20, noSpaceAtOnce: 20, lockStarts: 100, cutDefrag: 30 * time.Second, replicas: 30 * time.Minute,
		memoryBytes: "2Gi", memoryLimit: 256 << 20}
	part = scale{snapshotKills: 12, restoreKills: 10, hitsEach: 1, killBytes: "64Mi", flips: 10, interleavings: 8, defrags: 1, noSpacePairs: 1, noSpaceAtOnce: 8, lockStarts: 4, cutDefrag: 6 * time.Second, replicas: time.Minute,
		memoryBytes: "200Mi", memoryLimit: 64 << 20}
	short = scale{snapshotKills: 4, restoreKills: 3, hitsEach: 0, killBytes: "24Mi", flips: 3, interleavings: 3, defrags: 1, noSpacePairs: 1, lockStarts: 2, cutDefrag: 6 * time.Second,
		memoryBytes: "64Mi", memoryLimit: 96 << 20}
)

// scaleOf goes by ETCDSAFE_SOAK: 1 is the whole, and 0.2 a fifth of its counts, on the same
// databases.
func scaleOf(t *testing.T) scale {
	t.Helper()
	text, given := os.LookupEnv("ETCDSAFE_SOAK")
	switch {
	case given:
	case testing.Short():
		return short
	default:
		return part
	}
	share, err := strconv.ParseFloat(text, 64)
	if err != nil || share <= 0 || share > 1 {
		t.Fatalf("ETCDSAFE_SOAK is %q, want a number above 0 and up to 1", text)
	}
	s := whole
	for _, n := range []*int{&s.snapshotKills, &s.restoreKills, &s.flips, &s.interleavings, &s.defrags, &s.noSpacePairs, &s.noSpaceAtOnce, &s.lockStarts} {
		*n = int(math.Ceil(float64(*n) * share))
	}
	s.hitsEach = int(float64(s.hitsEach) * share)
	s.replicas = time.Duration(float64(s.replicas) * share)
	return s
}

// summary keeps the figures of one part, where ETCDSAFE_SOAK_SUMMARY names a folder for them.
// They are kept too when the test failed.
type summary struct {
	t     *testing.T
	lines []string
}

func newSummary(t *testing.T, part string) *summary {
	s := &summary{t: t}
	t.Cleanup(func() {
		text := strings.Join(s.lines, "\n") + "\n"
		t.Logf("figures:\n%s", text)
		dir := os.Getenv("ETCDSAFE_SOAK_SUMMARY")
		if dir == "" || len(s.lines) == 0 {
			return
		}
		if err := os.WriteFile(filepath.Join(dir, part+".md"), []byte(text), 0o644); err != nil {
			t.Errorf("keep the figures: %v", err)
		}
	})
	return s
}

func (s *summary) add(line string) { s.lines = append(s.lines, line) }
