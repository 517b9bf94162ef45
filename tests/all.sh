#!/usr/bin/env bash
# Everything that has to hold before a change lands. Goes on after a failed step, and fails at the end if one did.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}" RUST_BACKTRACE="${RUST_BACKTRACE:-1}"
# Most of a run is building, and most of what the tests do is waiting.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}"

# Its configuration, deny.toml, is written for this version.
readonly DENY_VERSION=0.20.2

passed=0
failed=0
table=()

row() { table+=("$(printf '%-6s %5ss  %s' "$1" "$2" "$3")"); }

# step NAME COMMAND...: runs the command, says how long it took, and keeps the result for the table.
step() {
  local name=$1 begin=$SECONDS verdict=ok
  shift
  printf '\n==> %s\n    %s\n' "$name" "$*"
  if "$@"; then
    passed=$((passed + 1))
  else
    verdict=FAILED
    failed=$((failed + 1))
  fi
  printf '    %s after %s s\n' "$verdict" "$((SECONDS - begin))"
  row "$verdict" "$((SECONDS - begin))" "$name"
}

clippy() { cargo clippy --locked --all-targets "$@" -- -D warnings; }

# Without benchmarks, which `--all-targets` would run.
tests() { cargo test --locked --no-fail-fast --lib --bins --tests --examples "$@"; }

# As docs.rs builds them, whose `doc_cfg` stable Rust lets through with the bootstrap switch. Some build scripts look at
# that switch, so these builds have another folder.
docs() {
  RUSTC_BOOTSTRAP=1 RUSTDOCFLAGS="-D warnings --cfg docsrs" \
    cargo doc --locked --no-deps --all-features --target-dir "${CARGO_TARGET_DIR:-target}/docsrs"
}

example() {
  local name=$1
  shift
  timeout 120 cargo run --locked --quiet --features sandbox,jwt --example "$name" "$@"
}

# The unit tests of the token's state machine, with a model checker's locks, atomics and tasks. A compiler flag for all
# crates brings the checkers in, so this has another folder; only this crate is told which checker it is.
model() {
  RUSTFLAGS="--cfg auth_model -D warnings" RUSTC_WORKSPACE_WRAPPER="$PWD/tests/models/$1" \
    CARGO_PROFILE_TEST_OPT_LEVEL=1 cargo test --locked --no-default-features --features tracing --lib \
    --target-dir "${CARGO_TARGET_DIR:-target}/models" model::
}

# have COMMAND PACKAGE: installs the Debian package of a command that is missing.
have() {
  command -v "$1" >/dev/null || { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$2"; }
}

instructions() { have valgrind valgrind && benches/instructions.sh --check; }

# An authorization server of others, on Node.js.
oidc() {
  have node nodejs && have npm npm && have openssl openssl && npm ci --prefix tests/oidc --no-audit --no-fund &&
    timeout 300 cargo test --locked --all-features --test servers -- --ignored oidc_provider
}

# Assertions, verified by PyJWT; keys, converted by OpenSSL and OpenSSH.
jwt() {
  local folder="${CARGO_TARGET_DIR:-target}/jwt"
  have openssl openssl && have ssh-keygen openssh-client && have python3 python3 || return
  if ! python3 -m venv "$folder"; then
    apt-get update && apt-get install --yes --no-install-recommends python3-venv && python3 -m venv "$folder" || return
  fi
  "$folder/bin/pip" install --quiet --requirement tests/jwt/requirements.txt &&
    PYTHON="$folder/bin/python" timeout 300 cargo test --locked --all-features --test oauth -- --ignored verif
}

proxies() {
  have nginx nginx-light && have tinyproxy tinyproxy-bin && have openssl openssl &&
    timeout 300 cargo test --locked --all-features --test servers -- --ignored nginx
}

vendor() { have curl curl && have openssl openssl && have gzip gzip && timeout 600 python3 tests/vendor/run.py; }

fuzz() { cargo run --locked --quiet --release --manifest-path tests/fuzz/Cargo.toml -- "$@"; }

# What takes a machine with IPv6. Without it, that is said, and counted neither way.
ipv6() {
  if grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 2>/dev/null; then
    step "a token host on IPv6 alone" \
      cargo test --locked --all-features --test machine -- --ignored ipv6
  else
    row "-" "-" "a token host on IPv6 alone: not run, there is no IPv6 here"
  fi
}

have_deny() {
  [ "$(cargo deny --version 2>/dev/null)" = "cargo-deny $DENY_VERSION" ] ||
    cargo install --locked --debug --version "$DENY_VERSION" cargo-deny
}

# The database comes from outside. Where it cannot be had, that is said, and counted neither way.
advisories() {
  if timeout 120 cargo deny --all-features --locked fetch db >/dev/null 2>&1; then
    step "deny: advisories" cargo deny --all-features --locked check advisories
  else
    printf '\nadvisories: not checked, the database cannot be reached\n'
    row "-" "-" "deny: advisories: not checked, the database cannot be reached"
  fi
}

step "format" cargo fmt --check

# incompatible_msrv refuses what the standard library got after the stated rust-version; new syntax it cannot see.
step "clippy and rust-version (incompatible_msrv), all features" clippy --all-features
step "clippy and rust-version, default features" clippy
step "clippy and rust-version, no default features" clippy --no-default-features

CUT_STEP=1 step "tests, all features; calls and token exchanges cut off at every byte" tests --all-features
step "doc tests, all features" cargo test --locked --doc --all-features
step "tests, no default features" tests --no-default-features
step "tests, default features" tests

for name in custom_source paynet private_key_jwt quickstart reports retry_timeout reqwest tonic proxy soak \
  workload_identity; do
  step "example $name" example "$name"
done
step "example sandbox" example sandbox -- --check

step "oidc-provider agrees" oidc
step "PyJWT, OpenSSL and OpenSSH agree" jwt
ipv6
step "nginx and tinyproxy let it through" proxies
step "the vendor's flow, by Python and curl" vendor
step "side by side: this crate's goal" python3 benches/side_by_side/run.py tower-outbound-auth

step "a plain model agrees on 5,000 histories" env PROPTEST_CASES=5000 \
  cargo test --locked --all-features --test model the_layer
step "chaos over sockets, 10 s" env CHAOS_SECONDS=10 \
  cargo test --locked --all-features --test chaos -- --nocapture
for checker in loom shuttle; do
  step "model checking with $checker" model "$checker"
done

step "fuzz targets: format" cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
step "fuzz targets: clippy" cargo clippy --locked --manifest-path tests/fuzz/Cargo.toml --all-targets -- -D warnings
step "fuzz targets: corpus, and 20,000 random inputs each" fuzz --inputs 20000

step "instructions of a warm request, within their budgets" instructions

step "docs, as docs.rs builds them" docs

step "cargo-deny $DENY_VERSION is here" have_deny
step "deny: bans, licences, sources" cargo deny --all-features --locked check bans licenses sources
advisories

printf '\n==> crates with two versions, default features (to read, not a check)\n'
cargo tree --locked --duplicates || true

printf '\n==> summary, %s s\n' "$SECONDS"
printf '%s\n' "${table[@]}"
printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
