#!/usr/bin/env bash
# Installs packages of Debian's that a script needs and that are not there.
set -euo pipefail

if [[ ${1:-} == -h || ${1:-} == --help || $# -eq 0 ]]; then
	echo "usage: scripts/debian.sh PACKAGE...: apt-get install, as root or by sudo, of what is missing"
	exit
fi
missing=()
for p in "$@"; do
	dpkg -s "$p" >/dev/null 2>&1 || missing+=("$p")
done
[[ ${#missing[@]} -eq 0 ]] && exit
sudo=()
[[ $(id -u) -eq 0 ]] || sudo=(sudo)
"${sudo[@]}" apt-get update -qq >&2
DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
