"""Real answers against schema/openapi.yaml, and the rules of the call-transfers contract case by case."""
import concurrent.futures
import http.client
import json
import re
import time

import jsonschema
import pytest
import yaml
from caller import Caller
from handback import API_PORT, KEYS, OPERATOR, ROOT, new_id

SPEC = yaml.safe_load((ROOT / "schema/openapi.yaml").read_text())
TRANSFERS = "/generativeagent/v1/call-transfers"
METHODS = ("get", "post", "put", "delete", "patch")


def resolve(node):
    while isinstance(node, dict) and "$ref" in node:
        target = SPEC
        for part in node["$ref"].lstrip("#/").split("/"):
            target = target[part]
        node = target
    return node


def operation(method, path):
    path = path.partition("?")[0]
    for template, item in SPEC["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in item:
            return item[method.lower()]
    return None


def check(method, path, status, headers, body):
    """The answer is one that the description promises."""
    declared = operation(method, path)
    if declared is None:
        response = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    else:
        response = resolve(declared["responses"].get(str(status)) or declared["responses"]["default"])
        assert str(status) in declared["responses"] or status in (405, 414, 431, 500, 501, 505), \
            f"{method} {path}: {status} is not in openapi.yaml"
    kind = (headers.get("Content-Type") or "").partition(";")[0]
    assert kind in response["content"], f"{method} {path}: {status} {kind}"
    if kind == "application/json":
        resolver = jsonschema.RefResolver("", SPEC)
        jsonschema.Draft4Validator(resolve(response["content"][kind]["schema"]), resolver=resolver).validate(json.loads(body))


def ask(system, method, path, body=None, headers=None, **extra):
    """Status, body and headers of one request, held to the description."""
    connection = http.client.HTTPConnection(f"{system.net}.1", API_PORT, timeout=20)
    try:
        data = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
        sent = {"Content-Type": "application/json", **(KEYS if headers is None else headers), **extra}
        connection.request(method, path, data, {k: v for k, v in sent.items() if v is not None})
        reply = connection.getresponse()
        raw = reply.read()
        check(method, path, reply.status, reply.headers, raw)
        assert reply.getheader("X-Request-Id")
        answer = json.loads(raw) if "json" in (reply.getheader("Content-Type") or "") else raw
        if reply.status >= 400 and isinstance(answer, dict):
            assert answer["error"]["requestId"] == reply.getheader("X-Request-Id")
            assert answer["error"]["code"].startswith(f"{reply.status}-")
        return reply.status, answer, reply.headers
    finally:
        connection.close()


def body(**extra):
    id = new_id()
    return {"id": id, "externalConversationId": id, "type": "SIP", **extra}


def sip(**fields):
    return body(sip=fields)


URI = "sip:user@127.0.0.1:5070;User-to-User=UUI-12345"
TEXT_255 = "x" * 255

ACCEPTED = {
    "least": lambda: body(),
    "bye": lambda: sip(returnTransferType="BYE"),
    "refer": lambda: sip(returnTransferType="REFER", returnUri=URI),
    "refer, other spelling": lambda: sip(returnTransferType="REFER", returnURI=URI),
    "tel": lambda: sip(returnTransferType="REFER", returnUri="tel:+15550100"),
    "both spellings alike": lambda: sip(returnTransferType="REFER", returnUri=URI, returnURI=URI),
    "task and variables": lambda: body(inputContext={"taskName": "menu", "inputVariables": {"a": "b", "ü": "☃"}}),
    "unknown fields": lambda: body(colour="green", inputContext={"mood": 1}),
    "longest id": lambda: body(id="i" * 250 + new_id()[-6:]),
    "longest uri": lambda: sip(returnTransferType="REFER", returnUri="sip:" + "u" * 1009 + "@127.0.0.1"),
}

REFUSED = {
    "not json": (b"{", 400), "empty": (b"", 400), "array": (b"[]", 400), "null": (b"null", 400),
    "duplicate key": (b'{"id":"a","id":"b","externalConversationId":"c","type":"SIP"}', 400),
    "deep": (b'{"id":' + b"[" * 40 + b"]" * 40 + b"}", 400),
    "bad utf-8": (b'{"id":"\xff"}', 400),
    "no id": ({"externalConversationId": "c", "type": "SIP"}, 400),
    "no conversation": ({"id": "i", "type": "SIP"}, 400),
    "no type": ({"id": "i", "externalConversationId": "c"}, 400),
    "id a number": ({"id": 1, "externalConversationId": "c", "type": "SIP"}, 400),
    "empty id": ({"id": "", "externalConversationId": "c", "type": "SIP"}, 400),
    "long id": ({"id": "x" * 257, "externalConversationId": "c", "type": "SIP"}, 400),
    "id with a space in front": ({"id": " x", "externalConversationId": "c", "type": "SIP"}, 400),
    "id with a newline": ({"id": "x\ny", "externalConversationId": "c", "type": "SIP"}, 400),
    "unknown type": (lambda: {**body(), "type": "FAX"}, 400),
    "phone number": (lambda: {**body(), "type": "PHONE_NUMBER", "phoneNumber": {"country": "US"}}, 422),
    "unknown return type": (lambda: sip(returnTransferType="PIGEON"), 400),
    "refer without uri": (lambda: sip(returnTransferType="REFER"), 422),
    "invite without uri": (lambda: sip(returnTransferType="INVITE"), 422),
    "two spellings that differ": (lambda: sip(returnTransferType="REFER", returnUri=URI, returnURI=URI + "x"), 400),
    "long uri": (lambda: sip(returnTransferType="REFER", returnUri="sip:" + "u" * 1011 + "@127.0.0.1"), 400),
    "http uri": (lambda: sip(returnTransferType="REFER", returnUri="http://127.0.0.1/"), 400),
    "uri with CRLF": (lambda: sip(returnTransferType="REFER", returnUri="sip:a@b\r\nX-Evil: 1"), 400),
    "uri in brackets": (lambda: sip(returnTransferType="REFER", returnUri="<sip:a@127.0.0.1>"), 400),
    "uri elsewhere": (lambda: sip(returnTransferType="INVITE", returnUri="sip:a@192.0.2.7"), 422),
    "username alone": (lambda: sip(returnTransferType="INVITE", returnUri=URI, returnInviteAuthentication={"username": "u"}), 400),
    "variable a number": (lambda: body(inputContext={"inputVariables": {"n": 1}}), 400),
    "variables a list": (lambda: body(inputContext={"inputVariables": []}), 400),
    "context a string": (lambda: body(inputContext="x"), 400),
    "unknown task": (lambda: body(inputContext={"taskName": "nobody"}), 422),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(system, name):
    sent = ACCEPTED[name]()
    status, created, _ = ask(system, "POST", TRANSFERS, sent)
    assert status == 200, created
    assert created["status"] == "ACTIVE" and created["id"] == sent["id"]
    assert created["externalConversationId"] == sent["externalConversationId"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created["createdAt"])
    for spelling in ("returnUri", "returnURI"):
        if spelling in sent.get("sip", {}) and not ("returnUri" in sent["sip"] and "returnURI" in sent["sip"]):
            assert created["sip"][spelling] == sent["sip"][spelling]
    status, read, _ = ask(system, "GET", f"{TRANSFERS}/{sent['id']}")
    assert status == 200 and "outputContext" not in read and "completedAt" not in read
    assert read.get("inputContext", {}).get("inputVariables", {}) == sent.get("inputContext", {}).get("inputVariables", {})


@pytest.mark.parametrize("name", REFUSED)
def test_refused(system, name):
    sent, expected = REFUSED[name]
    status, answer, _ = ask(system, "POST", TRANSFERS, sent() if callable(sent) else sent)
    assert status == expected, answer
    if isinstance(sent, dict) or callable(sent):
        assert "/" in answer["error"]["message"] or expected == 422


def test_message_names_the_path(system):
    _, answer, _ = ask(system, "POST", TRANSFERS, body(inputContext={"inputVariables": {"deep": {"x": 1}}}))
    assert "/inputContext/inputVariables/deep" in answer["error"]["message"]


def test_duplicate_id(system):
    sent = body()
    assert ask(system, "POST", TRANSFERS, sent)[0] == 200
    for again in (sent, {**sent, "externalConversationId": "other"}, {**sent, "inputContext": {"taskName": "menu"}}):
        status, answer, _ = ask(system, "POST", TRANSFERS, again)
        assert status == 409 and answer["error"]["code"] == "409-01"
    assert ask(system, "GET", f"{TRANSFERS}/{sent['id']}")[1]["externalConversationId"] == sent["id"]


def test_of_64_simultaneous_creates_one_wins(system):
    sent = body()
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        statuses = sorted(pool.map(lambda _: ask(system, "POST", TRANSFERS, sent)[0], range(64)))
    assert statuses == [200] + [409] * 63


def test_ids_are_decoded_once(system):
    for id in ("a/b", "a b/c", "50%", "%41", "ü☃", "a?b#c", "..", "a%2Fb"):
        id = f"{id}-{new_id()}"
        assert ask(system, "POST", TRANSFERS, {"id": id, "externalConversationId": id, "type": "SIP"})[0] == 200
        escaped = "".join(f"%{byte:02X}" for byte in id.encode())
        assert ask(system, "GET", f"{TRANSFERS}/{escaped}")[1]["id"] == id


def test_not_found(system):
    for path in (f"{TRANSFERS}/nobody", "/nothing/here", "/generativeagent/v1", f"{TRANSFERS}/a/b", "/handback/v1/calls/x"):
        assert ask(system, "GET", path)[0] == 404


def test_methods(system):
    for method in ("PUT", "DELETE", "PATCH"):
        status, _, headers = ask(system, method, TRANSFERS, b"")
        assert status == 405 and "POST" in headers["Allow"]
    assert ask(system, "DELETE", f"{TRANSFERS}/x")[0] == 405


def test_content_type(system):
    assert ask(system, "POST", TRANSFERS, body(), **{"Content-Type": "text/plain"})[0] == 415
    assert ask(system, "POST", TRANSFERS, body(), **{"Content-Type": "application/json; charset=utf-8"})[0] == 200


def test_keys(system):
    assert ask(system, "POST", TRANSFERS, body(), {})[0] == 401
    assert ask(system, "GET", f"{TRANSFERS}/x", None, {"asapp-api-id": "demo-id"})[0] == 401
    assert ask(system, "GET", "/handback/v1/refusals")[0] in (403, 404)


def test_what_needs_no_key(system):
    for path in ("/healthz", "/readyz", "/openapi.json", "/metrics", "/"):
        assert ask(system, "GET", path, headers={})[0] == 200
    served = ask(system, "GET", "/openapi.json", headers={})[1]
    assert set(served["paths"]) == set(SPEC["paths"])


def test_calls_and_workers(system):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        assert ask(system, "GET", "/handback/v1/workers", headers=OPERATOR)[0] == 200
        caller.press("21")
        caller.handed_back()
    system.entry(id, "ended")
    status, page, _ = ask(system, "GET", "/handback/v1/calls?limit=1")
    assert status == 200 and len(page["calls"]) == 1
    assert ask(system, "GET", f"/handback/v1/calls/{page['calls'][0]['id']}")[0] == 200
    assert ask(system, "GET", f"{TRANSFERS}/{id}")[1]["status"] == "COMPLETED"
    for query in ("limit=0", "limit=x", "before=yesterday"):
        assert ask(system, "GET", f"/handback/v1/calls?{query}")[0] == 400
    assert ask(system, "GET", "/handback/v1/refusals", headers=OPERATOR)[0] == 200


def test_rate_limit(fresh):
    system = fresh(config={"api": {"rate_limit": 20}})
    system.start_api()
    statuses = [ask(system, "GET", f"{TRANSFERS}/x")[0] for _ in range(120)]
    assert 404 in statuses and 429 in statuses
    time.sleep(1.1)
    assert ask(system, "GET", f"{TRANSFERS}/x")[0] == 404


def test_description_is_whole(system):
    """Every $ref leads somewhere, every operation has an id of its own."""
    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                assert resolve(node) is not None
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    walk(SPEC)
    ids = [item[method]["operationId"] for item in SPEC["paths"].values() for method in METHODS if method in item]
    assert len(ids) == len(set(ids))
