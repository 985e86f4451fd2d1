#!/usr/bin/env bash
# Fails on an import that the layout forbids.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/imports.sh

Checks who imports whom: cmd → jobs/* → storage/*, no job another job, and each of the
libraries below by its own package alone. Tests may import more: etcdtest, storetest, tools.
Nothing but tests and what they are made of imports test/child.
USAGE
}

[[ ${1:-} == -h || ${1:-} == --help ]] && { usage; exit; }
cd "$(dirname "$0")/.."
module=github.com/etcdsafe/etcdsafe

# imported PACKAGES: lines "FROM TO", the module's own packages by their path in the tree. What
# only tests import is not among them.
imported() {
	# shellcheck disable=SC2016 # a Go template
	go list -f '{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}' "$@" |
		sed -e "s#$module/##g" -e '/^$/d'
}

edges=$(imported ./cmd/... ./jobs/... ./storage/...)
faults=0

# forbid WHO WHAT WHY: regular expressions over FROM and TO.
forbid() {
	local found
	found=$(awk -v from="$1" -v to="$2" '$1 ~ from && $2 ~ to' <<<"$edges")
	if [[ -n $found ]]; then
		printf 'imports: %s:\n%s\n' "$3" "$found" >&2
		faults=1
	fi
}

# only OWNER WHAT WHY: nobody but OWNER imports WHAT.
only() {
	local found
	found=$(awk -v owner="$1" -v to="$2" '$1 !~ owner && $2 ~ to' <<<"$edges")
	if [[ -n $found ]]; then
		printf 'imports: %s:\n%s\n' "$3" "$found" >&2
		faults=1
	fi
}

forbid '^storage/' '^(jobs|cmd)' 'storage imports neither jobs nor cmd'
forbid '^jobs' '^cmd' 'jobs do not import cmd'
forbid '^storage/archive' '^storage/(bucket|catalog)' 'archive knows bytes alone'
forbid '^storage/archive' '^(net|net/http|gocloud.dev)(/|$)' 'archive knows no network'
forbid '^storage/bucket' '^storage/(archive|catalog)' 'bucket knows objects alone'
forbid '^jobs/(snapshot|verify|prune|defrag|restore)$' '^jobs/(snapshot|verify|prune|defrag|restore|demo)$' 'a job imports no other job'
forbid '^jobs/(etcd|lock|kube)' '^jobs/(snapshot|verify|prune|defrag|restore|demo)$' 'what jobs stand on imports no job'

only '^jobs/etcd(/etcdtest)?$' '^(go.etcd.io/etcd/(client|api)/|google.golang.org/grpc)' 'only jobs/etcd imports the etcd client'
only '^jobs/etcd/dbfile$' '^go.etcd.io/(bbolt|etcd/(server|etcdutl))' 'only jobs/etcd/dbfile imports bbolt and the etcd server'
only '^jobs/defrag/rule$' '^cel.dev' 'only jobs/defrag/rule imports CEL'
only '^jobs/(lock|kube)' '^k8s.io/client-go' 'only jobs/lock and jobs/kube import client-go'
only '^storage/archive' '^(filippo.io/age|github.com/klauspost)' 'only storage/archive imports age and zstd'
only '^storage/bucket|^cmd/etcdsafe/stores$' '^gocloud.dev' 'only storage/bucket and cmd/etcdsafe/stores import gocloud'
only '^storage/bucket/storetest$|^cmd/etcdsafe/stores$' '^(github.com/(aws|Azure)|cloud.google.com|google.golang.org/api)/' 'only cmd/etcdsafe/stores and storetest import the clouds'
only '^jobs/lock/kubetest$' '/(etcdtest|buckettest|storetest|kubetest)$' 'nothing but tests, and kubetest, imports what tests are made of'
only '^cmd/' '^(github.com/spf13|github.com/kelseyhightower|github.com/robfig|gocloud.dev/blob/(mem|file|s3|gcs|azure)blob)' 'only cmd imports envconfig, cobra, cron and the bucket drivers'
only '^cmd/etcdsafe$' '^os/signal$' 'only cmd sees signals'

# What stands beside the program is free in its imports, but for this.
edges+=$'\n'$(imported ./test/...)
only '^(jobs/etcd/etcdtest|jobs/lock/kubetest|storage/bucket/storetest|test/node)$' '^test/child$' 'nothing but tests, etcdtest, kubetest, storetest and test/node imports test/child'
only '^$' '^test/doomed$' 'nothing but tests imports test/doomed'
forbid '^test/(child|doomed)$' '^(cmd|jobs|storage)(/|$)' 'what tests are made of under test/ knows nothing of the program'

exit "$faults"
