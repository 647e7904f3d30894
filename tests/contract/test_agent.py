"""schema/agent.json says what common/agentdef reads: the same keys, and our agents fit it."""
import json
import pathlib
import re

import jsonschema
import pytest
import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((TOP / "schema/agent.json").read_text())
ACTION = {"call", "with", "task", "hangup"}


def table(file, start):
    """The keys of the first table of `struct akey` from `start` on."""
    text = (TOP / "common/agentdef" / file).read_text()
    rows = re.search(r"struct akey \w+\[\] = \{(.*?)\n\t?\};", text[text.index(start):], re.S)[1]
    keys = set(re.findall(r'\{ "(\w+)",', rows))
    return keys | ACTION if "ACTION_KEYS" in rows else keys


def item(schema, *path):
    for part in path:
        schema = schema["properties"][part]
        schema = schema.get("items", schema)
    return set(schema["properties"])


@pytest.mark.parametrize("file, start, path", [
    ("agentdef.c", "struct akey agent_keys", ()),
    ("agentdef.c", "read_speech(", ("speech",)),
    ("agentdef.c", "read_limits(", ("limits",)),
    ("agentdef_task.c", "struct akey task_keys", ("tasks",)),
    ("agentdef_task.c", "read_offer(", ("tasks", "functions")),
    ("agentdef_task.c", "read_intent(", ("tasks", "intents")),
    ("agentdef_task.c", "read_silence(", ("tasks", "on_silence")),
    ("agentdef_task.c", "read_no_match(", ("tasks", "on_no_match")),
    ("agentdef_function.c", "struct akey function_keys", ("functions",)),
    ("agentdef_function.c", "read_value(", ("functions", "variables")),
    ("agentdef_function.c", "read_refvar(", ("functions", "reference_vars")),
])
def test_same_keys(file, start, path):
    keys = table(file, start) - {"on_silence", "on_no_match"} if len(path) == 2 else table(file, start)
    assert keys == item(SCHEMA, *path)


@pytest.mark.parametrize("path", sorted([*TOP.glob("examples/agents/*.yaml"), *TOP.glob("tests/integration/agents/*.yaml"),
                                         *TOP.glob("tests/fuzz/corpus/agentdef/*.yaml")]), ids=lambda p: p.name)
def test_agents_fit(path):
    jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMA)


@pytest.mark.parametrize("change", [
    {"brain": "chat"}, {"color": "red"}, {"tasks": []}, {"limits": {"max_duration": "soon"}},
    {"functions": [{"name": "f", "type": "recite"}]}, {"functions": [{"name": "f", "type": "mock", "text": "x"}]},
    {"tasks": [{"name": "t", "intents": [{"dtmf": "1"}]}]},
    {"tasks": [{"name": "t", "intents": [{"dtmf": "x", "hangup": True}]}]},
])
def test_mistakes_do_not(change):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "n", "default_task": "t", "tasks": [{"name": "t"}], **change}, SCHEMA)
