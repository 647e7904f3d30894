#include "common/fsm.h"

#include "common/log.h"
#include "common/str.h"

/* Events that actions post to each other without end would be a loop in the table. */
#define CHAIN_MAX 64

void
fsm_init(struct fsm *m, const struct fsm_def *def, int state)
{
	assert(state >= 0 && state < def->state_count);
	*m = (struct fsm){ .def = def, .state = state };
}

const struct fsm_rule *
fsm_find(const struct fsm_def *def, int state, int event)
{
	for (size_t i = 0; i < def->rule_count; i++) {
		const struct fsm_rule *r = &def->rules[i];

		if (r->on == event && (r->in == state || r->in == FSM_ANY))
			return r;
	}
	return NULL;
}

static bool
step(struct fsm *m, void *owner, int event, const void *arg)
{
	const struct fsm_def *def = m->def;
	const struct fsm_rule *r;
	int from = m->state;

	assert(event >= 0 && event < def->event_count);
	r = fsm_find(def, from, event);
	if (!r) {
		log_debug(def->name, "ignored", "in=%s on=%s", def->states[from].name,
			  def->events[event]);
		return false;
	}
	if (r->go != FSM_SAME) {
		assert(r->go >= 0 && r->go < def->state_count);
		m->state = r->go;
		if (def->enter)
			def->enter(owner, from, r->go, event);
	}
	if (r->act)
		r->act(owner, arg);
	return true;
}

bool
fsm_feed(struct fsm *m, void *owner, int event, const void *arg)
{
	bool known;

	assert(!m->running);
	m->running = true;
	known = step(m, owner, event, arg);
	for (int chain = 0; m->posted > 0; chain++) {
		struct fsm_posted next = m->queue[0];

		assert(chain < CHAIN_MAX);
		m->posted--;
		for (int i = 0; i < m->posted; i++)
			m->queue[i] = m->queue[i + 1];
		(void)step(m, owner, next.event, next.arg);
	}
	m->running = false;
	return known;
}

void
fsm_post(struct fsm *m, int event, const void *arg)
{
	assert(m->running && m->posted < ARRAY_LEN(m->queue));
	m->queue[m->posted++] = (struct fsm_posted){ event, arg };
}

void
fsm_print(const struct fsm_def *def, struct buf *out)
{
	for (int s = 0; s < def->state_count; s++) {
		for (int e = 0; e < def->event_count; e++) {
			const struct fsm_rule *r = fsm_find(def, s, e);
			int go = r && r->go != FSM_SAME ? r->go : s;

			buf_printf(out, "%s %s -> %s\n", def->states[s].name, def->events[e],
				   r ? def->states[go].name : "-");
		}
	}
}
