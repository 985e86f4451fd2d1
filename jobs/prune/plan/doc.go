// Package plan decides which archives prune removes, and gives every reason.
//
//	archives ─▶ trusted? labelled? ─▶ per cluster id: newest, verified, floor, rules ─▶ caps ─▶ locks ─▶ verdicts
//	                              └─▶ rails ─▶ refusals
//
// A plan is a pure function: no store, no clock, no chance, and the same for any order of its
// input. The package removes nothing; Plan.Removals gives the ids, and none where a rail tripped.
//
// Two things make it safe beside a store whose lists are late. What a keep rule, the floor, the
// newest, the newest verified and the newest opened keep, they keep in each part of the same list too,
// so a list that misses archives removes fewer and never others. The hold of an earlier cluster id is the
// exception: who does not see the next id does not know of the hold. And where two clocks are
// given, each age is told by the one that removes less.
package plan
