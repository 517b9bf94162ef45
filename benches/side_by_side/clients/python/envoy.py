"""Envoy's credential_injector, with plain callers (Python's urllib) behind it that know of no token.

A sidecar's configuration: one route to the API, whose requests get the token. A redirect to another host is followed by the
caller, past Envoy.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from common import serve_with_threads

TOKEN_URL, API_URL, CLIENT_ID, CLIENT_SECRET = sys.argv[1:]
EXTENSIONS = "type.googleapis.com/envoy.extensions."


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def cluster(name, url):
    address = {"address": "127.0.0.1", "port_value": urlsplit(url).port}
    endpoint = {"endpoint": {"address": {"socket_address": address}}}
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}}


def configuration(port):
    token_source = {
        "@type": EXTENSIONS + "http.injected_credentials.oauth2.v3.OAuth2",
        "token_endpoint": {"cluster": "token", "uri": TOKEN_URL, "timeout": "10s"},
        "client_credentials": {"client_id": CLIENT_ID, "client_secret": {"name": "secret"}},
    }
    injector = {
        "@type": EXTENSIONS + "filters.http.credential_injector.v3.CredentialInjector",
        "credential": {"name": "envoy.http.injected_credentials.oauth2", "typed_config": token_source},
    }
    router = {"@type": EXTENSIONS + "filters.http.router.v3.Router"}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "api"}}
    manager = {
        "@type": EXTENSIONS + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "egress",
        "route_config": {"virtual_hosts": [{"name": "api", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.credential_injector", "typed_config": injector},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    secret = {"name": "secret", "generic_secret": {"secret": {"inline_string": CLIENT_SECRET}}}
    clusters = [cluster("token", TOKEN_URL), cluster("api", API_URL)]
    return {"static_resources": {"listeners": [listener], "clusters": clusters, "secrets": [secret]}}


def wait_for(port, process):
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.01)
    raise SystemExit("Envoy did not start")


opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(url, timeout):
    try:
        with opener.open(url.replace(api_origin, envoy_origin), timeout=timeout) as response:
            return response.status
    except urllib.error.HTTPError as answer:
        return answer.code
    except TimeoutError:
        return "timeout"
    except OSError as error:
        print(repr(error), file=sys.stderr)
        return "timeout" if isinstance(getattr(error, "reason", None), TimeoutError) else "error"


envoy = Path(sys.executable).with_name("envoy")
version = re.search(r"/(\d+\.\d+\.\d+)/", subprocess.check_output([envoy, "--version"], text=True))[1]
port = free_port()
api_origin, envoy_origin = API_URL.removesuffix(urlsplit(API_URL).path), f"http://127.0.0.1:{port}"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of `finally`
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "envoy.json")
    path.write_text(json.dumps(configuration(port)))
    process = subprocess.Popen(
        [envoy, "-c", path, "--disable-hot-restart", "-l", os.environ.get("ENVOY_LOG", "error")], stdout=sys.stderr
    )
    try:
        wait_for(port, process)
        print(f"ready Envoy {version}", flush=True)
        serve_with_threads(call)
    finally:
        process.terminate()
        process.wait()
