"""A caller: signalling and media together, and the steps most tests share."""
from rtp_peer import Rtp
from sip_peer import Peer, sdp

OUTPUT = {"transferType": "SYSTEM", "currentTaskName": "menu", "referenceVariables": {},
          "transferVariables": {"next_action": "schedule_callback", "priority": "high"}}


class Caller:
    def __init__(self, system, host=10, transport="udp"):
        self.system = system
        self.peer = Peer(system.host(host), system.sip, transport)
        self.rtp = Rtp(system.host(host))
        self.call = None

    def close(self):
        self.rtp.close()
        self.peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def offer(self, **kwargs):
        return sdp(self.rtp.address, self.rtp.port, **kwargs)

    def dial(self, transfer=None, body=None, **kwargs):
        self.call = self.peer.invite(body=self.offer() if body is None else body, transfer=transfer, **kwargs)
        return self.call

    def talk(self, transfer=None, timeout=5.0, **kwargs):
        """Dials, is answered, sends audio, hears the prompt begin."""
        self.dial(transfer, **kwargs)
        reply = self.call.answered(timeout)
        self.rtp.start((reply.sdp_address(), reply.sdp_port()))
        self.rtp.wait(1)
        return reply

    def press(self, digits, **kwargs):
        for digit in digits:
            self.rtp.digit(digit, **kwargs)

    def info(self, digit):
        """A digit by SIP INFO."""
        return self.call.request("INFO", body=f"Signal={digit}\r\nDuration=160\r\n".encode(),
                                 content="application/dtmf-relay")

    def handed_back(self, timeout=5.0):
        """Our BYE, answered; the message."""
        return self.call.expect("BYE", timeout)

    def refused(self, timeout=5.0):
        reply = self.call.reply("INVITE", timeout)
        assert reply.status >= 300, f"answered:\n{reply}"
        return reply
