// Package cron says when jobs run, and begins them: the semantics of a Kubernetes CronJob, inside one process.
//
//	Parse ─▶ Line ─ Decide(now, since, running) ─▶ begin, stop, wait, miss
//	                        ▲
//	Scheduler: clock ─ lines ─ lead ─ runs that ended
//
// A line is a list of jobs and a schedule. A slot is a time at which its schedule says so; its run is due a
// little later, by the cluster's name, so that a thousand clusters do not begin at once. What a line does at an
// instant is a pure function of that instant, the last slot that was settled, and whether it runs (Decide). The
// Scheduler asks it, with a clock that tests turn.
//
// Where clocks change it departs from CronJob, on purpose (see Schedule).
//
// It never runs a job itself, never looks at a store, and knows nothing of etcd: Run and Lead are given to it.
package cron
