"""The description against the code's own tables: routes, who may call them, error codes, names."""
import re

import yaml
from handback import ROOT

SPEC = yaml.safe_load((ROOT / "schema/openapi.yaml").read_text())
HTTP = (ROOT / "api-server/http/http.c").read_text()
ERR = (ROOT / "common/err.h").read_text()

ROUTES = {(method.lower(), re.sub(r":(\w+)", r"{\1}", pattern)): scope for method, pattern, scope in
          re.findall(r'\{ "(\w+)",\s+"([^"]+)",\s+SCOPE_(\w+),', HTTP)}
OPERATIONS = {(method, path): operation for path, item in SPEC["paths"].items()
              for method, operation in item.items()}
# name -> (status, code)
ERRORS = {name: (int(status), code) for name, status, code in
          re.findall(r'X\((\w+),\s+(\d+), "([\d-]*)",', ERR)}


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference):
    node = SPEC
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_the_tables_were_found():
    assert len(ROUTES) >= 11 and len(ERRORS) >= 20


def test_every_route_is_described_and_the_reverse():
    assert set(ROUTES) == set(OPERATIONS)


def test_who_may_call():
    by_scope = {"PUBLIC": [], "ACCOUNT": None, "READ": None, "OPERATOR": None, "METRICS": [{}, {"basic": []}]}
    for key, scope in ROUTES.items():
        assert OPERATIONS[key].get("security") == by_scope[scope], key


def test_keyed_operations_name_401_and_429():
    for key, scope in ROUTES.items():
        declared = OPERATIONS[key]["responses"]
        assert ({"401", "429"} <= set(declared)) == (scope != "PUBLIC"), key
        assert ("403" in declared) == (scope in ("ACCOUNT", "OPERATOR", "METRICS")), key


def test_errors_of_the_description_are_errors_of_the_code():
    known = {(str(status), code) for status, code in ERRORS.values()}
    for name, response in SPEC["components"]["responses"].items():
        for code in re.findall(r"Code (\d{3}-\d{2})", response["description"]):
            assert (code[:3], code) in known, name
    for key, operation in OPERATIONS.items():
        for status in operation["responses"]:
            assert status in ("200", "default") or status in {s for s, _ in known}, (key, status)


def test_errors_have_the_contracts_codes():
    for name, (status, code) in ERRORS.items():
        assert code == ("" if name == "OK" else f"{status}-01"), name


def test_references_lead_somewhere_and_nothing_is_unused():
    used = set(references(SPEC))
    for reference in used:
        resolve(reference)
    for kind in ("schemas", "responses", "parameters", "headers"):
        for name in SPEC["components"][kind]:
            assert f"#/components/{kind}/{name}" in used, f"{kind}/{name} is not used"


def test_enums_are_the_codes_names():
    transfer = (ROOT / "api-server/domain/transfer.c").read_text()
    names = re.search(r"transfer_status_names\[\] = \{([^}]*)\}", transfer)[1]
    assert re.findall(r'"(\w+)"', names) == SPEC["components"]["schemas"]["Status"]["enum"]
    config = "".join(path.read_text() for path in sorted((ROOT / "common").glob("config*.c")))
    names = re.search(r"return_type_names\[\] = \{([^}]*)\}", config)[1]
    schema = SPEC["components"]["schemas"]["SipRequest"]["properties"]["returnTransferType"]
    assert re.findall(r'"(\w+)"', names) == schema["enum"]


def test_every_operation_is_named_once():
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(names) == len(set(names))
    for operation in OPERATIONS.values():
        assert operation["summary"] and operation["tags"]
