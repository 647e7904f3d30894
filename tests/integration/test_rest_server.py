"""Who is let in, what changes while api-server runs, and what it keeps when it is stopped or killed."""
import base64
import http.client
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time

import pytest
from handback import API_PORT, KEYS, OPERATOR, SLOW, eventually, new_id
from rest_client import AUTH, GET, POST, SMUGGLING, TRANSFERS, check_refusal, connect, create_body, exchange, read_all


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


def test_wrong_keys_all_look_the_same(fresh):
    api = fresh()
    api.start_api()
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
