// Package copy fills the gaps between stores: archives that one has and another lacks, or has
// without its bytes.
//
//	stores ─ choose ─▶ sealed bytes ─▶ spool, SHA-256 ─▶ upload ─ read back ─▶ manifest, byte for byte
//
// It opens nothing and needs no key. Holds go along, to archives that are there already too; receipts
// stay where they are: they tell of one store's copy. Bytes of a wrong size are told and left: only
// who may delete can mend that.
package copy
