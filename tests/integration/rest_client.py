"""HTTP by hand, for the tests of the REST side: bytes in, bytes out, and a collection of requests that
two readers could read differently."""
import json
import socket

from handback import API_PORT, SLOW

TRANSFERS = "/generativeagent/v1/call-transfers"
AUTH = "asapp-api-id: demo-id\r\nasapp-api-secret: demo-secret\r\n"
GET = f"GET {TRANSFERS}/none HTTP/1.1\r\n"
POST = f"POST {TRANSFERS} HTTP/1.1\r\nHost: h\r\n{AUTH}Content-Type: application/json\r\n"
BODY = '{"id":"smuggled","externalConversationId":"c","type":"SIP"}'
SIZE = len(BODY)



def connect(system, timeout=5.0):
    return socket.create_connection((f"{system.net}.1", API_PORT), timeout * SLOW)


def read_all(sock):
    """Everything until the other side closes, and whether it did."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        return data, True
    except (TimeoutError, socket.timeout):
        return data, False
    return data, True


def exchange(system, text, timeout=5.0):
    with connect(system, timeout) as sock:
        sock.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))
        return read_all(sock)


def create_body(id):
    return json.dumps({"id": id, "externalConversationId": id, "type": "SIP"})


def check_refusal(data, closed, status):
    assert closed, data
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), data
    assert data.count(b"HTTP/1.1 ") == 1, data
    error = json.loads(body)["error"]
    assert error["code"] == f"{status}-01"
    assert b"X-Request-Id: " + error["requestId"].encode() in head
    assert b"Connection: close" in head


# What must get 400: each has a frame, a key or a name that is not one thing only.
SMUGGLING = {
    "two lengths": POST + f"Content-Length: {SIZE}\r\nContent-Length: 0\r\n\r\n" + BODY,
    "equal lengths": POST + f"Content-Length: {SIZE}\r\nContent-Length: {SIZE}\r\n\r\n" + BODY,
    "length list": POST + f"Content-Length: {SIZE}, {SIZE}\r\n\r\n" + BODY,
    "length and coding": POST + f"Content-Length: {SIZE}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": POST + f"Transfer-Encoding: chunked\r\nContent-Length: {SIZE}\r\n\r\n0\r\n\r\n",
    "two codings": POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "coding, folded": POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "coding, vertical tab": POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "blank before colon": POST + f"Content-Length : {SIZE}\r\n\r\n" + BODY,
    "tab before colon": POST + f"Content-Length\t: {SIZE}\r\n\r\n" + BODY,
    "blank before name": POST + f" Content-Length: {SIZE}\r\n\r\n" + BODY,
    "folded": POST + f"X-A: b\r\n c\r\nContent-Length: {SIZE}\r\n\r\n" + BODY,
    "bare LF in the line": POST.replace("\r\n", "\n", 1) + f"Content-Length: {SIZE}\r\n\r\n" + BODY,
    "bare LF in a header": POST + f"X-A: b\nContent-Length: {SIZE}\r\n\r\n" + BODY,
    "bare LF at the end": POST + f"Content-Length: {SIZE}\r\n\n" + BODY,
    "bare CR": POST + f"X-A: b\rX-C: d\r\nContent-Length: {SIZE}\r\n\r\n" + BODY,
    "NUL in the id": GET + "Host: h\r\nasapp-api-id: demo-id\0\r\nasapp-api-secret: demo-secret\r\n\r\n",
    "NUL in a name": GET + "Host: h\r\nasapp-api\0-id: demo-id\r\n\r\n",
    "NUL in the target": "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n",
    "id twice": GET + f"Host: h\r\n{AUTH}asapp-api-id: other\r\n\r\n",
    "id twice, other case": GET + f"Host: h\r\n{AUTH}ASAPP-API-ID: demo-id\r\n\r\n",
    "secret twice": GET + f"Host: h\r\n{AUTH}asapp-api-secret: other\r\n\r\n",
    "type twice": POST + f"Content-Type: text/plain\r\nContent-Length: {SIZE}\r\n\r\n" + BODY,
    "host twice": GET + f"Host: h\r\nHost: i\r\n{AUTH}\r\n",
    "no host": GET + AUTH + "\r\n",
    "host with a path": GET + f"Host: h/i\r\n{AUTH}\r\n",
    "negative length": POST + "Content-Length: -1\r\n\r\n",
    "plus length": POST + f"Content-Length: +{SIZE}\r\n\r\n" + BODY,
    "hex length": POST + f"Content-Length: {SIZE:#x}\r\n\r\n" + BODY,
    "empty length": POST + "Content-Length:\r\n\r\n",
    "chunk extension": POST + f"Transfer-Encoding: chunked\r\n\r\n{SIZE:x};a=b\r\n{BODY}\r\n0\r\n\r\n",
    "chunk size with 0x": POST + f"Transfer-Encoding: chunked\r\n\r\n{SIZE:#x}\r\n{BODY}\r\n0\r\n\r\n",
    "chunk size negative": POST + f"Transfer-Encoding: chunked\r\n\r\n-1\r\n{BODY}\r\n0\r\n\r\n",
    "chunk with bare LF": POST + f"Transfer-Encoding: chunked\r\n\r\n{SIZE:x}\n{BODY}\r\n0\r\n\r\n",
    "chunk too short": POST + f"Transfer-Encoding: chunked\r\n\r\n1\r\n{BODY}\r\n0\r\n\r\n",
    "trailer": POST + f"Transfer-Encoding: chunked\r\n\r\n{SIZE:x}\r\n{BODY}\r\n0\r\nasapp-api-id: x\r\n\r\n",
    "coding in 1.0": POST.replace("1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "absolute target": "GET http://h/healthz HTTP/1.1\r\nHost: h\r\n\r\n",
    "two blanks": "GET  /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
    "blank in the target": "GET /heal thz HTTP/1.1\r\nHost: h\r\n\r\n",
    "no version": "GET /healthz\r\n\r\n",
    "no colon": "GET /healthz HTTP/1.1\r\nHost: h\r\nX-A\r\n\r\n",
    "empty name": "GET /healthz HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n",
}
