"""Many calls: at once, one after another, and a client that asks at the very instant of the BYE."""
import concurrent.futures
import os
import pathlib
import subprocess
import time

import pytest
from caller import OUTPUT
from handback import ROOT, SLOW
from sip_peer import Peer, sdp


def sipp(system, scenario, ids, rate, together, host=40, media_port=39000):
    """All ids, one call each; the test's time is bounded by sipp's own."""
    folder = pathlib.Path(system.folder)
    (folder / "ids.csv").write_text("SEQUENTIAL\n" + "".join(f"{id}\n" for id in ids))
    result = subprocess.run(
        ["sipp", f"{system.address}:38060", "-sf", str(ROOT / "tests/sipp" / scenario), "-inf", str(folder / "ids.csv"),
         "-i", system.host(host), "-p", "5060", "-mi", system.host(host), "-mp", str(media_port), "-m", str(len(ids)),
         "-r", str(rate), "-l", str(together), "-nostdin", "-recv_timeout", "60000", "-timeout", "240s",
         "-trace_err", "-error_file", str(folder / "sipp.log")],
        cwd=ROOT / "tests/sipp", capture_output=True, text=True, timeout=300)
    errors = (folder / "sipp.log").read_text()[:3000] if (folder / "sipp.log").exists() else ""
    assert result.returncode == 0, f"sipp: {result.returncode}\n{errors}\n{result.stdout[-1500:]}"


@pytest.mark.skipif(os.getuid() != 0, reason="sipp plays recordings through raw sockets")
def test_a_hundred_calls_at_once(system):
    ids = [system.create() for _ in range(100)]
    sipp(system, "uac-press-1.xml", ids, 50, 100)
    assert [id for id in ids if system.transfer(id).get("outputContext") != OUTPUT] == []


def quick_call(system, host):
    """Signalling alone: answered, 1 by INFO, and a GET the moment the BYE is here."""
    id = system.create()
    with Peer(system.host(host), system.sip) as peer:
        call = peer.invite(body=sdp(peer.address, 9, dtmf=None), transfer=id)
        call.answered(10)
        call.send("INFO", body=b"Signal=1\r\nDuration=160\r\n", content="application/dtmf-relay")
        bye = call.expect("BYE", 10, answer=None)
        transfer = system.transfer(id)
        call.answer(bye, 200)
        return transfer


@pytest.mark.slow
def test_get_at_the_instant_of_the_bye(system):
    """1,000 calls: whoever asks when the BYE arrives always finds the outcome."""
    def run(number):
        transfer = quick_call(system, 10 + number % 8)
        return transfer["status"] == "COMPLETED" and transfer.get("outputContext") == OUTPUT
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run, range(1000)))
    assert results.count(False) == 0


@pytest.mark.slow
@pytest.mark.plain  # memory is judged on a plain build
def test_nothing_grows(system):
    """Thousands of calls: memory and descriptors are flat once the library's 32 s are over."""
    worker, api = system.workers[0], system.api
    round_ = lambda: sipp(system, "uac-info-1.xml", [system.create() for _ in range(1500)], 150, 400)
    round_()
    time.sleep(34)
    before = worker.rss_kb(), worker.fds(), api.rss_kb(), api.fds()
    for _ in range(2):
        round_()
    time.sleep(34)
    after = worker.rss_kb(), worker.fds(), api.rss_kb(), api.fds()
    assert after[1] <= before[1] and after[3] <= before[3]
    assert after[0] - before[0] < 12_000 and after[2] - before[2] < 12_000, (before, after)


@pytest.mark.plain  # speed is judged on a plain build
def test_overload_sheds(fresh):
    """More calls than fit: those refused are told 503, those taken come to their end."""
    system = fresh(config={"worker": {"max_calls": 20}}).start()
    ids = [system.create() for _ in range(60)]
    answered = refused = 0
    peers = [Peer(system.host(10 + n % 100), system.sip) for n in range(60)]
    try:
        calls = [peer.invite(body=sdp(peer.address, 9), transfer=id) for peer, id in zip(peers, ids)]
        for call in calls:
            reply = call.reply("INVITE", 10 * SLOW)
            answered += reply.status == 200
            refused += reply.status == 503
            if reply.status == 200:
                call.ack()
        assert (answered, refused) == (20, 40)
        for call in calls:
            if call.remote_tag and call.target != call.uri:
                assert call.bye().status == 200
    finally:
        for peer in peers:
            peer.close()
