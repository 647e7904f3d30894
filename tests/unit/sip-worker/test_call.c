/* The call's life against fakes of everything around it: each case is a script of what happens and
 * the exact list of what the call does about it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/log.h"
#include "common/str.h"
#include "sip-worker/worker.h"
#include "tests/unit/sip-worker/fake_parts.h"

/* --- the script --- */

static struct worker *w;
static enum return_type reply_type;
static const char *reply_uri;
static struct sip_invite invite;
static bool invite_has_offer;

static void
step_invite(void)
{
	const char *why = NULL;
	int status = sip_ops->gate(app, invite.account, &why);

	if (status) {
		note("gate %d", status);
		return;
	}
	invite.has_offer = invite_has_offer;
	sip_ops->invite(app, (struct sip_leg *)1, &invite);
}

static void
claim_reply(enum err e)
{
	struct msg_claim_reply r = { .transfer = "t-1",
				     .conversation = "c-1",
				     .variables = json_object() };

	r.return_type = (int)reply_type;
	r.return_uri = (char *)(uintptr_t)reply_uri;
	json_t *msg = msg_reply(MSG_CLAIM, "x", e, e == ERR_OK ? &r : NULL);
	control_reply_h *done = claim_done;

	claim_done = NULL;
	done(claim_arg, e, json_object_get(msg, "body"));
	json_decref(msg);
	json_decref(r.variables);
}

/* clang-format off */
static void step_claimed(void) { claim_reply(ERR_OK); }
static void step_unknown(void) { claim_reply(ERR_NOT_FOUND); }
static void step_gone(void) { claim_reply(ERR_GONE); }
static void step_busy(void) { claim_reply(ERR_BUSY); }
static void step_retry(void) { claim_reply(ERR_RETRY); }
static void step_away(void) { claim_reply(ERR_UNAVAILABLE); }
static void step_closed_link(void) { claim_reply(ERR_CLOSED); }
static void step_ready(void) { agent_ops->ready(app, handle); }
static void step_failed(void) { agent_ops->failed(app, handle, "no brain"); }
static void step_ack(void) { sip_ops->confirmed(leg_owner, invite_has_offer ? NULL : &invite.remote); }
static void step_rtp(void) { media_ops->first_rtp(app, handle, &invite.source); }
static void
step_outcome(void)
{
	struct outcome o = { .type = OUTCOME_SYSTEM, .task = "t", .reason = "function" };

	o.reference_vars = json_pack("{s:s}", "balance", "5");
	o.transfer_vars = json_pack("{s:s}", "next", "a b");
	agent_ops->ended(app, handle, &o);
}
static void step_committed(void) { if (complete_done) complete_done(complete_arg, ERR_OK); }
static void
step_spooled(void)
{
	spool_done_h *done = spool_done;

	spool_done = NULL;
	done(spool_arg, true);
}
static void
leg_end(enum sip_end_cause cause)
{
	struct sip_end e = { cause, NULL };

	if (worker_call(w, handle) || leg_owner)
		sip_ops->ended(leg_owner, &e);
}
static void step_bye(void) { leg_end(SIP_END_BYE); }
static void step_cancel(void) { leg_end(SIP_END_CANCEL); }
static void step_no_ack(void) { leg_end(SIP_END_NO_ACK); }
static void step_hung_up(void) { sip_ops->hung_up(leg_owner); }
static void step_silent(void) { media_ops->timeout(app, handle); }
static void step_digit(void) { media_ops->digit(app, handle, '1', 100, "rfc4733"); }
static void step_info(void) { sip_ops->digit(leg_owner, '1', 100); }
static void
step_media_closed(void)
{
	struct media_stats s = { .packets_sent = 1, .round_trip_us = -1 };

	media_ops->closed(app, handle, &s);
}
static void
step_far_closed(void)
{
	struct media_stats s = { .packets_sent = 1, .round_trip_us = -1 };

	media_ops->closed(app, handle | CALL_FAR, &s);
}
static void
refer(enum sip_refer_state state, int status)
{
	struct sip_refer r = { state, status, "" };

	sip_ops->refer(leg_owner, &r);
}
static void step_refer_202(void) { refer(SIP_REFER_ACCEPTED, 202); }
static void step_refer_180(void) { refer(SIP_REFER_RINGING, 180); }
static void step_refer_200(void) { refer(SIP_REFER_ANSWERED, 200); }
static void step_refer_603(void) { refer(SIP_REFER_FAILED, 603); }
static void step_refer_unknown(void) { refer(SIP_REFER_UNKNOWN, 0); }
static void step_far_180(void) { dial_ops->progress(far_owner, 180, NULL); }
static void step_far_183(void) { dial_ops->progress(far_owner, 183, &invite.remote); }
static void step_far_200(void) { dial_ops->answered(far_owner, &invite.remote); }
static void step_far_486(void) { dial_ops->failed(far_owner, 486, "Busy Here"); }
static void step_far_info(void) { sip_ops->digit(far_owner, '5', 100); }
static void
step_far_bye(void)
{
	struct sip_end e = { SIP_END_BYE, NULL };

	sip_ops->ended(far_owner, &e);
}
static void
step_hold(void)
{
	struct media_remote r = invite.remote;

	r.direction = MEDIA_RECVONLY;
	sip_ops->changed(leg_owner, &r);
}
static void step_resume(void) { sip_ops->changed(leg_owner, &invite.remote); }
static void
step_lost(void)
{
	struct msg_hello_reply r = { .port_first = 20000, .port_last = 20009 };
	const struct call *c = worker_call(w, handle);

	r.lost = json_pack("[s]", c ? c->id : "");
	control_ops->up(app, &r);
	json_decref(r.lost);
}
static void step_drain(void) { worker_drain(w, "test"); }

/* Deadlines without waiting: the timer of the call is fired by hand. */
static void
step_deadline(void)
{
	struct call *c = worker_call(w, handle);

	assert_non_null(c);
	assert_true(c->deadline.slot != 0);
	loop_timer_cancel(w->loop, &c->deadline);
	call_feed(c, EV_DEADLINE, NULL);
}

/* clang-format off */
static const struct { const char *name; void (*run)(void); } steps[] = {
	{ "invite", step_invite }, { "claimed", step_claimed }, { "unknown", step_unknown }, { "gone", step_gone },
	{ "busy", step_busy }, { "retry", step_retry }, { "away", step_away }, { "closed_link", step_closed_link },
	{ "ready", step_ready }, { "failed", step_failed }, { "ack", step_ack }, { "rtp", step_rtp },
	{ "outcome", step_outcome }, { "committed", step_committed }, { "spooled", step_spooled },
	{ "bye", step_bye }, { "cancel", step_cancel }, { "no_ack", step_no_ack }, { "hung_up", step_hung_up },
	{ "silent", step_silent }, { "digit", step_digit }, { "info", step_info }, { "closed", step_media_closed },
	{ "hold", step_hold }, { "resume", step_resume }, { "lost", step_lost }, { "drain", step_drain },
	{ "deadline", step_deadline }, { "far_closed", step_far_closed }, { "r202", step_refer_202 },
	{ "r180", step_refer_180 }, { "r200", step_refer_200 }, { "r603", step_refer_603 },
	{ "r?", step_refer_unknown }, { "far_180", step_far_180 }, { "far_183", step_far_183 },
	{ "far_200", step_far_200 }, { "far_486", step_far_486 }, { "far_info", step_far_info },
	{ "far_bye", step_far_bye },
};

#define UP     "transfer.claim; media; agent default; 180; "
#define TALK   UP "200; media on; begin; "
#define CLOSE  "agent off; leg gone; media off; "

#define OVER   "invite claimed ready ack outcome committed " /* … and it is to be handed over */
#define DONE   TALK "complete SYSTEM function; "
#define BYE    "BYE Q.850;cause=16; "
#define REFER  "tone 1; REFER <sip:back@h;x=1> by <sip:c@d>; "
#define DIAL   "far media; INVITE sip:back@h;x=1 0; tone 1; "
#define BOTH   "leg gone; media off; far gone; media off; "

static const struct { const char *script, *expect; bool no_offer; enum return_type type; enum on_failure fail; bool header; }
cases[] = {
	{ OVER "r202 r180 r200 hung_up closed", DONE REFER BYE CLOSE, .type = RETURN_REFER },
	{ OVER "r202 bye closed", DONE REFER CLOSE, .type = RETURN_REFER },
	{ OVER "r202 deadline hung_up closed", DONE REFER BYE CLOSE, .type = RETURN_REFER },
	{ OVER "r202 r? hung_up closed", DONE REFER BYE CLOSE, .type = RETURN_REFER },
	{ OVER "r603 hung_up closed", DONE REFER "tone 0; " BYE CLOSE, .type = RETURN_REFER },
	{ OVER "r202 r603 outcome committed r202 r200 hung_up closed",
	  DONE REFER "tone 0; tone 0; resume transfer_failed; complete SYSTEM function; " REFER BYE CLOSE,
	  .type = RETURN_REFER, .fail = FAIL_AGENT },
	/* the last hand-back's outcome stands */
	{ OVER "r603 bye closed", DONE REFER "tone 0; tone 0; resume transfer_failed; " CLOSE,
	  .type = RETURN_REFER, .fail = FAIL_AGENT },
	{ OVER "r202 r200 hung_up closed",
	  DONE "tone 1; REFER <sip:back@h;x=1?X-GA-extConId=c-1&X-GA-transfer=SYSTEM&X-GA-tv-next=a%20b&X-GA-rv-balance=5>"
	  " by <sip:c@d>; " BYE CLOSE, .type = RETURN_REFER, .header = true },
	{ OVER "hung_up closed",
	  DONE "+X-GA-extConId: c-1; +X-GA-transfer: SYSTEM; +X-GA-tv-next: a b; +X-GA-rv-balance: 5; " BYE CLOSE,
	  .header = true },

	{ OVER "far_180 far_200 digit far_info info bye closed far_closed",
	  DONE DIAL "tone 2; media update; media on; tone 0; bridge 7-8; agent off; send 5 to 7; send 1 to 8; " BOTH,
	  .type = RETURN_INVITE },
	{ OVER "far_183 far_200 far_bye hung_up far_closed closed",
	  DONE DIAL "media update; media on; tone 0; bridge 7-8; media update; media on; tone 0; bridge 7-8; agent off; "
	  "far gone; media off; " BYE "leg gone; media off; ", .type = RETURN_INVITE },
	{ OVER "far_486 far_closed hung_up closed", DONE DIAL "far gone; media off; tone 0; " BYE CLOSE,
	  .type = RETURN_INVITE },
	{ OVER "far_180 deadline far_closed hung_up closed",
	  DONE DIAL "tone 2; far gone; media off; tone 0; " BYE CLOSE, .type = RETURN_INVITE },
	{ OVER "far_180 bye closed far_closed", DONE DIAL "tone 2; agent off; " BOTH, .type = RETURN_INVITE },
	{ OVER "far_486 far_closed bye closed", DONE DIAL "far gone; media off; tone 0; tone 0; resume transfer_failed; " CLOSE,
	  .type = RETURN_INVITE, .fail = FAIL_AGENT },
	{ OVER "far_200 silent far_closed hung_up closed",
	  DONE DIAL "media update; media on; tone 0; bridge 7-8; agent off; far gone; media off; BYE Q.850;cause=10; "
	  "leg gone; media off; ", .type = RETURN_INVITE },

	{ "invite claimed ready ack outcome committed hung_up closed",
	  TALK "complete SYSTEM function; BYE Q.850;cause=16; " CLOSE },
	{ "invite claimed ready rtp ack digit info outcome committed bye closed",
	  TALK "digit 1; complete SYSTEM function; BYE Q.850;cause=16; " CLOSE },
	{ "invite claimed ready deadline outcome deadline spooled hung_up closed",
	  TALK "complete SYSTEM function; spool; BYE Q.850;cause=16; " CLOSE },
	{ "invite claimed ready ack outcome deadline deadline committed hung_up closed",
	  TALK "complete SYSTEM function; spool; BYE Q.850;cause=16; " CLOSE },
	{ "invite claimed ready ack outcome bye closed", TALK "complete SYSTEM function; " CLOSE },
	{ "invite claimed ready ack bye closed committed", TALK "complete - caller_hangup; " CLOSE },
	{ "invite claimed ready ack silent committed hung_up closed",
	  TALK "agent off; complete - media_timeout; BYE Q.850;cause=10; leg gone; media off; " },
	{ "invite claimed ready no_ack closed", UP "200; media on; complete - signalling_lost; " CLOSE },
	{ "invite claimed ready ack hold hold resume bye closed",
	  TALK "media update; hold 1; media update; media update; hold 0; complete - caller_hangup; " CLOSE },
	{ "invite claimed ready rtp ack bye closed",
	  UP "200; media on; media update; begin; complete - caller_hangup; " CLOSE, .no_offer = true },
	{ "invite claimed ready bye closed", UP "200; media on; complete - caller_hangup; " CLOSE, .no_offer = true },

	{ "invite cancel", "transfer.claim; release; leg gone; " },
	{ "invite cancel claimed", "transfer.claim; release; leg gone; " },
	{ "invite claimed cancel closed", UP "release; " CLOSE },
	{ "invite unknown", "transfer.claim; 404 No such transfer; leg gone; " },
	{ "invite gone", "transfer.claim; 410 The transfer has expired or is completed; leg gone; " },
	{ "invite busy", "transfer.claim; 486 The transfer or its conversation is in another call; leg gone; " },
	{ "invite retry", "transfer.claim; 503 This call is being recovered retry=2; leg gone; " },
	{ "invite away", "transfer.claim; 503 The transfer registry is not available retry=5; leg gone; " },
	{ "invite closed_link", "transfer.claim; release; 503 The transfer registry does not answer retry=2; leg gone; " },
	{ "invite deadline claimed", "transfer.claim; release; 503 The transfer registry does not answer retry=2; leg gone; " },
	{ "invite claimed failed closed", UP "release; 480 The agent cannot start; " CLOSE },
	{ "invite claimed deadline closed", UP "release; 480 The agent did not start in time; " CLOSE },

	{ "invite claimed ready ack lost hung_up closed",
	  TALK "ports 20000-20009; agent off; BYE SIP;cause=500;; link up; leg gone; media off; " },
	{ "invite claimed lost closed",
	  UP "ports 20000-20009; 503 The claim was given up retry=2; " CLOSE "link up; " },
	{ "drain invite", "gate 503; " },
};
/* clang-format on */

static void
run_script(const char *script)
{
	char copy[512], *at = copy;

	assert_true(str_copy(copy, sizeof(copy), script));
	for (char *word; (word = strsep(&at, " ")) != NULL;) {
		size_t i = 0;

		while (i < ARRAY_LEN(steps) && !str_eq(steps[i].name, word))
			i++;
		assert_true(i < ARRAY_LEN(steps));
		steps[i].run();
	}
}

static void
start(bool offer)
{
	struct fault f = { 0 };
	struct config *cfg = config_parse("{}", 2, "test", ".", &f);

	if (!cfg)
		fail_msg("%s: %s", f.where, f.what);
	config_destroy(cfg);
	cfg = config_load(NULL, &f); /* the embedded defaults: account demo, agent frontdesk */
	assert_non_null(cfg);
	memset(trace, 0, sizeof(trace));
	control_up = true;
	claim_fails = media_full = agent_full = false;
	reply_type = RETURN_BYE;
	reply_uri = "sip:back@h;x=1";
	dial_result = ERR_OK;
	leg_owner = NULL;
	invite_has_offer = offer;
	invite = (struct sip_invite){
		.account = &cfg->accounts[0],
		.call_id = "call-1",
		.from_tag = "tag-1",
		.from = "sip:a@b",
		.to = "sip:c@d",
		.transport = "udp",
		.transfer = "t-1",
	};
	assert_true(addr_parse("127.0.0.1", 5062, &invite.source));
	invite.remote.rtp = invite.source;
	w = worker_create(cfg, &f);
	assert_non_null(w);
}

static void
test_scripts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start(!cases[i].no_offer);
		reply_type = cases[i].type;
		/* The test's own configuration, before any call looks at it. */
		((struct account *)(uintptr_t)invite.account)->returns.on_failure = cases[i].fail;
		if (cases[i].header)
			invite.transfer = NULL;
		run_script(cases[i].script);
		if (!str_eq(trace, cases[i].expect))
			fail_msg("%s\n  did:    %s\n  expect: %s", cases[i].script, trace,
				 cases[i].expect);
		/* Whatever happened, nothing is left behind. */
		assert_int_equal(w->call_count, 0);
		assert_true(list_empty(&w->calls));
		worker_destroy(w);
	}
}

static void
test_refusals_at_once(void **state)
{
	(void)state;
	start(true);
	claim_fails = true;
	run_script("invite");
	assert_string_equal(trace,
			    "503 The transfer registry is not available retry=5; leg gone; ");
	worker_destroy(w);

	start(true);
	media_full = true;
	run_script("invite claimed");
	assert_string_equal(trace,
			    "transfer.claim; release; 480 No media port is free; leg gone; ");
	worker_destroy(w);

	start(true);
	agent_full = true;
	run_script("invite claimed closed");
	assert_string_equal(trace, "transfer.claim; media; release; 480 The agent cannot start; "
				   "leg gone; media off; ");
	worker_destroy(w);

	start(true);
	control_up = false;
	run_script("invite");
	assert_string_equal(trace, "gate 503; ");
	worker_destroy(w);

	/* A target that may not be reached: the caller is not kept. */
	start(true);
	reply_type = RETURN_INVITE;
	dial_result = ERR_FORBIDDEN;
	run_script(OVER "far_closed hung_up closed");
	assert_string_equal(trace, DONE "far media; media off; tone 0; " BYE CLOSE);
	worker_destroy(w);

	start(true);
	reply_type = RETURN_REFER;
	reply_uri = NULL;
	run_script(OVER "hung_up closed");
	assert_string_equal(trace, DONE "tone 0; " BYE CLOSE);
	worker_destroy(w);
}

/* Every state × event against the committed table: a changed rule is a changed line. */
static void
test_every_state_and_event(void **state)
{
	struct buf now;
	char golden[32768] = { 0 };
	FILE *f = fopen("tests/unit/golden/call_fsm.txt", "re");

	(void)state;
	buf_init(&now, sizeof(golden));
	fsm_print(&call_fsm, &now);
	if (getenv("GOLDEN_WRITE")) {
		FILE *out = fopen("tests/unit/golden/call_fsm.txt", "we");

		assert_non_null(out);
		fputs(now.data, out);
		fclose(out);
	} else {
		assert_non_null(f);
		assert_true(fread(golden, 1, sizeof(golden) - 1, f) > 0);
		assert_string_equal(now.data, golden);
	}
	if (f)
		fclose(f);
	buf_finish(&now);
}

/* Every event in every reachable state, from a live call: no crash, no stuck call, no leak. */
static void
test_any_event_anywhere(void **state)
{
	static const char *const prefixes[] = { "invite",
						"invite claimed",
						"invite claimed ready",
						"invite claimed ready ack",
						"invite claimed ready ack outcome",
						"invite claimed ready ack outcome deadline",
						"invite claimed ready ack outcome committed" };
	static const enum return_type types[] = { RETURN_BYE, RETURN_REFER, RETURN_INVITE };

	(void)state;
	for (size_t p = 0; p < ARRAY_LEN(prefixes); p++) {
		for (int ev = 0; ev < CALL_EV_COUNT; ev++) {
			struct outcome o = { .type = OUTCOME_AGENT };
			struct call *c;

			start(true);
			reply_type = types[(size_t)ev % ARRAY_LEN(types)];
			run_script(prefixes[p]);
			c = worker_call(w, handle);
			if (!c)
				c = container_of(w->calls.next, struct call, node);
			o.reference_vars = json_object();
			o.transfer_vars = json_object();
			call_feed(c, (enum call_ev)ev, &o);
			outcome_finish(&o);
			worker_destroy(w);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_refusals_at_once),
		cmocka_unit_test(test_every_state_and_event),
		cmocka_unit_test(test_any_event_anywhere),
	};

	log_init("test");
	log_set_level(LOG_ERR);
	assert(id_init());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
