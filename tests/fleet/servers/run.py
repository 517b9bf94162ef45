#!/usr/bin/env python3
"""A fleet of real processes over real stores: Redis, Valkey, Sentinel, a Cluster of three nodes.

Starts every server on a free port and stops it at the end. Needs cargo, openssl, redis-server, redis-sentinel, the library
of faketime, and valkey-server in $VALKEY_SERVER. Arguments: parts of the names of scenarios to run; none runs all.
"""

import concurrent.futures
import contextlib
import http.server
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
# In seconds. The whole takes less than two minutes.
LIMIT = 600
AT_ONCE = 3
RIGHTS = "resetkeys ~outbound-auth:* resetchannels -@all +get +set +del +pttl +eval"
FAKETIME = next(iter(map(str, pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), "")
PROCESSES = 50


def free_port():
    """A port that is free, and whose port for a Cluster's bus, 10,000 above, is one."""
    while True:
        port = random.randrange(20000, 50000)
        try:
            for number in (port, port + 10000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
            return port
        except OSError:
            pass


class Provider:
    """An authorization server and its API, which count."""

    def __init__(self):
        self.lock = threading.Lock()
        self.issued = 0
        self.valid = {}
        self.lifetime = 3600
        self.latency = 0.02
        self.keeps_one = False
        self.secrets = {"old", "new", "a", "b"}
        self.by_secret = {}
        self.rejected = 0
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                self.answer(*provider.token(form["client_secret"][0]))

            def do_GET(self):
                self.answer(*provider.call(self.headers.get("authorization", "")))

            def answer(self, status, body):
                body = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, secret):
        with self.lock:
            self.issued += 1
            number = self.issued
            self.by_secret[secret] = self.by_secret.get(secret, 0) + 1
            latency = self.latency
        time.sleep(latency)
        if secret not in self.secrets:
            return 401, {"error": "invalid_client"}
        with self.lock:
            if self.keeps_one:
                self.valid.clear()
            self.valid[f"Bearer token-{number}"] = time.monotonic() + self.lifetime
            return 200, {"access_token": f"token-{number}", "expires_in": self.lifetime}

    def call(self, authorization):
        with self.lock:
            good = self.valid.get(authorization, 0) > time.monotonic()
            self.rejected += not good
        return (200, {}) if good else (401, {})

    def revoke(self):
        with self.lock:
            self.valid.clear()


class Replica:
    """A process of the fleet."""

    def __init__(self, program, provider, store, secret="old", clock=None, **settings):
        environment = {
            **os.environ, "STORE": store, "TOKEN_URL": f"{provider.url}/token", "API": provider.url, "SECRET": secret,
            "RUST_BACKTRACE": "0", **settings,
        }
        if clock:
            environment |= {"LD_PRELOAD": FAKETIME, "FAKETIME": clock, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.process = subprocess.Popen([program], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self):
        return self.process.stdout.readline().strip()

    def ask(self, line):
        self.tell(line)
        return self.answer()

    def events(self):
        return dict(part.split("=") for part in self.ask("events").split())

    def signal(self, number):
        os.kill(self.process.pid, number)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def together(replicas, line):
    """Tells all, then hears all."""
    for replica in replicas:
        replica.tell(line)
    return [replica.answer() for replica in replicas]


class Store:
    """A server of Redis or Valkey."""

    def __init__(self, stack, program="redis-server", port=None, *arguments):
        self.folder = stack.enter_context(tempfile.TemporaryDirectory())
        self.port = port or free_port()
        self.command = [program, "--port", str(self.port), "--dir", self.folder, "--save", "", "--appendonly", "no",
                        "--bind", "127.0.0.1", "--logfile", "log", *arguments]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process = None
        stack.callback(self.kill)
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, cwd=self.folder, stdin=subprocess.DEVNULL)
        eventually(lambda: self.run("PING"), f"{self.command[0]} answers")

    def run(self, *arguments, password=None):
        """One command. Returns the raw reply, or None without one."""
        commands = ([("AUTH", password)] if password else []) + [arguments]
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                for command in commands:
                    parts = [str(part).encode() for part in command]
                    packed = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
                    connection.sendall(packed)
                    reply = connection.recv(65536).decode(errors="replace")
                return reply
        except OSError:
            return None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()


def eventually(done, what, limit=20):
    end = time.monotonic() + limit
    while not done():
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        time.sleep(0.02)


def expect(holds, what):
    if not holds:
        raise AssertionError(what)


class Stage:
    """What a scenario needs; all of it is stopped at its end."""

    def __init__(self, stack, program):
        self.stack, self.program, self.provider = stack, program, Provider()
        stack.callback(self.provider.server.shutdown)

    def store(self, *arguments, **settings):
        return Store(self.stack, *arguments, **settings)

    def replica(self, store, **settings):
        store = store if isinstance(store, str) else f"one {store.url}"
        replica = Replica(self.program, self.provider, store, **settings)
        self.stack.callback(replica.stop)
        return replica

    def fleet(self, store, number=PROCESSES, **settings):
        return [self.replica(store, **settings) for _ in range(number)]

    def sentinels(self):
        """A master, two replicas of it, three Sentinels."""
        master = self.store()
        copies = [self.store("redis-server", None, "--replicaof", "127.0.0.1", str(master.port)) for _ in range(2)]
        watchers = []
        for _ in range(3):
            port = free_port()
            folder = self.stack.enter_context(tempfile.TemporaryDirectory())
            config = pathlib.Path(folder, "sentinel.conf")
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {folder}\nlogfile {folder}/log\n"
                f"sentinel monitor mymaster 127.0.0.1 {master.port} 2\n"
                "sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 4000\n"
            )
            process = subprocess.Popen(["redis-sentinel", str(config)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            self.stack.callback(process.wait)
            self.stack.callback(process.kill)
            watchers.append(f"redis://127.0.0.1:{port}")
            sentinel = Store.__new__(Store)
            sentinel.port = port
            eventually(lambda at=sentinel: at.run("PING"), "a Sentinel answers")
        eventually(lambda: "num-other-sentinels\r\n$1\r\n2" in (sentinel.run("SENTINEL", "MASTER", "mymaster") or ""), "they meet")
        eventually(lambda: "num-slaves\r\n$1\r\n2" in (sentinel.run("SENTINEL", "MASTER", "mymaster") or ""), "they see the copies")
        return master, copies, sentinel, f"sentinel {','.join(watchers)} mymaster"

    def cluster(self):
        """Three masters, and a replica of each."""
        nodes = []
        for _ in range(6):
            port = free_port()
            nodes.append(self.store("redis-server", port, "--cluster-enabled", "yes", "--cluster-port", str(port + 10000),
                                    "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"))
        masters, copies = nodes[:3], nodes[3:]
        for number, node in enumerate(masters):
            node.run("CLUSTER", "ADDSLOTSRANGE", number * 5462, min(number * 5462 + 5461, 16383))
        for number, node in enumerate(nodes):
            node.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            node.run("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].port + 10000)
        knows_all = lambda node: "cluster_known_nodes:6" in (node.run("CLUSTER", "INFO") or "")
        for node in nodes:
            eventually(lambda at=node: knows_all(at), "the nodes meet")
        for master, copy in zip(masters, copies):
            name = master.run("CLUSTER", "MYID").split("\r\n")[1]
            eventually(lambda: "OK" in (copy.run("CLUSTER", "REPLICATE", name) or ""), "a node copies another")
        is_up = lambda node: "cluster_state:ok" in (node.run("CLUSTER", "INFO") or "")
        for node in nodes:
            eventually(lambda at=node: is_up(at), "the Cluster is up")
        for copy in copies:
            eventually(lambda at=copy: "master_link_status:up" in (at.run("INFO", "replication") or ""), "a copy is in step")
        return masters, "cluster " + ",".join(node.url for node in masters)


def all_ok(answers):
    expect(all(answer.startswith("200 ") for answer in answers), f"not every call has a 200: {sorted(set(answers))[:5]}")


def conforms(stage, store, **settings):
    answer = stage.replica(store, **settings).ask("check")
    expect(answer == "ok", answer)


# The scenarios. Each returns what it measured.

def stores_conform(stage):
    plain = stage.store()
    folder, port = plain.folder, free_port()
    config = pathlib.Path(folder, "ca.cnf")
    config.write_text("[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n[leaf]\nsubjectAltName=DNS:localhost\n")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-config", str(config)]
    quiet = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*new, "-extensions", "ca", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"], **quiet)
    subprocess.run([*new, "-extensions", "leaf", "-subj", "/CN=leaf", "-keyout", "leaf.key", "-out", "leaf.pem", "-CA", "ca.pem", "-CAkey", "ca.key"], **quiet)
    stage.store("redis-server", None, "--unixsocket", f"{folder}/socket", "--tls-port", str(port), "--tls-cert-file", f"{folder}/leaf.pem",
                "--tls-key-file", f"{folder}/leaf.key", "--tls-ca-cert-file", f"{folder}/ca.pem", "--tls-auth-clients", "no")
    replicas = [
        stage.replica(plain),
        stage.replica(f"one valkey://127.0.0.1:{plain.port}/3"),
        stage.replica(f"one unix://{folder}/socket"),
        stage.replica(f"one rediss://localhost:{port}", CA=f"{folder}/ca.pem"),
    ]
    if os.environ.get("VALKEY_SERVER"):
        replicas.append(stage.replica(stage.store(os.environ["VALKEY_SERVER"])))
    answers = together(replicas, "check")
    expect(set(answers) == {"ok"}, answers)
    foreign = stage.replica(f"one rediss://localhost:{port}").ask("check")
    expect("cannot be reached" in foreign, f"an unknown authority: {foreign}")
    return "Redis 7, Valkey 9, a database, a Unix socket, TLS with a private authority"


def rights_are_enough(stage):
    store = stage.store()
    rights = RIGHTS.split()
    store.run("ACL", "SETUSER", "reports", "on", ">p%w", *rights)
    conforms(stage, f"one redis://reports:p%25w@127.0.0.1:{store.port}")
    for right in ["+get", "+set", "+del", "+pttl", "+eval", "~outbound-auth:*"]:
        store.run("ACL", "SETUSER", "less", "reset", "on", ">p%w", *[other for other in rights if other != right])
        replica = stage.replica(f"one redis://less:p%25w@127.0.0.1:{store.port}")
        expect(replica.ask("check") != "ok", f"without {right}, too?")
        all_ok([replica.ask("call")])
    return "exactly +get +set +del +pttl +eval; without one of them, calls go on"


def sentinel_conforms(stage):
    conforms(stage, stage.sentinels()[3])
    return "a master behind three Sentinels"


def cluster_conforms(stage):
    masters, store = stage.cluster()
    for node in masters:
        node.run("ACL", "SETUSER", "reports", "on", ">p", *RIGHTS.split())
    conforms(stage, "cluster " + ",".join(f"redis://reports:p@127.0.0.1:{node.port}" for node in masters))
    return "three nodes, entries on all of them, by a user with the same rights"


def fifty_start_cold(stage):
    replicas = stage.fleet(stage.store())
    answers = together(replicas, "call")
    all_ok(answers)
    expect(stage.provider.issued == 1, f"{stage.provider.issued} token requests")
    return f"{PROCESSES} processes, 1 token request, slowest call {max(int(answer.split()[2]) for answer in answers)} ms"


def fifty_see_the_end_of_a_token(stage):
    stage.provider.lifetime = 8
    replicas = stage.fleet(stage.store())
    together(replicas, "call")
    time.sleep(7.4)
    all_ok(together(replicas, "call"))
    expect(stage.provider.issued == 2, f"{stage.provider.issued - 1} token requests")
    return "1 token request"


def fifty_see_a_revocation(stage):
    replicas = stage.fleet(stage.store())
    together(replicas, "call")
    stage.provider.revoke()
    all_ok(together(replicas, "call"))
    expect(stage.provider.issued == 2, f"{stage.provider.issued - 1} token requests")
    return "1 token request"


def fifty_see_a_rotation(stage):
    found = []
    for settings in ({}, {"SEALING_KEY": "a long random key"}):
        stage.provider.secrets = {"old", "new"}
        replicas, before = stage.fleet(stage.store(), **settings), stage.provider.issued
        together(replicas, "call")
        expect(stage.provider.issued == before + 1, "cold")
        together(replicas, "rotate new")
        stage.provider.secrets = {"new"}
        stage.provider.revoke()
        all_ok(together(replicas, "call"))
        all_ok(together(replicas, "call"))
        found.append(stage.provider.issued - before - 1)
        for replica in replicas:
            replica.stop()
    expect(max(found) <= 2, f"{found} token requests")
    return f"{found[0]} token requests with the client secret as key, {found[1]} with a sealing key"


def one_token_per_client(stage):
    stage.provider.keeps_one, stage.provider.lifetime = True, 15
    replicas = stage.fleet(stage.store())
    answers = [answer.split() for answer in together(replicas, "loop 60 400")]
    calls, failed = (sum(int(answer[at]) for answer in answers) for at in (0, 1))
    # Renewed after 65 to 80 % of 15 s.
    expect(failed == 0 and stage.provider.issued <= 7, f"{failed} of {calls} failed, {stage.provider.issued} token requests")
    return f"a minute: {calls} calls, 0 failed, {stage.provider.rejected} rejected and replayed, {stage.provider.issued} token requests for lifetimes of 15 s"


def the_holder_is_killed(stage):
    stage.provider.latency = 60
    store = stage.store()
    holder, other = stage.fleet(store, 2)
    holder.tell("call")
    eventually(lambda: stage.provider.issued == 1, "the holder fetches")
    stage.provider.latency = 0.02
    other.tell("call")
    time.sleep(0.5)
    holder.signal(signal.SIGKILL)
    killed = time.monotonic()
    all_ok([other.answer()])
    took = time.monotonic() - killed
    expect(took < 5, f"another leads after {took:.1f} s")
    return f"another leads after {took:.1f} s"


def the_holder_is_stopped(stage):
    stage.provider.latency = 1
    store = stage.store()
    late, other, third = stage.fleet(store, 3)
    late.tell("call")
    eventually(lambda: stage.provider.issued == 1, "the holder fetches")
    late.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    answer = other.ask("call")
    took = time.monotonic() - stopped
    all_ok([answer])
    expect(took < 5 + 1, f"another leads after {took:.1f} s")
    late.signal(signal.SIGCONT)
    all_ok([late.answer()])
    expect(third.ask("call").split()[1] == answer.split()[1] == "token-2", "the late one published")
    return f"another led after {took - 1:.1f} s; the late one published nothing"


def during(stage, store, harm, seconds=8, processes=8, lifetime=8, interval=50, **settings):
    """Processes that call while harm is done. Returns calls and token requests."""
    stage.provider.lifetime = lifetime
    replicas = stage.fleet(store, processes, **settings)
    for replica in replicas:
        replica.tell(f"loop {seconds} {interval}")
    time.sleep(1)
    harm()
    answers = [replica.answer().split() for replica in replicas]
    calls, failed, slowest = (f(int(answer[at]) for answer in answers) for f, at in ((sum, 0), (sum, 1), (max, 2)))
    # Each process begins at most this many lifetimes, renewed from 65 % on.
    limit = processes * (1 + int(seconds / (0.65 * lifetime)))
    expect(failed == 0, f"{failed} of {calls} calls failed")
    expect(stage.provider.issued <= limit, f"{stage.provider.issued} token requests, {limit} allowed")
    return f"{calls} calls, 0 failed, slowest {slowest} ms, {stage.provider.issued} token requests ({limit} allowed)"


def the_store_is_stopped(stage):
    store = stage.store()
    return during(stage, store, lambda: store.signal(signal.SIGSTOP))


def the_store_is_killed_and_restarted_empty(stage):
    store = stage.store()

    def harm():
        store.kill()
        time.sleep(3)
        store.start()

    return during(stage, store, harm)


def the_store_is_flushed(stage):
    store = stage.store()
    return during(stage, store, lambda: [(store.run("FLUSHALL"), time.sleep(1)) for _ in range(4)])


def the_password_is_changed(stage):
    store = stage.store("redis-server", None, "--requirepass", "first")
    harm = lambda: (store.run("CONFIG", "SET", "requirepass", "second", password="first"),
                    store.run("CLIENT", "KILL", "TYPE", "normal", password="second"))
    return during(stage, f"one redis://:first@127.0.0.1:{store.port}", harm)


def the_memory_is_full(stage):
    store = stage.store()
    return during(stage, store, lambda: (store.run("FLUSHALL"), store.run("CONFIG", "SET", "maxmemory", "1")))


def another_type_is_under_the_key(stage):
    store = stage.store()
    stage.replica(store).ask("call")
    keys = [line for line in store.run("KEYS", "*").split("\r\n") if line.startswith("outbound-auth:")]
    key = next(key for key in keys if key.endswith(":token"))
    found = []
    for command in (("LPUSH", key, "mine"), ("SET", key, "garbage"), ("SET", key, "1 0 ab garbage", "PX", "60000")):
        store.run("DEL", key)
        store.run(*command)
        before, stage.provider.issued = store.run("DUMP", key), 0
        found.append(during(stage, store, lambda: None, seconds=2))
        expect(store.run("DUMP", key) == before, "a foreign value was overwritten")
    return found[0]


def sentinel_fails_over(stage):
    master, copies, sentinel, store = stage.sentinels()
    result = during(stage, store, master.kill, seconds=9)
    eventually(lambda: str(master.port) not in (sentinel.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster") or str(master.port)), "a new master")
    before = stage.provider.issued
    # Within 20 s of the recovery the store is used again; a new process finds it at once.
    all_ok([stage.replica(store).ask("call")])
    all_ok([stage.replica(store).ask("call")])
    expect(stage.provider.issued <= before + 1, "the new master is not used")
    return result


def sentinel_hands_over(stage):
    """The old master lives on as a copy, and answers READONLY."""
    master, _, sentinel, store = stage.sentinels()
    replicas = stage.fleet(store, 5)
    all_ok(together(replicas, "call"))
    sentinel.run("SENTINEL", "FAILOVER", "mymaster")
    eventually(lambda: "role:slave" in (master.run("INFO", "replication") or ""), "the old master is a copy")
    counts = []
    for _ in range(2):
        before = stage.provider.issued
        stage.provider.revoke()
        all_ok(together(replicas, "call"))
        counts.append(stage.provider.issued - before)
        # The store is left alone for two seconds.
        time.sleep(2.5)
    expect(counts[1] == 1, f"{counts} token requests for two revocations: the new master is not used")
    return f"0 failed, {counts[0]} token requests for the first revocation, {counts[1]} for the next"


def the_store_is_read_only(stage):
    master = stage.store()
    copy = stage.store("redis-server", None, "--replicaof", "127.0.0.1", str(master.port))
    return during(stage, copy, lambda: None, seconds=3)


def a_cluster_node_is_lost(stage):
    masters, store = stage.cluster()
    result = during(stage, store, lambda: [node.kill() for node in masters[:1]], seconds=9)
    survivors = "cluster " + ",".join(node.url for node in masters)
    eventually(lambda: "cluster_state:ok" in (masters[1].run("CLUSTER", "INFO") or ""), "the Cluster recovers")
    conforms(stage, survivors)
    return result


def clocks_differ(stage):
    store = stage.store()
    replicas = [stage.replica(store, clock=clock) for clock in ("-10m", "+0", "+10m") for _ in range(5)]
    stage.provider.lifetime = 8
    answers = together(replicas, "call")
    all_ok(answers)
    expect(stage.provider.issued == 1, f"{stage.provider.issued} token requests")
    time.sleep(7.4)
    all_ok(together(replicas, "call"))
    expect(stage.provider.issued == 2, f"{stage.provider.issued} token requests after a lifetime")
    return "20 minutes between the first and the last clock: 1 token request cold, 1 at expiry"


def two_fleets_on_one_store(stage):
    store = stage.store()
    fleets = stage.fleet(store, 10, secret="a") + stage.fleet(store, 10, secret="b")
    all_ok(together(fleets, "call"))
    expect(stage.provider.by_secret == {"a": 1, "b": 1}, f"{stage.provider.by_secret}")
    stage.provider.revoke()
    all_ok(together(fleets, "call"))
    expect(stage.provider.by_secret == {"a": 2, "b": 2}, f"{stage.provider.by_secret}")
    return "1 token request each, and 1 each after a revocation"


def the_demonstration_counts(stage):
    store = stage.store()
    environment = {**os.environ, "REDIS_URL": store.url}
    shown = subprocess.run([built("fleet"), "5"], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    counts = [line.split()[-1] for line in shown.splitlines() if line.startswith("token requests")]
    expect(counts == ["1", "2"], shown)
    return "5 processes: 1 token request cold, 1 after a revocation"


SCENARIOS = [
    stores_conform, rights_are_enough, sentinel_conforms, cluster_conforms, fifty_start_cold, fifty_see_the_end_of_a_token,
    fifty_see_a_revocation, fifty_see_a_rotation, the_holder_is_killed, the_holder_is_stopped, the_store_is_stopped,
    the_store_is_killed_and_restarted_empty, the_store_is_flushed, the_password_is_changed, the_memory_is_full,
    another_type_is_under_the_key, the_store_is_read_only, sentinel_fails_over, sentinel_hands_over, a_cluster_node_is_lost, clocks_differ, two_fleets_on_one_store,
    the_demonstration_counts,
    one_token_per_client,
]


def built(example):
    command = ["cargo", "build", "--locked", "--all-features", "--example", example, "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    programs = [json.loads(line).get("executable") for line in done.stdout.splitlines()]
    return next(program for program in reversed(programs) if program)


def play(scenario, program):
    """The line to print of a scenario, and whether it holds."""
    name, begin, holds = scenario.__name__.replace("_", " "), time.monotonic(), True
    try:
        with contextlib.ExitStack() as stack:
            result = scenario(Stage(stack, program))
    except Exception as error:
        holds, result = False, f"FAILED: {error}"
    return f"{name} ({time.monotonic() - begin:.1f} s): {result}", holds


def main():
    program, start, held = built("fleet_replica"), time.monotonic(), 0
    signal.alarm(LIMIT)
    chosen = [scenario for scenario in SCENARIOS if not sys.argv[1:] or any(part in scenario.__name__ for part in sys.argv[1:])]
    # Each has servers of its own, and mostly waits. The longest comes first.
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        plays = [pool.submit(play, scenario, program) for scenario in reversed(chosen)]
        for played in concurrent.futures.as_completed(plays):
            line, holds = played.result()
            held += holds
            print(line, flush=True)
    print(f"{held} of {len(chosen)} scenarios hold, {time.monotonic() - start:.0f} s")
    return held < len(chosen)


if __name__ == "__main__":
    sys.exit(main())
