#!/usr/bin/env bash
# Runs a command on a machine within the machine, of which nothing is left when it ends.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/sandbox.sh DIR COMMAND...

Runs COMMAND as root, with the exit code of it, in network, mount, process, cgroup, IPC and host
name namespaces of their own. It sees a machine named node1 with a bridge node0 (10.99.0.1/24) and
loopback, and no other network; its own empty /var/lib, /var/log and /run; and an /etc whose changes
lie in DIR, which must be empty, on a disk, and is the caller's to remove. However COMMAND or this
process ends, SIGKILL included, all that runs inside is killed, and the cgroups are removed.

Needs Linux with overlayfs, bridges, nf_tables and cgroups, version 1 or 2, and root. What is missing
is said in one line, with exit code 2.
USAGE
}

missing() {
	printf 'sandbox.sh: %s\n' "$*" >&2
	exit 2
}

# preflight finds out beforehand what would fail later with words that help nobody.
preflight() {
	local c
	[[ $(id -u) -eq 0 ]] || missing 'needs root'
	for c in unshare mount umount ip nft setsid tail; do
		command -v "$c" >/dev/null || missing "no command $c"
	done
	[[ -d $dir && -z $(ls -A "$dir") ]] || missing "$dir is no empty folder"
	[[ $(stat -fc %T "$dir") != overlayfs ]] || missing "$dir lies on overlayfs, on which no other can be laid: choose a disk by TMPDIR"
	grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || missing 'the kernel has no overlayfs'
	unshare --net --mount --pid --cgroup --ipc --uts --fork true 2>/dev/null || missing 'the kernel, or a container around us, refuses namespaces'
	unshare --net ip link add node0 type bridge 2>/dev/null || missing 'the kernel has no bridges'
	unshare --net nft add table ip t 2>/dev/null || missing 'the kernel has no nf_tables'
	if [[ $version == 1 ]]; then
		grep -Eq '^[0-9]+:([^:]*,)?memory[,:]' /proc/self/cgroup || missing 'no cgroup of memory is mounted'
	else
		grep -qw memory /sys/fs/cgroup/cgroup.controllers || missing 'the cgroup of memory is switched off'
	fi
}

# make makes cgroups of our own, with version 1 one in each hierarchy. With version 2 the one that will
# look like the root holds no process itself, as the kernel demands of one whose children are limited.
make() {
	local controllers path folder file
	if [[ $version == 2 ]]; then
		folders=("/sys/fs/cgroup/$name")
		mkdir -p "${folders[0]}/init"
		return
	fi
	while IFS=: read -r _ controllers path; do
		[[ -n $controllers ]] || continue
		folder=/sys/fs/cgroup/${controllers#name=}${path%/}/$name
		mkdir "$folder"
		folders+=("$folder")
		if [[ ,$controllers, == *,cpuset,* ]]; then
			for file in cpuset.cpus cpuset.mems; do cat "$folder/../$file" >"$folder/$file"; done
		fi
	done </proc/self/cgroup
}

# sweep removes the cgroups, from outside, once this process has ended and all that it held.
sweep() {
	# shellcheck disable=SC2016 # the inner shell's variables
	setsid -f bash -c '
		tail -s 0.2 --pid="$1" -f /dev/null
		shift
		for _ in {1..100}; do
			find "$@" -depth -type d -exec rmdir {} + 2>/dev/null
			ls -d "$@" >/dev/null 2>&1 || exit 0
			sleep 0.2
		done' sweep $$ "${folders[@]}" </dev/null >/dev/null 2>&1
}

# inside makes the machine, as process 1 of it, and runs the command. Bash waits for orphans too.
inside() {
	local pair file code=0
	mount --make-rshared /
	mount --types tmpfs tmpfs /run
	mkdir "$dir/etc" "$dir/etc.work" "$dir/lib" "$dir/log"
	mount --types overlay --options "lowerdir=/etc,upperdir=$dir/etc,workdir=$dir/etc.work" overlay /etc
	mount --bind "$dir/lib" /var/lib
	mount --bind "$dir/log" /var/log
	cgroups
	# Settings of the one kernel, which a kubelet would write: it writes these files instead.
	for pair in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
		file=$dir/$(basename "${pair%=*}")
		echo "${pair#*=}" >"$file"
		mount --bind "$file" "/proc/sys/${pair%=*}"
	done
	hostname node1
	ip link set lo up
	ip link add node0 type bridge
	ip address add 10.99.0.1/24 dev node0
	ip link set node0 up
	ip route add default dev node0
	"$@" || code=$?
	exit "$code"
}

# cgroups mounts them anew: what was ours is the root now.
cgroups() {
	local controllers one
	umount --recursive /sys/fs/cgroup
	mount --types sysfs sysfs /sys
	if [[ $version == 2 ]]; then
		mount --types cgroup2 cgroup2 /sys/fs/cgroup
		sed 's/[^ ]\+/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
		return
	fi
	mount --types tmpfs tmpfs /sys/fs/cgroup
	while IFS=: read -r _ controllers _; do
		[[ -n $controllers ]] || continue
		mkdir "/sys/fs/cgroup/${controllers#name=}"
		mount --types cgroup --options "${controllers/#name=/none,name=}" cgroup "/sys/fs/cgroup/${controllers#name=}"
		for one in ${controllers//,/ }; do
			[[ -e /sys/fs/cgroup/${one#name=} ]] || ln -s "$controllers" "/sys/fs/cgroup/$one"
		done
	done </proc/self/cgroup
}

if [[ ${1:-} == -h || ${1:-} == --help || $# -lt 2 ]]; then
	usage
	exit
fi
if [[ $1 == --inside ]]; then # by ourselves, below
	version=$2 dir=$3
	shift 3
	inside "$@"
fi
dir=$1
shift
version=1
[[ $(stat -fc %T /sys/fs/cgroup) != cgroup2fs ]] || version=2
name=etcdsafe-$$
folders=()
preflight
make
sweep
for folder in "${folders[@]}"; do echo $$ >"$folder/cgroup.procs"; done

# First the cgroup namespace alone: its root is where we are now, and with version 2 we leave that.
# shellcheck disable=SC2016 # the inner shell's variables
exec unshare --cgroup bash -c '
	[[ $1 == 1 ]] || echo $$ >"/sys/fs/cgroup/$2/init/cgroup.procs"
	shift 2
	exec unshare --net --mount --pid --ipc --uts --fork --kill-child --mount-proc "$@"' cgroup "$version" "$name" \
	bash "$0" --inside "$version" "$dir" "$@"
