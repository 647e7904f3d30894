/* What the SIP stack, the media engine and the agent loop tell us, turned into events of calls. */
#include "sip-worker/worker_internal.h"

#include <string.h>

#include "common/log.h"
#include "common/str.h"

/* --- from the SIP stack --- */

static void
on_invite(void *app, struct sip_leg *leg, const struct sip_invite *inv)
{
	struct worker *w = app;
	struct call *c = call_create(w, leg, inv);

	if (!c) {
		sip_leg_reject(leg, 503, "The worker is full", 5);
		sip_leg_destroy(leg);
		return;
	}
	sip_leg_set_owner(leg, &c->caller);
	call_feed(c, EV_INVITE, NULL);
}

static void
on_refused(void *app, const struct sip_refusal *r)
{
	struct worker *w = app;
	char id[ID_TOKEN_SIZE], source[ADDR_TEXT_SIZE];

	w->counts.refused++;
	report_add(w->report, id_token(id), 1, CALL_EVENT_REFUSED,
		   json_pack("{s:s?, s:s?, s:s?, s:s?, s:s, s:s?, s:s?, s:i, s:s}", "account",
			     r->account ? r->account->name : NULL, "transfer", r->transfer, "from",
			     r->from, "to", r->to, "source", addr_text(&r->source, source),
			     "transport", r->transport, "call_id", r->call_id, "status", r->status,
			     "reason", r->reason ? r->reason : ""));
}

/* Owners of legs are the parties of a call; what is said of an inbound leg alone comes for the
 * caller. */
static struct call *
call_of(void *owner)
{
	return ((struct call_party *)owner)->call;
}

static bool
is_far(const void *owner)
{
	const struct call_party *p = owner;

	return p == &p->call->far;
}

static void
on_confirmed(void *owner, const struct media_remote *remote)
{
	struct call *c = call_of(owner);

	if (remote)
		call_media_changed(c, &c->caller, remote);
	call_report(c, CALL_EVENT_CONFIRMED, NULL);
	call_feed(c, EV_ACK, NULL);
}

static void
on_changed(void *owner, const struct media_remote *remote)
{
	call_media_changed(call_of(owner), owner, remote);
}

static void
on_info_digit(void *owner, char digit, int duration_ms)
{
	struct call *c = call_of(owner);

	if (c->fsm.state == CALL_BRIDGED)
		ignore_err(media_send_digit(c->worker->media,
					    is_far(owner) ? c->caller.media : c->far.media, digit,
					    duration_ms));
	else if (!is_far(owner))
		call_digit(c, digit, duration_ms, "info");
}

static void
on_leg_ended(void *owner, const struct sip_end *end)
{
	/* clang-format off */
	static const struct { enum call_ev ev; const char *cause; } by_cause[] = {
		[SIP_END_BYE]       = { EV_HANGUP,   "caller hung up" },
		[SIP_END_CANCEL]    = { EV_CANCEL,   "cancelled by the caller" },
		[SIP_END_NO_ACK]    = { EV_LEG_LOST, "no ACK came for the 200" },
		[SIP_END_NO_MEDIA]  = { EV_LEG_LOST, "no codec in common in the ACK" },
		[SIP_END_SESSION]   = { EV_LEG_LOST, "session timer ran out" },
		[SIP_END_TRANSPORT] = { EV_LEG_LOST, "the peer answers nothing any more" },
	};
	/* clang-format on */
	struct call *c = call_of(owner);

	if (end->reason)
		call_report(c, CALL_EVENT_NOTE,
			    json_pack("{s:s, s:s}", "reason", end->reason, "party",
				      is_far(owner) ? "far" : "caller"));
	if (is_far(owner)) {
		call_feed(c, EV_FAR_GONE, NULL);
		return;
	}
	/* While it is handed back the cause of that stands. */
	if (!c->end_cause)
		c->end_cause = by_cause[end->cause].cause;
	call_feed(c, by_cause[end->cause].ev, NULL);
}

static void
on_hung_up(void *owner)
{
	if (!is_far(owner))
		call_feed(call_of(owner), EV_HUNG_UP, NULL);
}

static void
on_refer(void *owner, const struct sip_refer *r)
{
	call_on_refer(call_of(owner), r);
}

/* --- from the media engine --- */

static void
on_first_rtp(void *app, uint64_t owner, const struct addr *from)
{
	struct call *c = owner & CALL_FAR ? NULL : worker_call(app, owner);
	char text[ADDR_TEXT_SIZE];

	if (!c)
		return;
	call_report(c, CALL_EVENT_MEDIA,
		    json_pack("{s:s, s:s}", "state", "first_rtp", "from", addr_text(from, text)));
	call_feed(c, EV_FIRST_RTP, NULL);
}

static void
on_digit(void *app, uint64_t owner, char digit, int duration_ms, const char *source)
{
	struct call *c = owner & CALL_FAR ? NULL : worker_call(app, owner);

	if (c)
		call_digit(c, digit, duration_ms, source);
}

static void
on_played(void *app, uint64_t owner, uint32_t play, enum media_stop_how how, int played_ms)
{
	struct worker *w = app;
	struct call *c = owner & CALL_FAR ? NULL : worker_call(w, owner);

	if (c && c->agent)
		agent_played(w->agent, c->agent, play, how, played_ms);
}

static void
on_media_timeout(void *app, uint64_t owner)
{
	struct call *c = worker_call(app, owner & ~CALL_FAR);

	if (c)
		call_feed(c, EV_MEDIA_TIMEOUT, NULL);
}

static void
on_latched(void *app, uint64_t owner, const struct addr *to)
{
	struct call *c = worker_call(app, owner & ~CALL_FAR);
	char text[ADDR_TEXT_SIZE];

	if (c)
		call_report(c, CALL_EVENT_MEDIA,
			    json_pack("{s:s, s:s, s:s}", "state", "latched", "party",
				      owner & CALL_FAR ? "far" : "caller", "remote",
				      addr_text(to, text)));
}

static void
on_media_closed(void *app, uint64_t owner, const struct media_stats *stats)
{
	struct call *c = worker_call(app, owner & ~CALL_FAR);
	struct call_party *p;

	if (!c)
		return;
	p = owner & CALL_FAR ? &c->far : &c->caller;
	p->media = 0;
	p->closing = false;
	p->stats = *stats;
	p->has_stats = true;
	if (!c->caller.media && !c->far.media)
		call_feed(c, EV_CLOSED, NULL);
}

/* --- from the agent loop --- */

static void
on_agent_ready(void *app, uint64_t owner)
{
	struct call *c = worker_call(app, owner);

	if (!c)
		return;
	call_feed(c, c->has_offer ? EV_READY : EV_READY_DELAYED, NULL);
}

static void
on_agent_failed(void *app, uint64_t owner, const char *why)
{
	struct call *c = worker_call(app, owner);

	(void)why; /* the agent has written it into the timeline */
	if (!c)
		return;
	c->refuse_status = 480;
	c->refuse_why = "The agent cannot start";
	call_feed(c, EV_UNREADY, NULL);
}

static void
on_agent_event(void *app, uint64_t owner, enum call_event type, json_t *info)
{
	struct call *c = worker_call(app, owner);
	const char *task = type == CALL_EVENT_TASK
				   ? json_string_value(json_object_get(info, "name"))
				   : NULL;

	if (!c) {
		json_decref(info);
		return;
	}
	if (task)
		ignore_err(str_copy(c->task, sizeof(c->task), task) ? ERR_OK : ERR_INVALID);
	/* The outcome has a line of its own, written at the commit. */
	if (type == CALL_EVENT_OUTCOME)
		json_decref(info);
	else
		call_report(c, type, info);
}

static void
on_agent_snapshot(void *app, uint64_t owner, json_t *state)
{
	struct worker *w = app;
	struct call *c = worker_call(w, owner);
	struct msg_snapshot m = { .state = state };

	if (c) {
		memcpy(m.call, c->id, sizeof(m.call));
		memcpy(m.token, c->token, sizeof(m.token));
		if (outbox_put(w->outbox, MSG_SNAPSHOT, &m, NULL, NULL) != ERR_OK)
			log_warn("worker", "snapshot_lost", "call=%s", c->id);
	}
	json_decref(state);
}

static void
on_agent_ended(void *app, uint64_t owner, struct outcome *out)
{
	struct call *c = worker_call(app, owner);

	if (c)
		call_feed(c, EV_OUTCOME, out);
	outcome_finish(out);
}

const struct sip_ops worker_sip_ops = {
	.gate = worker_gate,
	.invite = on_invite,
	.refused = on_refused,
	.confirmed = on_confirmed,
	.changed = on_changed,
	.digit = on_info_digit,
	.ended = on_leg_ended,
	.hung_up = on_hung_up,
	.refer = on_refer,
};

const struct media_ops worker_media_ops = {
	.first_rtp = on_first_rtp,
	.digit = on_digit,
	.played = on_played,
	.timeout = on_media_timeout,
	.latched = on_latched,
	.closed = on_media_closed,
};

const struct agent_ops worker_agent_ops = {
	.ready = on_agent_ready,
	.failed = on_agent_failed,
	.event = on_agent_event,
	.snapshot = on_agent_snapshot,
	.ended = on_agent_ended,
};
