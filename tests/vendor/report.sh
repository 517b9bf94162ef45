#!/usr/bin/env bash
# A client of the reports API with curl and openssl, written from PayNet's documentation. It gets a report, and makes the
# mistakes that scripts make. Takes the server from the environment (see run.py); finally prints what it sent, as JSON.
set -euo pipefail
wrong=0

# A proxy cannot reach this machine's loopback address. The status is on the last line.
http() { curl --silent --show-error --noproxy '*' --max-time 10 --write-out '\n%{http_code}' "$@"; }

# expect WHAT RESPONSE STATUS TEXT: compares the status, and looks for the text in the body.
expect() {
  if [[ $2 == *"$4"*$'\n'"$3" ]]; then
    echo "ok      $1: $3 $4"
  else
    echo "FAILED  $1: $2"
    wrong=1
  fi
}

# field NAME JSON: prints the string value of a field, whatever the spaces around it.
field() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" <<<"$2"; }

# token FLAG SECRET: makes a token request. curl encodes the form with --data-urlencode, and does not with --data.
token() {
  http --request POST --url "$TOKEN_URL" \
    --header 'Accept: application/json' --header 'Content-Type: application/x-www-form-urlencoded' \
    --data grant_type=client_credentials "$1" "client_id=$CLIENT_ID" "$1" "client_secret=$2"
}

hmac() { printf %s "$1" | openssl dgst -sha256 -hmac "$2" -r | cut -d ' ' -f 1; }

# call TIMESTAMP SECRET PATH..: makes a signed call; further arguments are curl's.
call() {
  http --url "$API$3" --header "Authorization: Bearer $TOKEN" \
    --header "X-Timestamp: $1" --header "X-Signature: $(hmac "$1" "$2")" "${@:4}"
}

response=$(token --data-urlencode "$CLIENT_SECRET")
expect 'token' "$response" 200 '"access_token"'
TOKEN=$(field access_token "$response")
expect 'wrong secret' "$(token --data-urlencode wrong)" 401 'invalid_client'
expect 'secret not form-encoded' "$(token --data "$CLIENT_SECRET")" 400 'invalid_request'

now=$(date +%s)
expect 'types' "$(call "$now" "$CLIENT_SECRET" /v1/reports/types)" 200 'settlement'
response=$(call "$now" "$CLIENT_SECRET" /v1/reports/download --header 'Content-Type: application/json' \
  --data '{"report_type": "settlement", "product": "duitnow_qr", "date": "2026-01-31"}')
expect 'download' "$response" 200 '"url"'

# Without credentials. The URL works once.
URL=$(field url "$response")
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
