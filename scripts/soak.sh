#!/usr/bin/env bash
# Runs what takes hundreds of runs, and keeps its figures in test/soak/SUMMARY.md.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/soak.sh [PART...]

Runs the long forms of the tests and writes test/soak/SUMMARY.md, one section for each part;
the sections of parts that did not run stay as they are. Without PART all are run, which takes
about an hour and a half on two quiet cores:

  kills       100 snapshots and 50 restores killed by SIGKILL, in every stage
  flips       100 single-bit flips each in archives, manifests and receipts
  histories   HashKV against live members over 200 random histories of each etcd minor
  plans       10,000 cases of each property of prune's plan
  stores      200 interleavings of snapshots, prunes, a verify and a copy over two stores, with
              kills and with stores that fail; ETCDSAFE_SOAK_SEED=N repeats the draws of a run
  defrags     100 runs of defrag over three members under writers, while leadership moves in the
              pauses; defragmentations of 30 s whose connection is cut, beside a plain loop of etcdctl
  nospace     20 pairs of defrag --disarm on clusters without space, the second begun anywhere in the
              first, and 20 such runs at once
  locks       100 times two snapshots and two defrags begun at once; a defrag that stands still for
              longer than its lease; a snapshot that hangs and renews its lock
  replicas    two processes of one schedule on three members, a slot each minute, 30 minutes: the leader is
              killed or stands still at random moments; then a quorum is lost over three slots
  kubecron    lines of a schedule beside CronJobs of a real kube-controller-manager, each minute, by policy,
              deadline and what hinders a run, and an outage of both over three slots
  memory      snapshot, verify and restore of 2 GB in 256 MiB; needs a memory cgroup and
              10 GB of disk under $TMPDIR, or under /var/tmp where that is in memory

ETCDSAFE_SOAK=0.2 runs a fifth of the counts. The exit code is 1 when a part failed; the logs
of those are kept.
USAGE
}

parts=(kills flips histories plans stores defrags nospace locks replicas kubecron memory)
share=${ETCDSAFE_SOAK:-1}

main() {
	[[ ${1:-} == -h || ${1:-} == --help ]] && { usage; exit; }
	cd "$(dirname "$0")/.."
	[[ $# -gt 0 ]] || set -- "${parts[@]}"
	local part
	for part in "$@"; do
		[[ " ${parts[*]} " == *" $part "* ]] || { echo "soak.sh: no part $part" >&2; usage >&2; exit 10; }
	done
	ETCDSAFE_TOOLS=$(scripts/tools.sh etcd35 etcd36 etcd37 etcd35fail etcd36fail etcd37fail restic kube)
	export ETCDSAFE_TOOLS
	work=$(mktemp -d)
	local failed=()
	for part in "$@"; do
		echo "== $part" >&2
		"$part" || failed+=("$part")
	done
	if [[ ${#failed[@]} -gt 0 ]]; then
		echo "soak.sh: failed: ${failed[*]}; logs in $work" >&2
		exit 1
	fi
	rm -rf "$work"
}

kills() { soak kills '^TestKilled'; }
flips() { soak flips '^TestEveryFlippedBit'; }
stores() { soak stores '^TestInterleavings|^TestTheThirdStore'; }
defrags() { soak defrags '^TestDefragsHurtNobody$|^TestACutDefragmentationIsWaitedFor$' -parallel 9; } # the second mostly waits
nospace() { soak nospace '^TestNoSpaceRunsNeverMeet$' -parallel 8; } # they mostly wait
locks() { soak locks '^TestOneHolderOfManyStarts$|^TestAStoppedDefrag|^TestAHungSnapshot' -parallel 3; }
replicas() { soak replicas '^TestReplicasDoEachSlotOnce$' -parallel 4; } # they mostly wait
kubecron() { soak kubecron '^TestLinesDoAsCronJobsDo$'; }
memory() { soak memory '^TestJobsFit'; }

# soak PART TESTS ARGS...: the tests write their figures to files that begin with the part's name.
soak() {
	local part=$1 tests=$2 status=passed began=$SECONDS
	shift 2
	mkdir "$work/$part"
	ETCDSAFE_SOAK=$share ETCDSAFE_SOAK_SUMMARY=$work/$part \
		run "$part" ./test/soak -run "$tests" "$@" || status=FAILED
	awk 'FNR == 1 && NR > 1 { print "" } 1' "$work/$part/"*.md >"$work/$part.figures" 2>/dev/null || true
	[[ -s $work/$part.figures ]] || { status=FAILED; echo 'No figures.' >"$work/$part.figures"; }
	keep "$part" "$status" $((SECONDS - began))
}

histories() {
	local status=passed began=$SECONDS count
	count=$(awk -v share="$share" 'BEGIN { print int(200 * share + 0.999) }')
	ETCDSAFE_TEST_HISTORIES=$count run histories ./jobs/etcd/dbfile -run '^TestHashKVEqualsLiveMembers$' || status=FAILED
	sed -n 's/^ *[a-z_]*\.go:[0-9]*: \(.* histories, .*\)/- etcd \1/p' "$work/histories.log" | sort >"$work/histories.figures"
	[[ -s $work/histories.figures ]] || { status=FAILED; echo 'No figures.' >"$work/histories.figures"; }
	keep histories "$status" $((SECONDS - began))
}

plans() {
	local status=passed began=$SECONDS count
	count=$(awk -v share="$share" 'BEGIN { print int(10000 * share + 0.999) }')
	run plans ./jobs/prune/plan -rapid.checks="$count" || status=FAILED
	awk '$1 == "===" { name = $3 } /\[rapid\] OK/ { sub(/.*OK, /, ""); print "- `" name "` " $0 }' "$work/plans.log" >"$work/plans.figures"
	[[ -s $work/plans.figures ]] || { status=FAILED; echo 'No figures.' >"$work/plans.figures"; }
	keep plans "$status" $((SECONDS - began))
}

# run PART ARGS...: go test, with all that it says in a log. What servers say is not shown.
run() {
	local part=$1
	shift
	go test -v -count=1 -timeout 3h "$@" 2>&1 | tee "$work/$part.log" | grep -Ev '^ *\{"level"|^=== ' || true
	grep -q '^ok ' "$work/$part.log" && ! grep -q '^ *--- SKIP' "$work/$part.log"
}

# keep PART STATUS SECONDS: puts the part's figures in the place of its last ones.
keep() {
	local part=$1 status=$2 took=$3 summary=test/soak/SUMMARY.md p
	local new=$work/SUMMARY.md
	cat >"$new" <<-'HEAD'
		# What `make soak` found

		Written by scripts/soak.sh. Each part names the commit and the machine that it ran on.
	HEAD
	for p in "${parts[@]}"; do
		if [[ $p == "$part" ]]; then
			section "$part" "$status" "$took" >>"$new"
		elif [[ -f $summary ]]; then
			old "$p" "$summary" >>"$new"
		fi
	done
	cp "$new" "$summary" && [[ $status == passed ]]
}

# old PART FILE: the part's section as it stands in the file, without the empty lines at its end.
old() {
	awk -v head="## $1:" '
		index($0, "## ") == 1 { on = index($0, head) == 1; empty = "\n" }
		on && $0 == "" { empty = empty "\n" }
		on && $0 != "" { printf "%s%s\n", empty, $0; empty = "" }' "$2"
}

section() {
	local part=$1 status=$2 took=$3 whole=''
	[[ $share == 1 ]] || whole=", with $share of the counts"
	printf '\n## %s: %s\n\n%s, commit %s, %s; %d min %d s%s.\n\n' "$part" "$status" "$(date -u +%Y-%m-%dT%H:%MZ)" \
		"$(commit)" "$(machine)" $((took / 60)) $((took % 60)) "$whole"
	cat "$work/$part.figures"
	if [[ $status == FAILED ]]; then
		printf '\n```\n'
		grep -E '^ *--- FAIL|_test\.go:[0-9]+: ' "$work/$part.log" | grep -v 'figures:' | cut -c1-300 | tail -20 || true
		printf '```\n'
	fi
}

commit() {
	local changes=''
	[[ -z $(git status --porcelain -- . ':!test/soak/SUMMARY.md') ]] || changes=' and changes'
	echo "$(git rev-parse --short=12 HEAD)$changes"
}

machine() {
	local cpu memory
	cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -1)
	memory=$(awk '$1 == "MemTotal:" { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)
	echo "$(nproc) × ${cpu:-$(uname -m)}, $memory, $(df --output=fstype "${TMPDIR:-/tmp}" | tail -1), $(uname -sr)"
}

main "$@"
