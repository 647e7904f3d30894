"""HTTP as strangers speak it: what is malformed, unusual, slow, large, too many at once."""
import concurrent.futures
import http.client
import select
import socket
import threading
import time

import pytest
from handback import API_PORT, KEYS, SLOW, System, eventually, new_id
from rest_client import AUTH, POST, SMUGGLING, TRANSFERS, check_refusal, connect, create_body, exchange, read_all


@pytest.fixture(scope="module")
def api():
    system = System(config={"api": {"request_timeout": "2s"}, "transfers": {"body_limit": "64KiB"}})
    try:
        system.start_api()
        yield system
        system.stop()
    finally:
        system.destroy()


OTHER_STATUS = {
    "other coding": (POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "coding, cut": (POST + "Transfer-Encoding: chunke\r\n\r\n0\r\n\r\n", 501),
    "version 2": ("GET /healthz HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    "huge length": (POST + "Content-Length: 99999999999999999999\r\n\r\n", 413),
    "long target": (f"GET /{'a' * 5000} HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    "large headers": (f"GET /healthz HTTP/1.1\r\nHost: h\r\nX-A: {'a' * 40000}\r\n\r\n", 431),
    "many headers": ("GET /healthz HTTP/1.1\r\nHost: h\r\n" + "X-A: b\r\n" * 100 + "\r\n", 431),
}


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
    data, closed = exchange(api, "GET /healthz HTTP/1.0\r\n\r\n")
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


def test_openapi_and_page(api):
    status, spec = api.get("/openapi.json", {})
    assert status == 200 and spec["openapi"].startswith("3.0") and TRANSFERS in spec["paths"]
    assert spec["components"]["schemas"]["Time"]["pattern"].startswith("^[0-9]{4}")
    status, page = api.get("/", {})
    assert status == 200 and b"Handback" in page
