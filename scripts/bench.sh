#!/usr/bin/env bash
# Measures speed and memory against etcdctl, zstd, age, etcdutl and the AWS SDK, side by side.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/bench.sh

Builds etcdsafe and the pinned tools, starts etcd on loopback, fills it, and runs both sides
in turn; then versitygw, with 10,000 archives. Prints the tables and writes them to
test/bench/RESULTS.md and STORES.md. What bounds each figure is read from
test/bench/bound.txt. About 12 minutes; the machine should do nothing else.

From the environment:
  BENCH_PARTS    what to measure: etcd, stores, or both ("etcd stores")
  BENCH_MB       size of the databases that are timed (500)
  ROUNDS         rounds that count, after one that does not (5); 0 times nothing
  HEAP_MB        sizes at which the heap is measured ("200 2000"); may be empty
  HEAP_KEYS      numbers of small keys at which it is measured ("1000000 2000000"); may be empty
  BENCH_ETCD     version of etcd, etcdctl and etcdutl: 3.5, 3.6 or 3.7 (3.6)
  BENCH_DIR      folder to work in, on a local disk (TMPDIR, else /var/tmp); a folder of its
                 own is made there and removed; five times the largest database must be free
  BENCH_RESULTS  file to write (test/bench/RESULTS.md)
  BENCH_STORES   file to write of object stores (test/bench/STORES.md)
USAGE
}

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
	usage
	exit
fi
cd "$(dirname "$0")/.."
etcd=${BENCH_ETCD:-3.6}

scripts/debian.sh zstd
tools=$(scripts/tools.sh "etcd${etcd/./}" age versitygw)

work=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/var/tmp}}/etcdsafe-bench.XXXXXX")
running=
end() {
	# The bench ends its etcd itself; SIGTERM asks it to.
	if [[ -n $running ]]; then
		kill "$running" 2>/dev/null || true
		wait "$running" || true
	fi
	rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ $(stat -f -c %T "$work") == tmpfs ]]; then
	echo "bench.sh: $work lies in memory (tmpfs): set BENCH_DIR to a folder on a local disk" >&2
	exit 1
fi

commit=$(git rev-parse --short=12 HEAD)
[[ -z $(git status --porcelain -- . ':!test/bench/RESULTS.md' ':!test/bench/STORES.md') ]] || commit+=' and changes that are not committed'
mkdir -p "$work/bin/heap" "$work/run"
make --no-print-directory build BIN="$work/bin/etcdsafe" >&2
CGO_ENABLED=0 go build -trimpath -o "$work/bin/fill" ./test/data/fill
go build -o "$work/bin/bench" ./test/bench
# The same program, with a file more that writes down the peaks of its heap.
printf '{"Replace": {"%s/cmd/etcdsafe/sampler.go": "%s/test/bench/sampler/sampler.go"}}\n' "$PWD" "$PWD" >"$work/overlay.json"
CGO_ENABLED=0 go build -trimpath -tags benchheap -overlay "$work/overlay.json" -o "$work/bin/heap/etcdsafe" ./cmd/etcdsafe

"$work/bin/bench" -tools "$tools" -bin "$work/bin" -work "$work/run" -etcd "$etcd" -commit "$commit" \
	-mb "${BENCH_MB:-500}" -rounds "${ROUNDS:-5}" -heap-mb "${HEAP_MB-200 2000}" -heap-keys "${HEAP_KEYS-1000000 2000000}" \
	-parts "${BENCH_PARTS:-etcd stores}" -bound test/bench/bound.txt \
	-results "${BENCH_RESULTS:-test/bench/RESULTS.md}" -store-results "${BENCH_STORES:-test/bench/STORES.md}" &
running=$!
code=0
wait "$running" || code=$?
running=
[[ $code -eq 0 ]] || exit "$code"
