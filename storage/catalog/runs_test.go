package catalog

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/etcdsafe/etcdsafe/storage/bucket"
)

// format1Run is the name of the record in testdata.
var format1Run = Record{Job: "snapshot", Slot: time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)}

// folder is a catalogue in a store of files.
func folder(t *testing.T) *Catalog {
	t.Helper()
	dir := t.TempDir()
	b, err := bucket.OpenFile(dir, bucket.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	store := bucket.New(b, "file://"+dir, bucket.Kind{})
	t.Cleanup(func() { store.Close() })
	c, err := Open(store, "prod")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// claimant is one of several processes that ask.
func claimant(t *testing.T) Run {
	t.Helper()
	holder, err := Holder(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Run{Started: noon, Runner: Runner{Host: "node", Pod: "etcdsafe-0"}, Holder: holder, Version: "dev"}
}

func put(t *testing.T, c *Catalog, key string) {
	t.Helper()
	if err := c.store.Put(t.Context(), key, strings.NewReader("x"), 1, false); err != nil {
		t.Fatal(err)
	}
}

func TestARecordOfFormat1IsReadAndWrittenTheSame(t *testing.T) {
	text := format1(t, "format1.run.json")
	r, err := DecodeRun(text, "example", format1Run)
	if err != nil || r.Line != "snapshot,verify" || r.Result != "partial" || r.ExitCode != 3 || r.Pod != "etcdsafe-0" || r.Finished.Sub(r.Started) != 9*time.Second {
		t.Errorf("record of format 1: %+v, %v", r, err)
	}
	if again, err := r.Encode(); err != nil || !bytes.Equal(again, text) {
		t.Errorf("Encode makes other bytes of it: %v\n%s", err, again)
	}
}

func TestARecordThatIsCutOrFlippedIsFound(t *testing.T) {
	text := format1(t, "format1.run.json")
	for n := range text {
		if _, err := DecodeRun(text[:n], "example", format1Run); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("record cut to %d: %v, want ErrCorrupt", n, err)
		}
	}
	for bit := range 8 * len(text) {
		p := bytes.Clone(text)
		p[bit/8] ^= 1 << (bit % 8)
		if _, err := DecodeRun(p, "example", format1Run); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("record with bit %d flipped: %v, want ErrCorrupt", bit, err)
		}
	}
}

// TestARecordIsReadByTheRulesOfAllDocuments: an unknown format and another's place are refused, an unknown
// field is not, and no more than the bound is read.
func TestARecordIsReadByTheRulesOfAllDocuments(t *testing.T) {
	at := Record{Job: "prune", Slot: noon}
	sound := Run{Format: 1, Cluster: "prod", Line: "prune", Job: "prune", Slot: noon}
	claim := sound
	claim.Job = ""
	for name, c := range map[string]struct {
		at   Record
		doc  any
		want error
	}{
		"sound": {at, sound, nil},
		"a later field": {at, struct {
			Format  int    `json:"format"`
			Sparkle string `json:"sparkle"`
			Run
		}{1, "new", sound}, nil},
		"a later format":     {at, Run{Format: 2, Cluster: "prod", Job: "prune", Slot: noon}, ErrFormat},
		"another cluster":    {at, Run{Format: 1, Cluster: "prod-2", Job: "prune", Slot: noon}, ErrCorrupt},
		"another job":        {Record{Job: "defrag", Slot: noon}, sound, ErrCorrupt},
		"another slot":       {Record{Job: "prune", Slot: noon.Add(time.Second)}, sound, ErrCorrupt},
		"a claim":            {Record{Line: "prune", Slot: noon}, claim, nil},
		"a claim as a run":   {at, claim, ErrCorrupt},
		"another line":       {Record{Line: "defrag", Slot: noon}, claim, ErrCorrupt},
		"a run as its claim": {Record{Line: "prune", Slot: noon}, sound, ErrCorrupt},
	} {
		text, err := encode(c.doc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeRun(text, "prod", c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: DecodeRun = %v, want %v", name, err, c.want)
		}
	}
	c, _ := memory(t)
	key := "prod/runs/prune/20261123T120000Z-0a1b.json"
	if err := c.store.Put(t.Context(), key, strings.NewReader(strings.Repeat(" ", maxDocument+1)), maxDocument+1, false); err != nil {
		t.Fatal(err)
	}
	all, err := c.Runs(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("Runs = %+v, %v, want one", all, err)
	}
	if _, err := c.ReadRun(t.Context(), all[0]); !errors.Is(err, ErrCorrupt) || !errors.Is(err, bucket.ErrTooLarge) {
		t.Errorf("ReadRun of more than the bound: %v, want ErrCorrupt and ErrTooLarge", err)
	}
}

func TestNamesOfRunsGoBothWaysAndSortByAge(t *testing.T) {
	word := rapid.StringMatching(`[a-z]{1,9}(-[a-z]{1,9})?`)
	rapid.Check(t, func(t *rapid.T) {
		k := keys{"prod"}
		draw := func(name string) Run {
			return Run{Line: strings.Join(rapid.SliceOfN(word, 1, 4).Draw(t, name+"line"), ","), Job: word.Draw(t, name+"job"),
				Slot: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, name), 0)}
		}
		a, b := draw("a"), draw("b")
		claim, err := k.claim(a)
		if got, ok := k.parseRun(claim); err != nil || !ok || got.Job != "" || got.Line != a.Line || !got.Slot.Equal(a.Slot) || bucket.CheckKey(claim) != nil {
			t.Fatalf("parseRun(%q) = %+v, %t, %v", claim, got, ok, err)
		}
		other, err := k.claim(b)
		if err != nil || a.Slot.Before(b.Slot) && claim >= other || (claim == other) != (a.Line == b.Line && a.Slot.Equal(b.Slot)) {
			t.Fatalf("%q and %q do not sort by age, or are one: %v", claim, other, err)
		}
		key, err := k.run(a, "0a1b")
		if a.Job == "claims" {
			return
		}
		if got, ok := k.parseRun(key); err != nil || !ok || got.Job != a.Job || got.Line != "" || !got.Slot.Equal(a.Slot) {
			t.Fatalf("parseRun(%q) = %+v, %t, %v", key, got, ok, err)
		}
	})
}

func TestWhatMakesNoNameOfARunIsRefused(t *testing.T) {
	c, _ := memory(t)
	far := time.Date(12026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, bad := range []Run{{Slot: noon}, {Job: "claims", Slot: noon}, {Job: "a/b", Slot: noon}, {Job: "..", Slot: noon}, {Job: "a,b", Slot: noon}, {Job: "prune", Slot: far}} {
		if err := c.PutRun(t.Context(), bad, "abcd"); !errors.Is(err, ErrBadName) {
			t.Errorf("PutRun of %q at %s: %v, want ErrBadName", bad.Job, bad.Slot, err)
		}
	}
	if err := c.PutRun(t.Context(), Run{Job: "prune", Slot: noon}, "xyz"); !errors.Is(err, ErrBadName) {
		t.Errorf("PutRun with a bad suffix: %v, want ErrBadName", err)
	}
	for _, bad := range []Run{{Slot: noon, Holder: "x"}, {Line: "a_b", Slot: noon, Holder: "x"}, {Line: "a,,b", Slot: noon, Holder: "x"}, {Line: "a/b", Slot: noon, Holder: "x"},
		{Line: "prune", Slot: far, Holder: "x"}, {Line: "prune", Slot: noon}} {
		if won, err := c.ClaimSlot(t.Context(), bad.Line, bad.Slot, bad); won || !errors.Is(err, ErrBadName) {
			t.Errorf("ClaimSlot of %q at %s for %q = %t, %v, want ErrBadName", bad.Line, bad.Slot, bad.Holder, won, err)
		}
	}
	if all, err := c.Runs(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("Runs = %+v, %v, want none", all, err)
	}
}

// TestOneOfAnyNumberOfClaimantsWins: each of 50 slots is claimed by 16 at once.
func TestOneOfAnyNumberOfClaimantsWins(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *Catalog{"memory": func(t *testing.T) *Catalog { c, _ := memory(t); return c }, "folder": folder} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			for round := range 50 {
				slot := noon.Add(time.Duration(round) * time.Minute)
				var runs [16]Run
				var won [16]bool
				var wait sync.WaitGroup
				start := make(chan struct{})
				for i := range runs {
					runs[i] = claimant(t)
					wait.Go(func() {
						<-start
						var err error
						if won[i], err = c.ClaimSlot(t.Context(), "snapshot,verify", slot, runs[i]); err != nil {
							t.Errorf("ClaimSlot = %v", err)
						}
					})
				}
				close(start)
				wait.Wait()
				winner := slices.Index(won[:], true)
				if winner < 0 || slices.Contains(won[winner+1:], true) {
					t.Fatalf("of 16 who claimed %s, these won: %v; want one", slot, won)
				}
				wantHolder(t, c, round+1, runs[winner].Holder)
			}
		})
	}
}

// wantHolder fails unless there are n claims, and the newest is that holder's.
func wantHolder(t *testing.T, c *Catalog, n int, holder string) {
	t.Helper()
	all, err := c.Runs(t.Context())
	if err != nil || len(all) != n {
		t.Fatalf("Runs = %d, %v, want %d", len(all), err, n)
	}
	if got, err := c.ReadRun(t.Context(), all[n-1]); err != nil || got.Holder != holder {
		t.Errorf("the claim is %q's, %v, want %q's", got.Holder, err, holder)
	}
}

// TestAClaimBelongsToItsLineAndSlot: another line's, another slot's and one in another zone's words.
func TestAClaimBelongsToItsLineAndSlot(t *testing.T) {
	c, _ := memory(t)
	mine := claimant(t)
	ask := func(line string, slot time.Time, r Run) bool {
		won, err := c.ClaimSlot(t.Context(), line, slot, r)
		if err != nil {
			t.Errorf("ClaimSlot(%q, %s) = %v", line, slot, err)
		}
		return won
	}
	east := noon.In(time.FixedZone("east", 3600))
	got := []bool{ask("prune", noon, mine), ask("prune", noon, claimant(t)), ask("prune", east.Add(time.Millisecond), claimant(t)), ask("prune", noon, mine),
		ask("defrag", noon, claimant(t)), ask("prune,defrag", noon, claimant(t)), ask("prune", noon.Add(time.Second), claimant(t))}
	if want := []bool{true, false, false, true, true, true, true}; !slices.Equal(got, want) {
		t.Errorf("the claims won: %v, want %v", got, want)
	}
}

// TestTheLastOfEachIsToldByNames: the newest, and none that is ahead of the store's clock or ours.
func TestTheLastOfEachIsToldByNames(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *Catalog{"memory": func(t *testing.T) *Catalog { c, _ := memory(t); return c }, "folder": folder} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			now := time.Now().UTC().Truncate(time.Second)
			want := func(when string, want time.Time) {
				t.Helper()
				for of, ask := range map[string]func() (time.Time, error){
					"LastSnapshot": func() (time.Time, error) { return c.LastSnapshot(t.Context()) },
					"LastReceipt":  func() (time.Time, error) { return c.LastReceipt(t.Context()) },
					"LastRun":      func() (time.Time, error) { return c.LastRun(t.Context(), "prune") },
				} {
					if got, err := ask(); err != nil || !got.Equal(want) {
						t.Errorf("%s: %s = %s, %v, want %s", when, of, got, err, want)
					}
				}
			}
			want("where nothing lies", time.Time{})
			for i, at := range []time.Time{now.Add(-time.Hour), now, now.Add(-2 * time.Hour), now.Add(time.Hour)} {
				m := commit(t, c, sample(t, at, int64(i+1)))
				// The receipt of an old archive may be the newest.
				r := Receipt{Archive: m.ID, Level: Stored, Cluster: "prod", Finished: []time.Time{now, now.Add(-time.Hour), now.Add(-2 * time.Hour), now.Add(time.Hour)}[i]}
				if err := c.PutReceipt(t.Context(), r, "0a1b"); err != nil {
					t.Fatal(err)
				}
				if err := c.PutRun(t.Context(), Run{Job: "prune", Line: "prune", Slot: at}, "0a1b"); err != nil {
					t.Fatal(err)
				}
			}
			// None of these is a run of prune, or a receipt.
			far := noon.Add(-time.Hour).AddDate(-1, 0, 0)
			if err := c.PutRun(t.Context(), Run{Job: "prune-all", Slot: now.Add(time.Minute)}, "0a1b"); err != nil {
				t.Fatal(err)
			}
			if won, err := c.ClaimSlot(t.Context(), "prune", now.Add(time.Minute), claimant(t)); err != nil || !won {
				t.Fatal(won, err)
			}
			stray := now.Add(time.Minute).Format(stamp)
			for _, key := range []string{"prod/runs/prune/" + stray + "-0a1b.txt", "prod/runs/prune/" + stray + "-0a1b.json.minisig", "prod/runs/claims/" + stray + "-0a1b.json", "prod/runs/prune/x/" + stray + "-0a1b.json",
				"prod/receipts/x/" + stray + "-stored-0a1b.json", "prod-2/runs/prune/" + stray + "-0a1b.json"} {
				put(t, c, key)
			}
			want("by the store's clock", now)
			c.Now = func() time.Time { return now.Add(-4 * time.Minute) }
			want("by a clock that is four minutes behind", now)
			c.Now = func() time.Time { return now.Add(-10 * time.Minute) }
			want("by a clock that is ten minutes behind", now.Add(-time.Hour))
			c.Now = func() time.Time { return far }
			want("by a clock that is a year behind", time.Time{})
			if all, err := c.Runs(t.Context()); err != nil || len(all) != 6 {
				t.Errorf("Runs = %+v, %v, want 6", all, err)
			}
		})
	}
}

// TestOnlyRecordsOfRunsAreRemoved: by a Pruner, and once more where one is gone.
func TestOnlyRecordsOfRunsAreRemoved(t *testing.T) {
	c, _ := memory(t)
	if err := c.PutRun(t.Context(), Run{Job: "prune", Slot: noon}, "0a1b"); err != nil {
		t.Fatal(err)
	}
	all, err := c.Runs(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("Runs = %+v, %v, want one", all, err)
	}
	p := NewPruner(c)
	for range 2 {
		if err := p.RemoveRecord(t.Context(), all[0]); err != nil {
			t.Errorf("RemoveRecord = %v", err)
		}
	}
	if left, err := c.Runs(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("Runs = %+v, %v, want none", left, err)
	}
	m := commit(t, c, sample(t, noon, 1))
	for _, key := range []string{c.keys.manifest(m.ID), "prod-2/runs/prune/20261123T120000Z-0a1b.json", "prune/20261123T120000Z-0a1b.json", "prod/runs/notes.txt", ""} {
		if err := p.RemoveRecord(t.Context(), Record{Object: bucket.Object{Key: key}}); !errors.Is(err, ErrBadName) {
			t.Errorf("RemoveRecord of %q: %v, want ErrBadName", key, err)
		}
	}
}
