/* The end of a worker: no new calls, the last ones end by themselves, the rest is handed back. */
#include "sip-worker/worker_internal.h"

#include "common/log.h"

#define DRAIN_LAST_MS  60000 /* calls whose hand-back was asked for end within this, or are cut */
#define DRAIN_CHECK_MS 100
#define DRAIN_AWAY     10 /* checks that api-server is waited for: what is vital is on disk by then */

static bool
is_drained(struct worker *w)
{
	if (w->call_count)
		return false;
	if (outbox_count(w->outbox) == 0)
		return true;
	w->drain_away = control_is_up(w->control) ? 0 : w->drain_away + 1;
	return w->drain_away > DRAIN_AWAY;
}

static void
on_drained(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, drained);

	if (is_drained(w)) {
		log_info("worker", "drained", "calls=0 waiting=%zu", outbox_count(w->outbox));
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
