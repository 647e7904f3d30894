/* What may come in: limits and overload, asked before an INVITE costs more than its parsing. */
#include <stdlib.h>

#include "common/clock.h"
#include "sip-worker/worker.h"

#define PROBE_MS 20 /* while INVITEs arrive: how late does a timer fire? */
#define LAG_SHED_MS \
	100              /* above it the peer's T1 (500 ms) is in danger: refuse rather than queue \
			  */
#define PENDING_SHED 512 /* claims that api-server has not answered */

struct account_use {
	int64_t calls;
};

/* Loop lag: the older measure fades, so that a stall is remembered for a few probes. */
static void
on_probe(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, probe);
	int64_t late = clock_mono_ms() - w->probe_due_ms;

	w->lag_ms = late > w->lag_ms / 2 ? late : w->lag_ms / 2;
	if (w->lag_ms < 2)
		return; /* quiet: armed again by the next INVITE */
	w->probe_due_ms = clock_mono_ms() + PROBE_MS;
	if (!loop_timer_set(w->loop, t, PROBE_MS, on_probe))
		w->lag_ms = 0;
}

static bool
overloaded(struct worker *w)
{
	int64_t now = clock_mono_ms();

	if (!w->probe.slot) {
		w->probe_due_ms = now + PROBE_MS;
		if (!loop_timer_set(w->loop, &w->probe, PROBE_MS, on_probe))
			return true;
	}
	return w->lag_ms > LAG_SHED_MS || now - w->probe_due_ms > LAG_SHED_MS ||
	       control_pending(w->control) > PENDING_SHED;
}

static const struct account_use *
account_use(struct worker *w, const struct account *a)
{
	return map_find(w->by_account, a->name);
}

int
worker_gate(void *app, const struct account *a, const char **why)
{
	struct worker *w = app;
	const struct account_use *use;
	int status = 0;

	if (w->draining)
		*why = "Draining", status = 503;
	else if (!control_is_up(w->control))
		*why = "The transfer registry is not available", status = 503;
	else if ((int64_t)w->call_count >= w->cfg->worker.max_calls || w->free_count == 0)
		*why = "The worker is full", status = 503;
	else if (overloaded(w))
		*why = "Overloaded", status = 503;
	if (status) {
		w->counts.shed++;
		return status;
	}
	use = a->max_calls ? account_use(w, a) : NULL;
	if (use && use->calls >= a->max_calls) {
		*why = "The account is full";
		return 480;
	}
	return 0;
}

void
worker_count_account(struct worker *w, const struct account *a, int delta)
{
	struct account_use *use = map_find(w->by_account, a->name);

	if (!use) {
		use = calloc(1, sizeof(*use));
		if (!use || !map_put(w->by_account, a->name, use)) {
			free(use); /* uncounted: the worker's own limit still holds */
			return;
		}
	}
	use->calls += delta;
	if (use->calls <= 0) {
		map_remove(w->by_account, a->name);
		free(use);
	}
}
