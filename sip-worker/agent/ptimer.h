/* ptimer.h - a timer that can be paused, for waits that stand still while a call is on hold.
 * Zeroed is valid.  The loop's thread only. */
#ifndef SIP_WORKER_AGENT_PTIMER_H
#define SIP_WORKER_AGENT_PTIMER_H

#include "common/base.h"
#include "common/loop.h"

enum ptimer_state { PTIMER_OFF, PTIMER_RUNNING, PTIMER_PAUSED };

struct ptimer {
	struct loop_timer timer;
	enum ptimer_state state;
	int64_t left_ms; /* while paused */
	void (*fire)(struct ptimer *p);
};

/* (Re)arms; with `paused` it waits for ptimer_resume(). */
void ptimer_set(struct loop *l, struct ptimer *p, int64_t delay_ms, bool paused,
		void (*fire)(struct ptimer *p));
void ptimer_cancel(struct loop *l, struct ptimer *p);
void ptimer_pause(struct loop *l, struct ptimer *p);  /* not running: nothing */
void ptimer_resume(struct loop *l, struct ptimer *p); /* not paused: nothing */
static inline bool
ptimer_armed(const struct ptimer *p)
{
	return p->state != PTIMER_OFF;
}

#endif
