// Package restore makes an etcd data folder of an archive, or fetches one.
//
//	store or file ─ open ─▶ unlinked spool ─ etcd's library ─▶ .<target>.etcdsafe-… ─ check ─ sync ─ rename ─▶ target
//
// Until the rename nothing lies under the final name. A target that is not empty is refused, or
// moved aside when told so; nothing is ever deleted but what this run made itself. Before the
// rename the new folder is opened again and must hold the keys, the revision and the HashKV
// that the manifest promises.
//
// The job needs no cluster and no lock: it runs on each member's machine with etcd down. It
// refuses a folder whose database a running etcd holds.
package restore
