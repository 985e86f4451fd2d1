#!/usr/bin/env bash
# Measures speed, memory and harm against etcdctl, zstd, age, etcdutl and the AWS SDK, side by side.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/bench.sh

Builds etcdsafe and the pinned tools, starts etcd on loopback, fills it, and runs both sides
in turn; then versitygw, with 10,000 archives; then three clusters that are defragmented under
writers, by etcdsafe and by loops of etcdctl; then starts, and a schedule that idles. Prints the
tables and writes them to test/bench/RESULTS.md, STORES.md, DEFRAG.md and CRON.md. What bounds each figure is read from
test/bench/bound.txt. About 20 minutes; the machine should do nothing else.

From the environment:
  BENCH_PARTS    what to measure ("etcd stores defrag cron")
  BENCH_MB       size of the databases that are timed (500)
  ROUNDS         rounds that count, after one that does not (5); 0 times nothing
  HEAP_MB        sizes at which the heap is measured ("200 2000"); may be empty
  HEAP_KEYS      numbers of small keys at which it is measured ("1000000 2000000"); may be empty
  BENCH_ETCD     version of etcd, etcdctl and etcdutl: 3.5, 3.6 or 3.7 (3.6)
  BENCH_DIR      folder to work in, on a local disk (TMPDIR, else /var/tmp); a folder of its
                 own is made there and removed; five times the largest database must be free
  BENCH_RESULTS  file to write (test/bench/RESULTS.md)
  BENCH_STORES   file to write of object stores (test/bench/STORES.md)
  BENCH_CRON     file to write of cron (test/bench/CRON.md)
  BENCH_DEFRAG   file to write of defragmentations (test/bench/DEFRAG.md), of etcd 3.6
USAGE
}

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
	usage
	exit
fi
cd "$(dirname "$0")/.."
etcd=${BENCH_ETCD:-3.6}
parts=" ${BENCH_PARTS:-etcd stores defrag cron} "
if [[ ${ROUNDS:-5} == 0 ]]; then # they are nothing but times
	parts=${parts/ defrag / }
	parts=${parts/ cron / }
fi
for part in $parts; do
	[[ $part == etcd || $part == stores || $part == defrag || $part == cron ]] || { echo "bench.sh: no part $part" >&2; exit 10; }
done

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
[[ -z $(git status --porcelain -- . ':!test/bench/*.md') ]] || commit+=' and changes that are not committed'

# of COMMAND...: runs it so that a signal to this script ends it too.
of() {
	"$@" &
	running=$!
	local code=0
	wait "$running" || code=$?
	running=
	return "$code"
}

# measure does the parts etcd, stores and cron.
measure() {
	mkdir -p "$work/bin/heap" "$work/run"
	make --no-print-directory build BIN="$work/bin/etcdsafe" >&2
	CGO_ENABLED=0 go build -trimpath -o "$work/bin/fill" ./test/data/fill
	go build -o "$work/bin/bench" ./test/bench
	# The same program, with a file more that writes down the peaks of its heap.
	printf '{"Replace": {"%s/cmd/etcdsafe/sampler.go": "%s/test/bench/sampler/sampler.go"}}\n' "$PWD" "$PWD" >"$work/overlay.json"
	CGO_ENABLED=0 go build -trimpath -tags benchheap -overlay "$work/overlay.json" -o "$work/bin/heap/etcdsafe" ./cmd/etcdsafe
	of "$work/bin/bench" -tools "$tools" -bin "$work/bin" -work "$work/run" -etcd "$etcd" -commit "$commit" \
		-mb "${BENCH_MB:-500}" -rounds "${ROUNDS:-5}" -heap-mb "${HEAP_MB-200 2000}" -heap-keys "${HEAP_KEYS-1000000 2000000}" \
		-parts "${parts/ defrag / }" -bound test/bench/bound.txt \
		-results "${BENCH_RESULTS:-test/bench/RESULTS.md}" -store-results "${BENCH_STORES:-test/bench/STORES.md}" -cron-results "${BENCH_CRON:-test/bench/CRON.md}"
}

# defrag measures with the clusters and writers of test/soak.
defrag() {
	local out=${BENCH_DEFRAG:-test/bench/DEFRAG.md}
	ETCDSAFE_TOOLS=$(scripts/tools.sh etcd36 etcd36fail)
	export ETCDSAFE_TOOLS ETCDSAFE_BENCH=${ROUNDS:-5} ETCDSAFE_SOAK_SUMMARY=$work/defrag
	mkdir "$work/defrag"
	go test -c -o "$work/soak.test" ./test/soak
	of env -C test/soak "$work/soak.test" -test.run '^TestWhatADefragmentationCosts$|^TestADefragThatWaitsAsksLittle$' \
		-test.v -test.timeout 1h -test.parallel 4 >"$work/defrag.log" 2>&1 || {
		grep -Ev '^ *\{"level"' "$work/defrag.log" | tail -40 >&2
		return 1
	}
	{
		cat <<-HEAD
			# Results of \`make bench\`: what a defragmentation costs

			Written by \`scripts/bench.sh\`; do not edit. $(date -u '+%Y-%m-%d %H:%M UTC'), commit $commit,
			$(nproc) cores of $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -1), $(uname -sr).

		HEAD
		awk 'FNR == 1 && NR > 1 { print "" } 1' "$work"/defrag/*.md
	} | tee "$work/DEFRAG.md"
	cp "$work/DEFRAG.md" "$out"
}

if [[ $parts == *" etcd "* || $parts == *" stores "* || $parts == *" cron "* ]]; then measure; fi
if [[ $parts == *" defrag "* ]]; then defrag; fi
