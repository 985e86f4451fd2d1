#!/usr/bin/env bash
# Makes the files of a release of the commit that is checked out. Publishes nothing.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/release.sh [--check]

Builds, from a clone of HEAD and without any cache, for linux on amd64 and arm64, into bin/release/:

  etcdsafe-linux-ARCH                the binary, the one of the image
  etcdsafe-linux-ARCH.image.tar      the image, as scripts/image.sh tells
  etcdsafe-linux-ARCH.sbom.cdx.json  what the binary is made of
  etcdsafe-linux-ARCH.NOTICES        the licences of all that
  SHA256SUMS                         for sha256sum -c

Times are the commit's, and nothing of the folder or the hour gets in: who builds the same commit with
the same Go, the same CA roots and the same buildah gets the same bytes. --check does it twice, in
clones in different folders, and compares every file. GO_IMAGE and BASE are read as by
scripts/image.sh; the engine is buildah, since docker keeps the times of files.
USAGE
}

arches=(amd64 arm64)

main() {
	cd "$(dirname "$0")/.."
	case ${1:-} in
	'' | --check) ;;
	-h | --help) usage; exit ;;
	*) usage >&2; exit 10 ;;
	esac
	[[ -z $(git status --porcelain) ]] || echo "release.sh: what is not committed is left out" >&2
	commit=$(git rev-parse HEAD) # which may move meanwhile
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/etcdsafe-release.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	release "$work/src" "$work/out"
	if [[ ${1:-} == --check ]]; then
		release "$work/in/another/folder/etcdsafe" "$work/again"
		diff -r "$work/out" "$work/again"
		echo "twice the same: $commit"
	fi
	rm -rf bin/release
	mkdir -p bin
	cp -r "$work/out" bin/release
	cat bin/release/SHA256SUMS
}

# release CLONE OUT
release() {
	local src=$1 out=$2 arch
	git clone -q . "$src"
	git -C "$src" checkout -q --detach "$commit"
	mkdir "$out"
	OUT=$src/bin ENGINE=buildah NO_CACHE=1 "$src/scripts/image.sh" "${arches[@]}"
	for arch in "${arches[@]}"; do
		files "$src/bin/etcdsafe-$arch.image.tar" "$out/etcdsafe-linux-$arch"
		machine "$arch" "$out/etcdsafe-linux-$arch"
		complete "$out/etcdsafe-linux-$arch"
	done
	(cd "$out" && sha256sum -- * >../sums && mv ../sums SHA256SUMS && sha256sum -c --quiet SHA256SUMS)
}

# files ARCHIVE NAME: the archive, and what lies in its last layer.
files() {
	local blobs=$work/blobs manifest layer
	mkdir "$blobs"
	tar -xf "$1" -C "$blobs"
	manifest=$(jq -r '.manifests[0].digest | sub(":"; "/")' "$blobs/index.json")
	layer=$blobs/blobs/$(jq -r '.layers[-1].digest | sub(":"; "/")' "$blobs/blobs/$manifest")
	tar -xzOf "$layer" usr/local/bin/etcdsafe >"$2"
	tar -xzOf "$layer" usr/share/doc/etcdsafe/sbom.cdx.json >"$2.sbom.cdx.json"
	tar -xzOf "$layer" usr/share/doc/etcdsafe/NOTICES >"$2.NOTICES"
	chmod 755 "$2"
	cp "$1" "$2.image.tar"
	rm -r "$blobs"
}

# machine ARCH BINARY: fails where the head of the file names another machine, or a loader.
machine() {
	local want=(3e 00) head
	[[ $1 == arm64 ]] && want=(b7 00)
	head=$(od -An -tx1 -j18 -N2 "$2")
	if [[ $(od -An -c -N4 "$2" | tr -d ' ') != '177ELF' || $head != " ${want[*]}" ]]; then
		echo "release.sh: $2 is no ELF file for $1: its machine is$head" >&2
		exit 1
	fi
}

# complete BINARY: fails where the SBOM or the notices lack a module that the binary names.
complete() {
	local path version
	go version -m "$1" | awk '$1 == "dep" { print $2, $3 }' | while read -r path version; do
		jq -e --arg path "$path" --arg version "$version" 'any(.components[]; .name == $path and .version == $version)' "$1.sbom.cdx.json" >/dev/null ||
			{ echo "release.sh: the SBOM lacks $path $version" >&2; exit 1; }
		grep -qF "==== $path $version: " "$1.NOTICES" || { echo "release.sh: the notices lack $path $version" >&2; exit 1; }
	done
}

main "$@"
