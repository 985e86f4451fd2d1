// Package defrag gives back the free pages of members' databases, one member at a time, without ever
// hurting the cluster.
//
//	look ─ rule, over time ─▶ lock ─▶ ┌ look ─ objections ─ lead away ─ prove the lock ─ Defragment ─ follow ─▶ note ┐ ─▶ disarm
//	                                  └──────────────────── wait, and health ────────────────────────────────────────┘
//
// A member that defragments serves nobody, and goes on when its client is gone. So the cluster is
// looked at as a whole before each step, a step is never given up by a clock, never sent twice, and
// the first that does not end well is the last.
package defrag
