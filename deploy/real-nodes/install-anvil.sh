#!/bin/sh
# Installs foundry's development node for the real-node suite, once, and prints the path of its binary on stdout.
# What it does is said on stderr.
#
# It seals nothing: a ledger of it stands on the node's word alone. The package is pinned by the digest that the registry
# publishes for it; its install scripts are not run.
#
# Needs: npm, and on the first run the registry that `npm config get registry` names. Linux on x86-64.
# HUFU_CACHE names the folder that is kept between runs (default: $HOME/.cache/hufu).
set -eu

version=1.7.1

say() { echo "install-anvil: $*" >&2; }
fail() { say "$*"; exit 1; }

package=anvil-linux-amd64
digest=f979928726c46b17c2aebd0e514670604cb63a7619b79a471fd4f306d2efdfe56b2b43bf00db8d49511a86a3612879605fb191279f77f37a1f361c644562184e
[ "$(uname -sm)" = "Linux x86_64" ] || fail "expected Linux on x86-64, got $(uname -sm)"

if [ -z "${HUFU_CACHE:-}" ]; then
    [ -n "${HOME:-}" ] || fail "expected HUFU_CACHE or HOME to be set, got neither"
    HUFU_CACHE=$HOME/.cache/hufu
fi
folder=$HUFU_CACHE/anvil-$version
anvil=$folder/anvil

if [ -x "$anvil" ] && "$anvil" --version 2>/dev/null | grep -q "^anvil Version: $version"; then
    say "anvil $version is in $folder"
    echo "$anvil"
    exit 0
fi

command -v npm >/dev/null 2>&1 || fail "expected the command npm to fetch anvil $version, found none on PATH"

say "fetching @foundry-rs/$package $version"
mkdir -p "$HUFU_CACHE"
# Fetched beside its place and moved there, so that an interrupted run leaves nothing that looks finished.
fetched=$(mktemp -d "$HUFU_CACHE/anvil-fetching.XXXXXX")
trap 'rm -rf "$fetched"' EXIT
trap 'exit 1' HUP INT TERM
(cd "$fetched" && npm pack --silent --ignore-scripts "@foundry-rs/$package@$version" >&2) || fail "npm pack failed"
archive=$(find "$fetched" -name '*.tgz')
got=$(sha512sum "$archive" | cut -d ' ' -f 1)
[ "$got" = "$digest" ] || fail "expected the package's SHA-512 $digest, got ${got:-none}"
tar -xzf "$archive" -C "$fetched" package/bin/anvil || fail "expected bin/anvil in the package"
"$fetched/package/bin/anvil" --version | grep -q "^anvil Version: $version" || fail "expected anvil $version, got another version"
rm -rf "$folder"
mkdir "$folder"
mv "$fetched/package/bin/anvil" "$anvil"
say "done"
echo "$anvil"
