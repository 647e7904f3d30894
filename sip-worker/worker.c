#include "sip-worker/worker_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"

#define MAILBOX_SLOTS 65536
#define SPARE_SLOTS   256 /* calls that still close beside worker.max_calls */

/* --- calls by handle --- */

struct call *
worker_call(struct worker *w, uint64_t handle)
{
	uint32_t slot = (uint32_t)handle; /* CALL_FAR is above every slot */

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
stats_info(const struct media_stats *m)
{
	json_t *info = json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "sent",
		(json_int_t)m->packets_sent, "received", (json_int_t)m->packets_received, "lost",
		(json_int_t)m->lost, "late", (json_int_t)m->late, "concealed",
		(json_int_t)m->concealed, "bad_source", (json_int_t)m->bad_source, "jitter_us",
		(json_int_t)m->jitter_us, "remote_lost", (json_int_t)m->remote_lost,
		"remote_jitter_us", (json_int_t)m->remote_jitter_us, "round_trip_us",
		(int)m->round_trip_us);

	if (info && m->srtp)
		json_object_set_new(info, "srtp",
				    json_pack("{s:I, s:I}", "bad_tag", (json_int_t)m->srtp_bad_tag,
					      "replayed", (json_int_t)m->srtp_replayed));
	return info;
}

static json_t *
ended_info(const struct call *c)
{
	int64_t now = clock_mono_ms();
	json_t *info = json_pack(
		"{s:s, s:I}", "cause", c->end_cause ? c->end_cause : "-", "duration_ms",
		c->answered_ms ? (json_int_t)(now - c->answered_ms) : (json_int_t)0);

	if (info && c->caller.has_stats)
		json_object_set_new(info, "rtp", stats_info(&c->caller.stats));
	if (info && c->far.has_stats)
		json_object_set_new(info, "rtp_far", stats_info(&c->far.stats));
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
	if (!(w->spool = spool_open(w->cfg->worker.spool, w->cfg->worker.name, w->mailbox, f)) ||
	    !(w->media = media_create(w->cfg, w->mailbox, &worker_media_ops, w, f)))
		return false;
	w->speech = speech_create(2);
	if (!w->speech ||
	    !(w->agent = agent_create(w->cfg, w->media, w->speech, w->mailbox, &worker_agent_ops, w,
				      f)) ||
	    !(w->sip = sip_create(w->loop, w->cfg, &worker_sip_ops, w, f)))
		return false;
	w->control = control_create(w->loop, w->cfg, &worker_control_ops, w);
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
	if (!worker_add_config(w, cfg) || !(w->loop = loop_create()) ||
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

		call_party_close(c, &c->caller);
		call_party_close(c, &c->far);
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
