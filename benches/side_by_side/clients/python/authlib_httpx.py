"""Authlib's AsyncOAuth2Client (httpx), one client for all callers.

Without any token it raises MissingTokenError: the first one is the user's to fetch. So that its own renewal is what is
measured, it starts with a token that ran out. `token_endpoint` and `grant_type` are what its renewal needs.
AUTHLIB_LEEWAY: how long before its end a token counts as ended, 60 s unless set.
"""

import asyncio
import os
import sys
import time
from importlib.metadata import version

import httpx
from authlib.integrations.httpx_client import AsyncOAuth2Client
from common import commands

TOKEN_URL, API_URL, CLIENT_ID, CLIENT_SECRET = sys.argv[1:]


async def caller(client, wait, timeout, url):
    await asyncio.sleep(wait)
    start = time.monotonic()
    try:
        response = await asyncio.wait_for(client.get(url), timeout)
        outcome = response.status_code
    except (asyncio.TimeoutError, TimeoutError):
        outcome = "timeout"
    except Exception as error:  # whatever it is, the caller has no answer
        print(repr(error), file=sys.stderr)
        outcome = "error"
    return f"{outcome}:{1000 * (time.monotonic() - start):.0f}"


async def main():
    async with AsyncOAuth2Client(
        CLIENT_ID,
        CLIENT_SECRET,
        token_endpoint=TOKEN_URL,
        grant_type="client_credentials",
        token={"access_token": "old", "token_type": "Bearer", "expires_at": 1},
        leeway=int(os.environ.get("AUTHLIB_LEEWAY", "60")),
        follow_redirects=True,
        timeout=60,
    ) as client:
        print(f"ready Authlib {version('authlib')}, httpx {httpx.__version__}", flush=True)
        lines = commands()
        while command := await asyncio.to_thread(next, lines, None):
            calls, gap, timeout, url = command
            print(*await asyncio.gather(*(caller(client, n * gap, timeout, url) for n in range(calls))), flush=True)


asyncio.run(main())
