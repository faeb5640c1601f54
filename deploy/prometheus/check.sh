#!/usr/bin/env bash
# Checks the alerting rules: every metric they name is one that the code registers, every runbook is there, and, where
# promtool (Debian package prometheus) is on PATH, syntax and the rules' own tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
root=../..
rules=hufu.rules.yml

fail() { echo "check: $*" >&2; exit 1; }

registered() {
    grep -oE '"hufu_[a-z_]+"' "$root/gateway/server/src/telemetry.rs" | tr -d '"'
    # The relayer puts its prefix in front of each name.
    grep -oE '"[a-z_]+_(total|seconds|position)"' "$root/relayer/src/metrics.rs" | tr -d '"' | sed 's/^/hufu_relayer_/'
}

known=$(registered | sort -u)
for metric in $(grep -oE '\bhufu_[a-z_]+' "$rules" | sort -u); do
    grep -qxF "$metric" <<<"$known" || fail "$rules names the metric $metric, which the code does not register"
done

for page in $(sed -n 's/^ *runbook: //p' "$rules" | sort -u); do
    [ -f "$root/$page" ] || fail "$rules points at $page, which is not there"
done
echo "metric names and runbooks: good"

if ! command -v promtool >/dev/null; then
    echo "skipped: syntax and tests of $rules: promtool is not on PATH"
    exit 0
fi
promtool check rules "$rules"
promtool test rules hufu.test.yml
