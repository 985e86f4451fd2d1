package plan

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/catalog"
	"github.com/etcdsafe/etcdsafe/test/child"
)

const (
	resticPolicies = 120
	resticSets     = 5 // each policy is one case with each set of archives
)

// TestBucketsAreThoseOfRestic asks restic 0.18.1 what `forget` would keep in 600 random cases,
// and why, in time zones with and without summer time.
func TestBucketsAreThoseOfRestic(t *testing.T) {
	restic := child.Tool(t, "restic", "restic")
	r := rand.New(rand.NewPCG(18, 1))
	oldest, kept := 0, 0
	for _, zone := range []string{"UTC", "Europe/Berlin", "Asia/Kathmandu"} {
		in, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		repo := newResticRepo(t)
		sets := map[string][]Archive{}
		for n := range resticSets {
			tag := fmt.Sprintf("set%d", n)
			sets[tag] = randomSet(r, in)
			for i := range sets[tag] {
				sets[tag][i].ID = catalog.ID(repo.snapshot(t, sets[tag][i].Time, tag))
			}
		}
		for range resticPolicies / 3 {
			p, args := randomPolicy(r, in)
			groups := forget(t, restic, repo.dir, args)
			if len(groups) != resticSets {
				t.Fatalf("restic told of %d groups, want %d", len(groups), resticSets)
			}
			for _, g := range groups {
				archives := sets[g.Tags[0]]
				now := archives[0].Time
				plan := mustMake(t, Input{Archives: archives, Policy: p, Now: now, StoreNow: now})
				want := g.reasons()
				kept += len(want)
				for _, item := range plan.Archives {
					got := asRestic(item)
					oldest += strings.Count(want[string(item.ID)], "oldest")
					if got != want[string(item.ID)] {
						t.Fatalf("restic forget %s, in %s: archive of %s: %q, restic says %q", strings.Join(args, " "), zone, item.Time, got, want[string(item.ID)])
					}
				}
			}
		}
	}
	if oldest < 20 || kept < 2000 {
		t.Errorf("restic kept %d in all, %d of them as the oldest: the cases show too little", kept, oldest)
	}
}

// randomSet are about 40 archives before 2024, newest first. Gaps are small and large, so that
// buckets are full, single and empty; half of them end around New Year, where ISO weeks are odd.
func randomSet(r *rand.Rand, in *time.Location) []Archive {
	when := time.Date(2015+r.IntN(8), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), 0, in)
	if r.IntN(2) == 0 {
		when = time.Date(when.Year(), 1, 1+r.IntN(8), r.IntN(24), 0, 0, 0, in)
	}
	scale := []time.Duration{20 * time.Minute, 5 * hour, 30 * hour, 20 * day24, 200 * day24}
	var out []Archive
	for range 30 + r.IntN(21) {
		out = append(out, Archive{Cluster: "c1", Time: when, Keys: -1, Trust: Trusted})
		when = when.Add(-time.Second - time.Duration(r.Int64N(int64(scale[r.IntN(len(scale))])))).Truncate(time.Second)
	}
	return out
}

// randomPolicy has at least one rule, and is the same for restic.
func randomPolicy(r *rand.Rand, in *time.Location) (Policy, []string) {
	p := Policy{Location: in}
	var args []string
	counts := []*int{&p.KeepLast, &p.KeepHourly, &p.KeepDaily, &p.KeepWeekly, &p.KeepMonthly, &p.KeepYearly}
	for i, name := range []string{"last", "hourly", "daily", "weekly", "monthly", "yearly"} {
		switch n := []int{0, 0, 1, 2, 3, 5, 12, 40, All}[r.IntN(9)]; n {
		case 0:
			continue
		case All:
			args = append(args, "--keep-"+name, "unlimited")
			*counts[i] = n
		default:
			args = append(args, "--keep-"+name, strconv.Itoa(n))
			*counts[i] = n
		}
	}
	if days := r.IntN(60); r.IntN(3) == 0 || len(args) == 0 {
		p.KeepWithin = time.Duration(days)*day24 + 5*hour
		args = append(args, "--keep-within", fmt.Sprintf("%dd5h", days))
	}
	return p, args
}

// forgotten is a group of restic's answer, as far as it matters here.
type forgotten struct {
	Tags    []string
	Reasons []struct {
		Snapshot struct{ ID string }
		Matches  []string
	}
}

func forget(t *testing.T, restic, dir string, args []string) []forgotten {
	t.Helper()
	cmd := exec.Command(restic, append([]string{"forget", "--repo", dir, "--no-cache", "--no-lock", "--dry-run", "--json", "--group-by", "tags"}, args...)...)
	cmd.Env = []string{"RESTIC_PASSWORD=" + resticPassword, "HOME=" + dir}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("restic forget %q: %v\n%s", args, err, said(err))
	}
	var groups []forgotten
	if err := json.Unmarshal(out, &groups); err != nil {
		t.Fatalf("restic forget %q: %v\n%s", args, err, out)
	}
	return groups
}

func said(err error) []byte {
	if e, ok := err.(*exec.ExitError); ok { //nolint:errorlint // exec's own, not wrapped
		return e.Stderr
	}
	return nil
}

// reasons of each snapshot that is kept, in order of the text: "daily oldest within".
func (f forgotten) reasons() map[string]string {
	out := map[string]string{}
	for _, r := range f.Reasons {
		out[r.Snapshot.ID] = kinds(r.Matches)
	}
	return out
}

// asRestic leaves out what restic does not know. What is not kept has no reasons.
func asRestic(item Item) string {
	if item.Verdict != Keep {
		return ""
	}
	return kinds(slices.DeleteFunc(slices.Clone(item.Reasons), func(r string) bool { return r == "newest" }))
}

// kinds are the first words of reasons.
func kinds(reasons []string) string {
	var out []string
	for _, r := range reasons {
		out = append(out, strings.Fields(r)[0])
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}
