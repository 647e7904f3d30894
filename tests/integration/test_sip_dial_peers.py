"""Outbound INVITE legs against sipp."""
import subprocess
import time

import pytest
from test_sip_dial import PORTS, ROOT, Dialler


@pytest.mark.parametrize("scenario,options,event", [("uas-answer", ("-b", "100"), "hung_up"), ("uas-busy", (), "failed"),
                                                    ("uas-no-answer", ("-c", "300"), "hung_up")])
def test_sipp(scenario, options, event):
    port = next(PORTS)
    sipp = subprocess.Popen(["sipp", "-sf", ROOT / f"tests/sipp/{scenario}.xml", "-i", "127.0.0.1", "-p", str(port), "-m", "1", "-nostdin",
                             "-timeout", "10"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.7)
        with Dialler(f"sip:far@127.0.0.1:{port}", *options) as d:
            d.wait(event)
            assert sipp.wait(10) == 0
    finally:
        if sipp.poll() is None:
            sipp.kill()
            sipp.wait()
