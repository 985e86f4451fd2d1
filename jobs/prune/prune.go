package prune

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/prune/plan"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// ErrOtherPlan marks a plan that is not the one that a person agreed to.
var ErrOtherPlan = errors.New("the plan is another by now")

// Config says by what policy to prune, and where.
type Config struct {
	Cluster string
	Stores  catalog.Stores
	Policy  plan.Policy
	Only    []catalog.ID // these alone; empty: what the policy says
	Reason  string       // why, where Only is set; logged
	// PlanHash, where it is set, is that of the plan that is to be carried out, and no other.
	PlanHash string
	// GarbageAfter is how old, by the store's clock, what belongs to no archive must be.
	GarbageAfter time.Duration
	// Between is the time between the two LISTs on which caps decide.
	Between time.Duration
	// ExtendLocks is for how long, from now, each archive that is kept is locked at least; 0: as it is.
	ExtendLocks time.Duration
	DryRun      bool
	Now         func() time.Time
	Random      io.Reader
	Log         *slog.Logger
}

// Report is what a run planned and did.
type Report struct {
	jobs.Report
	PlanHash string        `json:"planHash"` // of all stores' plans
	Plan     []Item        `json:"plan"`
	Stores   []StoreReport `json:"stores"`
}

// Item is the verdict on one archive in one store, and what came of it.
type Item struct {
	plan.Item
	Store  string      `json:"store"`
	Result jobs.Result `json:"result,omitempty"` // of a removal
	Error  string      `json:"error,omitempty"`
}

// StoreReport is how it ended in one store.
type StoreReport struct {
	URL      string      `json:"url"`
	Result   jobs.Result `json:"result"`
	Error    string      `json:"error,omitempty"`
	PlanHash string      `json:"planHash,omitempty"`
	Removed  int         `json:"removed"`
	Extended int         `json:"extended,omitempty"` // archives that are locked for ExtendLocks
	Bytes    int64       `json:"bytes"`              // that removals took
	Hidden   bool        `json:"hidden"`             // the store keeps versions: they are hidden, not freed
	Garbage  []Garbage   `json:"garbage"`

	RunsRemoved int `json:"runsRemoved"` // records of runs and claims; in a dry run: that would go
}

// Garbage is what belongs to no archive.
type Garbage struct {
	Name   string      `json:"name"` // an id, or an object's name
	What   string      `json:"what"`
	Bytes  int64       `json:"bytes"`
	Since  time.Time   `json:"since"`
	Result jobs.Result `json:"result"` // skipped: too young; due: it would go, and was not come to
	Error  string      `json:"error,omitempty"`
}

// Run prunes. The report is filled as far as the run came; the caller ends it. The error wraps the
// sentinels of plan, ErrOtherPlan, those of bucket and catalog (ErrNone where nothing lies under the
// cluster's name), or the cause of ctx. Stores that did not answer are no error where others did: the
// report says so.
func Run(ctx context.Context, c Config) (Report, error) {
	r := &run{Config: c, report: Report{Plan: []Item{}, Stores: []StoreReport{},
		Report: jobs.Report{Job: "prune", Cluster: c.Cluster, DryRun: c.DryRun, Started: c.Now().UTC()}}}
	err := r.do(ctx)
	return r.report, err
}

type run struct {
	Config
	report Report
	plans  []*planned // one of each store
}

func (r *run) do(ctx context.Context) error {
	if err := r.Policy.Check(); err != nil {
		return err
	}
	for _, store := range r.Stores {
		p := &planned{run: r, store: catalog.NewPruner(store), report: StoreReport{URL: store.URL(), Result: jobs.OK, Garbage: []Garbage{}}}
		p.err = p.look(ctx)
		r.plans = append(r.plans, p)
	}
	r.refuseNothing()
	for _, p := range r.plans {
		if p.err == nil {
			p.err = p.make(ctx)
		}
	}
	plans := r.plans
	r.report.PlanHash = hashOf(plans)
	if ctx.Err() == nil && r.PlanHash != "" && r.PlanHash != r.report.PlanHash {
		err := fmt.Errorf("plan has hash %s, agreed was %s: %w", r.report.PlanHash, r.PlanHash, ErrOtherPlan)
		return errors.Join(err, r.conclude(plans, false))
	}
	for _, p := range plans {
		if p.err == nil && !r.DryRun && ctx.Err() == nil {
			p.err = p.apply(ctx)
		}
		if p.err == nil && ctx.Err() == nil {
			p.boundRuns(ctx)
		}
	}
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), r.conclude(plans, false))
	}
	return r.conclude(plans, true)
}

// refuseNothing fails each store where none that answers holds anything. One that is empty beside
// others may be new.
func (r *run) refuseNothing() {
	if slices.ContainsFunc(r.plans, func(p *planned) bool { return p.err == nil && !p.isEmpty() }) {
		return
	}
	for _, p := range r.plans {
		if p.err == nil {
			p.err = fmt.Errorf("prune %q in %s: nothing lies under that name: %w", r.Cluster, p.report.URL, catalog.ErrNone)
		}
	}
}

// hashOf is the plan's own where there is one store, else one over all.
func hashOf(plans []*planned) string {
	if len(plans) == 1 {
		return plans[0].plan.Hash
	}
	h := sha256.New()
	for _, p := range plans {
		fmt.Fprintf(h, "%s %s\n", p.report.URL, p.plan.Hash)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// conclude fills in the report. Where forgive, stores that did not answer are blamed, not failed
// for, if others did.
func (r *run) conclude(plans []*planned, forgive bool) error {
	var faults, down []error
	var blamed []string
	for _, p := range plans {
		if p.err != nil {
			p.report.Result, p.report.Error = jobs.Failed, jobs.OneLine(p.err)
			if errors.Is(p.err, bucket.ErrUnavailable) && p.plan.Err() == nil {
				down, blamed = append(down, p.err), append(blamed, p.told())
			} else {
				faults = append(faults, p.err)
			}
		}
		r.report.Stores = append(r.report.Stores, p.report)
		r.report.Plan = append(r.report.Plan, p.items()...)
		for _, w := range p.plan.Warnings {
			r.report.Warnings = append(r.report.Warnings, p.report.URL+": "+w)
		}
	}
	if !forgive || len(down) == len(plans) {
		return errors.Join(append(faults, down...)...)
	}
	for _, why := range blamed {
		r.report.Blame(jobs.CauseStore, why)
	}
	return errors.Join(faults...)
}

// told is what a person must know of a store that did not answer.
func (p *planned) told() string {
	if !p.silent {
		return jobs.OneLine(p.err)
	}
	return jobs.OneLine(p.err) + "; holds that lie in this store alone were not known, and kept nothing in the others"
}
