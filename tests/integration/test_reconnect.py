"""The same externalConversationId again: the conversation goes on where it was."""
from caller import Caller
from handback import eventually, new_id


def said(system, id):
    return [e["info"]["text"] for e in system.timeline(id) if e["type"] == "said"]


def tasks(system, id):
    return [e["info"]["name"] for e in system.timeline(id) if e["type"] == "task"]


def look_up_then(system, caller, end, **fields):
    """A first call that learns the balance, enters the other task, and ends; its id."""
    id = system.create(**fields)
    caller.talk(id)
    caller.press("2")
    eventually(lambda: any(e["type"] == "function" for e in system.timeline(id)), 5, "the look-up")
    end(caller)
    system.entry(id, "ended")
    return id


def hang_up(caller):
    assert caller.call.bye().status == 200


def hand_back(caller):
    caller.press("1")
    caller.handed_back()


def second_call(system, conversation, **fields):
    """A new transfer of the conversation, handed back at once; what came of it."""
    id = system.create(conversation=conversation, **fields)
    with Caller(system, host=11) as caller:
        caller.talk(id)
        caller.press("1")
        caller.handed_back()
    return id, system.transfer(id)["outputContext"]


def test_variables_after_a_hand_back(system):
    conversation = new_id("c")
    with Caller(system) as caller:
        look_up_then(system, caller, hand_back, conversation=conversation)
    _, output = second_call(system, conversation)
    assert output["referenceVariables"] == {"account_balance": "1250.00"}


def test_variables_after_a_hang_up(system):
    conversation = new_id("c")
    with Caller(system) as caller:
        look_up_then(system, caller, hang_up, conversation=conversation)
    _, output = second_call(system, conversation)
    assert output["referenceVariables"] == {"account_balance": "1250.00"}


def test_another_conversation_knows_nothing(system):
    with Caller(system) as caller:
        look_up_then(system, caller, hang_up)
    _, output = second_call(system, new_id("c"))
    assert output["referenceVariables"] == {}


def test_task_is_resumed(system):
    conversation = new_id("c")
    id = system.create(conversation=conversation)
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("4")
        eventually(lambda: "story" in tasks(system, id), 5, "the other task")
        hang_up(caller)
    system.entry(id, "ended")
    again, output = second_call(system, conversation)
    assert tasks(system, again)[0] == "story"
    assert output["currentTaskName"] == "story"


def test_a_task_asked_for_goes_first(system):
    conversation = new_id("c")
    id = system.create(conversation=conversation)
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("4")
        eventually(lambda: "story" in tasks(system, id), 5, "the other task")
        hang_up(caller)
    system.entry(id, "ended")
    _, output = second_call(system, conversation, inputContext={"taskName": "menu"})
    assert output["currentTaskName"] == "menu"


def test_header_mode(system):
    conversation = new_id("c")
    headers = [f"X-GA-extConversationId: {conversation}"]
    with Caller(system) as caller:
        caller.talk(headers=headers)
        caller.press("2")
        eventually(lambda: any(e["type"] == "function" for e in system.timeline(caller.call.call_id)), 5, "the look-up")
        hang_up(caller)
        system.entry(caller.call.call_id, "ended")
    with Caller(system) as caller:
        caller.talk(headers=headers)
        caller.press("1")
        caller.handed_back()
        output = system.transfer(caller.call.call_id)["outputContext"]
    assert output["referenceVariables"] == {"account_balance": "1250.00"}


def test_across_restarts_of_both(fresh):
    system = fresh().start()
    conversation = new_id("c")
    with Caller(system) as caller:
        look_up_then(system, caller, hang_up, conversation=conversation)
    for process in (system.workers[-1], system.api):
        assert process.stop() == 0
    system.start_api()
    system.start_worker()
    eventually(lambda: system.get("/readyz")[0] == 200, 10, "readyz")
    _, output = second_call(system, conversation)
    assert output["referenceVariables"] == {"account_balance": "1250.00"}


def test_only_one_call_at_a_time(system):
    conversation = new_id("c")
    first, second = system.create(conversation=conversation), system.create(conversation=conversation)
    with Caller(system) as one, Caller(system, host=11) as two:
        one.talk(first)
        two.dial(second)
        assert two.refused().status == 486
        hang_up(one)
        system.entry(first, "ended")
        two.talk(second)
        hang_up(two)
