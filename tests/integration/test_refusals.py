"""What an INVITE that may not become a call is told (README, "What an INVITE is answered with")."""
import time

from caller import OUTPUT, Caller
from handback import eventually, new_id
from sip_peer import Call, sdp

USERS = [{"username": "sbc", "password": "correct horse"}]


def why(reply):
    return reply.status, reply.get("Warning"), reply.get("Reason")


def refusal(system, host=10, **kwargs):
    with Caller(system, host) as caller:
        caller.dial(**kwargs)
        return caller.refused()


def test_unknown_and_foreign_look_the_same(fresh):
    system = fresh()
    theirs = system.account(name="theirs", api_keys=[{"id": "their-id", "secret": "their-secret"}],
                            sip={"allow": [f"{system.net}.200/32"]})
    system.config["accounts"].append(theirs)
    system.start()
    id = new_id()
    keys = {"asapp-api-id": "their-id", "asapp-api-secret": "their-secret"}
    status, _ = system.post({"id": id, "externalConversationId": id, "type": "SIP"}, keys)
    assert status == 200
    foreign, unknown = refusal(system, transfer=id), refusal(system, transfer=new_id())
    assert why(foreign) == why(unknown) and foreign.status == 404
    assert foreign.get("Warning").startswith("399 ") and foreign.get("Reason")
    assert system.request("GET", f"/generativeagent/v1/call-transfers/{id}")[0] == 404


def test_expired(fresh):
    system = fresh(config={"transfers": {"expire_after": "1s"}}).start()
    id = system.create()
    time.sleep(1.2)
    assert system.status(id) == "EXPIRED"
    assert refusal(system, transfer=id).status == 410


def test_completed_and_claimed(system):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        assert refusal(system, 11, transfer=id).status == 486
        caller.press("1")
        caller.handed_back()
    assert refusal(system, transfer=id).status == 410


def test_conversation_is_busy(system):
    conversation = new_id("conv")
    first, second = (system.create(conversation=conversation) for _ in range(2))
    with Caller(system) as caller:
        caller.talk(first)
        assert refusal(system, 11, transfer=second).status == 486
        assert system.status(second) == "ACTIVE"
        caller.call.bye()
    system.completed(first)
    with Caller(system) as caller:
        caller.talk(second)
        caller.call.bye()


def test_of_many_invites_one_gets_the_transfer(system):
    id = system.create()
    callers = [Caller(system, 10 + n) for n in range(20)]
    try:
        for caller in callers:
            caller.dial(id)
        replies = [caller.call.reply("INVITE", 10) for caller in callers]
        assert sorted(reply.status for reply in replies) == [200] + [486] * 19
        winner = callers[[reply.status for reply in replies].index(200)]
        winner.call.ack()
        assert winner.call.bye().status == 200
    finally:
        for caller in callers:
            caller.close()


def test_no_transfer_id_without_header_mode(fresh):
    system = fresh()
    system.config["accounts"][0]["sip"]["headers_mode"] = False
    system.start()
    assert refusal(system).status == 400


def test_two_different_ids(system):
    reply = refusal(system, transfer=system.create(), headers=[f"X-ASAPP-CallTransferId: {new_id()}"])
    assert reply.status == 400


def test_no_common_codec(system):
    id = system.create()
    reply = refusal(system, transfer=id, body=sdp(system.host(), 40000, codecs=(18, 9)))
    assert reply.status == 488 and reply.get("Warning")
    assert system.status(id) == "ACTIVE"


def test_srtp_only_offer(fresh):
    system = fresh(config={"media": {"srtp": "off"}}).start()
    offer = sdp(system.host(), 40000).replace(b"RTP/AVP", b"RTP/SAVP")
    assert refusal(system, transfer=system.create(), body=offer).status == 488


def test_unknown_body_and_require(system):
    with Caller(system) as caller:
        call = caller.peer.invite(headers=["Require: teleportation", f"X-ASAPP-CallTransferId: {system.create()}"],
                                  body=caller.offer())
        reply = call.reply("INVITE")
        assert reply.status == 420 and "teleportation" in reply.get("Unsupported")
    with Caller(system) as caller:
        call = caller.peer.invite()
        call.reply("INVITE")  # no body at all: a delayed offer in header mode
        call.ack(caller.offer())
        call.bye()
        odd = Call(caller.peer)
        odd.send("INVITE", body=b"hello", content="text/plain", headers=[f"X-ASAPP-CallTransferId: {new_id()}"])
        reply = odd.reply("INVITE")
        assert reply.status == 415 and "application/sdp" in reply.get("Accept")


def test_max_forwards(system):
    with Caller(system) as caller:
        call = Call(caller.peer)
        call.cseq, call.invite_cseq, call.branch = 1, 1, "maxforwards"
        message = call.build("INVITE", cseq=1, branch="maxforwards", body=caller.offer())
        caller.peer.send(message.replace(b"Max-Forwards: 70", b"Max-Forwards: 0"))
        assert call.reply("INVITE").status == 483


def test_unknown_source_hears_nothing(system):
    with Caller(system, 200) as caller:
        caller.dial(system.create())
        assert caller.peer.nothing(0.7)


def test_unknown_source_rejected(fresh):
    system = fresh(config={"sip": {"unknown_sources": "reject"}}).start()
    reply = refusal(system, 200, transfer=system.create())
    assert reply.status == 403 and not reply.get("Warning") and not reply.get("Reason")


def digest_system(fresh, **sip):
    system = fresh(config={"sip": sip})
    system.config["accounts"][0]["sip"] = {"users": USERS}
    return system.start()


def with_password(system, password, algorithm=None):
    id = system.create()
    with Caller(system) as caller:
        caller.dial(id)
        challenge = caller.refused()
        assert challenge.status == 401
        if algorithm:
            challenge = pick(challenge, algorithm)
        caller.call.authenticate(challenge, "sbc", password)
        caller.call.invite(**caller.call.again)
        reply = caller.call.reply("INVITE")
        if reply.status == 200:
            caller.call.ack()
            caller.rtp.start((reply.sdp_address(), reply.sdp_port()))
            caller.call.authorization = None
            caller.press("1")
            caller.handed_back()
            assert system.transfer(id)["outputContext"] == OUTPUT
        return reply.status


def pick(challenge, algorithm):
    """The challenge with only that one of its WWW-Authenticate headers."""
    challenge.headers = [(n, v) for n, v in challenge.headers
                         if n.lower() != "www-authenticate" or algorithm in v.replace('"', "")]
    return challenge


def test_digest(fresh):
    system = digest_system(fresh)
    assert with_password(system, "correct horse", "MD5") == 200
    assert with_password(system, "correct horse", "SHA-256") == 200
    assert with_password(system, "wrong horse") == 401


def test_digest_replay_is_refused(fresh):
    system = digest_system(fresh)
    with Caller(system) as caller:
        caller.dial(system.create())
        caller.call.authenticate(caller.refused(), "sbc", "correct horse")
        caller.call.invite(**caller.call.again)
        caller.call.answered()
        replayed = caller.call.authorization
        caller.call.authorization = None
        caller.call.bye()
    with Caller(system) as thief:
        thief.dial(system.create(), headers=[replayed])
        assert thief.refused().status == 401


def test_worker_is_full(fresh):
    system = fresh(config={"worker": {"max_calls": 1}}).start()
    with Caller(system) as caller:
        caller.talk(system.create())
        id = system.create()
        reply = refusal(system, 11, transfer=id)
        assert reply.status == 503 and int(reply.get("Retry-After")) > 0
        assert system.status(id) == "ACTIVE"
        caller.call.bye()
    eventually(lambda: answered_once(system, id), 5, "there is room again")


def answered_once(system, id):
    with Caller(system) as caller:
        caller.dial(id)
        if caller.call.reply("INVITE").status != 200:
            return False
        caller.call.ack()
        caller.call.bye()
        return True


def test_account_is_full(fresh):
    system = fresh()
    system.config["accounts"][0]["max_calls"] = 1
    system.start()
    with Caller(system) as caller:
        caller.talk(system.create())
        assert refusal(system, 11, transfer=system.create()).status == 480
        caller.call.bye()


def test_refusals_can_be_read(system):
    id = new_id()
    refusal(system, transfer=id)
    entry = system.entry(id, "refused")
    assert entry["info"]["status"] == 404 and entry["info"]["reason"]
