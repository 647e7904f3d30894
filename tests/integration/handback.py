"""The system under test: its own folder, its own loopback network, its own processes."""
import http.client
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("HANDBACK_BIN", ROOT / "build/bin"))
SANITIZED = "address" in str(BIN)
SLOW = 4 if SANITIZED else 1  # how much longer things may take
API_PORT, SIP_PORT = 38080, 38060
KEYS = {"asapp-api-id": "demo-id", "asapp-api-secret": "demo-secret"}
OPERATOR = {"asapp-api-id": "ops", "asapp-api-secret": "ops-secret"}

_networks = itertools.count(0)
_ids = itertools.count(1)


def network():
    """A /24 of loopback that no other test of this machine uses at the same time."""
    return f"127.{40 + next(_networks) % 80}.{os.getpid() % 250 + 1}"


def new_id(prefix="t"):
    return f"{prefix}-{os.getpid()}-{next(_ids)}-{os.urandom(3).hex()}"


def eventually(probe, timeout=5.0, what="what was expected", every=0.05):
    """probe()'s first true value; a failure says what it was about."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout * SLOW} s: {what}"
        time.sleep(every)


class Process:
    """One of our programs, its log in a file; ended by its id."""

    def __init__(self, name, args, folder, limits=(), env=None):
        self.name, self.log = name, folder / f"{name}.log"
        with open(self.log, "ab") as log:
            self.start = log.tell()  # an earlier run of the same name wrote what is before
            self.process = subprocess.Popen([*limits, *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=folder, env={**os.environ, **(env or {})})
        self.pid = self.process.pid

    def text(self):
        return self.log.read_bytes()[self.start:].decode(errors="replace")

    def alive(self):
        return self.process.poll() is None

    def ready(self, timeout=10.0):
        def probe():
            assert self.alive(), f"{self.name} ended with {self.process.returncode}:\n{self.text()[-4000:]}"
            return "event=ready" in self.text()
        eventually(probe, timeout, f"{self.name} says event=ready; log:\n{self.text()[-2000:]}")

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=10.0):
        return self.process.wait(timeout * SLOW)

    def kill(self):
        if self.alive():
            self.process.kill()
        self.process.wait(10)

    def stop(self, timeout=10.0):
        """SIGTERM; exit status.  One that does not go is a failure."""
        if self.alive():
            self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {timeout * SLOW} s of SIGTERM") from None

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss_kb(self):
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        return 0


def merge(base, extra):
    for key, value in extra.items():
        base[key] = merge(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return base


class System:
    """api-server and workers on one network.  `config` is merged into the defaults below."""

    running = []  # for the report of a failure

    def __init__(self, config=None, agent="menu.yaml", address=None, folder=None):
        System.running.append(self)
        self.net = network()
        self.address = address or f"{self.net}.1"
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="handback-"))
        shutil.copytree(pathlib.Path(__file__).parent / "agents", self.folder / "agents", dirs_exist_ok=True)
        where = f"[{self.address}]" if ":" in self.address else self.address
        self.config = merge({
            "api": {"listen": f"{self.net}.1:{API_PORT}", "metrics_allow": ["127.0.0.0/8"], "rate_limit": 0},
            "operators": [{"id": "ops", "secret": "ops-secret"}],
            "control": {"socket": str(self.folder / "control.sock")},
            "store": {"url": f"sqlite:{self.folder}/handback.db"},
            "secrets": {"key_file": str(self.folder / "secret.key")},
            "sip": {"listen": [f"udp:{where}:{SIP_PORT}", f"tcp:{where}:{SIP_PORT}"]},
            "worker": {"name": "w1", "spool": str(self.folder / "spool")},
            "media": {"address": [self.address], "ports": "38100-38899"},
            "accounts": [self.account()],
            "agents": [f"agents/{agent}"],
        }, config or {})
        self.processes = []
        self.api = None
        self.workers = []

    def account(self, **extra):
        allow = ["::1/128"] if ":" in self.address else [f"{self.net}.0/25"]
        return merge({"name": "demo", "api_keys": [{"id": "demo-id", "secret": "demo-secret"}],
                      "sip": {"allow": allow}, "agent": "menu"}, extra)

    def write_config(self):
        path = self.folder / "handback.yaml"
        path.write_text(yaml.safe_dump(self.config, sort_keys=False))
        return path

    def spawn(self, name, program, *args, limits=()):
        process = Process(name, [str(BIN / program), "--config", str(self.write_config()), *args],
                          self.folder, limits)
        self.processes.append(process)
        return process

    def start_api(self, **kwargs):
        self.api = self.spawn("api-server", "api-server", **kwargs)
        self.api.ready()
        eventually(lambda: self.get("/healthz")[0] == 200, 10, "healthz")
        return self.api

    def start_worker(self, *args, name="w1", **kwargs):
        worker = self.spawn(name, "sip-worker", "--name", name, *args, **kwargs)
        self.workers.append(worker)
        worker.ready()
        return worker

    def start(self):
        self.start_api()
        self.start_worker()
        eventually(lambda: self.get("/readyz")[0] == 200, 10, "readyz with a worker")
        return self

    def stop(self):
        """Everything down in order; says whether all ended well (sanitizers make this a check)."""
        bad = []
        for process in reversed(self.processes):
            if process.alive():
                status = process.stop(15)
                if status != 0:
                    bad.append(f"{process.name} ended with {status}:\n{process.text()[-6000:]}")
        for process in self.processes:
            if "ERROR: AddressSanitizer" in process.text() or "runtime error:" in process.text() \
                    or "LeakSanitizer" in process.text():
                bad.append(f"{process.name}:\n{process.text()[-6000:]}")
        assert not bad, "\n".join(bad)

    def destroy(self):
        for process in self.processes:
            if process.alive():
                try:
                    process.signal(signal.SIGCONT)
                    process.kill()
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass
        System.running.remove(self)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- SIP ---------------------------------------------------------------------------------

    @property
    def sip(self):
        return self.address, SIP_PORT

    def host(self, number=10):
        """An address on this network: up to .127 allowed by the account, above it foreign."""
        return "::1" if ":" in self.address else f"{self.net}.{number}"

    # --- REST --------------------------------------------------------------------------------

    def request(self, method, path, body=None, headers=None, timeout=10):
        connection = http.client.HTTPConnection(f"{self.net}.1", API_PORT, timeout=timeout * SLOW)
        try:
            data = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json", **(KEYS if headers is None else headers)})
            reply = connection.getresponse()
            text = reply.read()
            kind = reply.getheader("Content-Type") or ""
            return reply.status, json.loads(text) if "json" in kind and text else text
        finally:
            connection.close()

    def get(self, path, headers=None, timeout=10):
        try:
            return self.request("GET", path, headers=headers, timeout=timeout)
        except OSError:
            return 0, None

    def post(self, body, headers=None):
        return self.request("POST", "/generativeagent/v1/call-transfers", body, headers)

    def create(self, id=None, return_type="BYE", **fields):
        """A transfer; its id."""
        id = id or new_id()
        body = {"id": id, "externalConversationId": fields.pop("conversation", id), "type": "SIP",
                "sip": {"returnTransferType": return_type}, **fields}
        status, answer = self.post(body)
        assert status == 200, answer
        return id

    def transfer(self, id):
        status, answer = self.request("GET", f"/generativeagent/v1/call-transfers/{id}")
        assert status == 200, answer
        return answer

    def status(self, id):
        return self.transfer(id)["status"]

    def completed(self, id, timeout=5.0):
        return eventually(lambda: (t := self.transfer(id))["status"] == "COMPLETED" and t, timeout,
                          f"{id} is COMPLETED")

    def calls(self):
        status, answer = self.request("GET", "/handback/v1/calls")
        assert status == 200, answer
        return answer["calls"]

    def timeline(self, transfer):
        """The entries of the latest call that asked for this transfer."""
        for call in self.calls():
            if call.get("transfer") == transfer:
                return self.request("GET", f"/handback/v1/calls/{call['id']}")[1]["timeline"]
        return []

    def entry(self, transfer, kind, timeout=5.0):
        """The first timeline entry of that type, waited for."""
        return eventually(lambda: next((e for e in self.timeline(transfer) if e["type"] == kind), None), timeout,
                          f"a timeline entry '{kind}' for {transfer}")
