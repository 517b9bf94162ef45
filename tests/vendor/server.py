"""A server like PayNet's that checks signatures with Python's hmac, and counts what it accepts and rejects.

Prints its origin. Then each line on standard input is a JSON object of settings to change: `secrets`, any of which will
do; `offset` of its clock in seconds; `revoke`, all tokens so far. It answers each with what it saw, and ends with the
input. See tests/signing/python_verifies_every_signature/.
"""

import collections
import hashlib
import hmac
import http.server
import json
import secrets
import sys
import threading
import time
import urllib.parse

CLIENT_ID = "id of & for +%"
SIGNED = {("GET", "/v1/reports/types"), ("POST", "/v1/reports/download"), ("POST", "/v2/reports/query")}
UNSIGNED = {("GET", "/v1/merchants")}
# In seconds, in both directions; PayNet does not publish its own.
WINDOW = 30

lock = threading.Lock()
state = {"secrets": [], "offset": 0}
tokens = set()
# By secret, and by message or error code.
seen = {"token_requests": 0, "accepted": collections.Counter(), "refused": collections.Counter()}


class Refusal(Exception):
    """Status, and the only field of the body."""


def now():
    return time.time() + state["offset"]


def one(headers, name, missing):
    """Returns the value of a header that must be there exactly once."""
    values = headers.get_all(name, [])
    if len(values) != 1:
        raise Refusal(400, {"message": missing})
    return values[0]


def grant(headers, body):
    seen["token_requests"] += 1
    kind = "application/x-www-form-urlencoded"
    if headers["Accept"] != "application/json" or headers["Content-Type"] != kind:
        raise Refusal(400, {"error": "invalid_request"})
    if "Authorization" in headers or "X-Timestamp" in headers or "X-Signature" in headers:
        raise Refusal(400, {"error": "invalid_request"})
    form = urllib.parse.parse_qsl(body.decode("ascii"), strict_parsing=True, keep_blank_values=True, errors="strict")
    rest = [field for field in form if field[0] != "client_secret"]
    if sorted(rest) != [("client_id", CLIENT_ID), ("grant_type", "client_credentials")]:
        raise Refusal(400, {"error": "invalid_request"})
    if [field[1] for field in form if field not in rest] not in ([secret] for secret in state["secrets"]):
        raise Refusal(401, {"error": "invalid_client"})
    token = secrets.token_urlsafe()
    tokens.add(token)
    return {"access_token": token, "token_type": "Bearer", "expires_in": 3600}


def check_token(headers):
    forbidden = "Access to this resource is forbidden"
    scheme, _, token = one(headers, "Authorization", forbidden).partition(" ")
    if scheme != "Bearer" or token not in tokens:
        raise Refusal(400, {"message": forbidden})


def check_signature(headers):
    """Returns the secret that the signature was made with."""
    timestamp = one(headers, "X-Timestamp", "Timestamp is required")
    given = one(headers, "X-Signature", "Signature is required")
    if not timestamp.isdecimal() or abs(int(timestamp) - now()) > WINDOW:
        raise Refusal(400, {"message": "Timestamp not within valid range"})
    for secret in state["secrets"]:
        mac = hmac.new(bytes(secret, "utf-8"), digestmod=hashlib.sha256)
        mac.update(bytes(timestamp, "utf-8"))
        if hmac.compare_digest(bytes(mac.hexdigest(), "ascii"), bytes(given, "latin-1")):
            return secret
    raise Refusal(400, {"message": "Invalid signature"})


def respond(method, path, headers, body):
    if (method, path) == ("POST", "/token"):
        return grant(headers, body)
    if (method, path) not in SIGNED | UNSIGNED:
        raise Refusal(404, {"message": "no such path"})
    check_token(headers)
    if (method, path) in SIGNED:
        secret = check_signature(headers)
    elif "X-Timestamp" in headers or "X-Signature" in headers:
        raise Refusal(400, {"message": "Signature is not allowed"})
    else:
        secret = "none"
    seen["accepted"][secret] += 1
    return {"success": True}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def date_time_string(self, timestamp=None):
        """Returns the value of `Date`."""
        return super().date_time_string(timestamp or now())

    def reply(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with lock:
            try:
                status, content = 200, respond(self.command, self.path, self.headers, body)
            except Refusal as refusal:
                status, content = refusal.args
                seen["refused"][content.get("message") or content["error"]] += 1
            self.send_response(status)
        content = json.dumps(content).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", len(content))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = reply

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    for line in sys.stdin:
        change = json.loads(line)
        with lock:
            if change.pop("revoke", False):
                tokens.clear()
            state.update(change)
            print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()
