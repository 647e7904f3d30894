/* fsm.h - state machines as tables.  A rule is a sentence: in STATE, on EVENT, go, do.
 *
 * fsm_feed(): find rule -> move -> log -> act.  Exact states stand before FSM_ANY.  Actions must
 * not feed the same machine (asserted); they post an event for later (fsm_post), which is fed when
 * the running action returns.  Entering a state calls `enter`, which arms that state's deadline;
 * its expiry is the machine's deadline event.  One thread per machine. */
#ifndef COMMON_FSM_H
#define COMMON_FSM_H

#include "common/base.h"

#define FSM_ANY  (-1) /* in: any state */
#define FSM_SAME (-1) /* go: stay */

struct fsm_rule {
	int in, on, go;
	void (*act)(void *owner, const void *arg);
};

struct fsm_state {
	const char *name;
	int deadline_ms; /* 0: the state may last (say why) */
};

struct fsm_def {
	const char *name;               /* module in the log */
	const struct fsm_state *states; /* indexed by state */
	int state_count;
	const char *const *events; /* names, indexed by event */
	int event_count;
	const struct fsm_rule *rules;
	size_t rule_count;
	/* Called after each move and before the action (arm deadline, move lists, log with ids). */
	void (*enter)(void *owner, int from, int to, int event);
};

struct fsm {
	const struct fsm_def *def;
	int state;
	bool running;
	uint8_t posted;
	struct fsm_posted {
		int event;
		const void *arg; /* must stay valid; usually NULL */
	} queue[4];
};

void fsm_init(struct fsm *m, const struct fsm_def *def, int state);
/* The rule for (state, event), or NULL. Pure. */
const struct fsm_rule *fsm_find(const struct fsm_def *def, int state, int event);
/* false: no rule, nothing changed. arg is borrowed during the call. */
bool fsm_feed(struct fsm *m, void *owner, int event, const void *arg);
/* From inside an action: feed after it returned.  At most 4 wait; more is a bug (asserted). */
void fsm_post(struct fsm *m, int event, const void *arg);
/* Writes "STATE EVENT -> STATE" for every pair, one a line, for golden-file tests. */
struct buf;
void fsm_print(const struct fsm_def *def, struct buf *out);

#endif
