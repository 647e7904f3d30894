#include "sip-worker/call.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/str.h"
#include "sip-worker/worker.h"

#define CLAIM_REPLY_MS 2500 /* the state's own deadline comes first */
#define DIGIT_TWICE_MS 500

/* Names a call to somebody who may answer after it is gone. */
struct call_ref {
	struct worker *worker;
	uint64_t handle;
};

static struct call_ref *
call_ref_new(const struct call *c)
{
	struct call_ref *r = malloc(sizeof(*r));

	if (r)
		*r = (struct call_ref){ c->worker, c->handle };
	return r;
}

/* The call, if it still lives; the reference is used up. */
static struct call *
call_ref_take(struct call_ref *r)
{
	struct call *c = worker_call(r->worker, r->handle);

	free(r);
	return c;
}

void
call_feed(struct call *c, enum call_ev ev, const void *arg)
{
	if (!fsm_feed(&c->fsm, c, (int)ev, arg))
		log_debug("call", "ignored", "call=%s state=%s on=%s", c->id,
			  call_fsm.states[c->fsm.state].name, call_fsm.events[ev]);
}

void
call_report(struct call *c, enum call_event type, json_t *info)
{
	report_add(c->worker->report, c->id, ++c->seq, type, info);
}

/* --- birth and death --- */

/* SIP sets no limit to a Call-ID or a tag; the claim's columns have one. */
static void
copy_or_digest(char out[ID_MAX], const char *s)
{
	if (!str_copy(out, ID_MAX, s))
		id_digest(out, s);
}

static json_t *
header_variables(const struct sip_invite *inv)
{
	json_t *v = inv->input_variables ? json_deep_copy(inv->input_variables) : json_object();

	if (v && inv->customer)
		json_object_set_new(v, "customerId", json_string(inv->customer));
	return v;
}

static bool
fill_ask(struct call *c, const struct sip_invite *inv)
{
	struct msg_claim *a = &c->ask;
	bool ok = str_copy(a->account, sizeof(a->account), inv->account->name);

	memcpy(a->call, c->id, sizeof(a->call));
	memcpy(a->token, c->token, sizeof(a->token));
	copy_or_digest(a->sip_call_id, inv->call_id);
	copy_or_digest(a->from_tag, inv->from_tag);
	if (inv->transfer) {
		a->transfer = strdup(inv->transfer);
		return ok && a->transfer;
	}
	a->variables = header_variables(inv);
	if (inv->conversation)
		a->conversation = strdup(inv->conversation);
	if (inv->task)
		a->task = strdup(inv->task);
	return ok && a->variables && (a->conversation || !inv->conversation) &&
	       (a->task || !inv->task);
}

static void
report_invite(struct call *c, const struct sip_invite *inv)
{
	char source[ADDR_TEXT_SIZE];

	call_report(c, CALL_EVENT_INVITE,
		    json_pack("{s:s, s:s?, s:s, s:s, s:s, s:s, s:s, s:s}", "account",
			      inv->account->name, "transfer", inv->transfer, "from", inv->from,
			      "to", inv->to, "source", addr_text(&inv->source, source), "transport",
			      inv->transport, "call_id", inv->call_id, "mode",
			      inv->transfer ? "api" : "header"));
	if (inv->task && !agentdef_task(inv->account->agent_def, inv->task))
		call_report(c, CALL_EVENT_NOTE,
			    json_pack("{s:s, s:s}", "text", "unknown task: the default is entered",
				      "task", inv->task));
}

/* An edge proxy of our own may well stand in between, so it is told and not refused. */
static void
note_keys(struct call *c, const struct media_remote *remote)
{
	if (c->tls || c->keys_noted || !remote->hear_key.suite)
		return;
	c->keys_noted = true;
	call_report(c, CALL_EVENT_NOTE,
		    json_pack("{s:s}", "text",
			      "SRTP keys came over signalling without TLS: whoever reads it hears "
			      "the call"));
}

struct call *
call_create(struct worker *w, struct sip_leg *leg, const struct sip_invite *inv)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->worker = w;
	c->gen = container_of(w->generations.prev, struct generation, node);
	c->account = inv->account;
	c->caller.call = c->far.call = c;
	c->caller.leg = leg;
	c->header_mode = !inv->transfer;
	c->has_offer = inv->has_offer;
	c->started_ms = clock_mono_ms();
	id_token(c->id);
	id_token(c->token);
	fsm_init(&c->fsm, &call_fsm, CALL_NEW);
	c->caller.params = (struct media_open){
		.remote = inv->remote,
		.family = addr_family(inv->has_offer ? &inv->remote.rtp : &inv->source),
		.nat = inv->account->sip.nat,
		.signalling = inv->source,
		.allow = &inv->account->sip.allow,
	};
	c->sip_info = json_pack("{s:s, s:s, s:o}", "from", inv->from, "to", inv->to, "headers",
				inv->headers ? json_deep_copy(inv->headers) : json_object());
	if (!c->sip_info || !fill_ask(c, inv) || !worker_adopt(w, c)) {
		msg_finish_body(MSG_CLAIM, &c->ask);
		json_decref(c->sip_info);
		secret_wipe(c, sizeof(*c));
		free(c);
		return NULL;
	}
	c->caller.params.owner = c->handle;
	c->gen->calls++;
	worker_count_account(w, c->account, +1);
	c->tls = str_eq(inv->transport, "tls");
	report_invite(c, inv);
	note_keys(c, &inv->remote);
	return c;
}

void
call_free(struct call *c)
{
	loop_timer_cancel(c->worker->loop, &c->deadline);
	outbox_forget(c->worker->outbox, c);
	msg_finish_body(MSG_CLAIM, &c->ask);
	msg_finish_reply(MSG_CLAIM, &c->claim);
	json_decref(c->sip_info);
	outcome_finish(&c->outcome);
	worker_count_account(c->worker, c->account, -1);
	c->gen->calls--;
	c->gen->idle_since_ms = clock_mono_ms();
	secret_wipe(&c->caller.params.remote, sizeof(c->caller.params.remote));
	secret_wipe(&c->far.params.remote, sizeof(c->far.params.remote));
	free(c);
}

/* --- the claim --- */

/* clang-format off */
static const struct { enum err err; int status, retry_after_s; const char *why; } refusals[] = {
	{ ERR_NOT_FOUND, 404, 0, "No such transfer" },
	{ ERR_GONE,      410, 0, "The transfer has expired or is completed" },
	{ ERR_BUSY,      486, 0, "The transfer or its conversation is in another call" },
	{ ERR_RETRY,     503, 2, "This call is being recovered" },
};
/* clang-format on */

static void
set_refusal(struct call *c, enum err e)
{
	c->refuse_status = 503;
	c->refuse_why = "The transfer registry is not available";
	c->retry_after_s = 5;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (refusals[i].err != e)
			continue;
		c->refuse_status = refusals[i].status;
		c->refuse_why = refusals[i].why;
		c->retry_after_s = refusals[i].retry_after_s;
	}
}

static void
on_claim_reply(void *arg, enum err e, const json_t *body)
{
	struct call *c = call_ref_take(arg);
	struct fault f = { 0 };

	/* Gone meanwhile: its release was sent behind the claim. */
	if (!c || c->fsm.state != CALL_CLAIMING)
		return;
	if (e == ERR_CLOSED || e == ERR_TIMEOUT) {
		call_feed(c, EV_DEADLINE, NULL);
		return;
	}
	if (e == ERR_OK)
		e = msg_read_reply(MSG_CLAIM, body, &c->claim, &f);
	msg_finish_body(MSG_CLAIM, &c->ask);
	if (e != ERR_OK) {
		set_refusal(c, e);
		call_feed(c, EV_REFUSED, NULL);
		return;
	}
	c->return_type = (enum return_type)c->claim.return_type;
	call_feed(c, EV_CLAIMED, NULL);
}

void
call_claim(struct call *c)
{
	struct call_ref *ref = call_ref_new(c);
	json_t *msg = msg_request(MSG_CLAIM, "", &c->ask);
	enum err e = ref && msg ? control_request(c->worker->control, msg, CLAIM_REPLY_MS,
						  on_claim_reply, ref)
				: ERR_NOMEM;

	json_decref(msg);
	if (e == ERR_OK)
		return;
	free(ref);
	set_refusal(c, ERR_UNAVAILABLE);
	fsm_post(&c->fsm, EV_REFUSED, NULL);
}

void
call_release(struct call *c, const char *reason)
{
	struct msg_release m = { 0 };

	c->claimed = false;
	memcpy(m.call, c->id, sizeof(m.call));
	memcpy(m.token, c->token, sizeof(m.token));
	ignore_err(str_copy(m.reason, sizeof(m.reason), reason) ? ERR_OK : ERR_INVALID);
	call_report(c, CALL_EVENT_RELEASED, json_pack("{s:s}", "reason", reason));
	if (outbox_put(c->worker->outbox, MSG_RELEASE, &m, NULL, NULL) != ERR_OK)
		log_err("call", "release_lost", "call=%s", c->id);
}

/* --- the outcome --- */

json_t *
call_output(const struct outcome *o)
{
	return json_pack("{s:s, s:s, s:O, s:O}", "transferType", outcome_type_names[o->type],
			 "currentTaskName", o->task, "referenceVariables", o->reference_vars,
			 "transferVariables", o->transfer_vars);
}

json_t *
call_disconnect_output(const struct call *c)
{
	if (!c->gen->cfg->transfers.caller_disconnect_context)
		return NULL;
	return json_pack("{s:s, s:s, s:{}, s:{}}", "transferType", "CALLER_DISCONNECT",
			 "currentTaskName", c->task, "referenceVariables", "transferVariables");
}

static void
on_complete_reply(void *arg, enum err e)
{
	struct call *c = arg;

	if (e != ERR_OK)
		log_warn("call", "complete_refused", "call=%s why=%s", c->id, err_name(e));
	/* Refused for good is an answer too: nobody waits longer for it. */
	call_feed(c, EV_COMMITTED, NULL);
}

void
call_complete(struct call *c, json_t *output, const char *reason)
{
	struct msg_complete m = { .output = output, .at = clock_wall_ms() };

	if (!c->claimed)
		return;
	c->completed = true;
	memcpy(m.call, c->id, sizeof(m.call));
	memcpy(m.token, c->token, sizeof(m.token));
	ignore_err(str_copy(m.reason, sizeof(m.reason), reason) ? ERR_OK : ERR_INVALID);
	report_flush(c->worker->report); /* the timeline so far stands before its end */
	if (outbox_put(c->worker->outbox, MSG_COMPLETE, &m, on_complete_reply, c) != ERR_OK)
		log_err("call", "complete_lost", "call=%s", c->id);
}

static void
on_spooled(void *arg, bool ok)
{
	struct call *c = call_ref_take(arg);

	if (c && ok)
		call_feed(c, EV_SPOOLED, NULL);
}

void
call_spool(struct call *c)
{
	struct call_ref *ref = call_ref_new(c);

	if (!ref || !outbox_spool_now(c->worker->outbox, c, on_spooled, ref))
		free(ref); /* it is on its way to the disk since the link closed; the deadline waits
			      for it */
}

void
call_party_close(struct call *c, struct call_party *p)
{
	if (p->leg)
		sip_leg_destroy(p->leg);
	p->leg = NULL;
	if (p->media && !p->closing)
		media_close(c->worker->media, p->media);
	p->closing = true; /* until its last event, which says that media is gone */
}

void
call_close(struct call *c, const char *cause)
{
	c->end_cause = cause;
	if (c->agent)
		agent_stop(c->worker->agent, c->agent);
	c->agent = 0;
	call_party_close(c, &c->caller);
	call_party_close(c, &c->far);
	if (!c->caller.media && !c->far.media)
		fsm_post(&c->fsm, EV_CLOSED, NULL);
}

/* --- while it talks --- */

void
call_digit(struct call *c, char digit, int duration_ms, const char *source)
{
	int64_t now = clock_mono_ms();
	char text[2] = { digit, '\0' };

	if (c->last_digit == digit && c->last_digit_source != source &&
	    now - c->last_digit_ms < DIGIT_TWICE_MS)
		return;
	c->last_digit = digit;
	c->last_digit_source = source;
	c->last_digit_ms = now;
	call_report(c, CALL_EVENT_DTMF,
		    json_pack("{s:s, s:s, s:i}", "digit", text, "source", source, "duration_ms",
			      duration_ms));
	if (c->agent)
		agent_digit(c->worker->agent, c->agent, digit);
}

static const char *
media_change(bool was_held, bool held)
{
	if (held == was_held)
		return "changed";
	return held ? "hold" : "resume";
}

const char *
call_suite(const struct media_remote *remote)
{
	return remote->hear_key.suite ? srtp_suite_names[remote->hear_key.suite] : NULL;
}

void
call_media_changed(struct call *c, struct call_party *p, const struct media_remote *remote)
{
	bool held = remote->direction == MEDIA_RECVONLY || remote->direction == MEDIA_INACTIVE;
	char text[ADDR_TEXT_SIZE];

	call_report(c, CALL_EVENT_MEDIA,
		    json_pack("{s:s, s:s, s:s, s:s, s:s*}", "state", media_change(p->held, held),
			      "party", p == &c->far ? "far" : "caller", "remote",
			      addr_text(&remote->rtp, text), "codec", codec_names[remote->codec],
			      "srtp", call_suite(remote)));
	if (p == &c->caller)
		note_keys(c, remote);
	p->params.remote = *remote;
	if (p->media)
		media_update(c->worker->media, p->media, remote);
	if (held != p->held && c->agent && p == &c->caller)
		agent_hold(c->worker->agent, c->agent, held);
	p->held = held;
}
