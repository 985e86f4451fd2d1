// Package catalog says which archives exist.
//
// An archive exists if and only if its manifest does. The manifest is written last, once, and
// never changed; one LIST of manifests/ is the catalogue.
//
//	Publish ───▶ archives/<id>.db.zst.age
//	Commit     ─▶ manifests/<id>.json             the archive exists from here on
//	PutReceipt ─▶ receipts/<id>/<time>-….json     one per verification
//	ClaimSlot  ─▶ runs/claims/<slot>-<line>.json  one process's word that it does what is due
//	PutRun     ─▶ runs/<job>/<slot>-….json        what came of it
//
// The package knows objects and their names, not etcd and not keys. It never removes anything
// and never believes a document whose own SHA-256 does not fit.
package catalog
