"""What a returned call would carry: asked beforehand, over REST."""
import urllib.parse

import jsonschema
import pytest
import yaml
from handback import KEYS, OPERATOR, ROOT, System

SPEC = yaml.safe_load((ROOT / "schema/openapi.yaml").read_text())

PATH = "/handback/v1/context-budget"
OTHER = {"asapp-api-id": "other-id", "asapp-api-secret": "other-secret"}
FIXED = len("X-GA-extConId=&X-GA-transfer=SYSTEM")


@pytest.fixture(scope="module")
def api():
    system = System()
    own = system.config["accounts"][0]
    own["returns"] = {"type": "REFER", "uri": "sip:ivr@sbc.example.com?X-Own=1"}
    system.config["agents"].append("agents/wordy.yaml")
    system.config["accounts"].append({
        "name": "other", "agent": "wordy", "api_keys": [{"id": "other-id", "secret": "other-secret"}],
        "sip": {"domain": "other.example.com", "allow": list(own["sip"]["allow"])}})
    try:
        system.start_api()
        yield system
        system.stop()
    finally:
        system.destroy()


def described(status, answer, schema):
    """The answer is what the description promises."""
    node = {"$ref": f"#/components/schemas/{schema if status == 200 else 'Error'}"}
    jsonschema.Draft4Validator(node, resolver=jsonschema.RefResolver("", SPEC)).validate(answer)
    return status, answer


def preview(api, body, headers=KEYS, query=""):
    return described(*api.request("POST", PATH + query, body, headers), "Context")


def parsed(refer_to):
    """What a peer reads out of a Refer-To: the URI, and its headers in order."""
    assert refer_to[0] == "<" and refer_to[-1] == ">"
    uri, _, query = refer_to[1:-1].partition("?")
    return uri, [tuple(urllib.parse.unquote(part) for part in pair.split("=", 1)) for pair in query.split("&")]


# --- POST ------------------------------------------------------------------------------------------

def test_the_guides_example(api):
    status, answer = preview(api, {
        "conversationId": "conv-12345", "transferType": "SYSTEM",
        "transferVariables": {"next_action": "schedule_callback", "priority": "high"},
        "referenceVariables": {"account_balance": "1250.00", "last_payment_date": "2025-01-10"},
        "returnUri": "sip:your-sbc.example.com"})
    assert status == 200, answer
    assert answer["referTo"] == (
        "<sip:your-sbc.example.com?X-GA-extConId=conv-12345&X-GA-transfer=SYSTEM&X-GA-tv-next_action=schedule_callback"
        "&X-GA-tv-priority=high&X-GA-rv-account_balance=1250.00&X-GA-rv-last_payment_date=2025-01-10>")
    assert [(h["name"], h["value"]) for h in answer["headers"]] == parsed(answer["referTo"])[1]
    assert answer["used"] == len(answer["referTo"].partition("?")[2]) - 1
    assert (answer["budget"], answer["dropped"], answer["changed"]) == (1024, [], [])
    assert [v["name"] for v in answer["kept"]] == ["next_action", "priority", "account_balance", "last_payment_date"]


def test_everything_absent(api):
    """The account's URI, a conversation id of 36 characters, SYSTEM."""
    status, answer = preview(api, {})
    assert status == 200, answer
    assert answer["referTo"].startswith("<sip:ivr@sbc.example.com?X-Own=1&X-GA-extConId=")
    assert answer["used"] == len("X-Own=1&") + FIXED + 36
    status, answer = preview(api, {}, OTHER)
    assert status == 200 and "referTo" not in answer and len(answer["headers"]) == 2


def test_a_uri_stays_as_it_is(api):
    for uri in ("sip:%75ser:p@[2001:DB8::1]:5061;lr;x=%3b", "sips:h", "sip:u;User-to-User=UUI-12345@h"):
        answer = preview(api, {"returnUri": uri})[1]
        assert parsed(answer["referTo"])[0] == uri
    answer = preview(api, {"returnUri": "tel:+1-999", "transferVariables": {"a": "1"}})[1]
    assert answer["referTo"] == "<tel:+1-999>" and answer["warning"] and len(answer["headers"]) == 3


def test_the_first_that_does_not_fit_ends_the_list(api):
    status, answer = preview(api, {
        "transferVariables": {"a": "1", "long": "&" * 400, "b": "2"}, "referenceVariables": {"c": "3"}})
    assert status == 200
    assert [v["name"] for v in answer["kept"]] == ["a"]
    assert [(v["name"], v["class"]) for v in answer["dropped"]] == [("long", "transfer"), ("b", "transfer"), ("c", "reference")]
    assert answer["dropped"][0]["bytes"] == len("&X-GA-tv-long=") + 1200 and answer["droppedCount"] == 3
    assert "X-GA-rv-c" not in answer["referTo"] and len(answer["headers"]) == 3


def test_what_a_header_cannot_hold(api):
    answer = preview(api, {"transferVariables": {"how urgent": "very\r\nVia: x", "größe": "groß"}})[1]
    assert [(h["name"], h["value"]) for h in answer["headers"][2:]] == [
        ("X-GA-tv-how_urgent", "very  Via: x"), ("X-GA-tv-gr__e", "groß")]
    assert parsed(answer["referTo"])[1][3:] == [("X-GA-tv-how urgent", "very  Via: x"), ("X-GA-tv-größe", "groß")]
    assert "%0D" not in answer["referTo"]
    assert [c["name"] for c in answer["changed"]] == ["how urgent", "how urgent", "größe"]


def test_values_that_are_no_strings(api):
    answer = preview(api, {"transferVariables": {"n": 5, "none": None, "list": [1, "x"], "yes": True}})[1]
    assert [h["value"] for h in answer["headers"][2:]] == ["5", '[1,"x"]', "true"]


@pytest.mark.parametrize("body, path", [
    ({"transferType": "OTHER"}, "/transferType"),
    ({"transferVariables": "text"}, "/transferVariables"),
    ({"transferVariables": ["a"]}, "/transferVariables"),
    ({"referenceVariables": [1]}, "/referenceVariables"),
    ({"conversationId": 5}, "/conversationId"),
    ({"conversationId": "x" * 257}, "/conversationId"),
    ({"returnUri": "mailto:a@b"}, "/returnUri"),
    ({"returnUri": "sip:h>\r\nVia: x"}, "/returnUri"),
    ({"returnUri": "sip:" + "h" * 1024}, "/returnUri"),
    (["no object"], "/"),
])
def test_malformed(api, body, path):
    status, answer = preview(api, body)
    assert status == 400 and f"[Path '{path}']" in answer["error"]["message"], answer


def test_a_large_body(api):
    variables = {f"v{i}": "x" * 1000 for i in range(900)}
    status, answer = preview(api, {"transferVariables": variables})
    assert status == 200 and answer["droppedCount"] == 900 and len(answer["dropped"]) == 100


# --- GET -------------------------------------------------------------------------------------------

def budget(api, query="", headers=KEYS):
    return described(*api.request("GET", PATH + query, headers=headers), "ContextBudget")


def test_an_accounts_own_agent(api):
    status, answer = budget(api)
    assert status == 200, answer
    assert answer["agent"] == "menu" and answer["budget"] == 1024 and len(answer["conversationId"]) == 36
    assert answer == budget(api, "?agent=menu")[1]
    back = answer["functions"][0]
    assert (back["function"], back["transferType"]) == ("hand_back", "SYSTEM")
    assert back["transferVariables"] == [{"name": "next_action", "bytes": 21}, {"name": "priority", "bytes": 18}]
    assert back["fixedBytes"] == len("X-Own=1&") + FIXED + 36
    assert back["roomForTransferValues"] == 1024 - back["fixedBytes"] - 39
    assert back["roomForAllValues"] == back["roomForTransferValues"] - len("&X-GA-rv-account_balance=")
    agent = answer["functions"][-1]
    assert (agent["function"], agent["transferType"], agent["transferVariables"]) == ("to_agent", "AGENT", [])
    assert agent["fixedBytes"] == back["fixedBytes"] - 1


def test_names_stand_once_and_in_order(api):
    answer = budget(api, headers=OTHER)[1]
    assert [v["name"] for v in answer["referenceVariables"]] == ["word", "balance"]
    assert [v["name"] for v in answer["functions"][0]["transferVariables"]] == ["next_action", "priority", "how urgent"]
    assert answer["functions"][0]["transferVariables"][2]["bytes"] == len("&X-GA-tv-how%20urgent=")


def test_what_it_says_is_what_is_sent(api):
    """Values that take exactly the room fit; one byte more does not."""
    function = budget(api)[1]["functions"][0]
    room = function["roomForAllValues"]
    for extra, dropped in ((0, 0), (1, 1)):
        answer = preview(api, {"transferVariables": {"next_action": "x" * (room - 10), "priority": "x" * 5},
                               "referenceVariables": {"account_balance": "x" * (5 + extra)}})[1]
        assert answer["droppedCount"] == dropped and (answer["used"] == 1024) == (not dropped)


def test_a_conversation_id_of_ones_own(api):
    answer = budget(api, "?conversationId=a%20b")[1]
    assert answer["conversationId"] == "a b"
    assert answer["functions"][0]["fixedBytes"] == len("X-Own=1&") + FIXED + 5
    assert budget(api, "?conversationId=" + "x" * 257)[0] == 400
    assert budget(api, "?conversationId=%ff")[0] == 400


def test_who_sees_what(api):
    assert budget(api, "?agent=wordy")[0] == 404  # another account's
    assert budget(api, "?agent=nobody")[0] == 404
    assert budget(api, "?agent=menu&agent=menu")[0] == 400
    assert budget(api, headers={})[0] == 401
    assert preview(api, {}, {})[0] == 401
    assert budget(api, headers=OPERATOR)[0] == 400  # names one
    assert budget(api, "?agent=nobody", OPERATOR)[0] == 404
    assert budget(api, "?agent=wordy", OPERATOR)[1]["agent"] == "wordy"
    assert budget(api, "?account=other", OPERATOR)[1]["agent"] == "wordy"
    assert budget(api, "?account=nobody", OPERATOR)[0] == 404
    own = budget(api, "?account=demo&agent=wordy", OPERATOR)[1]["functions"][0]["fixedBytes"]
    assert own == budget(api, "?agent=wordy", OPERATOR)[1]["functions"][0]["fixedBytes"] + len("X-Own=1&")
    assert preview(api, {}, OPERATOR, "?account=demo")[1]["referTo"].startswith("<sip:ivr@sbc.example.com?X-Own=1&")
    assert "referTo" not in preview(api, {}, OPERATOR)[1]


def test_other_methods(api):
    assert api.request("DELETE", PATH)[0] == 405
