"""The control link: the tables in common/ and schema/ipc say the same, and so do real messages."""
import json
import os
import pathlib
import shlex
import subprocess

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "schema" / "ipc"
# What the tables need, and no more: nothing else has to compile for this test.
PARTS = ["common/msg", "common/jfield", "common/str", "common/err", "common/call_event", "tests/contract/dump_tables"]
TEXT_MAX = 64 << 10


def load(name):
    return json.loads((SCHEMAS / f"{name}.json").read_text())


WIRES = sorted(p.stem for p in SCHEMAS.glob("*.json") if p.stem != "envelope")


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    out = "build/contract"
    objects = [f"{out}/{part}.o" for part in PARTS]
    subprocess.run(["make", "-s", f"O={out}", "SAN=", *objects], cwd=ROOT, check=True, timeout=300)
    libs = subprocess.run(["pkg-config", "--libs", "jansson", "libsodium"], check=True, capture_output=True, text=True)
    program = tmp_path_factory.mktemp("ipc") / "dump_tables"
    cc = shlex.split(os.environ.get("CC", "gcc"))
    subprocess.run([*cc, "-pie", "-o", str(program), *objects, *libs.stdout.split()], cwd=ROOT, check=True, timeout=120)
    return json.loads(subprocess.run([str(program)], check=True, capture_output=True, timeout=20).stdout)


def test_every_type_has_its_schema(tables):
    assert sorted(tables["types"]) == WIRES


@pytest.mark.parametrize("wire", [*WIRES, "envelope"])
def test_schemas_are_schemas(wire):
    schema = load(wire)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == wire
    assert schema["description"]


@pytest.mark.parametrize("wire", WIRES)
def test_direction_and_kind(tables, wire):
    schema, table = load(wire), tables["types"][wire]
    assert (schema["direction"], schema["kind"]) == (table["direction"], table["kind"])
    assert set(schema["properties"]) == ({"body", "reply"} if table["kind"] == "request" else {"body"})


def expected(field):
    """The schema words a row of a field table stands for."""
    kind = field["type"]
    if kind == "str":
        return {"type": "string", "maxLength": field["size"] - 1}
    if kind == "text":
        return {"type": "string", "maxLength": field["max"] or TEXT_MAX}
    if kind == "int":
        return {"type": "integer", "minimum": field["min"], "maximum": field["max"]}
    if kind == "bool":
        return {"type": "boolean"}
    if kind == "enum":
        return {"enum": field["names"]}
    return {}


def compare(fields, schema):
    assert [f["name"] for f in fields] == list(schema["properties"])
    assert [f["name"] for f in fields if f["required"]] == [n for n in schema["properties"] if n in schema.get("required", [])]
    assert set(schema.get("required", [])) <= set(schema["properties"])
    for field in fields:
        said = schema["properties"][field["name"]]
        if field["type"] == "json":
            assert said["type"] in ("object", "array"), field["name"]
            continue
        words = {k: v for k, v in said.items() if k != "description"}
        assert words == expected(field), field["name"]


@pytest.mark.parametrize("wire", WIRES)
def test_fields(tables, wire):
    schema, table = load(wire), tables["types"][wire]
    compare(table["body"], schema["properties"]["body"])
    if table["kind"] == "request":
        compare(table["reply"], schema["properties"]["reply"])
    else:
        assert table["reply"] == []


@pytest.mark.parametrize("wire", WIRES)
def test_real_messages(tables, wire):
    schema, envelope = load(wire), load("envelope")
    for message in tables["types"][wire]["samples"]:
        jsonschema.validate(message, envelope)
        if "t" in message:
            assert message["t"] == wire
            jsonschema.validate(message["body"], schema["properties"]["body"])
            assert set(message["body"]) == set(schema["properties"]["body"]["properties"])
        elif message["err"] == "OK":
            jsonschema.validate(message["body"], schema["properties"]["reply"])
            assert set(message["body"]) == set(schema["properties"]["reply"]["properties"])


def test_errors(tables):
    reply = [form for form in load("envelope")["oneOf"] if form["title"] == "reply"][0]
    assert reply["properties"]["err"]["enum"] == tables["errors"]


def test_call_events(tables):
    entry = load("call.report")["properties"]["body"]["properties"]["events"]["items"]
    assert entry["properties"]["type"]["enum"] == tables["events"]
