#!/usr/bin/env bash
# A client of the reports API made of curl and openssl, by the vendor's page. It gets a report, and is refused in the
# ways that happen to scripts. Takes the server from the environment (see run.py); ends with what it sent, as JSON.
set -euo pipefail
wrong=0

# No proxy has a way to this machine's loopback address. The status comes on a line of its own.
http() { curl --silent --show-error --noproxy '*' --max-time 10 --write-out '\n%{http_code}' "$@"; }

# expect WHAT ANSWER STATUS TEXT: what came must be this status, and have this in the body.
expect() {
  if [[ $2 == *"$4"*$'\n'"$3" ]]; then
    echo "ok      $1: $3 $4"
  else
    echo "FAILED  $1: $2"
    wrong=1
  fi
}

# field NAME JSON: the text of a field, however the answer is spaced.
field() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" <<<"$2"; }

# token FLAG SECRET: a token request whose form curl encodes, with --data-urlencode, or leaves as it is, with --data.
token() {
  http --request POST --url "$TOKEN_URL" \
    --header 'Accept: application/json' --header 'Content-Type: application/x-www-form-urlencoded' \
    --data grant_type=client_credentials "$1" "client_id=$CLIENT_ID" "$1" "client_secret=$2"
}

hmac() { printf %s "$1" | openssl dgst -sha256 -hmac "$2" -r | cut -d ' ' -f 1; }

# call TIMESTAMP SECRET PATH..: a signed call; what follows the path is for curl.
call() {
  http --url "$API$3" --header "Authorization: Bearer $TOKEN" \
    --header "X-Timestamp: $1" --header "X-Signature: $(hmac "$1" "$2")" "${@:4}"
}

answer=$(token --data-urlencode "$CLIENT_SECRET")
expect 'token' "$answer" 200 '"access_token"'
TOKEN=$(field access_token "$answer")
expect 'wrong secret' "$(token --data-urlencode wrong)" 401 'invalid_client'
expect 'secret not form-encoded' "$(token --data "$CLIENT_SECRET")" 400 'invalid_request'

now=$(date +%s)
expect 'types' "$(call "$now" "$CLIENT_SECRET" /v1/reports/types)" 200 'settlement'
answer=$(call "$now" "$CLIENT_SECRET" /v1/reports/download --header 'Content-Type: application/json' \
  --data '{"report_type": "settlement", "product": "duitnow_qr", "date": "2026-01-31"}')
expect 'download' "$answer" 200 '"url"'

# Without any credential, and once.
URL=$(field url "$answer")
expect 'file' "$(curl --silent --show-error --fail --noproxy '*' --max-time 10 "$URL" | gzip -dc; printf '\n200')" \
  200 '2026-01-31'
expect 'the same file again' "$(http "$URL")" 410 ''

expect 'wrong signature' "$(call "$now" wrong /v1/reports/types)" 400 'Invalid signature'
expect 'stale timestamp' "$(call "$((now - 3600))" "$CLIENT_SECRET" /v1/reports/types)" \
  400 'Timestamp not within valid range'
half_signed=(--url "$API/v1/reports/types" --header "Authorization: Bearer $TOKEN")
expect 'no timestamp' "$(http "${half_signed[@]}")" 400 'Timestamp is required'
half_signed+=(--header "X-Timestamp: $now")
expect 'no signature' "$(http "${half_signed[@]}")" 400 'Signature is required'

echo '{"token_requests": 3, "accepted": 2, "rejected": 4, "downloads": 1}'
exit "$wrong"
