"""Runs the same scenarios for this crate and for other clients, against one server on this machine.

    python3 benches/side_by_side/run.py                        other languages; writes results.csv and results.md
    python3 benches/side_by_side/run.py --reqwest              middlewares of reqwest; writes reqwest.csv and reqwest.md
    python3 benches/side_by_side/run.py tower-outbound-auth    some clients of both; writes nothing

Installs what is missing, under `target/` and `clients/js/node_modules`. Fails if this crate does not achieve its goal.
"""

import csv
import sys
import time
from collections import Counter
from dataclasses import dataclass

from peers import HERE, PEERS, REQWEST_PEERS, Client, NotInstalled
from server import CLIENT_ID, CLIENT_SECRET, Servers

OURS = "tower-outbound-auth"  # and what it begins
ALL = PEERS | REQWEST_PEERS


@dataclass
class Result:
    scenario: str
    cell: str  # in the table
    goal: bool  # whether this crate's goal is met
    answers: list  # of (outcome, milliseconds)
    token_requests: int
    second_requests: int = 0
    leaks: int = 0

    def outcomes(self):
        return " ".join(f"{outcome}x{count}" for outcome, count in Counter(o for o, _ in self.answers).items())


def good(answers):
    return sum(outcome == "200" for outcome, _ in answers)


def slowest(answers):
    return max(milliseconds for _, milliseconds in answers)


def seconds(milliseconds):
    return f"{milliseconds / 1000:.1f} s"


def asked(servers):
    return f"{servers.token_requests} token request{'s' * (servers.token_requests != 1)}"


# A scenario takes (start, servers) and returns (cell, goal, answers). `start()` starts the client, a new process.


def cold(start, servers):
    servers.reset(delay=1)  # all callers wait before it responds
    with start() as client:
        answers = client.call(servers.api_url, calls=100)
    served = "" if good(answers) == 100 else f", {good(answers)} of 100 served"
    return asked(servers) + served, servers.token_requests == 1 and not served, answers


def outage(start, servers):
    servers.reset(delay=0.05, status=503)
    with start() as client:
        begin = time.monotonic()
        answers = client.call(servers.api_url, calls=100)
        time.sleep(max(0, begin + 4 - time.monotonic()))
    cell = f"{asked(servers)}, longest wait {seconds(slowest(answers))}"
    return cell, servers.token_requests <= 3 and good(answers) == 0, answers


def revocations(times):
    def scenario(start, servers):
        servers.reset()
        with start() as client:
            until_it_works(client, servers)
            answers = []
            for _ in range(times):
                servers.revoke()
                answers += client.call(servers.api_url)
        return ", then ".join(outcome for outcome, _ in answers), good(answers) == times, answers

    return scenario


def hurried(start, servers):
    for _ in range(3):
        servers.reset(delay=1)
        with start() as client:
            answers = client.call(servers.api_url, calls=10, gap=300, timeout=300)
            time.sleep(1)  # for token requests under way
        # On a busy machine the server itself may be late. That says nothing about a client, so it is repeated.
        if servers.late < 0.15:
            break
    cell = f"{good(answers)} served, {asked(servers)}, longest wait {seconds(slowest(answers))}"
    return cell, servers.token_requests == 1 and good(answers) > 0, answers


def redirect(start, servers):
    servers.reset()
    with start() as client:
        until_it_works(client, servers)
        answers = client.call(servers.redirecting_url)
    followed = servers.second_requests == 1 and good(answers) == 1
    cell = "token leaked" if servers.leaks else "none leaked" if followed else "not followed"
    return cell, followed and not servers.leaks, answers


def short(start, servers):
    servers.reset(lifetime=2)
    with start() as client:
        until_it_works(client, servers)
        begin = time.monotonic()
        answers = client.call(servers.api_url, calls=60, gap=100)
        allowed = 1 + max(6, time.monotonic() - begin) / 1.5  # 1 for the first, fetched before
    failed = f", {60 - good(answers)} calls failed" if good(answers) < 60 else ""
    cell = f"{asked(servers)}, slowest call {slowest(answers)} ms{failed}"
    return cell, servers.token_requests <= allowed and not failed, answers


def until_it_works(client, servers):
    """Envoy answers 401 until it has its token."""
    end = time.monotonic() + 10
    while client.call(servers.api_url)[0][0] != "200":
        if time.monotonic() > end:
            raise RuntimeError("no request came through in 10 s")
        time.sleep(0.1)


SCENARIOS = {
    "100 callers, no token yet": cold,
    "100 callers, the token endpoint answers 503 (counted for 4 s)": outage,
    "a request after a revocation": revocations(1),
    "a request after each of two revocations within a second": revocations(2),
    "10 callers, one each 300 ms, gone after 300 ms; the token endpoint takes 1 s": hurried,
    "a redirect to another host": redirect,
    "a token of 2 s; 60 calls in 6 s": short,
}


def run(name, servers):
    """Runs all scenarios of one client. Returns its versions, and a result for each scenario."""
    command, versions, results = ALL[name](), "", []

    def start():
        nonlocal versions
        client = Client(command, servers, (CLIENT_ID, CLIENT_SECRET))
        versions = client.versions
        return client

    for title, scenario in SCENARIOS.items():
        try:
            cell, goal, answers = scenario(start, servers)
        except RuntimeError as error:
            cell, goal, answers = f"failed: {error}", False, []
        counted = (servers.token_requests, servers.second_requests, servers.leaks)
        results.append(Result(title, cell, goal, answers, *counted))
        print(f"{name}: {title}: {cell}{'' if goal or not name.startswith(OURS) else '   MISSED'}", flush=True)
    return versions, results


def table(done, missing):
    names = list(done)
    rows = [["", *names], ["---"] * (len(names) + 1)]
    for number, title in enumerate(SCENARIOS):
        rows.append([title, *(done[name][1][number].cell for name in names)])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", "Versions: " + "; ".join(versions for versions, _ in done.values()) + "."]
    lines += [f"Not run: {name} ({reason})." for name, reason in missing.items()]
    return "\n".join(lines) + "\n"


def write(results, option, done, text):
    with open(HERE / f"{results}.csv", "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["client", "scenario", "token_requests", "outcomes", "slowest_ms", "leaks", "goal_met"])
        for name, (_, outcomes) in done.items():
            for r in outcomes:
                slow = slowest(r.answers) if r.answers else ""
                rows.writerow([name, r.scenario, r.token_requests, r.outcomes(), slow, r.leaks, "no yes".split()[r.goal]])
    command = f"python3 benches/side_by_side/run.py{option}"
    head = f"Made by `{command}` on {time.strftime('%Y-%m-%d')}. [How to read it](README.md)\n\n"
    (HERE / f"{results}.md").write_text(head + text)


def main(chosen):
    group, results, option = {
        (): (PEERS, "results", ""),
        ("--reqwest",): (REQWEST_PEERS, "reqwest", " --reqwest"),
    }.get(tuple(chosen), (chosen, None, None))
    if unknown := set(group) - set(ALL):
        return f"unknown: {', '.join(unknown)}; there are: {', '.join(ALL)}"
    servers, done, missing = Servers(), {}, {}
    for peer in group:
        try:
            done[peer] = run(peer, servers)
        except NotInstalled as error:
            missing[peer] = str(error)
            print(f"{peer}: not run: {error}", flush=True)
    text = table(done, missing)
    print("\n" + text)
    if results:
        write(results, option, done, text)
    ours = [peer for peer in group if peer.startswith(OURS)]
    if any(peer in missing or not all(result.goal for result in done[peer][1]) for peer in ours):
        return f"{OURS} missed its goal"
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
