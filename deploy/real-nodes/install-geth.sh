#!/bin/sh
# Installs go-ethereum's node for the real-node suite, once, and prints the path of its binary on stdout.
# What it does is said on stderr.
#
# 1.13.15 is the last line that seals Clique; later ones only verify it. The source is pinned by content: the digest
# below is that of the module, and the module's own go.sum pins everything it builds on.
#
# Needs: go 1.21 or later, a C compiler, and on the first run the Go module proxy that `go env GOPROXY` names.
# HUFU_CACHE names the folder that is kept between runs (default: $HOME/.cache/hufu).
set -eu

module=github.com/ethereum/go-ethereum
version=v1.13.15
sum=h1:U7sSGYGo4SPjP6iNIifNoyIAiNjrmQkz6EwQG+/EZWo=

say() { echo "install-geth: $*" >&2; }
fail() { say "$*"; exit 1; }

if [ -z "${HUFU_CACHE:-}" ]; then
    [ -n "${HOME:-}" ] || fail "expected HUFU_CACHE or HOME to be set, got neither"
    HUFU_CACHE=$HOME/.cache/hufu
fi
folder=$HUFU_CACHE/geth-$version
geth=$folder/geth

if [ -x "$geth" ] && "$geth" version 2>/dev/null | grep -q "^Version: ${version#v}-"; then
    say "geth $version is in $folder"
    echo "$geth"
    exit 0
fi

command -v go >/dev/null 2>&1 || fail "expected the command go (1.21 or later) to build geth $version, found none on PATH"

say "fetching $module $version"
answer=$(go mod download -json "$module@$version") || fail "go could not fetch $module $version: $answer"
got=$(printf '%s\n' "$answer" | sed -n 's/^[[:space:]]*"Sum": "\(.*\)",\{0,1\}$/\1/p')
[ "$got" = "$sum" ] || fail "expected the module's digest $sum, got ${got:-none}"

say "building geth $version into $folder (one to three minutes)"
mkdir -p "$HUFU_CACHE"
# Built beside its place and moved there, so that an interrupted build leaves nothing that looks finished.
building=$(mktemp -d "$HUFU_CACHE/geth-building.XXXXXX")
trap 'rm -rf "$building"' EXIT
trap 'exit 1' HUP INT TERM
# A dependency links to a name that newer linkers refuse; without the flag the build ends in
# "invalid reference to runtime.stopTheWorld".
GOBIN=$building go install -ldflags=-checklinkname=0 "$module/cmd/geth@$version" >&2 || fail "go install failed"
"$building/geth" version | grep -q "^Version: ${version#v}-" || fail "expected geth ${version#v}, got another version"
rm -rf "$folder"
mkdir "$folder"
mv "$building/geth" "$geth"
say "done"
echo "$geth"
