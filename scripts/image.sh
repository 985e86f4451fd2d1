#!/usr/bin/env bash
# Builds the image from the Dockerfile and leaves an archive of it that every tool loads.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/image.sh [amd64|arm64]...

Builds the image for this machine's architecture, or for those named, into
bin/etcdsafe-ARCH.image.tar: an OCI layout that `docker load`, `podman load`, `ctr images import`,
`skopeo` and `crane` take. Prints digest and size, and fails above 50 MB. From the environment:

  ENGINE    buildah (default; Debian's, installed where missing; as root) or docker
  GO_IMAGE  the image to build in, e.g. docker.io/library/golang:1.26. Without it buildah builds in a stand-in of this
            machine's own Go, module cache, build cache and busybox, and needs no registry
  BASE      what the image stands on (default scratch), e.g. gcr.io/distroless/static
  IMAGE     its name (default etcdsafe); the tags are VERSION and latest
  VERSION, COMMIT, DATE  what the binary and the labels say (default: by git)
  OUT       the folder of the archive (default bin)
  NO_CACHE  1: build all anew
USAGE
}

most=$((50 * 1000 * 1000)) # bytes, compressed

main() {
	[[ ${1:-} == -h || ${1:-} == --help ]] && { usage; exit; }
	cd "$(dirname "$0")/.."
	arches=("$@")
	[[ $# -gt 0 ]] || arches=("$(go env GOHOSTARCH)")
	for arch in "${arches[@]}"; do
		[[ $arch == amd64 || $arch == arm64 ]] || { echo "image.sh: \"$arch\" is neither amd64 nor arm64" >&2; exit 10; }
	done
	settings
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/etcdsafe-image.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	mkdir -p "$out"
	"prepare_$engine"
	for arch in "${arches[@]}"; do
		mkdir "$work/$arch"
		"build_$engine" "$arch" "$work/$arch"
		pack "$work/$arch" "$out/etcdsafe-$arch.image.tar"
		report "$arch" "$work/$arch" "$out/etcdsafe-$arch.image.tar"
	done
}

settings() {
	engine=${ENGINE:-buildah} image=${IMAGE:-etcdsafe} out=${OUT:-bin}
	version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
	commit=${COMMIT:-$(git rev-parse HEAD)}
	date=${DATE:-$(git show -s --format=%cI HEAD)}
	epoch=$(date -d "$date" +%s)
	[[ $engine == buildah || $engine == docker ]] || { echo "image.sh: ENGINE \"$engine\" is neither buildah nor docker" >&2; exit 10; }
	scripts/debian.sh jq
	arguments=(--build-arg "VERSION=$version" --build-arg "COMMIT=$commit" --build-arg "DATE=$date" --build-arg "BASE=${BASE:-scratch}")
	[[ -z ${GO_IMAGE:-} ]] || arguments+=(--build-arg "GO_IMAGE=$GO_IMAGE")
	[[ -z ${NO_CACHE:-} ]] || arguments+=(--no-cache)
}

# buildah keeps its storage in the working folder: nothing stays, nothing is mounted.
bah() {
	TMPDIR=$work command buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}

prepare_buildah() {
	scripts/debian.sh buildah busybox-static ca-certificates
	echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"
	pull=(--signature-policy "$work/policy.json")
	[[ -n ${GO_IMAGE:-} ]] || stand_in
}

# stand_in makes an image to build in from busybox and Debian's CA roots. Go and its caches are
# mounted while it builds; modules are fetched here, by this machine's own ways, and nothing in there.
stand_in() {
	local root=$work/stand-in tool cache
	mkdir -p "$root"/{bin,usr/bin,usr/local/go,etc,tmp,root,go/pkg/mod,usr/share/ca-certificates,usr/share/doc/ca-certificates}
	cp /bin/busybox "$root/bin/"
	for tool in sh cat cp mkdir chmod printf env; do ln -s busybox "$root/bin/$tool"; done
	cp -r /usr/share/ca-certificates/mozilla "$root/usr/share/ca-certificates/"
	cp /usr/share/doc/ca-certificates/copyright "$root/usr/share/doc/ca-certificates/"
	cat >"$root/Dockerfile" <<-'FILE'
		FROM scratch
		COPY . /
		ENV PATH=/usr/local/go/bin:/bin GOPATH=/go GOPROXY=off GOSUMDB=off GOTOOLCHAIN=local HOME=/root
	FILE
	bah bud -q "${pull[@]}" -t localhost/etcdsafe-builder "$root" >/dev/null
	go mod download
	(cd test/tools/sbom && go mod download)
	cache=$(go env GOCACHE)
	if [[ -n ${NO_CACHE:-} ]]; then
		cache=$work/cache
		mkdir "$cache"
	fi
	pull+=(--pull-never --volume "$(go env GOROOT):/usr/local/go:ro" --volume "$(go env GOMODCACHE):/go/pkg/mod" --volume "$cache:/root/.cache/go-build")
	arguments+=(--build-arg GO_IMAGE=localhost/etcdsafe-builder)
}

# build_buildah ARCH LAYOUT: chroot needs neither a daemon nor rights to make namespaces. buildah
# itself would write its version and, in the history, digests of folders with their times.
build_buildah() {
	bah bud -q "${pull[@]}" --isolation chroot --network host --platform "linux/$1" --build-arg "BUILDPLATFORM=linux/$(go env GOHOSTARCH)" \
		--timestamp "$epoch" --identity-label=false --omit-history --format oci "${arguments[@]}" -t "localhost/etcdsafe:$1" . >/dev/null
	bah push -q "${pull[@]:0:2}" --format oci "localhost/etcdsafe:$1" "oci:$2:$version"
}

prepare_docker() { scripts/debian.sh skopeo; }

build_docker() {
	local tag=etcdsafe-build:$$
	SOURCE_DATE_EPOCH=$epoch DOCKER_BUILDKIT=1 docker build --platform "linux/$1" "${arguments[@]}" -t "$tag" .
	docker save -o "$work/saved.tar" "$tag"
	docker image rm "$tag" >/dev/null
	skopeo copy -q --insecure-policy "docker-archive:$work/saved.tar" "oci:$2:$version"
}

# manifest LAYOUT prints its manifest's digest, without sha256:
manifest() { jq -r '.manifests[0].digest | ltrimstr("sha256:")' "$1/index.json"; }

# pack LAYOUT FILE: one archive with both lists of contents, OCI's and docker's, and the image's name
# in both. The same bytes whenever and wherever it is made.
pack() {
	local layout=$1 file=$2 name=$image:$version
	jq -c --arg full "$(full "$name")" --arg tag "$version" \
		'.manifests[0].annotations = {"io.containerd.image.name": $full, "org.opencontainers.image.ref.name": $tag}' \
		"$layout/index.json" >"$work/index.json"
	mv "$work/index.json" "$layout/index.json"
	jq -c --arg name "$name" --arg latest "$image:latest" 'def blob: .digest | sub(":"; "/") | "blobs/" + .;
		[{Config: (.config | blob), RepoTags: [$name, $latest], Layers: [.layers[] | blob]}]' \
		"$layout/blobs/sha256/$(manifest "$layout")" >"$layout/manifest.json"
	tar --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$epoch" \
		-C "$layout" -cf "$file.new" blobs index.json manifest.json oci-layout
	mv "$file.new" "$file"
}

# full NAME: as containerd writes a name without a registry.
full() {
	case $1 in
	localhost/* | *.*/* | *:*/*) echo "$1" ;;
	*/*) echo "docker.io/$1" ;;
	*) echo "docker.io/library/$1" ;;
	esac
}

report() {
	local arch=$1 layout=$2 file=$3 blobs=$2/blobs/sha256 digest size
	digest=$(manifest "$layout")
	size=$(jq '[.config.size, .layers[].size] | add' "$blobs/$digest")
	echo "$file: $image:$version linux/$arch sha256:$digest"
	jq -r '.layers | to_entries[] | "  layer \(.key + 1): \(.value.size / 1000000 * 10 | round / 10) MB compressed"' "$blobs/$digest"
	jq -r '.layers[].digest | ltrimstr("sha256:")' "$blobs/$digest" | while read -r layer; do
		tar -xzOf "$blobs/$layer" usr/share/doc/etcdsafe/sbom.cdx.json 2>/dev/null || true
	done | jq -r '"  SBOM: \(.components | length) components"'
	if ((size > most)); then
		echo "image.sh: $size bytes compressed, at most $most are allowed" >&2
		exit 1
	fi
}

main "$@"
