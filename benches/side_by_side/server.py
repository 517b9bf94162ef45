"""The server for every client: token endpoint, API and a second host, all counted. Uses Python's standard library only."""

import base64
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote_plus, urlsplit

CLIENT_ID, CLIENT_SECRET = "side-by-side", "correct-horse"


class Servers:
    """Settings and counters, the same object for all clients; `reset` starts a scenario."""

    def __init__(self):
        self.lock = threading.Lock()
        self.reset()
        self.main = _listen(_Main, self)
        self.second = _listen(_Second, self)
        self.origin = f"http://127.0.0.1:{self.main.server_port}"
        # Another host by name and by port.
        self.second_origin = f"http://localhost:{self.second.server_port}"
        self.token_url, self.api_url = self.origin + "/token", self.origin + "/api"
        self.redirecting_url = self.origin + "/moved"

    def reset(self, delay=0.1, status=200, lifetime=3600):
        """Sets delay and status of the token endpoint, and the lifetime of its tokens. Resets all counters."""
        with self.lock:
            self.delay, self.status, self.lifetime = delay, status, lifetime
            self.tokens = {}
            self.token_requests = self.second_requests = self.leaks = 0
            self.late = 0  # by how many seconds a token response was later than its delay

    def revoke(self):
        with self.lock:
            self.tokens.clear()

    def issue(self):
        token = secrets.token_urlsafe(24)
        with self.lock:
            self.tokens[token] = time.monotonic() + self.lifetime
        return token

    def accepts(self, authorization):
        with self.lock:
            return self.tokens.get((authorization or "").removeprefix("Bearer "), 0) > time.monotonic()


def _listen(handler, servers):
    server = _Server(("127.0.0.1", 0), handler)
    server.servers = servers
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_):
        pass  # a client that closed the connection


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece
    disable_nagle_algorithm = True

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class _Main(_Handler):
    """Token endpoint and API, on one host."""

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        servers = self.server.servers
        if self.path != "/token":
            return self.answer(404)
        with servers.lock:
            servers.token_requests += 1
            delay, status, lifetime = servers.delay, servers.status, servers.lifetime
        end = time.monotonic() + delay
        time.sleep(delay)
        servers.late = max(servers.late, time.monotonic() - end)
        if status != 200:
            return self.answer(status, b"out of order", Content_Type="text/plain")
        if form.get("grant_type") != ["client_credentials"] or self.client(form) != (CLIENT_ID, CLIENT_SECRET):
            return self.answer(401, b'{"error":"invalid_client"}', Content_Type="application/json")
        token = {"access_token": servers.issue(), "token_type": "Bearer", "expires_in": lifetime}
        self.answer(200, json.dumps(token).encode(), Content_Type="application/json", Cache_Control="no-store")

    def client(self, form):
        """Returns id and secret, from the header or the form."""
        scheme, _, basic = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            id_, _, secret = base64.b64decode(basic).decode().partition(":")
            return unquote_plus(id_), unquote_plus(secret)
        return form.get("client_id", [""])[0], form.get("client_secret", [""])[0]

    def do_GET(self):
        servers, path = self.server.servers, urlsplit(self.path).path
        if not servers.accepts(self.headers.get("Authorization")):
            return self.answer(401, WWW_Authenticate='Bearer error="invalid_token"')
        if path == "/moved":
            return self.answer(302, Location=servers.second_origin + "/file")
        self.answer(200 if path == "/api" else 404, b"{}", Content_Type="application/json")


class _Second(_Handler):
    """Another host, which must not receive a token."""

    def do_GET(self):
        servers = self.server.servers
        with servers.lock:
            servers.second_requests += 1
            servers.leaks += "Authorization" in self.headers
        self.answer(200, b"a file", Content_Type="text/plain")
