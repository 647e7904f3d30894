"""What an operator does: start, look, reload, ask whether it is well."""
import json
import signal
import subprocess

import pytest
import yaml
from caller import OUTPUT, Caller
from handback import BIN, OPERATOR, ROOT, eventually, new_id
from sip_peer import Peer


def run(*args, cwd=None, timeout=20):
    return subprocess.run([str(BIN / args[0]), *args[1:]], capture_output=True, text=True, timeout=timeout, cwd=cwd,
                          stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("program", ["api-server", "sip-worker"])
def test_help_and_version(program):
    for option in ("--help", "--version"):
        result = run(program, option)
        assert result.returncode == 0 and result.stdout
    assert run(program, "--nonsense").returncode == 2


def test_options_and_ping(system):
    with Peer(system.host(), system.sip) as peer:
        assert peer.options() == 200
    config = str(system.folder / "handback.yaml")
    assert run("sip-worker", "--config", config, "--ping").returncode == 0


def test_ping_says_no_when_nothing_is_there(fresh):
    system = fresh()
    result = run("sip-worker", "--config", str(system.write_config()), "--ping")
    assert result.returncode not in (0, 2)


def test_readyz_needs_a_worker(fresh):
    system = fresh()
    system.start_api()
    assert system.get("/healthz")[0] == 200
    assert system.get("/readyz")[0] == 503
    system.start_worker()
    eventually(lambda: system.get("/readyz")[0] == 200, 10, "readyz")
    assert system.workers[0].stop() == 0
    eventually(lambda: system.get("/readyz")[0] == 503, 10, "readyz without a worker")


def test_metrics(system):
    status, text = system.get("/metrics", {})
    assert status == 200
    samples = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
    assert samples and all(float(line.rsplit(" ", 1)[1]) is not None for line in samples)
    assert any(line.startswith("handback_") for line in samples)


def test_workers_are_listed_for_operators_only(system):
    assert system.request("GET", "/handback/v1/workers")[0] in (403, 404)
    status, answer = system.request("GET", "/handback/v1/workers", headers=OPERATOR)
    assert status == 200 and [w["worker"] for w in answer["workers"]] == ["w1"]


MISTAKES = {
    "unknown key": lambda c: c["api"].update(listen="x"),
    "bad duration": lambda c: c["transfers"].update(expire_after="soon") if "transfers" in c else c.update(transfers={"expire_after": "soon"}),
    "unauthenticated account": lambda c: c["accounts"][0].update(sip={}),
    "two alike": lambda c: c["accounts"].append({**c["accounts"][0], "name": "other"}),
    "missing agent file": lambda c: c.update(agents=["agents/nobody.yaml"]),
    "unset variable": lambda c: c["api"].update(listen="${HANDBACK_TEST_NOT_SET}"),
    "ports upside down": lambda c: c["media"].update(ports="300-200"),
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("program", ["api-server", "sip-worker"])
def test_mistakes_are_named(fresh, name, program):
    system = fresh()
    assert run(program, "--config", str(system.write_config()), "--check-config").returncode == 0
    MISTAKES[name](system.config)
    result = run(program, "--config", str(system.write_config()), "--check-config")
    assert result.returncode == 2
    assert "handback.yaml" in result.stderr or "nobody.yaml" in result.stderr


@pytest.mark.parametrize("program", ["api-server", "sip-worker"])
def test_examples_are_right(program):
    files = sorted((ROOT / "examples").rglob("handback*.yaml"))
    assert len(files) >= 2
    for path in files:
        result = run(program, "--config", str(path), "--check-config")
        assert result.returncode == 0, result.stderr


def test_print_config_masks_secrets(fresh):
    system = fresh()
    result = run("api-server", "--config", str(system.write_config()), "--print-config")
    assert result.returncode == 0 and "********" in result.stdout
    assert "demo-secret" not in result.stdout and "ops-secret" not in result.stdout
    assert yaml.safe_load(result.stdout)["media"]["ports"] == "38100-38899"


def test_address_in_use(fresh):
    system = fresh().start()
    result = run("sip-worker", "--config", str(system.folder / "handback.yaml"), "--name", "w2")
    assert result.returncode not in (0, None) and f"{system.net}.1:38060" in result.stderr


def test_reload(fresh):
    """SIGHUP: a new account and a new key work at once, also for calls; a bad file changes nothing."""
    system = fresh().start()
    keys = {"asapp-api-id": "new-id", "asapp-api-secret": "new-secret"}
    path = "/generativeagent/v1/call-transfers/" + new_id()
    assert system.request("GET", path, headers=keys)[0] == 401
    system.config["accounts"].append(system.account(
        name="second", api_keys=[{"id": "new-id", "secret": "new-secret"}], sip={"allow": [f"{system.net}.201/32"]}))
    system.write_config()
    for process in system.processes:
        process.signal(signal.SIGHUP)
    eventually(lambda: system.request("GET", path, headers=keys)[0] == 404, 5, "the new key works")
    id = new_id()
    assert system.post({"id": id, "externalConversationId": id, "type": "SIP"}, keys)[0] == 200

    def answered():
        with Caller(system, 201) as caller:
            caller.dial(id)
            try:
                reply = caller.call.reply("INVITE", 2)
            except AssertionError:
                return False
            caller.call.ack()
            caller.call.bye()
            return reply.status == 200
    eventually(answered, 10, "the new account's calls are taken")

    system.config["accounts"] = "nonsense"
    system.write_config()
    for process in system.processes:
        process.signal(signal.SIGHUP)
    for process in system.processes:
        eventually(lambda: "handback.yaml" in process.text(), 5, f"{process.name} says what is wrong")
    again = system.create()
    with Caller(system) as caller:
        caller.talk(again)
        caller.press("1")
        caller.handed_back()
    assert system.transfer(again)["outputContext"] == OUTPUT


def test_secrets_stay_out_of_logs_and_database(fresh):
    system = fresh().start()
    id = new_id()
    status, answer = system.post({
        "id": id, "externalConversationId": id, "type": "SIP",
        "sip": {"returnTransferType": "INVITE", "returnUri": f"sip:back@{system.host()}:5070",
                "returnInviteAuthentication": {"username": "planted-user-7", "password": "planted-password-7"}}})
    assert status == 200 and "planted-password-7" not in json.dumps(answer)
    assert "planted-password-7" not in json.dumps(system.transfer(id))
    system.request("GET", "/generativeagent/v1/call-transfers/x",
                   headers={"asapp-api-id": "demo-id", "asapp-api-secret": "planted-secret-8"})
    for path in system.folder.rglob("*"):
        if path.is_file() and path.name != "handback.yaml":
            data = path.read_bytes()
            assert b"planted-password-7" not in data and b"planted-secret-8" not in data, path
            if path.name != "secret.key":
                assert b"demo-secret" not in data, path


def test_data_survives_a_restart(fresh):
    system = fresh().start()
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("1")
        caller.handed_back()
    before = system.transfer(id)
    assert system.api.stop() == 0
    system.start_api()
    assert system.transfer(id) == before
