// Package rule decides from a member's sizes whether a defragmentation would pay.
//
//	text ─ parse ─▶ tree ─ strict ─▶ tree of doubles ─ check, plan ─▶ Rule
//	                                       a member's Numbers ─▶ Rule.Decide ─▶ yes, no, cannot decide
//
// A rule is an expression of CEL in the names that etcd-defrag gave its variables, and one more:
//
//	dbSize         bytes of the database file
//	dbSizeInUse    bytes of it that hold data
//	dbSizeFree     dbSize - dbSizeInUse, never below 0
//	dbQuota        bytes that the member may grow to
//	dbQuotaUsage   dbSize / dbQuota
//	fragmentation  dbSizeFree / dbSize, 0 to 1
//
// It has numbers, true and false, + - * / %, < <= > >= == !=, ! && ||, and ?:, and nothing else.
// All numbers are doubles, those written as integers too: 100*1024*1024*1024*1024 does not
// overflow, 80/100 is 0.8, and each number may be compared with each.
//
// CEL lets "true || 1/0 > 1" be true, and "1/0 > 1 || true" as well: an error in one branch is
// forgotten where the other decides. For something that stops a member that is not good enough:
// a rule whose numbers do not make sense is a rule that somebody thought out wrongly. So here
// every operator is strict. All branches are computed, also those that cannot change the
// result, and one NaN, one infinity or one division by zero anywhere makes the whole rule
// undecided. The order of the operands of || therefore never matters, and a guard such as
// "dbQuota > 0 && dbSize/dbQuota > 0.8" guards nothing: multiply instead, "dbSize > dbQuota*0.8".
// Likewise a name whose number is unknown makes each rule undecided that holds it, wherever.
//
// The package knows no clock, no network and no etcd, and acts on nothing.
package rule
