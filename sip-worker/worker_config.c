/* Configurations in force: a new one for new calls, the old one until its last call is over. */
#include "sip-worker/worker_internal.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"

#define GENERATION_MS 60000 /* it outlives its last call: threads may still look */

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

bool
worker_add_config(struct worker *w, struct config *cfg)
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
	if (!worker_add_config(w, cfg))
		return;
	sip_set_config(w->sip, cfg);
	if (!w->recycle.slot && !loop_timer_set(w->loop, &w->recycle, GENERATION_MS, on_recycle))
		log_err("worker", "no_memory", "what=timer");
	log_info("worker", "reloaded", "accounts=%zu agents=%s", cfg->account_count,
		 cfg->agents_version);
}
