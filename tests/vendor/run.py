#!/usr/bin/env python3
"""PayNet's flow in other languages: clients against the sandbox, and this crate against a server.

Builds the programs, runs them on free ports, always stops them, and fails if one fails. Needs curl, openssl and gzip
besides cargo.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
# In seconds, for everything but building. It takes a few, so this is a hang.
LIMIT = 120


def built(*target):
    """Builds a target with cargo. Returns the path of its program."""
    command = ["cargo", *target, "--locked", "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True)
    programs = [json.loads(line).get("executable") for line in done.stdout.splitlines()]
    return next(program for program in reversed(programs) if program)


@contextlib.contextmanager
def running(sandbox):
    """Starts the sandbox. Yields its process and what a client has to know. It ends by itself if this process is killed."""
    command = ["timeout", "--signal=INT", str(LIMIT), sandbox]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            printed = ""
            for line in process.stdout:
                printed += line
                if "runs until" in line:
                    break
            yield process, server(printed)
        finally:
            process.send_signal(signal.SIGINT)


def server(printed):
    """Returns addresses and credentials, read from the commands that the sandbox prints."""
    token_url = re.search(r"http://\S+/token", printed)[0]
    return {
        "TOKEN_URL": token_url,
        "API": token_url.removesuffix("/token"),
        "CLIENT_ID": re.search(r"'client_id=(.*)'", printed)[1],
        "CLIENT_SECRET": re.search(r"'client_secret=(.*)'", printed)[1],
    }


def client(command, environment):
    """Runs a client. Returns whether all responses were as documented, and what it sent."""
    print(f"\n==> {command[-1]}", flush=True)
    done = subprocess.run(command, cwd=HERE, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    *lines, sent = done.stdout.splitlines() or ["no output"]
    print("\n".join(lines))
    try:
        return done.returncode == 0, json.loads(sent)
    except json.JSONDecodeError:
        print(f"FAILED  the client ended early: {sent}")
        return False, {}


def clients_are_served(sandbox):
    """Runs the clients against the sandbox. Its counters must be the sum of what they sent."""
    with running(sandbox) as (process, environment):
        clients = ([sys.executable, "client.py"], ["bash", "report.sh"])
        ends = [client(command, environment) for command in clients]
        process.send_signal(signal.SIGINT)
        seen = {name: int(count) for name, count in re.findall(r"(\w+): (\d+)", process.stdout.read())}
    sent = {name: sum(sent.get(name, 0) for _, sent in ends) for name in ends[0][1]}
    sent["credentials_leaked"] = 0
    agrees = sent == {name: seen.get(name) for name in sent}
    print(f"\n{'ok' if agrees else 'FAILED':6}  the sandbox counted {seen}" + ("" if agrees else f" instead of {sent}"))
    return agrees and all(right for right, _ in ends)


def main():
    sandbox = built("build", "--example", "sandbox", "--features", "sandbox")
    test = built("test", "--no-run", "--test", "signing", "--all-features")

    def stop(number, _):
        raise SystemExit(f"FAILED  {signal.Signals(number).name}: stopped")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    served = clients_are_served(sandbox)
    print("\n==> this crate against Python's hmac", flush=True)
    agrees = subprocess.run([test, "--ignored", "python_verifies"], cwd=HERE.parent.parent).returncode == 0
    return 0 if served and agrees else "FAILED  PayNet's flow in other languages"


if __name__ == "__main__":
    sys.exit(main())
