#!/bin/sh
# Installs CometBFT's node and the suite's test application, once, and prints the folder that holds both on stdout:
#   FOLDER/cometbft  FOLDER/notices-app
# What it does is said on stderr.
#
# Usage: install-cometbft.sh 0.38 | 1.0
#
# The source is pinned by content: the digests below are those of the modules, and each module's own go.sum pins what it
# builds on. The application (notices-app/) has no dependencies; one program serves both lines.
#
# Needs: go 1.22 or later, and on the first run the Go module proxy that `go env GOPROXY` names.
# HUFU_CACHE names the folder that is kept between runs (default: $HOME/.cache/hufu).
set -eu

module=github.com/cometbft/cometbft
say() { echo "install-cometbft: $*" >&2; }
fail() { say "$*"; exit 1; }

case "${1:-}" in
    0.38) version=v0.38.17 sum=h1:FkrQNbAjiFqXydeAO81FUzriL4Bz0abYxN/eOHrQGOk= ;;
    1.0) version=v1.0.1 sum=h1:JNVgbpL76sA4kXmBnyZ7iPjFAxi6HVp2l+rdT2RXVUs= ;;
    *) fail "expected 0.38 or 1.0, got ${1:-nothing}" ;;
esac
if [ -z "${HUFU_CACHE:-}" ]; then
    [ -n "${HOME:-}" ] || fail "expected HUFU_CACHE or HOME to be set, got neither"
    HUFU_CACHE=$HOME/.cache/hufu
fi
here=$(cd "$(dirname "$0")" && pwd)
source=$(cat "$here"/notices-app/*.go "$here/notices-app/go.mod" | sha256sum | cut -c1-16)
folder=$HUFU_CACHE/cometbft-$version-$source

ready() { [ -x "$1/notices-app" ] && [ -x "$1/cometbft" ] && "$1/cometbft" version 2>/dev/null | grep -qx "${version#v}"; }
if ready "$folder"; then
    say "cometbft $version is in $folder"
    echo "$folder"
    exit 0
fi

command -v go >/dev/null 2>&1 || fail "expected the command go (1.22 or later) to build cometbft $version, found none on PATH"

say "fetching $module $version"
answer=$(go mod download -json "$module@$version") || fail "go could not fetch $module $version: $answer"
got=$(printf '%s\n' "$answer" | sed -n 's/^[[:space:]]*"Sum": "\(.*\)",\{0,1\}$/\1/p')
[ "$got" = "$sum" ] || fail "expected the module's digest $sum, got ${got:-none}"

say "building cometbft $version into $folder (about a minute)"
mkdir -p "$HUFU_CACHE"
# Built beside its place and moved there, so that an interrupted build leaves nothing that looks finished.
building=$(mktemp -d "$HUFU_CACHE/cometbft-building.XXXXXX")
trap 'rm -rf "$building"' EXIT
trap 'exit 1' HUP INT TERM
GOBIN=$building go install "$module/cmd/cometbft@$version" >&2 || fail "go install failed"
(cd "$here/notices-app" && go build -o "$building/notices-app" .) >&2 || fail "the test application did not build"
ready "$building" || fail "expected cometbft ${version#v}, got another version"
rm -rf "$folder"
mv "$building" "$folder"
trap - EXIT
say "done"
echo "$folder"
