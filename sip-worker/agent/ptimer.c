#include "sip-worker/agent/ptimer.h"

#include "common/log.h"

static void
on_timer(struct loop_timer *t)
{
	struct ptimer *p = container_of(t, struct ptimer, timer);

	p->state = PTIMER_OFF;
	p->fire(p);
}

static void
run(struct loop *l, struct ptimer *p, int64_t delay_ms)
{
	p->state = PTIMER_RUNNING;
	if (!loop_timer_set(l, &p->timer, delay_ms, on_timer)) {
		p->state = PTIMER_OFF;
		log_err("agent", "timer", "text=\"out of memory: a wait lost its deadline\"");
	}
}

void
ptimer_set(struct loop *l, struct ptimer *p, int64_t delay_ms, bool paused,
	   void (*fire)(struct ptimer *p))
{
	ptimer_cancel(l, p);
	p->fire = fire;
	if (paused) {
		p->state = PTIMER_PAUSED;
		p->left_ms = delay_ms;
	} else {
		run(l, p, delay_ms);
	}
}

void
ptimer_cancel(struct loop *l, struct ptimer *p)
{
	loop_timer_cancel(l, &p->timer);
	p->state = PTIMER_OFF;
}

void
ptimer_pause(struct loop *l, struct ptimer *p)
{
	if (p->state != PTIMER_RUNNING)
		return;
	p->left_ms = p->timer.at_ms - loop_now(l);
	if (p->left_ms < 0)
		p->left_ms = 0;
	loop_timer_cancel(l, &p->timer);
	p->state = PTIMER_PAUSED;
}

void
ptimer_resume(struct loop *l, struct ptimer *p)
{
	if (p->state == PTIMER_PAUSED)
		run(l, p, p->left_ms);
}
