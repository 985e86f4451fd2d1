// Package prune removes old archives by a plan that explains itself.
//
//	each store: LIST ─▶ manifests, receipts, holds of all stores ─▶ plan ─▶ rails ─▶ look again ─▶ manifest, archive, the rest
//
// Where a plan was carried out, the record of runs is bounded too (runs.go).
//
// All stores are planned before anything is removed in one of them. A store whose plan is refused,
// or that does not answer, loses nothing; the others go on. It holds no key, and a dry run needs no
// right to delete, nor to write.
package prune
