#!/usr/bin/env python3
"""The vendor's flow by strangers: their clients against the sandbox, and this crate against a server of theirs.

Builds what is needed, runs all of it on free ports, stops it whatever happens, and fails if anything did. Takes curl,
openssl and gzip beside cargo.
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
# For all of it once it is built. Takes some seconds, so this is a hang.
LIMIT = 120


def built(*target):
    """Has cargo build a target; gives the path of its program."""
    command = ["cargo", *target, "--locked", "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True)
    programs = [json.loads(line).get("executable") for line in done.stdout.splitlines()]
    return next(program for program in reversed(programs) if program)


@contextlib.contextmanager
def running(sandbox):
    """The sandbox, and what a client has to know of it. Should this process be killed, it ends on its own."""
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
    """Reads the commands that the sandbox prints for a shell, which name its addresses and the client."""
    token_url = re.search(r"http://\S+/token", printed)[0]
    return {
        "TOKEN_URL": token_url,
        "API": token_url.removesuffix("/token"),
        "CLIENT_ID": re.search(r"'client_id=(.*)'", printed)[1],
        "CLIENT_SECRET": re.search(r"'client_secret=(.*)'", printed)[1],
    }


def client(command, environment):
    """Runs a client. Gives whether it was answered as documented, and what it sent."""
    print(f"\n==> {command[-1]}", flush=True)
    done = subprocess.run(command, cwd=HERE, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    *lines, sent = done.stdout.splitlines() or ["it printed nothing"]
    print("\n".join(lines))
    try:
        return done.returncode == 0, json.loads(sent)
    except json.JSONDecodeError:
        print(f"FAILED  it ended early: {sent}")
        return False, {}


def strangers_are_served(sandbox):
    """Their clients against the sandbox, whose counters must be the sum of what they sent."""
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

    def give_up(number, _):
        raise SystemExit(f"FAILED  {signal.Signals(number).name}: given up")

    signal.signal(signal.SIGTERM, give_up)
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LIMIT)
    served = strangers_are_served(sandbox)
    print("\n==> this crate against Python's hmac", flush=True)
    agrees = subprocess.run([test, "--ignored", "python_verifies"], cwd=HERE.parent.parent).returncode == 0
    return 0 if served and agrees else "FAILED  the vendor's flow by strangers"


if __name__ == "__main__":
    sys.exit(main())
