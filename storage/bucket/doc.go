// Package bucket stores whole objects or nothing.
//
//	Upload:  source ─count→ gocloud writer ─→ object, created under a free key
//	           └ fault ─→ cancel the writer, then fail: nothing becomes visible
//	Open:    object ─count→ reader          List: pages of 1000 ─→ keys in order
//
// It stands between the catalog and gocloud.dev/blob, whose own Upload publishes what it
// has when a reader breaks off, and whose file driver neither syncs nor keeps its promise to
// create only. So file stores are served by a driver of our own, OpenFile, which writes beside
// the target, syncs, links and syncs the folder.
//
// What a kind of store says may pass is tried again, uploads too where their bytes can be read
// again (Put); a reader that the store broke off goes on where it was; a store that takes or gives
// less than 64 KiB a second is given up. There is no deadline for a whole object.
//
// It never overwrites, never deletes, and knows nothing of archives, of etcd and of jobs. It opens
// no cloud: cmd/etcdsafe/stores does.
package bucket
