"""HTTP as strangers speak it: what is malformed, slow, large, too often, encrypted; and what api-server
keeps when it is stopped, killed or told to read its configuration again."""
import base64
import concurrent.futures
import http.client
import json
import select
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time

import pytest
from handback import API_PORT, KEYS, OPERATOR, SLOW, eventually, new_id

TRANSFERS = "/generativeagent/v1/call-transfers"
AUTH = "asapp-api-id: demo-id\r\nasapp-api-secret: demo-secret\r\n"
GET = f"GET {TRANSFERS}/none HTTP/1.1\r\n"
POST = f"POST {TRANSFERS} HTTP/1.1\r\nHost: h\r\n{AUTH}Content-Type: application/json\r\n"
BODY = '{"id":"smuggled","externalConversationId":"c","type":"SIP"}'
SIZE = len(BODY)


@pytest.fixture(scope="module")
def api():
    from handback import System
    system = System(config={"api": {"request_timeout": "2s"}, "transfers": {"body_limit": "64KiB"}})
    try:
        system.start_api()
        yield system
        system.stop()
    finally:
        system.destroy()


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


# --- what two readers could read differently ------------------------------------------------------

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
OTHER_STATUS = {
    "other coding": (POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "coding, cut": (POST + "Transfer-Encoding: chunke\r\n\r\n0\r\n\r\n", 501),
    "version 2": ("GET /healthz HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    "huge length": (POST + "Content-Length: 99999999999999999999\r\n\r\n", 413),
    "long target": (f"GET /{'a' * 5000} HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    "large headers": (f"GET /healthz HTTP/1.1\r\nHost: h\r\nX-A: {'a' * 40000}\r\n\r\n", 431),
    "many headers": ("GET /healthz HTTP/1.1\r\nHost: h\r\n" + "X-A: b\r\n" * 100 + "\r\n", 431),
}


def check_refusal(data, closed, status):
    assert closed, data
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), data
    assert data.count(b"HTTP/1.1 ") == 1, data
    error = json.loads(body)["error"]
    assert error["code"] == f"{status}-01"
    assert b"X-Request-Id: " + error["requestId"].encode() in head
    assert b"Connection: close" in head


@pytest.mark.parametrize("name", SMUGGLING)
def test_smuggling_is_refused_and_the_connection_closed(api, name):
    # what stands behind would be a second request to a reader that frames the first one otherwise
    hidden = f"GET {TRANSFERS}/hidden HTTP/1.1\r\nHost: h\r\n{AUTH}\r\n"
    check_refusal(*exchange(api, SMUGGLING[name] + hidden), 400)


@pytest.mark.parametrize("name", OTHER_STATUS)
def test_what_is_refused_otherwise(api, name):
    text, status = OTHER_STATUS[name]
    check_refusal(*exchange(api, text), status)


@pytest.mark.parametrize("name", ["two lengths", "NUL in the id", "folded", "trailer"])
def test_refused_byte_by_byte_too(api, name):
    with connect(api) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        for byte in SMUGGLING[name].encode("latin-1"):
            if select.select([sock], [], [], 0)[0]:
                break
            sock.sendall(bytes([byte]))
        data, closed = read_all(sock)
    check_refusal(data, closed, 400)


def test_nothing_was_smuggled(api):
    status, _ = api.get(f"{TRANSFERS}/smuggled")
    assert status == 404


def test_a_good_request_before_a_bad_one_is_answered(api):
    id = new_id()
    text = create_body(id)
    data, closed = exchange(api, POST + f"Content-Length: {len(text)}\r\n\r\n{text}" + SMUGGLING["two lengths"])
    assert closed
    assert data.startswith(b"HTTP/1.1 200 ") and data.count(b"HTTP/1.1 ") == 2 and b"HTTP/1.1 400 " in data
    assert api.status(id) == "ACTIVE"


def test_noise(api):
    """Bytes that are no HTTP at all get 400 and cost nothing."""
    for noise in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 100, b"INVITE sip:a@b SIP/2.0\r\n\r\n",
                  b"SSH-2.0-x\r\n", b"\r\n\r\n", bytes(range(256)) * 4):
        data, closed = exchange(api, noise)
        assert closed and data.startswith(b"HTTP/1.1 400 "), (noise[:20], data)
    assert api.get("/healthz")[0] == 200


# --- well-formed, if unusual ------------------------------------------------------------------------

def test_chunked_body(api):
    id = new_id()
    text = create_body(id)
    chunks = "".join(f"{len(text[i:i + 7]):X}\r\n{text[i:i + 7]}\r\n" for i in range(0, len(text), 7))
    with connect(api) as sock:
        sock.sendall((POST + "transfer-encoding: Chunked\r\nConnection: close\r\n\r\n" + chunks + "0\r\n\r\n").encode())
        data, _ = read_all(sock)
    assert data.startswith(b"HTTP/1.1 200 "), data
    assert api.status(id) == "ACTIVE"


def test_expect_continue(api):
    id = new_id()
    text = create_body(id)
    with connect(api) as sock:
        sock.sendall((POST + f"Expect: 100-continue\r\nConnection: close\r\nContent-Length: {len(text)}\r\n\r\n").encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(text.encode())
        data, _ = read_all(sock)
    assert b"HTTP/1.1 200 " in data


def test_http_1_0(api):
    data, closed = exchange(api, f"GET /healthz HTTP/1.0\r\n\r\n")
    assert closed and b" 200 OK" in data


def test_head(api):
    data, _ = exchange(api, "HEAD /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and b"Content-Length: 15" in head and not body


def test_one_connection_many_requests(api):
    connection = http.client.HTTPConnection(f"{api.net}.1", API_PORT, timeout=10)
    connection.connect()
    port = connection.sock.getsockname()[1]
    for number in range(200):
        path, want = [("/healthz", 200), (f"{TRANSFERS}/none", 404), ("/nothing", 404)][number % 3]
        connection.request("GET", path, headers=KEYS)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == want
        assert connection.sock.getsockname()[1] == port
    id = new_id()
    for want in (200, 409, 400, 401):  # nor do errors cost the connection
        body = create_body(id) if want != 400 else "{"
        connection.request("POST", TRANSFERS, body, {**(KEYS if want != 401 else {}), "Content-Type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        assert reply.status == want
        assert connection.sock.getsockname()[1] == port
    connection.close()


# --- sizes -----------------------------------------------------------------------------------------------

def test_body_at_the_limit_and_over_it(api):
    limit = 64 * 1024
    id = new_id()
    text = create_body(id)
    status, answer = api.post(text + " " * (limit - len(text)))
    assert status == 200, answer
    status, answer = api.post(text + " " * (limit - len(text) + 1))
    assert (status, answer["error"]["code"]) == (413, "413-01")


def test_too_large_while_reading(api):
    """Chunk after chunk, without an end: refused when the limit is passed, and the client reads why."""
    with connect(api) as sock:
        sock.sendall((POST + "Transfer-Encoding: chunked\r\n\r\n").encode())
        sent = 0
        while sent < 10 << 20 and not select.select([sock], [], [], 0)[0]:
            sock.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
            sent += 4096
        data, closed = read_all(sock)
    assert closed and data.startswith(b"HTTP/1.1 413 "), data[:200]
    assert sent < 4 << 20


def test_depth(api):
    def nested(depth):
        return '{"id":"%s","externalConversationId":"c","type":"SIP","x":%s}' % (
            new_id(), "[" * (depth - 1) + "]" * (depth - 1))
    assert api.post(nested(32))[0] == 200
    assert api.post(nested(33))[0] == 400
    assert api.post("[" * 60000)[0] == 400


# --- slowness ----------------------------------------------------------------------------------------------

def drip(system, text, seconds):
    """How long a client lives that sends a byte now and then."""
    began = time.monotonic()
    with connect(system, seconds + 5) as sock:
        for byte in text.encode():
            if select.select([sock], [], [], 0.1)[0]:
                break
            try:
                sock.sendall(bytes([byte]))
            except OSError:
                break
    return time.monotonic() - began


def test_drips_are_closed_in_time(api):
    """By the clock from the first byte: in the line, a header, the body, a chunk; and the silent."""
    cases = ["GET /" + "a" * 200,
             "GET / HTTP/1.1\r\nHost: h\r\nX-A: " + "a" * 200,
             POST + "Content-Length: 500\r\n\r\n" + " " * 300,
             POST + "Transfer-Encoding: chunked\r\n\r\n" + "1\r\n \r\n" * 100]
    with concurrent.futures.ThreadPoolExecutor(len(cases) + 1) as pool:
        lives = [pool.submit(drip, api, text, 10) for text in cases]
        with connect(api, 8) as silent:
            began = time.monotonic()
            assert read_all(silent) == (b"", True)
            assert time.monotonic() - began < 3 * SLOW
        for life in lives:
            assert 1.5 < life.result() < 3 * SLOW


def test_many_drips_do_not_slow_others(fresh):
    system = fresh(config={"api": {"request_timeout": "3s", "max_connections": 1000}})
    system.start_api()
    drips = []
    for number in range(200):
        sock = socket.socket()
        sock.settimeout(5)
        sock.bind((f"{system.net}.{10 + number % 100}", 0))
        sock.connect((f"{system.net}.1", API_PORT))
        sock.sendall(b"GET / HTTP/1.1\r\nX-A: ")
        drips.append(sock)
    stop = threading.Event()

    def feed():
        while not stop.wait(0.2):
            for sock in drips:
                try:
                    sock.send(b"a")
                except OSError:
                    pass

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        times = []
        for _ in range(200):
            began = time.monotonic()
            assert system.get("/healthz")[0] == 200
            times.append(time.monotonic() - began)
        assert sorted(times)[197] < 0.25 * SLOW
        time.sleep(3)
    finally:
        stop.set()
        feeder.join()
    for sock in drips:
        sock.settimeout(2 * SLOW)
        assert read_all(sock)[1]
        sock.close()
    assert b"\nhandback_http_timeouts_total 200\n" in system.get("/metrics")[1]
    eventually(lambda: system.api.fds() < 40, 5, "descriptors are free again")


def test_connections_per_address(fresh):
    """One address has a quarter; another still gets in."""
    system = fresh(config={"api": {"max_connections": 40}})
    system.start_api()
    held = []
    for _ in range(30):
        sock = socket.create_connection((f"{system.net}.1", API_PORT), 5, (f"{system.net}.20", 0))
        held.append(sock)
    time.sleep(0.3)
    alive = 0
    for sock in held:
        sock.settimeout(0.05)
        try:
            alive += sock.recv(1) != b""
        except (TimeoutError, socket.timeout):
            alive += 1
        except ConnectionResetError:
            pass
    assert alive == 10
    assert system.get("/healthz")[0] == 200
    for sock in held:
        sock.close()


# --- at the same time ------------------------------------------------------------------------------------------

def test_one_id_64_times(api):
    for _ in range(5):
        id = new_id()
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            answers = list(pool.map(lambda n: api.post({"id": id, "externalConversationId": f"c{n}", "type": "SIP"}),
                                    range(64)))
        statuses = sorted(status for status, _ in answers)
        assert statuses == [200] + [409] * 63
        winner = next(answer for status, answer in answers if status == 200)
        assert api.transfer(id)["externalConversationId"] == winner["externalConversationId"]
        assert all(answer["error"]["code"] == "409-01" for status, answer in answers if status == 409)


def test_pipelined(api):
    ids = [new_id() for _ in range(50)]
    text = ""
    for id in ids:
        body = create_body(id)
        text += POST + f"Content-Length: {len(body)}\r\n\r\n{body}"
        text += f"GET {TRANSFERS}/{id} HTTP/1.1\r\nHost: h\r\n{AUTH}\r\n"
    data, _ = exchange(api, text + "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 10)
    assert data.count(b"HTTP/1.1 200 ") == 101
    at = 0
    for id in ids:  # in order, each POST before its GET
        for _ in range(2):
            at = data.index(f'"id":"{id}"'.encode(), at) + 1


# --- who asks ------------------------------------------------------------------------------------------------------

def keyed(id, secret):
    return {"asapp-api-id": id, "asapp-api-secret": secret}


def other_account(system, name="other", keys=(("other-id", "other-secret"),)):
    return system.account(name=name, api_keys=[{"id": i, "secret": s} for i, s in keys],
                          sip={"domain": f"{name}.example"})


def test_accounts_are_apart(fresh):
    system = fresh()
    system.config["accounts"].append(other_account(system))
    system.start_api()
    id, theirs = new_id(), keyed("other-id", "other-secret")
    assert system.post(create_body(id))[0] == 200
    assert system.get(f"{TRANSFERS}/{id}", theirs)[0] == 404
    assert system.post(create_body(id), theirs)[0] == 200  # ids are per account
    assert system.post(create_body(id), theirs)[0] == 409
    assert system.get(f"{TRANSFERS}/{id}", theirs)[0] == 200
    for account in ("demo", "other"):
        assert system.get(f"{TRANSFERS}/{id}?account={account}", OPERATOR)[0] == 200
    assert system.get(f"{TRANSFERS}/{id}", OPERATOR)[0] == 400
    assert system.get(f"{TRANSFERS}/{id}?account=demo", theirs)[0] == 200  # means nothing without an operator's key
    assert system.post(create_body(new_id()), OPERATOR)[0] == 403
    assert system.get("/handback/v1/workers", theirs)[0] == 403
    assert system.get("/handback/v1/refusals", theirs)[0] == 403
    assert system.get("/handback/v1/workers", OPERATOR) == (200, {"workers": []})
    assert system.get("/handback/v1/refusals", OPERATOR) == (200, {"refusals": []})


def test_wrong_keys_all_look_the_same(api):
    seen = set()
    for headers in ({}, keyed("demo-id", "wrong"), keyed("nobody", "demo-secret"), {"asapp-api-id": "demo-id"},
                    keyed("", ""), keyed("demo-id", "demo-secret" + "x" * 1000)):
        connection = http.client.HTTPConnection(f"{api.net}.1", API_PORT, timeout=10)
        connection.request("GET", f"{TRANSFERS}/x", headers=headers)
        reply = connection.getresponse()
        text = reply.read().decode().replace(reply.getheader("X-Request-Id"), "ID")
        names = tuple(name for name, _ in reply.getheaders())
        seen.add((reply.status, text, names))
        connection.close()
    assert len(seen) == 1 and seen.pop()[0] == 401


def test_guessing_is_throttled(fresh):
    system = fresh()
    system.start_api()
    statuses = []
    began = time.monotonic()
    for number in range(200):
        statuses.append(system.get(f"{TRANSFERS}/x", keyed("demo-id", f"guess-{number}"))[0])
    passed = time.monotonic() - began
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= 20 + 20 * (passed + 1)
    # another address is not held for it
    connection = http.client.HTTPConnection(f"{system.net}.1", API_PORT, timeout=5, source_address=(f"{system.net}.9", 0))
    connection.request("GET", f"{TRANSFERS}/x", headers=KEYS)
    assert connection.getresponse().status == 404
    connection.close()


def test_rate_limit_is_per_key(fresh):
    system = fresh(config={"api": {"rate_limit": 10}})
    system.config["accounts"].append(other_account(system))
    system.start_api()
    statuses = [system.get(f"{TRANSFERS}/x")[0] for _ in range(40)]
    assert set(statuses) == {404, 429}
    assert statuses[:10] == [404] * 10
    assert system.get(f"{TRANSFERS}/x", keyed("other-id", "other-secret"))[0] == 404
    assert system.get("/healthz")[0] == 200
    data, _ = exchange(system, GET + f"Host: h\r\n{AUTH}Connection: close\r\n\r\n")
    if b" 429 " in data:
        assert b"Retry-After: 1" in data
    eventually(lambda: system.get(f"{TRANSFERS}/x")[0] == 404, 3, "the bucket fills again")


def test_metrics_elsewhere_with_an_operators_password(fresh):
    system = fresh(config={"api": {"metrics_allow": ["10.0.0.0/8"]}})
    system.start_api()
    assert system.get("/metrics", {})[0] == 401
    assert system.get("/metrics", KEYS)[0] == 401

    def basic(text):
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}
    status, text = system.get("/metrics", basic("ops:ops-secret"))
    assert status == 200 and b"\nhandback_store_commits_total " in text
    assert system.get("/metrics", basic("ops:wrong"))[0] == 401
    assert system.get("/metrics", basic("demo-id:demo-secret"))[0] == 403


# --- keys, certificates and everything else, while it runs ---------------------------------------------------------

def reload(system):
    system.write_config()
    before = system.api.text().count("event=reload")
    system.api.signal(signal.SIGHUP)
    eventually(lambda: system.api.text().count("event=reload") > before, 5, "SIGHUP is answered in the log")
    return system.api.text().rstrip().rpartition("\n")[2]


def test_keys_are_rotated(fresh):
    system = fresh()
    system.start_api()
    account = system.config["accounts"][0]
    id = new_id()
    assert system.post(create_body(id))[0] == 200
    account["api_keys"].append({"id": "demo-id-2", "secret": "second"})
    reload(system)
    assert system.get(f"{TRANSFERS}/{id}")[0] == 200
    assert system.get(f"{TRANSFERS}/{id}", keyed("demo-id-2", "second"))[0] == 200
    del account["api_keys"][0]
    reload(system)
    assert system.get(f"{TRANSFERS}/{id}")[0] == 401
    assert system.get(f"{TRANSFERS}/{id}", keyed("demo-id-2", "second"))[0] == 200
    # a file that is wrong changes nothing, and says why
    account["api_keys"] = [{"id": "demo-id", "secret": "demo-secret"}]
    system.config["api"]["no_such_key"] = 1
    assert "reload-failed" in reload(system)
    assert "no_such_key" in system.api.text()
    assert system.get(f"{TRANSFERS}/{id}")[0] == 401
    assert system.get(f"{TRANSFERS}/{id}", keyed("demo-id-2", "second"))[0] == 200
    del system.config["api"]["no_such_key"]
    reload(system)
    assert system.get(f"{TRANSFERS}/{id}")[0] == 200


def test_what_a_reload_leaves_alone(fresh):
    """Addresses and files in use stay; the log says so."""
    system = fresh()
    system.start_api()
    socket_path = system.folder / "control.sock"
    listen = system.config["api"]["listen"]
    system.config["api"]["listen"] = f"{system.net}.3:{API_PORT}"
    system.config["control"]["socket"] = str(system.folder / "other.sock")
    (system.folder / "other.sock").write_text("not ours")
    reload(system)
    for key in ("api.listen", "control.socket"):
        assert f"event=reload-ignored key={key}" in system.api.text()
    assert "media.ports" not in system.api.text()
    assert system.get("/healthz")[0] == 200
    system.config["api"]["listen"] = listen
    assert system.api.stop() == 0
    assert not socket_path.exists()
    assert (system.folder / "other.sock").read_text() == "not ours"


def test_reload_under_load(fresh):
    """Requests in flight see the old or the new configuration, never none."""
    system = fresh()
    system.start_api()
    stop = threading.Event()
    statuses = set()

    def hammer():
        while not stop.is_set():
            statuses.add(system.post(create_body(new_id()))[0])

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        system.config["accounts"][0]["agent_start_timeout"] = f"{5 + number}s"
        reload(system)
    stop.set()
    for thread in threads:
        thread.join()
    assert statuses == {200}


def certificate(folder, name, subject):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", "-days", "2",
                    "-subj", f"/CN={subject}"], check=True, capture_output=True)


def tls_connect(system, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    return context.wrap_socket(connect(system))


def presented(system):
    with tls_connect(system) as sock:
        return ssl.DER_cert_to_PEM_cert(sock.getpeercert(True))


def tls_exchange(system, text):
    with tls_connect(system) as sock:
        sock.sendall(text.encode("latin-1"))
        data = b""
        try:
            while piece := sock.recv(65536):
                data += piece
        except (ssl.SSLEOFError, ConnectionResetError):
            pass
        return data


def test_https(fresh):
    system = fresh(config={"api": {"tls": {"certificate": "api.pem", "key": "api.key"}, "request_timeout": "2s"}})
    certificate(system.folder, "api", "one")
    system.api = system.spawn("api-server", "api-server")
    system.api.ready()
    close = "Host: h\r\nConnection: close\r\n"
    assert b" 200 OK" in tls_exchange(system, f"GET /healthz HTTP/1.1\r\n{close}\r\n")
    id = new_id()
    text = create_body(id)
    assert b" 200 OK" in tls_exchange(system, POST + f"Connection: close\r\nContent-Length: {len(text)}\r\n\r\n{text}")
    assert b'"ACTIVE"' in tls_exchange(system, f"GET {TRANSFERS}/{id} HTTP/1.1\r\n{AUTH}{close}\r\n")
    for name in ("two lengths", "folded", "bare LF at the end", "NUL in the id", "id twice", "trailer"):
        check_refusal(tls_exchange(system, SMUGGLING[name]), True, 400)
    with tls_connect(system, ssl.TLSVersion.TLSv1_2) as sock:
        assert sock.version() == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        tls_connect(system, ssl.TLSVersion.TLSv1_1)
    # plain HTTP to the port, a handshake that stops, a drip within TLS
    assert exchange(system, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")[1]
    with connect(system, 8) as sock:
        sock.sendall(b"\x16\x03\x01")
        assert read_all(sock)[1]
    with tls_connect(system) as sock:
        sock.settimeout(8)
        sock.sendall(b"GET / HTTP/1.1\r\n")
        try:
            assert sock.recv(100) == b""
        except (ssl.SSLEOFError, ConnectionResetError):
            pass
    assert b" 200 OK" in tls_exchange(system, f"GET /healthz HTTP/1.1\r\n{close}\r\n")


def test_certificate_is_renewed(fresh):
    system = fresh(config={"api": {"tls": {"certificate": "api.pem", "key": "api.key"}}})
    certificate(system.folder, "api", "one")
    system.api = system.spawn("api-server", "api-server")
    system.api.ready()
    one = presented(system)
    with tls_connect(system) as old:  # lives on through it
        certificate(system.folder, "api", "two")
        reload(system)
        two = presented(system)
        assert two != one and two.strip() == (system.folder / "api.pem").read_text().strip()
        old.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b" 200 OK" in old.recv(1000)
    # key and certificate of different pairs, no certificate at all
    certificate(system.folder, "other", "three")
    (system.folder / "api.key").write_bytes((system.folder / "other.key").read_bytes())
    assert "reload-failed" in reload(system)
    (system.folder / "api.pem").write_text("nonsense")
    assert "reload-failed" in reload(system)
    assert presented(system) == two
    for number in range(5):
        certificate(system.folder, "api", f"n{number}")
        assert "reloaded" in reload(system)
        assert presented(system).strip() == (system.folder / "api.pem").read_text().strip()


# --- starting, stopping, dying ------------------------------------------------------------------------------------------

def test_state_survives(fresh):
    system = fresh()
    system.start_api()
    ids = [new_id() for _ in range(20)]
    for id in ids:
        assert system.post(create_body(id))[0] == 200
    assert system.api.stop() == 0
    system.start_api()
    assert all(system.status(id) == "ACTIVE" for id in ids)
    assert system.post(create_body(ids[0]))[0] == 409


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_acknowledged_is_kept(fresh, how):
    """Creates under way while it ends: each one that had its 200 is there afterwards."""
    system = fresh()
    system.start_api()
    kept, stop = [], threading.Event()

    def hammer():
        while not stop.is_set():
            id = new_id()
            try:
                if system.post(create_body(id))[0] == 200:
                    kept.append(id)
            except (OSError, http.client.HTTPException):
                return

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(kept) > 100, 10, "some creates")
    system.api.signal(how)
    status = system.api.wait()
    stop.set()
    for thread in threads:
        thread.join()
    assert status == (0 if how == signal.SIGTERM else -9)
    system.start_api()
    for id in kept:
        assert system.status(id) == "ACTIVE", f"{id} was acknowledged and is gone"


def test_database_is_busy(fresh):
    """Another process holds the database: 503 in time, and all is well again afterwards."""
    system = fresh()
    system.start_api()
    lock = sqlite3.connect(system.folder / "handback.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    status, answer = system.post(create_body(new_id()))
    assert (status, answer["error"]["code"]) == (503, "503-01")
    assert time.monotonic() - began < 8 * SLOW
    assert system.get("/healthz")[0] == 200
    lock.execute("ROLLBACK")
    lock.close()
    eventually(lambda: system.post(create_body(new_id()))[0] == 200, 10, "creates work again")


def test_port_in_use(fresh):
    system = fresh()
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((f"{system.net}.1", API_PORT))
        holder.listen()
        process = system.spawn("api-server", "api-server")
        assert process.wait() == 1
    failed = [line for line in process.text().splitlines() if "lvl=err" in line]
    assert len(failed) == 1 and "Address already in use" in failed[0] and str(API_PORT) in failed[0]


def test_second_one_on_the_same_files(fresh):
    system = fresh()
    system.start_api()
    system.config["api"]["listen"] = f"{system.net}.2:{API_PORT}"
    second = system.spawn("second", "api-server")
    assert second.wait() == 1
    assert len([line for line in second.text().splitlines() if "lvl=err" in line]) == 1
    system.config["api"]["listen"] = f"{system.net}.1:{API_PORT}"
    assert system.get("/healthz")[0] == 200
    assert system.post(create_body(new_id()))[0] == 200


def test_openapi_and_page(api):
    status, spec = api.get("/openapi.json", {})
    assert status == 200 and spec["openapi"].startswith("3.0") and TRANSFERS in spec["paths"]
    assert spec["components"]["schemas"]["Time"]["pattern"].startswith("^[0-9]{4}")
    status, page = api.get("/", {})
    assert status == 200 and b"Handback" in page


def test_few_descriptors(fresh):
    """With too few of them it takes fewer connections, and does not spin when they are all taken."""
    system = fresh(config={"api": {"request_timeout": "2s"}})
    system.start_api(limits=("prlimit", "--nofile=256:256"))
    assert "few-descriptors" in system.api.text()
    held = []
    for number in range(400):
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind((f"{system.net}.{20 + number % 10}", 0))
        sock.connect_ex((f"{system.net}.1", API_PORT))
        held.append(sock)

    def cpu():
        return sum(map(int, open(f"/proc/{system.api.pid}/stat").read().rpartition(")")[2].split()[11:13]))
    before = cpu()
    time.sleep(1)
    assert cpu() - before < 30 * SLOW  # hundredths of a second
    assert system.api.fds() <= 256
    eventually(lambda: system.get("/healthz")[0] == 200, 10, "idle connections make room")
    for sock in held:
        sock.close()
    assert system.post(create_body(new_id()))[0] == 200


def test_ipv6(fresh):
    system = fresh(config={"api": {"listen": f"[::1]:{API_PORT}", "metrics_allow": ["::1/128"]}})
    system.api = system.spawn("api-server", "api-server")
    system.api.ready()
    connection = http.client.HTTPConnection("::1", API_PORT, timeout=5)
    for path in ("/healthz", "/metrics"):
        connection.request("GET", path)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200
    connection.close()
