// Package jobs holds what every job's report begins with. The jobs themselves are the packages
// below it; none imports another.
//
//	snapshot   takes a snapshot, proves it, seals it, stores it, reads it back, commits it
//	verify     opens archives again and writes receipts
//	restore    makes a data folder of an archive
//
// Log attributes come from one list: job cluster member archive revision bytes took err, and
// store, stage, depth, reason, version, settings, members, quorum, line, slot, run, exitCode, address, stack, child where a line needs them. Messages are constant and in the past
// tense.
package jobs
