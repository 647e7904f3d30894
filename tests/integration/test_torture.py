"""RFC 4475's torture messages, where they are at hand (HANDBACK_RFC4475, or beside the tree).

Each is sent over UDP and TCP with only the transport of its top Via changed.  None may hurt the
worker; what must be refused is refused, with the status the table says or silence where a message
cannot be answered."""
import os
import pathlib
import re
import socket

import pytest
from handback import ROOT, SLOW
from sip_peer import Message, Peer

FOLDER = pathlib.Path(os.environ.get("HANDBACK_RFC4475", ROOT.parent / "shared/data/rfc4475"))
FILES = sorted(FOLDER.glob("*.dat"))

# What is not here may be taken or refused.  0: silence.
ANSWERS = {
    "badinv01": {400, 0}, "clerr": {400, 0}, "ncl": {400}, "scalar02": {400}, "ltgtruri": {400}, "lwsruri": {400, 0},
    "escruri": {400}, "badvers": {505, 400, 0}, "mismatch01": {400, 0}, "mismatch02": {400, 501, 0},
    "insuf": {400, 0}, "unkscm": {416, 405, 501}, "novelsc": {416, 405, 501}, "bext01": {420}, "invut": {415}, "multi01": {400},
    "mcl01": {400}, "zeromf": {200, 483}, "scalarlg": {0}, "bigcode": {0}, "bcast": {0}, "unreason": {0}, "noreason": {0},
}


def exchange(system, data, transport):
    """The first final status that comes back; 0: none."""
    source = (system.host(14), 5060)
    kind = socket.SOCK_DGRAM if transport == "UDP" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if transport == "UDP":
            sock.bind(source)
        else:
            sock.bind((source[0], 0))
        sock.settimeout(3)
        sock.connect(system.sip)
        sock.sendall(data)
        sock.settimeout(0.4 * SLOW)
        ours = re.search(rb"^(?:Call-ID|i)\s*:\s*(\S+)", data, re.M | re.I)
        try:
            while reply := sock.recv(65535):
                for part in re.split(rb"(?=^SIP/2\.0 )", reply, flags=re.M):
                    message = Message(part)
                    if message.status >= 200 and ours and message.get("Call-ID") == ours[1].decode():
                        hang_up(sock, message)
                        return message.status
        except (TimeoutError, ConnectionResetError):
            pass
        return 0


def hang_up(sock, reply):
    """ACK and BYE for an INVITE that was taken."""
    if reply.status >= 300:
        return
    number, method = reply.cseq()
    if method != "INVITE":
        return
    target = re.search(r"<([^>]+)>", reply.get("Contact"))[1]
    address, port = sock.getsockname()
    for name, cseq in (("ACK", number), ("BYE", number + 1)):
        lines = [f"{name} {target} SIP/2.0", f"Via: SIP/2.0/{'UDP' if sock.type == socket.SOCK_DGRAM else 'TCP'} "
                 f"{address}:{port};branch=z9hG4bK{name}{os.urandom(6).hex()}", f"From: {reply.get('From')}",
                 f"To: {reply.get('To')}", f"Call-ID: {reply.get('Call-ID')}", f"CSeq: {cseq} {name}",
                 "Max-Forwards: 70", "Content-Length: 0", "", ""]
        sock.sendall("\r\n".join(lines).encode())


@pytest.mark.skipif(not FILES, reason=f"no messages in {FOLDER}")
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_torture(system, path, transport):
    pid = system.workers[0].pid
    data = re.sub(rb"(SIP\s*/\s*2\.0\s*/\s*)(UDP|TCP|TLS|SCTP|UNKNOWN)", rb"\g<1>" + transport.encode(),
                  path.read_bytes(), count=1)
    status = exchange(system, data, transport)
    if path.stem in ANSWERS and transport == "UDP":
        assert status in ANSWERS[path.stem], f"{path.stem}: {status}"
    with Peer(system.host(12), system.sip) as peer:
        assert peer.options(2 * SLOW) == 200
    assert system.workers[0].alive() and system.workers[0].pid == pid
