# Thin names for commands that work without `just` too; `.ci/run` runs the same ones.

# What there is.
default:
    @just --list

# The tests, as the README names them.
test:
    cargo test --workspace

# Format and lints, as CI takes them.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Bans, licences and sources of dependencies (cargo-deny 0.20.2).
deny:
    cargo deny --locked check bans licenses sources

# Alerting rules: metric names, syntax and their own tests.
rules:
    deploy/prometheus/check.sh

# The suite with real ledger nodes; builds the node program on the first run.
real-nodes:
    deploy/real-nodes/install-geth.sh
    deploy/real-nodes/install-anvil.sh
    deploy/real-nodes/install-cometbft.sh 0.38
    deploy/real-nodes/install-cometbft.sh 1.0
    HUFU_REAL_NODES=1 cargo test -p hufu-gateway-cli --test real_nodes -- --nocapture

# Three departments in one terminal.
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# One fuzz target for a minute, for instance `just fuzz rlp` (needs cargo-fuzz; `-s none` runs on the stable compiler).
fuzz TARGET SECONDS="60":
    cargo fuzz run --fuzz-dir fuzz -s none {{TARGET}} -- -max_total_time={{SECONDS}}

# Structured mutations of valid EVM proofs, receipts and sealed headers; what is accepted and says anything else fails.
mutate COUNT="10000000":
    HUFU_MUTATIONS={{COUNT}} cargo test --release -p hufu-evm-light-client --test mutations -- --nocapture

# Everything that must hold before a change counts.
ci:
    .ci/run
