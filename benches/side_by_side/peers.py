"""Installs and starts the clients. One that cannot be installed is not run, and the reason is printed."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CLIENTS = HERE / "clients"
CARGO_TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TARGET = CARGO_TARGET / "side_by_side"
# The servers are on this machine.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


class NotInstalled(Exception):
    pass


def run(*command, cwd=ROOT, seconds=600, **variables):
    """Returns the command's output. If it fails, its last line is the reason."""
    try:
        done = subprocess.run(
            command, cwd=cwd, env=os.environ | variables, timeout=seconds, text=True, capture_output=True, check=True
        )
    except FileNotFoundError as error:
        raise NotInstalled(f"no {command[0]} here") from error
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"{command[0]}: no end after {seconds} s") from error
    except subprocess.CalledProcessError as error:
        words = (error.stderr or error.stdout).strip().splitlines() or ["failed"]
        raise NotInstalled(f"{Path(command[0]).name}: {words[-1]}") from error
    return done.stdout


def debian(*packages):
    """Installs missing packages, if this is a Debian and the user is allowed to."""
    run("apt-get", "update", "-q")
    run("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages, DEBIAN_FRONTEND="noninteractive")


def rust(manifest, binary, *arguments):
    """A program of a crate with a lock file of its own. The crates share the folder of builds."""

    def install():
        shared = ["--target-dir", CARGO_TARGET, "--manifest-path", ROOT / manifest / "Cargo.toml"]
        built = run("cargo", "build", "--locked", *shared, "--bin", binary, "--message-format=json", seconds=1800)
        messages = [json.loads(line) for line in built.splitlines()]
        program = next(message["executable"] for message in reversed(messages) if message.get("executable"))
        return [program, *arguments]

    return install


def go():
    if not shutil.which("go"):
        debian("golang-go")
    source, binary = CLIENTS / "go", TARGET / "go"
    try:
        run("go", "mod", "download", cwd=source, seconds=60)
        run("go", "build", "-o", binary, ".", cwd=source)
    except NotInstalled:
        # No module proxy, or a Go that is too old: Debian's package, which is built without modules.
        library = "golang-golang-x-oauth2-dev"
        if not Path("/usr/share/gocode/src/golang.org/x/oauth2").is_dir():
            debian(library)
        version = run("dpkg-query", "-W", "-f", "${Version}", library).partition("-")[0]
        flag = f"-ldflags=-X main.version=v{version}"
        run("go", "build", flag, "-o", binary, "main.go", cwd=source, GO111MODULE="off", GOPATH="/usr/share/gocode")
    return [binary]


def python(requirements, script):
    def install():
        home = TARGET / "python"
        binary = home / "bin" / "python"
        if not binary.exists():
            run(sys.executable, "-m", "venv", home)
        pip = [binary, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        run(*pip, "-r", CLIENTS / "python" / requirements)
        return [binary, CLIENTS / "python" / script]

    return install


def javascript():
    if not shutil.which("npm"):
        debian("nodejs", "npm")
    if not (CLIENTS / "js" / "node_modules").is_dir():
        run("npm", "ci", "--no-audit", "--no-fund", cwd=CLIENTS / "js")
    return ["node", CLIENTS / "js" / "client.js"]


# By the name in the tables: installs the client and returns the command that starts it.
PEERS = {
    "tower-outbound-auth": rust("benches/side_by_side/clients/rust", "hyper"),
    "Go x/oauth2": go,
    "Envoy": python("requirements-envoy.txt", "envoy.py"),
    "Authlib, httpx": python("requirements.txt", "authlib_httpx.py"),
    "Authlib, requests": python("requirements.txt", "authlib_requests.py"),
    "@badgateway/oauth2-client": javascript,
}
REQWEST_PEERS = {
    "tower-outbound-auth, reqwest": rust("benches/side_by_side/clients/rust", "reqwest"),
    "hand-written RwLock": rust("benches/reqwest", "client", "by-hand"),
    "reqwest-auth": rust("benches/reqwest", "client", "reqwest-auth"),
    "aliri_reqwest": rust("benches/reqwest", "client", "aliri_reqwest"),
}


class Client:
    """One client process, which makes calls when told to. clients/python/common.py describes the protocol."""

    def __init__(self, command, servers, credentials):
        self.process = subprocess.Popen(
            [*command, servers.token_url, servers.api_url, *credentials],
            env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        # No scenario takes this long, unless the client hangs.
        self.watchdog = threading.Timer(120, self.process.terminate)
        self.watchdog.daemon = True
        self.watchdog.start()
        self.versions = self._line().removeprefix("ready ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.watchdog.cancel()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended already
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def call(self, url, calls=1, gap=0, timeout=0):
        """Returns outcomes and milliseconds of this many callers, in any order."""
        self.process.stdin.write(f"{calls} {gap} {timeout} {url}\n")
        self.process.stdin.flush()
        pairs = [pair.split(":") for pair in self._line().split()]
        return [(outcome, int(milliseconds)) for outcome, milliseconds in pairs]

    def _line(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the client ended: {self.process.wait(10)}")
        return line.strip()
