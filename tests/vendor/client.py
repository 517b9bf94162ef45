"""A client of the reports API, written from PayNet's documentation with Python's standard library, without this crate.

It gets a report correctly, then gets each step wrong in several ways. Takes the server from the environment (see run.py),
prints each response, and finally what it sent, as JSON. Fails if a response is not the documented one.
"""

import base64
import collections
import gzip
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

TOKEN_URL, API, CLIENT_ID, CLIENT_SECRET = (
    os.environ[name] for name in ("TOKEN_URL", "API", "CLIENT_ID", "CLIENT_SECRET")
)
# A proxy cannot reach this machine's loopback address.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

sent = collections.Counter(token_requests=0, accepted=0, rejected=0, downloads=0)
wrong = 0


def signature(timestamp, secret):
    """Returns HMAC-SHA256 over the time with the secret as key, both as UTF-8, in lower-case hex."""
    return hmac.digest(secret.encode(), timestamp.encode(), "sha256").hex()


def send(url, headers, body=None):
    """Returns status and body, for errors, too."""
    request = urllib.request.Request(url, body and body.encode(), headers)
    try:
        with OPENER.open(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def expect(what, response, status, text):
    """Compares a response with the documented one: the status, and a part of the body."""
    global wrong
    right = response[0] == status and text.encode() in response[1]
    wrong += not right
    print(f"{'ok' if right else 'FAILED':6}  {what}: {response[0]} {text if right else response[1]}", flush=True)
    return response[1]


FORM = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
TOKEN_HEADERS = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}


def request_token(form, headers=TOKEN_HEADERS):
    """Makes a token request. The form is encoded, unless it is a string."""
    sent["token_requests"] += 1
    return send(TOKEN_URL, headers, form if isinstance(form, str) else urllib.parse.urlencode(form))


def now(later=0):
    return str(int(time.time()) + later)


def signed(token, timestamp=None, **changed):
    """Returns the headers of a call. A header that is changed to None is left out."""
    timestamp = timestamp or now()
    headers = {
        "Authorization": f"Bearer {token}",
        "X_Timestamp": timestamp,
        "X_Signature": signature(timestamp, CLIENT_SECRET),
        **changed,
    }
    return {name.replace("_", "-"): value for name, value in headers.items() if value is not None}


def call(headers, path="/v1/reports/types", body=None, valid=False):
    """Calls the API. A valid call must be accepted, any other rejected."""
    sent["accepted" if valid else "rejected"] += 1
    if body is not None:
        headers = {**headers, "Content-Type": "application/json"}
        body = json.dumps(body)
    return send(API + path, headers, body)


def report():
    """Gets a report correctly, from the token to the file. Returns the token."""
    response = json.loads(expect("a token", request_token(FORM), 200, "access_token"))
    described = {name: response.get(name) for name in ("token_type", "expires_in")}
    expect("its type and lifetime", (200, repr(described).encode()), 200, repr({"token_type": "Bearer", "expires_in": 3600}))
    token = response["access_token"]

    expect("types", call(signed(token), valid=True), 200, "settlement")
    order = {"report_type": "settlement", "product": "duitnow_qr", "date": "2026-01-31"}
    response = expect("download", call(signed(token), "/v1/reports/download", order, valid=True), 200, '"success":true')
    url = json.loads(response)["data"]["url"]

    sent["downloads"] += 1
    status, packed = send(url, {})
    expect("file", (status, gzip.decompress(packed)), 200, "2026-01-31")
    expect("the same file again", send(url, {}), 410, "")

    graphql = ("/v2/reports/query", {"query": "{ __typename }"})
    expect("query", call(signed(token, X_Fiid="FIID0001"), *graphql, valid=True), 200, "data")
    expect("query without X-Fiid", call(signed(token), *graphql), 400, "X-Fiid is required")
    expect("query with another X-Fiid", call(signed(token, X_Fiid="other"), *graphql), 400, FORBIDDEN)
    return token


def bad_token_requests():
    """The codes are those of RFC 6749, section 5.2: PayNet documents none."""
    expect("wrong secret", request_token({**FORM, "client_secret": "wrong"}), 401, "invalid_client")
    expect("wrong id", request_token({**FORM, "client_id": "wrong"}), 401, "invalid_client")
    bare = "&".join(f"{name}={value}" for name, value in FORM.items())
    expect("secret not form-encoded", request_token(bare), 400, "invalid_request")
    expect("no grant_type", request_token({**FORM, "grant_type": ""}), 400, "invalid_request")
    expect("another grant type", request_token({**FORM, "grant_type": "password"}), 400, "unsupported_grant_type")
    expect("no Accept", request_token(FORM, {"Content-Type": TOKEN_HEADERS["Content-Type"]}), 400, "invalid_request")
    expect("JSON", request_token(json.dumps(FORM), {**TOKEN_HEADERS, "Content-Type": "application/json"}), 400, "invalid_request")
    basic = {"Authorization": "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()}
    expect("Basic", request_token({"grant_type": "client_credentials"}, {**TOKEN_HEADERS, **basic}), 400, "invalid_request")


def bad_calls(token):
    expect("no token", call(signed(token, Authorization=None)), 400, FORBIDDEN)
    expect("another token", call(signed(token + "x")), 400, FORBIDDEN)
    expect("token without Bearer", call(signed(token, Authorization=token)), 400, FORBIDDEN)

    expect("no timestamp", call(signed(token, X_Timestamp=None)), 400, "Timestamp is required")
    expect("no signature", call(signed(token, X_Signature=None)), 400, "Signature is required")

    second = now()
    right = signature(second, CLIENT_SECRET)
    encoded = urllib.parse.quote_plus(CLIENT_SECRET)
    for what, forged in (
        ("with another secret", signature(second, "wrong")),
        ("with the form-encoded secret", signature(second, encoded)),
        ("for another second", signature(str(int(second) - 1), CLIENT_SECRET)),
        ("in upper case", right.upper()),
        ("in base64", base64.b64encode(bytes.fromhex(right)).decode()),
        ("with half of it", right[:32]),
        ("with nothing", ""),
    ):
        expect(f"signed {what}", call(signed(token, second, X_Signature=forged)), 400, "Invalid signature")

    for what, timestamp in (
        ("an hour old", now(-3600)),
        ("an hour ahead", now(3600)),
        ("in milliseconds", now() + "000"),
        ("with a fraction", now() + ".5"),
        ("in hexadecimal", hex(int(now()))),
    ):
        expect(f"timestamp {what}", call(signed(token, timestamp)), 400, "Timestamp not within valid range")
    expect("a correct call again", call(signed(token), valid=True), 200, "settlement")


FORBIDDEN = "Access to this resource is forbidden"

if __name__ == "__main__":
    the_token = report()
    bad_token_requests()
    bad_calls(the_token)
    print(json.dumps(sent))
    sys.exit(wrong > 0)
