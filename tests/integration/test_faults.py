"""Processes killed, stopped and starved in the middle of calls."""
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from caller import OUTPUT, Caller
from handback import SLOW, eventually, new_id


def ready(system):
    eventually(lambda: system.get("/readyz")[0] == 200, 10, "readyz")


def received(system, id):
    """api-server knows that the call was answered (until then a lost call frees its transfer)."""
    eventually(lambda: "callReceivedAt" in system.transfer(id), 2, f"callReceivedAt of {id}")


def test_api_server_killed_call_goes_on(fresh):
    system = fresh().start()
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        system.api.kill()
        before = len(caller.rtp.received)
        caller.rtp.wait(before + 50)
        system.start_api()
        ready(system)
        assert system.status(id) == "ONGOING"
        caller.press("1")
        caller.handed_back()
        assert system.transfer(id)["outputContext"] == OUTPUT


def test_api_server_killed_outcome_from_the_spool(fresh):
    """The caller is handed back although api-server is away; what was learnt is not lost."""
    system = fresh().start()
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        system.api.kill()
        caller.press("1")
        started = time.monotonic()
        caller.handed_back(6)
        assert time.monotonic() - started < 4 * SLOW
    system.start_api()
    assert eventually(lambda: system.transfer(id).get("outputContext"), 10, "the outcome is delivered") == OUTPUT
    assert system.status(id) == "COMPLETED"


def test_both_killed_outcome_from_the_spool(fresh):
    system = fresh().start()
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        system.api.kill()
        caller.press("1")
        caller.handed_back(6)
    time.sleep(0.3)
    system.workers[0].kill()
    system.start_api()
    system.start_worker()
    assert eventually(lambda: system.transfer(id).get("outputContext"), 15, "the outcome is delivered") == OUTPUT


def test_new_calls_wait_for_api_server(fresh):
    system = fresh().start()
    id = system.create()
    system.api.kill()
    time.sleep(0.3)
    with Caller(system) as caller:
        caller.dial(id)
        reply = caller.refused()
        assert reply.status == 503 and reply.get("Retry-After")
    system.start_api()
    ready(system)
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("1")
        caller.handed_back()


def test_acknowledged_transfers_survive_kills(fresh):
    system = fresh()
    system.start_api()
    known = []
    for _ in range(5):
        stop = threading.Event()

        def create():
            while not stop.is_set():
                try:
                    known.append(system.create())
                except (OSError, AssertionError):
                    return

        threads = [threading.Thread(target=create) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.4)
        system.api.kill()
        stop.set()
        for thread in threads:
            thread.join(10)
        system.start_api()
    assert len(known) > 50
    assert all(system.status(id) in ("ACTIVE", "EXPIRED") for id in known)
    check = subprocess.run(["/usr/bin/python3", "-c", "import sqlite3,sys; print(sqlite3.connect(sys.argv[1])"
                            ".execute('pragma integrity_check').fetchone()[0])", str(system.folder / "handback.db")],
                           capture_output=True, text=True, timeout=60)
    assert check.stdout.strip() == "ok"


def test_worker_killed(fresh):
    system = fresh().start()
    ids = [system.create() for _ in range(5)]
    callers = [Caller(system, 10 + n) for n in range(5)]
    try:
        for caller, id in zip(callers, ids):
            caller.talk(id)
        for id in ids:
            received(system, id)
        system.workers[0].kill()
        for id in ids:
            assert "outputContext" not in system.completed(id, 5)
            assert system.entry(id, "lost")["info"]["reason"]
    finally:
        for caller in callers:
            caller.close()
    system.start_worker()
    ready(system)
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("1")
        caller.handed_back()


def test_one_worker_killed_the_other_goes_on(fresh):
    system = fresh()
    system.start_api()
    for number in (1, 2):
        system.start_worker("--sip-listen", f"udp:{system.net}.{number}:38060", name=f"w{number}")
    ready(system)
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        system.workers[1].kill()
        time.sleep(1)
        caller.press("1")
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_worker_stopped(fresh):
    """SIGSTOP: its calls are given up within seconds; awake again, it ends them and goes on."""
    system = fresh().start()
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        received(system, id)
        system.workers[0].signal(signal.SIGSTOP)
        try:
            system.completed(id, 6)
            assert system.get("/readyz")[0] == 503
        finally:
            system.workers[0].signal(signal.SIGCONT)
        caller.handed_back(10)
    ready(system)
    again = system.create()
    with Caller(system) as caller:
        caller.talk(again)
        caller.press("1")
        caller.handed_back()


def test_api_server_stopped_hand_back_is_not_held_up(fresh):
    system = fresh().start()
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        system.api.signal(signal.SIGSTOP)
        try:
            caller.press("1")
            started = time.monotonic()
            caller.handed_back(6)
            assert time.monotonic() - started < 4 * SLOW
        finally:
            system.api.signal(signal.SIGCONT)
    assert eventually(lambda: system.transfer(id).get("outputContext"), 10, "the outcome is delivered") == OUTPUT


def test_drain(fresh):
    """SIGTERM: no new calls, those under way end as they will, then exit 0."""
    system = fresh().start()
    id, late = system.create(), system.create()
    worker = system.workers[0]
    with Caller(system) as caller, Caller(system, 11) as second:
        caller.talk(id)
        worker.signal(signal.SIGTERM)
        eventually(lambda: second.peer.options() == 503, 5, "OPTIONS says 503 while draining")
        second.dial(late)
        reply = second.refused()
        assert reply.status == 503 and reply.get("Retry-After")
        caller.press("1")
        caller.handed_back()
    assert worker.wait(10) == 0
    assert system.transfer(id)["outputContext"] == OUTPUT
    assert system.status(late) == "ACTIVE"


def test_drain_hands_back_at_its_end(fresh):
    system = fresh(config={"worker": {"drain": "1s"}}).start()
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        system.workers[0].signal(signal.SIGTERM)
        caller.handed_back(10)
    assert system.workers[0].wait(10) == 0
    assert system.transfer(id)["outputContext"]["transferType"] == "AGENT"


def test_second_api_server_is_refused(fresh):
    system = fresh().start()
    second = system.spawn("second", "api-server")
    assert second.wait(10) not in (0, None) and second.text()
    system.processes.remove(second)
    assert system.get("/readyz")[0] == 200


def test_second_worker_of_the_same_name(fresh):
    system = fresh().start()
    second = system.spawn("second", "sip-worker", "--name", "w1", "--sip-listen", f"udp:{system.net}.2:38060")
    time.sleep(1.5)
    assert system.get("/readyz")[0] == 200
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("1")
        caller.handed_back()
    second.kill()
    system.processes.remove(second)


@pytest.mark.skipif(os.getuid() != 0, reason="mounts a tmpfs")
def test_disk_full(fresh, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], check=True, timeout=10)
    try:
        system = fresh(config={"store": {"url": f"sqlite:{disk}/handback.db"}}).start()
        live = system.create()
        with Caller(system) as caller:
            caller.talk(live)
            with open(disk / "ballast", "wb", buffering=0) as ballast:
                try:
                    while ballast.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            statuses = [post_big(system) for _ in range(40)]
            assert statuses[-1] == 503 and set(statuses) <= {200, 503}
            before = len(caller.rtp.received)
            caller.rtp.wait(before + 25)
            (disk / "ballast").unlink()
            eventually(lambda: post_big(system) == 200, 5, "it writes again")
            caller.press("1")
            caller.handed_back()
        assert eventually(lambda: system.transfer(live).get("outputContext"), 10, "the outcome") == OUTPUT
        system.stop()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False, timeout=10)
        shutil.rmtree(disk, ignore_errors=True)


def post_big(system):
    id = new_id()
    return system.post({"id": id, "externalConversationId": id, "type": "SIP",
                        "inputContext": {"inputVariables": {f"text{n}": "x" * 4000 for n in range(5)}}})[0]


@pytest.mark.plain  # a sanitizer needs descriptors of its own
def test_worker_out_of_descriptors(fresh):
    """Idle connections take what there is; calls over UDP and what is owed to them go on."""
    system = fresh()
    system.start_api()
    system.start_worker(limits=["prlimit", "--nofile=96:96"])
    ready(system)
    idle = []
    try:
        for _ in range(150):
            sock = socket.socket()
            sock.settimeout(1)
            sock.bind((system.host(20), 0))
            try:
                sock.connect(system.sip)
                idle.append(sock)
            except OSError:
                sock.close()
        with Caller(system) as caller:
            assert caller.peer.options() in (200, 503)
        worker = system.workers[0]
        size, used = len(worker.text()), cpu(worker.pid)
        time.sleep(2)
        assert len(worker.text()) - size < 100_000, "the log is not flooded"
        assert cpu(worker.pid) - used < 1.0, "it does not spin"
    finally:
        for sock in idle:
            sock.close()
    eventually(lambda: call_once(system), 15, "calls are taken again")


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def call_once(system):
    id = system.create()
    with Caller(system) as caller:
        caller.dial(id)
        reply = caller.call.reply("INVITE")
        if reply.status != 200:
            return False
        caller.call.ack()
        caller.info("1")
        caller.handed_back()
        return system.transfer(id)["outputContext"] == OUTPUT
