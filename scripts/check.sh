#!/usr/bin/env bash
# Everything that a machine can say about the style of the code.
set -euo pipefail

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
	echo "usage: scripts/check.sh: formatting, vet, golangci-lint, imports, shellcheck, go.mod"
	exit
fi
cd "$(dirname "$0")/.."

step() { printf '== %s\n' "$*" >&2; }

step gofmt
unformatted=$(gofmt -l cmd jobs storage test)
if [[ -n $unformatted ]]; then
	printf 'not formatted:\n%s\n' "$unformatted" >&2
	exit 1
fi

step go vet
go vet -tags e2e ./...

step imports
scripts/imports.sh

step go mod tidy -diff
go mod tidy -diff

step golangci-lint
tools=$(scripts/tools.sh lint)
"$tools/golangci-lint" run --allow-parallel-runners ./...

step shellcheck
if ! command -v shellcheck >/dev/null; then
	scripts/debian.sh shellcheck
fi
git ls-files -co --exclude-standard -- '*.sh' .ci/run | xargs shellcheck
