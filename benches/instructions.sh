#!/usr/bin/env bash
# Counts the instructions of one call with callgrind, for each variant in benches/budgets.md. With `--check` it fails if a
# call takes more than its ceiling there. A call is the difference of two runs of different length, minus what creating and
# dropping the request takes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly BUDGETS=benches/budgets.md FEW=5 MANY=55 CALLS=200

# Part of other benchmarks and tests, slow to optimize, and not executed in these calls.
readonly NOT_EXECUTED=(axum axum-core h2 hyper hyper-rustls hyper-util idna proptest rcgen regex-automata regex-syntax reqwest
  rustls rustls-webpki tokio-rustls tokio-util tonic tracing-subscriber url)

build() {
  local settings=("${NOT_EXECUTED[@]/#/--config=profile.bench.package.}")
  cargo "${settings[@]/%/.opt-level=0}" bench --locked --bench warm_path --no-run --message-format=json |
    python3 -c 'import json, sys
for line in sys.stdin:
    artifact = json.loads(line)
    if artifact.get("executable"): print(artifact["executable"])'
}

total() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1 | sed -n 's/.*Collected : //p'
}

per_call() { echo $((($(total "$1" "$MANY") - $(total "$1" "$FEW")) / ((MANY - FEW) * CALLS))); }

compare() {
  local above=0 name ceiling count verdict
  while IFS='|' read -r _ name _ ceiling _; do
    name=${name//[ \`]/} ceiling=${ceiling//[ ,]/}
    count=$(($(per_call "$name") - creation)) verdict=ok
    if ((count > ceiling)); then verdict=ABOVE above=1; fi
    printf '%-20s %6s of at most %6s  %s\n' "$name" "$count" "$ceiling" "$verdict"
  done < <(grep '^| `' "$BUDGETS")
  return "$above"
}

case ${1:-} in
'' | --check) ;;
*) echo "usage: $0 [--check]" >&2 && exit 2 ;;
esac
binary=$(build)
creation=$(per_call creation)
compare || [ "${1:-}" != --check ]
