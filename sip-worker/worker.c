#include "sip-worker/worker.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"

#define MAILBOX_SLOTS 65536
#define SPARE_SLOTS   256 /* calls that still close beside worker.max_calls */
#define GENERATION_MS \
	60000 /* an old configuration outlives its last call: threads may still look */
#define DRAIN_LAST_MS \
	60000 /* after the hand-back was asked for, calls end within this, or are cut */
#define DRAIN_CHECK_MS 100

/* --- calls by handle --- */

struct call *
worker_call(struct worker *w, uint64_t handle)
{
	uint32_t slot = (uint32_t)handle;

	if (slot >= w->slot_count || w->slot_gen[slot] != (uint32_t)(handle >> 32))
		return NULL;
	return w->slots[slot];
}

bool
worker_adopt(struct worker *w, struct call *c)
{
	uint32_t slot;

	if (w->free_count == 0)
		return false;
	slot = w->free_slots[--w->free_count];
	w->slots[slot] = c;
	c->handle = ((uint64_t)++w->slot_gen[slot] << 32) | slot;
	list_append(&w->calls, &c->node);
	w->call_count++;
	w->counts.accepted++;
	return true;
}

static void
on_reap(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, reap);

	for (struct list *n; (n = list_pop(&w->graveyard)) != NULL;)
		call_free(container_of(n, struct call, node));
}

static json_t *
ended_info(const struct call *c)
{
	int64_t now = clock_mono_ms();
	json_t *info = json_pack(
		"{s:s, s:I}", "cause", c->end_cause ? c->end_cause : "-", "duration_ms",
		c->answered_ms ? (json_int_t)(now - c->answered_ms) : (json_int_t)0);

	if (info && c->has_stats)
		json_object_set_new(info, "rtp",
				    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i}",
					      "sent", (json_int_t)c->stats.packets_sent, "received",
					      (json_int_t)c->stats.packets_received, "lost",
					      (json_int_t)c->stats.lost, "late",
					      (json_int_t)c->stats.late, "concealed",
					      (json_int_t)c->stats.concealed, "bad_source",
					      (json_int_t)c->stats.bad_source, "jitter_us",
					      (json_int_t)c->stats.jitter_us, "remote_lost",
					      (json_int_t)c->stats.remote_lost, "remote_jitter_us",
					      (json_int_t)c->stats.remote_jitter_us,
					      "round_trip_us", (int)c->stats.round_trip_us));
	return info;
}

void
worker_bury(struct worker *w, struct call *c)
{
	uint32_t slot = (uint32_t)c->handle;

	call_report(c, CALL_EVENT_ENDED, ended_info(c));
	log_info("call", "ended", "call=%s account=%s transfer=%s cause=%s", c->id,
		 log_quote(c->account->name), log_quote(c->claim.transfer),
		 log_quote(c->end_cause));
	w->slots[slot] = NULL;
	w->free_slots[w->free_count++] = slot;
	w->call_count--;
	list_remove(&c->node);
	list_append(&w->graveyard, &c->node);
	if (!w->reap.slot && !loop_timer_set(w->loop, &w->reap, 0, on_reap))
		log_err("worker", "no_memory", "what=timer"); /* the next one reaps both */
}

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
	sip_leg_set_owner(leg, c);
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

static void
on_confirmed(void *owner, const struct media_remote *remote)
{
	struct call *c = owner;

	if (remote)
		call_media_changed(c, remote);
	call_report(c, CALL_EVENT_CONFIRMED, NULL);
	call_feed(c, EV_ACK, NULL);
}

static void
on_changed(void *owner, const struct media_remote *remote)
{
	call_media_changed(owner, remote);
}

static void
on_info_digit(void *owner, char digit, int duration_ms)
{
	call_digit(owner, digit, duration_ms, "info");
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
	struct call *c = owner;

	/* In RETURNING the cause of the hand-back stands. */
	if (!c->end_cause)
		c->end_cause = by_cause[end->cause].cause;
	if (end->reason)
		call_report(c, CALL_EVENT_NOTE, json_pack("{s:s}", "reason", end->reason));
	call_feed(c, by_cause[end->cause].ev, NULL);
}

static void
on_hung_up(void *owner)
{
	call_feed(owner, EV_HUNG_UP, NULL);
}

/* --- from the media engine --- */

static void
on_first_rtp(void *app, uint64_t owner, const struct addr *from)
{
	struct call *c = worker_call(app, owner);
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
	struct call *c = worker_call(app, owner);

	if (c)
		call_digit(c, digit, duration_ms, source);
}

static void
on_played(void *app, uint64_t owner, uint32_t play, enum media_stop_how how, int played_ms)
{
	struct worker *w = app;
	struct call *c = worker_call(w, owner);

	if (c && c->agent)
		agent_played(w->agent, c->agent, play, how, played_ms);
}

static void
on_media_timeout(void *app, uint64_t owner)
{
	struct call *c = worker_call(app, owner);

	if (c)
		call_feed(c, EV_MEDIA_TIMEOUT, NULL);
}

static void
on_latched(void *app, uint64_t owner, const struct addr *to)
{
	struct call *c = worker_call(app, owner);
	char text[ADDR_TEXT_SIZE];

	if (c)
		call_report(
			c, CALL_EVENT_MEDIA,
			json_pack("{s:s, s:s}", "state", "latched", "remote", addr_text(to, text)));
}

static void
on_media_closed(void *app, uint64_t owner, const struct media_stats *stats)
{
	struct call *c = worker_call(app, owner);

	if (!c)
		return;
	c->media = 0;
	c->stats = *stats;
	c->has_stats = true;
	call_feed(c, EV_CLOSED, NULL);
}

/* --- from the agent loop --- */

static void
on_agent_ready(void *app, uint64_t owner)
{
	struct call *c = worker_call(app, owner);

	if (!c)
		return;
	call_report(c, CALL_EVENT_AGENT, json_pack("{s:s}", "state", "ready"));
	call_feed(c, c->has_offer ? EV_READY : EV_READY_DELAYED, NULL);
}

static void
on_agent_failed(void *app, uint64_t owner, const char *why)
{
	struct call *c = worker_call(app, owner);

	if (!c)
		return;
	call_report(c, CALL_EVENT_AGENT, json_pack("{s:s, s:s}", "state", "failed", "error", why));
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

/* --- from the control link --- */

static void
on_hello(void *app, struct msg_hello *h)
{
	struct worker *w = app;

	h->capacity = w->cfg->worker.max_calls;
	h->addresses = json_array();
	h->calls = json_array();
	for (size_t i = 0; i < w->cfg->sip.listen_count; i++) {
		static const char *const schemes[] = { "udp", "tcp", "tls" };
		const struct sip_listen *s = &w->cfg->sip.listen[i];
		char text[ADDR_TEXT_SIZE];

		json_array_append_new(h->addresses, json_sprintf("%s:%s", schemes[s->transport],
								 addr_text(&s->addr, text)));
	}
	list_each(n, &w->calls)
	{
		const struct call *c = container_of(n, struct call, node);

		if (c->claimed)
			json_array_append_new(h->calls, json_pack("{s:s, s:s}", "call", c->id,
								  "token", c->token));
	}
	outbox_list_claims(w->outbox, h->calls);
}

static void
on_beat(void *app, struct msg_heartbeat *h)
{
	worker_heartbeat(app, h);
}

static void
give_up(struct worker *w, const char *id)
{
	list_each(n, &w->calls)
	{
		struct call *c = container_of(n, struct call, node);

		if (c->claimed && str_eq(c->id, id)) {
			call_feed(c, EV_GIVEN_UP, NULL);
			return;
		}
	}
}

static void
on_up(void *app, const struct msg_hello_reply *r)
{
	struct worker *w = app;
	size_t i;
	json_t *id;

	if (r->port_first)
		media_set_ports(w->media, (uint16_t)r->port_first, (uint16_t)r->port_last);
	else
		log_warn("worker", "no_ports",
			 "what=\"no RTP ports are left in media.ports: calls will be refused\"");
	json_array_foreach(r->lost, i, id) give_up(w, json_string_value(id));
	outbox_link_up(w->outbox);
	if (!w->said_ready)
		log_info("worker", "ready", "name=%s calls=%lld", log_quote(w->cfg->worker.name),
			 (long long)w->cfg->worker.max_calls);
	w->said_ready = true;
}

static void
on_down(void *app)
{
	outbox_link_down(((struct worker *)app)->outbox);
}

/* --- the end --- */

static void
on_drained(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, drained);

	if (w->call_count == 0 && outbox_count(w->outbox) == 0) {
		log_info("worker", "drained", "calls=0");
		sip_stop(w->sip);
	} else if (!loop_timer_set(w->loop, t, DRAIN_CHECK_MS, on_drained)) {
		sip_stop(w->sip);
	}
}

static void
on_drain_last(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, drain);

	log_warn("worker", "drain_cut", "calls=%zu waiting=%zu", w->call_count,
		 outbox_count(w->outbox));
	sip_stop(w->sip);
}

static void
on_drain_over(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, drain);

	log_warn("worker", "drain_over", "calls=%zu", w->call_count);
	list_each(n, &w->calls) call_feed(container_of(n, struct call, node), EV_HAND_BACK, NULL);
	if (!loop_timer_set(w->loop, t, DRAIN_LAST_MS, on_drain_last))
		sip_stop(w->sip);
}

void
worker_drain(struct worker *w, const char *why)
{
	if (w->draining) {
		sip_stop(w->sip);
		return;
	}
	log_info("worker", "draining", "why=%s calls=%zu", log_quote(why), w->call_count);
	w->draining = true;
	sip_set_draining(w->sip, true);
	report_flush(w->report);
	if (!loop_timer_set(w->loop, &w->drain, w->cfg->worker.drain_ms, on_drain_over) ||
	    !loop_timer_set(w->loop, &w->drained, 0, on_drained))
		sip_stop(w->sip);
}

/* --- configuration --- */

static void
on_recycle(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, recycle);
	int64_t now = clock_mono_ms();

	list_each(n, &w->generations)
	{
		struct generation *g = container_of(n, struct generation, node);

		/* The parts were made with the first; the newest is in force. */
		if (n == w->generations.next || n == w->generations.prev || g->calls ||
		    now - g->idle_since_ms < GENERATION_MS)
			continue;
		list_remove(n);
		config_destroy(g->cfg);
		free(g);
	}
	if (!loop_timer_set(w->loop, t, GENERATION_MS, on_recycle))
		log_err("worker", "no_memory", "what=timer");
}

static bool
add_generation(struct worker *w, struct config *cfg)
{
	struct generation *g = calloc(1, sizeof(*g));

	if (!g) {
		config_destroy(cfg);
		return false;
	}
	if (!list_empty(&w->generations))
		container_of(w->generations.prev, struct generation, node)->idle_since_ms =
			clock_mono_ms();
	g->cfg = cfg;
	list_append(&w->generations, &g->node);
	w->cfg = cfg;
	return true;
}

void
worker_set_config(struct worker *w, struct config *cfg)
{
	if (!add_generation(w, cfg))
		return;
	sip_set_config(w->sip, cfg);
	if (!w->recycle.slot && !loop_timer_set(w->loop, &w->recycle, GENERATION_MS, on_recycle))
		log_err("worker", "no_memory", "what=timer");
	log_info("worker", "reloaded", "accounts=%zu agents=%s", cfg->account_count,
		 cfg->agents_version);
}

/* --- birth and death --- */

static bool
make_slots(struct worker *w, size_t count)
{
	w->slots = calloc(count, sizeof(*w->slots));
	w->slot_gen = calloc(count, sizeof(*w->slot_gen));
	w->free_slots = calloc(count, sizeof(*w->free_slots));
	if (!w->slots || !w->slot_gen || !w->free_slots)
		return false;
	w->slot_count = w->free_count = count;
	for (size_t i = 0; i < count; i++)
		w->free_slots[i] = (uint32_t)(count - 1 - i);
	return true;
}

static bool
make_parts(struct worker *w, struct fault *f)
{
	static const struct sip_ops sip_ops = {
		.gate = worker_gate,
		.invite = on_invite,
		.refused = on_refused,
		.confirmed = on_confirmed,
		.changed = on_changed,
		.digit = on_info_digit,
		.ended = on_leg_ended,
		.hung_up = on_hung_up,
	};
	static const struct media_ops media_ops = {
		.first_rtp = on_first_rtp,
		.digit = on_digit,
		.played = on_played,
		.timeout = on_media_timeout,
		.latched = on_latched,
		.closed = on_media_closed,
	};
	static const struct agent_ops agent_ops = {
		.ready = on_agent_ready,
		.failed = on_agent_failed,
		.event = on_agent_event,
		.snapshot = on_agent_snapshot,
		.ended = on_agent_ended,
	};
	static const struct control_ops control_ops = {
		.hello = on_hello,
		.heartbeat = on_beat,
		.up = on_up,
		.down = on_down,
	};

	if (!(w->spool = spool_open(w->cfg->worker.spool, w->cfg->worker.name, w->mailbox, f)) ||
	    !(w->media = media_create(w->cfg, w->mailbox, &media_ops, w, f)))
		return false;
	w->speech = speech_create(2);
	if (!w->speech ||
	    !(w->agent = agent_create(w->cfg, w->media, w->speech, w->mailbox, &agent_ops, w, f)) ||
	    !(w->sip = sip_create(w->loop, w->cfg, &sip_ops, w, f)))
		return false;
	w->control = control_create(w->loop, w->cfg, &control_ops, w);
	w->outbox = w->control ? outbox_create(w->loop, w->control, w->spool) : NULL;
	w->report = w->outbox ? report_create(w->loop, w->outbox) : NULL;
	return w->report != NULL;
}

struct worker *
worker_create(struct config *cfg, struct fault *f)
{
	struct worker *w = calloc(1, sizeof(*w));

	fault_set(f, "", "out of memory");
	if (!w) {
		config_destroy(cfg);
		return NULL;
	}
	list_init(&w->calls);
	list_init(&w->graveyard);
	list_init(&w->generations);
	if (!add_generation(w, cfg) || !(w->loop = loop_create()) ||
	    !(w->mailbox = mailbox_create(MAILBOX_SLOTS)) || !(w->by_account = map_create()) ||
	    !make_slots(w, (size_t)cfg->worker.max_calls + SPARE_SLOTS) ||
	    mailbox_attach(w->mailbox, w->loop) != ERR_OK || !make_parts(w, f)) {
		worker_destroy(w);
		return NULL;
	}
	outbox_recover(w->outbox);
	return w;
}

void
worker_run(struct worker *w)
{
	control_start(w->control);
	sip_run(w->sip);
}

static void
cancel_timers(struct worker *w)
{
	struct loop_timer *all[] = { &w->reap, &w->drain, &w->drained, &w->probe, &w->recycle };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		loop_timer_cancel(w->loop, all[i]);
}

/* Calls that are still there are cut: their legs get a BYE as far as the stack can send one, and
 * api-server reaps what it is not told.  Events that come now find nobody. */
static void
destroy_calls(struct worker *w)
{
	list_each(n, &w->calls)
	{
		struct call *c = container_of(n, struct call, node);

		if (c->leg)
			sip_leg_destroy(c->leg);
		w->slots[(uint32_t)c->handle] = NULL;
		list_remove(n);
		call_free(c);
	}
	list_each(n, &w->graveyard)
	{
		list_remove(n);
		call_free(container_of(n, struct call, node));
	}
}

static void
leave_task(struct task *t)
{
	(void)t;
}

void
worker_destroy(struct worker *w)
{
	if (!w)
		return;
	destroy_calls(w);
	/* The threads, after which nobody posts; what they posted last lies in objects that went
	 * with them. */
	if (w->mailbox)
		mailbox_drain(w->mailbox, 0);
	agent_destroy(w->agent);
	speech_destroy(w->speech);
	media_destroy(w->media);
	report_destroy(w->report);
	if (w->outbox)
		outbox_link_down(w->outbox);
	control_destroy(w->control);
	outbox_destroy(w->outbox);
	sip_destroy(w->sip);
	spool_close(w->spool);
	if (w->mailbox) {
		mailbox_detach(w->mailbox);
		mailbox_destroy(w->mailbox, leave_task);
	}
	if (w->loop) {
		cancel_timers(w);
		loop_destroy(w->loop);
	}
	list_each(n, &w->generations)
	{
		struct generation *g = container_of(n, struct generation, node);

		config_destroy(g->cfg);
		free(g);
	}
	map_destroy(w->by_account);
	free(w->slots);
	free(w->slot_gen);
	free(w->free_slots);
	free(w);
}
