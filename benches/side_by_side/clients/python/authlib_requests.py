"""Authlib's OAuth2Session (requests), one session for all threads. Starts with a token that ran out, as authlib_httpx.py does."""

import sys
from importlib.metadata import version

import requests
from authlib.integrations.requests_client import OAuth2Session
from common import serve_with_threads
from requests.adapters import HTTPAdapter

TOKEN_URL, API_URL, CLIENT_ID, CLIENT_SECRET = sys.argv[1:]

session = OAuth2Session(
    CLIENT_ID,
    CLIENT_SECRET,
    token_endpoint=TOKEN_URL,
    grant_type="client_credentials",
    token={"access_token": "old", "token_type": "Bearer", "expires_at": 1},
)
session.mount("http://", HTTPAdapter(pool_maxsize=100))


def call(url, timeout):
    try:
        return session.get(url, timeout=timeout).status_code
    except requests.Timeout:
        return "timeout"
    except Exception as error:  # whatever it is, the caller has no answer
        print(repr(error), file=sys.stderr)
        return "error"


print(f"ready Authlib {version('authlib')}, requests {requests.__version__}", flush=True)
serve_with_threads(call)
