"""A client of the reports API that knows Python's standard library and the vendor's page, and nothing of this crate.

It gets a report as it should be got, then does each step wrong in one way. Takes the server from the environment (see
run.py), prints each answer, and ends with what it sent, as JSON. Fails if an answer is not the documented one.
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
# No proxy has a way to this machine's loopback address.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

sent = collections.Counter(token_requests=0, accepted=0, rejected=0, downloads=0)
wrong = 0


def signature(timestamp, secret):
    """HMAC-SHA256 over the time with the secret as key, both as UTF-8, in lower-case hex."""
    return hmac.digest(secret.encode(), timestamp.encode(), "sha256").hex()


def send(url, headers, body=None):
    """Status and body; a refusal is an answer like any other."""
    request = urllib.request.Request(url, body and body.encode(), headers)
    try:
        with OPENER.open(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()


def expect(what, answer, status, text):
    """Compares an answer with the documented one: the status, and what has to be in the body."""
    global wrong
    right = answer[0] == status and text.encode() in answer[1]
    wrong += not right
    print(f"{'ok' if right else 'FAILED':6}  {what}: {answer[0]} {text if right else answer[1]}", flush=True)
    return answer[1]


FORM = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
ASK = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}


def ask(form, headers=ASK):
    """A token request. The form is encoded, unless it is a text already."""
    sent["token_requests"] += 1
    return send(TOKEN_URL, headers, form if isinstance(form, str) else urllib.parse.urlencode(form))


def now(later=0):
    return str(int(time.time()) + later)


def login(token, timestamp=None, **changed):
    """The headers of a call. What is changed to None is left out."""
    timestamp = timestamp or now()
    headers = {
        "Authorization": f"Bearer {token}",
        "X_Timestamp": timestamp,
        "X_Signature": signature(timestamp, CLIENT_SECRET),
        **changed,
    }
    return {name.replace("_", "-"): value for name, value in headers.items() if value is not None}


def call(headers, path="/v1/reports/types", body=None, fits=False):
    """A call to the API, which is to be let in if it fits."""
    sent["accepted" if fits else "rejected"] += 1
    if body is not None:
        headers = {**headers, "Content-Type": "application/json"}
        body = json.dumps(body)
    return send(API + path, headers, body)


def report():
    """From a token to a file, as it should be; gives the token."""
    answer = json.loads(expect("a token", ask(FORM), 200, "access_token"))
    kind = {name: answer.get(name) for name in ("token_type", "expires_in")}
    expect("its kind and lifetime", (200, repr(kind).encode()), 200, repr({"token_type": "Bearer", "expires_in": 3600}))
    token = answer["access_token"]

    expect("types", call(login(token), fits=True), 200, "settlement")
    order = {"report_type": "settlement", "product": "duitnow_qr", "date": "2026-01-31"}
    answer = expect("download", call(login(token), "/v1/reports/download", order, fits=True), 200, '"success":true')
    url = json.loads(answer)["data"]["url"]

    sent["downloads"] += 1
    status, packed = send(url, {})
    expect("file", (status, gzip.decompress(packed)), 200, "2026-01-31")
    expect("the same file again", send(url, {}), 410, "")

    graphql = ("/v2/reports/query", {"query": "{ __typename }"})
    expect("query", call(login(token, X_Fiid="FIID0001"), *graphql, fits=True), 200, "data")
    expect("query without X-Fiid", call(login(token), *graphql), 400, "X-Fiid is required")
    expect("query with another X-Fiid", call(login(token, X_Fiid="other"), *graphql), 400, FORBIDDEN)
    return token


def bad_token_requests():
    """The codes are those of RFC 6749, section 5.2: the vendor's page has none."""
    expect("wrong secret", ask({**FORM, "client_secret": "wrong"}), 401, "invalid_client")
    expect("wrong id", ask({**FORM, "client_id": "wrong"}), 401, "invalid_client")
    bare = "&".join(f"{name}={value}" for name, value in FORM.items())
    expect("secret not form-encoded", ask(bare), 400, "invalid_request")
    expect("no grant_type", ask({**FORM, "grant_type": ""}), 400, "invalid_request")
    expect("another grant", ask({**FORM, "grant_type": "password"}), 400, "unsupported_grant_type")
    expect("no Accept", ask(FORM, {"Content-Type": ASK["Content-Type"]}), 400, "invalid_request")
    expect("JSON", ask(json.dumps(FORM), {**ASK, "Content-Type": "application/json"}), 400, "invalid_request")
    basic = {"Authorization": "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()}
    expect("Basic", ask({"grant_type": "client_credentials"}, {**ASK, **basic}), 400, "invalid_request")


def bad_calls(token):
    expect("no token", call(login(token, Authorization=None)), 400, FORBIDDEN)
    expect("another token", call(login(token + "x")), 400, FORBIDDEN)
    expect("token without Bearer", call(login(token, Authorization=token)), 400, FORBIDDEN)

    expect("no timestamp", call(login(token, X_Timestamp=None)), 400, "Timestamp is required")
    expect("no signature", call(login(token, X_Signature=None)), 400, "Signature is required")

    second = now()
    right = signature(second, CLIENT_SECRET)
    encoded = urllib.parse.quote_plus(CLIENT_SECRET)
    for what, forged in (
        ("with another secret", signature(second, "wrong")),
        ("with the form-encoded secret", signature(second, encoded)),
        ("for another second", signature(str(int(second) - 1), CLIENT_SECRET)),
        ("in upper case", right.upper()),
        ("in base64", base64.b64encode(bytes.fromhex(right)).decode()),
        ("by half", right[:32]),
        ("with nothing", ""),
    ):
        expect(f"signed {what}", call(login(token, second, X_Signature=forged)), 400, "Invalid signature")

    for what, timestamp in (
        ("an hour old", now(-3600)),
        ("an hour ahead", now(3600)),
        ("in milliseconds", now() + "000"),
        ("with a fraction", now() + ".5"),
        ("in hexadecimal", hex(int(now()))),
    ):
        expect(f"timestamp {what}", call(login(token, timestamp)), 400, "Timestamp not within valid range")
    expect("and as it should be, once more", call(login(token), fits=True), 200, "settlement")


FORBIDDEN = "Access to this resource is forbidden"

if __name__ == "__main__":
    the_token = report()
    bad_token_requests()
    bad_calls(the_token)
    print(json.dumps(sent))
    sys.exit(wrong > 0)
