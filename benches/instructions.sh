#!/usr/bin/env bash
# Instructions of one warm call, counted by callgrind. `--check` holds them to benches/budgets.md, within 3 %; `--write`
# writes that table anew. Two runs of different length are subtracted, so that what a process costs falls out, and what it
# takes to make a request and to drop it is subtracted too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly BUDGETS=benches/budgets.md PERCENT=3 FEW=5 MANY=55 CALLS=200
readonly VARIANTS=(
  "bare|to a service that answers at once"
  "static|with one static header, by tower-http's \`AddAuthorizationLayer\`"
  "three-static|with three static headers"
  "cloning-retry|with one static header, and kept for a second try by tower's \`Retry\`"
  "bearer|with a token; \`NoReplay\`"
  "signed|with a token and a signature; \`NoReplay\`"
  "bearer-clone-body|with a token; \`CloneBody\`, the default"
  "signed-clone-body|with a token and a signature; \`CloneBody\`"
  "out-of-scope|to another origin"
  "no-auth|with \`NoAuth\` in its extensions, which are made and dropped"
)

# What comes with the other benchmarks and tests, is long to optimise, and takes no part in these calls.
readonly APART=(axum axum-core h2 hyper hyper-rustls hyper-util idna proptest rcgen regex-automata regex-syntax reqwest
  rustls rustls-webpki tokio-rustls tokio-util tonic tracing-subscriber url)

build() {
  local settings=("${APART[@]/#/--config=profile.bench.package.}")
  cargo "${settings[@]/%/.opt-level=0}" bench --locked --bench warm_path --no-run --message-format=json |
    python3 -c 'import json, sys
for line in sys.stdin:
    artifact = json.loads(line)
    if artifact.get("executable"): print(artifact["executable"])'
}

total() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1 | sed -n 's/.*Collected : //p'
}

whole() { echo $((($(total "$1" "$MANY") - $(total "$1" "$FEW")) / ((MANY - FEW) * CALLS))); }

count() { echo $(($(whole "$1") - making)); }

write() {
  printf '| | a warm call | instructions |\n|---|---|---|\n'
  for variant in "${VARIANTS[@]}"; do
    printf '| `%s` | %s | %s |\n' "${variant%%|*}" "${variant#*|}" "$(count "${variant%%|*}")"
  done
}

check() {
  local failed=0 name budget found verdict
  while IFS='|' read -r _ name _ budget _; do
    name=${name//[ \`]/} budget=${budget// /}
    found=$(count "$name") verdict=ok
    if ((found * 100 > budget * (100 + PERCENT) || found * 100 < budget * (100 - PERCENT))); then
      verdict="more than $PERCENT % off: find out why, or benches/instructions.sh --write" failed=1
    fi
    printf '%-20s %6s of %6s  %s\n' "$name" "$found" "$budget" "$verdict"
  done < <(grep '^| `' "$BUDGETS")
  return "$failed"
}

binary=$(build)
making=$(whole making)
case ${1:-} in
--write) write | tee "$BUDGETS.new" && mv "$BUDGETS.new" "$BUDGETS" ;;
--check) check ;;
*) sed -n '2,4s/^# //p' "$0" >&2 && exit 2 ;;
esac
