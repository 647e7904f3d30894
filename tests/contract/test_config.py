"""schema/config.json says what common/config_rows.c reads: the same keys, and the examples fit."""
import json
import pathlib
import re

import jsonschema
import pytest
import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((TOP / "schema/config.json").read_text())


def schema_keys(node, prefix=""):
    for name, child in node["properties"].items():
        if "properties" in child:
            yield from schema_keys(child, f"{prefix}{name}.")
        else:
            yield prefix + name


def table(name):
    text = (TOP / "common/config_rows.c").read_text()
    body = re.search(name + r"\[\] = \{(.*?)\n\};", text, re.S).group(1)
    return {m[0]: m[1] for m in re.findall(r'\{ "([\w.]+)",\s*(C_\w+)', body)}


@pytest.mark.parametrize("rows,node", [
    ("const struct crow config_rows", SCHEMA),
    ("const struct crow account_rows", SCHEMA["properties"]["accounts"]["items"]),
])
def test_keys_are_the_same(rows, node):
    rows = table(rows)
    files = {key + "_file" for key, kind in rows.items() if kind == "C_SECRET"}
    assert set(schema_keys(node)) == set(rows) | files
    assert len(rows) > 15


def test_every_key_is_described():
    def walk(node, path=""):
        for name, child in node.get("properties", {}).items():
            if "properties" in child:
                yield from walk(child, f"{path}{name}.")
            elif "description" not in child:
                yield path + name
    missing = [k for k in walk(SCHEMA) if not k.startswith("accounts")]
    assert missing == []


def test_the_example_fits():
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (TOP / "examples/handback.yaml").read_text())
    jsonschema.validate(yaml.safe_load(text), SCHEMA)


def test_a_wrong_one_does_not():
    for bad in ({"sip": {"challenge": 404}}, {"sipp": {}}, {"accounts": [{}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, SCHEMA)
