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

/* --- the fakes: they write down what they are asked --- */

static char trace[4096];
static const struct sip_ops *sip_ops;
static const struct media_ops *media_ops;
static const struct agent_ops *agent_ops;
static const struct control_ops *control_ops;
static void *app;
static struct call *leg_owner;
static control_reply_h *claim_done;
static void *claim_arg;
static outbox_done_h *complete_done;
static void *complete_arg;
static spool_done_h *spool_done;
static void *spool_arg;
static bool control_up, claim_fails, media_full, agent_full;
static uint64_t handle;

PRINTF(1, 2)
static void
note(const char *fmt, ...)
{
	size_t used = strlen(trace);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(trace + used, sizeof(trace) - used, fmt, ap);
	va_end(ap);
	used = strlen(trace);
	snprintf(trace + used, sizeof(trace) - used, "; ");
}

struct sip *
sip_create(struct loop *l, const struct config *cfg, const struct sip_ops *ops, void *a, struct fault *f)
{
	(void)l, (void)cfg, (void)f;
	sip_ops = ops;
	app = a;
	return (struct sip *)1;
}
void sip_destroy(struct sip *s) { (void)s; }
void sip_run(struct sip *s) { (void)s; }
void sip_stop(struct sip *s) { (void)s; note("stop"); }
void sip_set_config(struct sip *s, const struct config *c) { (void)s, (void)c; }
void sip_set_draining(struct sip *s, bool d) { (void)s, (void)d; }
void sip_stats(const struct sip *s, struct sip_stats *o) { (void)s; memset(o, 0, sizeof(*o)); }
void sip_leg_set_owner(struct sip_leg *l, void *o) { (void)l; leg_owner = o; }
void sip_leg_ring(struct sip_leg *l) { (void)l; note("180"); }
void sip_leg_answer(struct sip_leg *l, const struct media_local *m) { (void)l, (void)m; note("200"); }
void
sip_leg_reject(struct sip_leg *l, int status, const char *why, int retry)
{
	(void)l;
	note(retry ? "%d %s retry=%d" : "%d %s", status, why, retry);
}
void sip_leg_bye(struct sip_leg *l, const char *reason) { (void)l; note("BYE %.14s", reason); }
void sip_leg_destroy(struct sip_leg *l) { (void)l; note("leg gone"); }

struct media *
media_create(const struct config *cfg, struct mailbox *ev, const struct media_ops *ops, void *a, struct fault *f)
{
	(void)cfg, (void)ev, (void)a, (void)f;
	media_ops = ops;
	return (struct media *)1;
}
void media_destroy(struct media *m) { (void)m; }
void media_set_ports(struct media *m, uint16_t a, uint16_t b) { (void)m; note("ports %u-%u", a, b); }
enum err
media_open(struct media *m, const struct media_open *o, struct media_local *local, media_id *out)
{
	(void)m;
	handle = o->owner;
	memset(local, 0, sizeof(*local));
	if (media_full)
		return ERR_BUSY;
	*out = 7;
	note("media");
	return ERR_OK;
}
void media_start(struct media *m, media_id id) { (void)m, (void)id; note("media on"); }
void media_update(struct media *m, media_id id, const struct media_remote *r) { (void)m, (void)id, (void)r; note("media update"); }
void media_close(struct media *m, media_id id) { (void)m, (void)id; note("media off"); }
void media_totals(const struct media *m, struct media_totals *o) { (void)m; memset(o, 0, sizeof(*o)); }

struct speech *speech_create(size_t n) { (void)n; return (struct speech *)1; }
void speech_destroy(struct speech *s) { (void)s; }

const char *const outcome_type_names[] = { "SYSTEM", "AGENT", NULL };
struct agent *
agent_create(const struct config *c, struct media *m, struct speech *sp, struct mailbox *ev, const struct agent_ops *ops,
	     void *a, struct fault *f)
{
	(void)c, (void)m, (void)sp, (void)ev, (void)a, (void)f;
	agent_ops = ops;
	return (struct agent *)1;
}
void agent_destroy(struct agent *a) { (void)a; }
enum err
agent_start(struct agent *a, const struct agent_start *s, agent_id *out)
{
	(void)a;
	if (agent_full)
		return ERR_BUSY;
	*out = 9;
	note("agent %s", s->task ? s->task : "default");
	return ERR_OK;
}
void agent_begin(struct agent *a, agent_id id, media_id m) { (void)a, (void)id, (void)m; note("begin"); }
void agent_digit(struct agent *a, agent_id id, char d) { (void)a, (void)id; note("digit %c", d); }
void
agent_played(struct agent *a, agent_id id, uint32_t p, enum media_stop_how h, int ms)
{
	(void)a, (void)id, (void)p, (void)h, (void)ms;
	note("played");
}
void agent_hold(struct agent *a, agent_id id, bool h) { (void)a, (void)id; note("hold %d", h); }
void agent_hand_back(struct agent *a, agent_id id, const char *r) { (void)a, (void)id; note("hand back %s", r); }
void agent_stop(struct agent *a, agent_id id) { (void)a, (void)id; note("agent off"); }
void
outcome_finish(struct outcome *o)
{
	json_decref(o->reference_vars);
	json_decref(o->transfer_vars);
}

struct control *
control_create(struct loop *l, const struct config *c, const struct control_ops *ops, void *a)
{
	(void)l, (void)c, (void)a;
	control_ops = ops;
	return (struct control *)1;
}
/* As the real one: whoever waits is told. */
void
control_destroy(struct control *c)
{
	(void)c;
	if (claim_done)
		claim_done(claim_arg, ERR_CLOSED, NULL);
	claim_done = NULL;
}
void control_start(struct control *c) { (void)c; }
bool control_is_up(const struct control *c) { (void)c; return control_up; }
size_t control_pending(const struct control *c) { (void)c; return 0; }
enum err
control_request(struct control *c, json_t *msg, int ms, control_reply_h *done, void *arg)
{
	(void)c, (void)ms;
	if (claim_fails)
		return ERR_UNAVAILABLE;
	claim_done = done;
	claim_arg = arg;
	note("%s", json_string_value(json_object_get(msg, "t")));
	return ERR_OK;
}

struct outbox *outbox_create(struct loop *l, struct control *c, struct spool *s) { (void)l, (void)c, (void)s; return (struct outbox *)1; }
void outbox_destroy(struct outbox *o) { (void)o; }
void outbox_recover(struct outbox *o) { (void)o; }
void outbox_link_up(struct outbox *o) { (void)o; note("link up"); }
void outbox_link_down(struct outbox *o) { (void)o; }
enum err
outbox_put(struct outbox *o, enum msg_type t, const void *body, outbox_done_h *done, void *arg)
{
	(void)o;
	if (t == MSG_COMPLETE) {
		const struct msg_complete *m = body;
		const char *type = json_string_value(json_object_get(m->output, "transferType"));

		note("complete %s %s", type ? type : "-", m->reason);
		complete_done = done;
		complete_arg = arg;
	} else if (t == MSG_RELEASE) {
		note("release");
	}
	return ERR_OK;
}
void outbox_forget(struct outbox *o, const void *arg) { (void)o; if (arg == complete_arg) complete_done = NULL; }
bool
outbox_spool_now(struct outbox *o, const void *arg, spool_done_h *done, void *done_arg)
{
	(void)o, (void)arg;
	spool_done = done;
	spool_arg = done_arg;
	note("spool");
	return true;
}
void outbox_list_claims(const struct outbox *o, json_t *calls) { (void)o, (void)calls; }
size_t outbox_count(const struct outbox *o) { (void)o; return 0; }
int64_t outbox_dropped(const struct outbox *o) { (void)o; return 0; }
struct spool *
spool_open(const char *d, const char *n, struct mailbox *r, struct fault *f)
{
	(void)d, (void)n, (void)r, (void)f;
	return (struct spool *)1;
}
void
spool_close(struct spool *s)
{
	(void)s;
	if (spool_done)
		spool_done(spool_arg, false);
	spool_done = NULL;
}

/* --- the script --- */

static struct worker *w;
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
	struct msg_claim_reply r = { .transfer = "t-1", .conversation = "c-1", .variables = json_object() };
	json_t *msg = msg_reply(MSG_CLAIM, "x", e, e == ERR_OK ? &r : NULL);
	control_reply_h *done = claim_done;

	claim_done = NULL;
	done(claim_arg, e, json_object_get(msg, "body"));
	json_decref(msg);
	json_decref(r.variables);
}

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

	o.reference_vars = json_object();
	o.transfer_vars = json_object();
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
	{ "deadline", step_deadline },
};

#define UP     "transfer.claim; media; agent default; 180; "
#define TALK   UP "200; media on; begin; "
#define CLOSE  "agent off; leg gone; media off; "

static const struct { const char *script, *expect; bool no_offer; } cases[] = {
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
		run_script(cases[i].script);
		if (!str_eq(trace, cases[i].expect))
			fail_msg("%s\n  did:    %s\n  expect: %s", cases[i].script, trace, cases[i].expect);
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
	assert_string_equal(trace, "503 The transfer registry is not available retry=5; leg gone; ");
	worker_destroy(w);

	start(true);
	media_full = true;
	run_script("invite claimed");
	assert_string_equal(trace, "transfer.claim; release; 480 No media port is free; leg gone; ");
	worker_destroy(w);

	start(true);
	agent_full = true;
	run_script("invite claimed closed");
	assert_string_equal(trace, "transfer.claim; media; release; 480 The agent cannot start; leg gone; media off; ");
	worker_destroy(w);

	start(true);
	control_up = false;
	run_script("invite");
	assert_string_equal(trace, "gate 503; ");
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
	static const char *const prefixes[] = { "invite", "invite claimed", "invite claimed ready",
						"invite claimed ready ack", "invite claimed ready ack outcome",
						"invite claimed ready ack outcome deadline",
						"invite claimed ready ack outcome committed" };

	(void)state;
	for (size_t p = 0; p < ARRAY_LEN(prefixes); p++) {
		for (int ev = 0; ev < CALL_EV_COUNT; ev++) {
			struct outcome o = { .type = OUTCOME_AGENT };
			struct call *c;

			start(true);
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
