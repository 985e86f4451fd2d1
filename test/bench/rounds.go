package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// A dataset is all that was measured over one database.
type dataset struct {
	kind           string
	db             database
	series         map[string]*series
	snapshotStages pair
	restoreStages  pair
}

// series are the values of one figure, one for each round.
type series struct{ ours, theirs []float64 }

func (s *series) addOurs(v float64)   { s.ours = append(s.ours, v) }
func (s *series) addTheirs(v float64) { s.theirs = append(s.theirs, v) }

func (d *dataset) of(figure string) *series {
	if d.series == nil {
		d.series = map[string]*series{}
	}
	if d.series[figure] == nil {
		d.series[figure] = &series{}
	}
	return d.series[figure]
}

// pair are the stages of both sides: ours by the time since the start, theirs by what each took.
type pair struct{ ours, theirs stages }

// stages are where time goes, in their order.
type stages struct {
	names  []string
	values map[string][]float64
}

func (s *stages) add(name string, v float64) {
	if s.values == nil {
		s.values = map[string][]float64{}
	}
	if s.values[name] == nil {
		s.names = append(s.names, name)
	}
	s.values[name] = append(s.values[name], v)
}

// median of no values is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// timed measures all figures over a database of one kind.
func (b *bench) timed(ctx context.Context, kind string) (d dataset, err error) {
	d.kind = kind
	s, err := b.startServer(ctx)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	b.say("filling a database of %d MB with %s", b.megabytes, kind)
	if d.db, err = b.fill(ctx, s, kind, b.megabytes); err != nil {
		return d, err
	}
	b.say("warming up")
	if err := b.round(ctx, s, &dataset{}); err != nil {
		return d, err
	}
	for i := range b.rounds {
		b.say("%s, round %d of %d", kind, i+1, b.rounds)
		if err := b.round(ctx, s, &d); err != nil {
			return d, fmt.Errorf("round %d over %s: %w", i+1, kind, err)
		}
	}
	return d, errors.Join(os.RemoveAll(b.path(ours)), os.RemoveAll(b.path(theirs)))
}

// round measures everything once, ours and theirs in turn.
func (b *bench) round(ctx context.Context, s *server, d *dataset) error {
	if err := b.measureOurSnapshot(ctx, s, d); err != nil {
		return err
	}
	if err := b.measureTheirSnapshot(ctx, s, d); err != nil {
		return err
	}
	if err := b.measureOurRestore(ctx, d); err != nil {
		return err
	}
	return b.measureTheirRestore(ctx, d)
}
