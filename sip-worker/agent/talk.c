/* A conversation from outside: what the call and the clocks bring, and how it settles afterwards.
 * Its states and its end: talk_fsm.c. */
#include "sip-worker/agent/talk.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "sip-worker/agent/prefetch.h"

#define SETTLE_MAX 128 /* steps in one go: more is a brain that goes in circles */

/* clang-format off */
static const struct brain_ops *const brains[] = {
	[BRAIN_RULES] = &brain_rules,
	[BRAIN_ECHO]  = &brain_echo,
};
/* clang-format on */

/* --- settling --- */

static void
on_tail(struct ptimer *p)
{
	talk_feed(container_of(p, struct talk, tail), TALK_EV_SPOKEN);
}

static void
settle_closing(struct talk *t)
{
	int64_t left = t->quiet_since + TALK_TAIL_MS - loop_now(t->home->loop);

	if (t->fsm.state != TALK_CLOSING || t->say_count > 0 || ptimer_armed(&t->tail))
		return;
	if (left > 0 && t->quiet_since > 0)
		ptimer_set(t->home->loop, &t->tail, left, false, on_tail);
	else
		talk_feed(t, TALK_EV_SPOKEN);
}

static void
turn_begins(struct talk *t)
{
	t->turn_calls = t->turn_entries = 0;
}

static void
on_silence(struct ptimer *p)
{
	struct talk *t = container_of(p, struct talk, silence);

	turn_begins(t);
	if (t->brain->silence && talk_is_live(t))
		t->brain->silence(t->brain_state);
	talk_settle(t);
}

static void
settle_silence(struct talk *t)
{
	/* a brain's timer runs: the caller is in the middle of something */
	bool wanted = talk_is_live(t) && t->silence_ms > 0 && t->say_count == 0 &&
		      list_empty(&t->calls) && !ptimer_armed(&t->brain_timer);

	if (!wanted)
		ptimer_cancel(t->home->loop, &t->silence);
	else if (!ptimer_armed(&t->silence))
		ptimer_set(t->home->loop, &t->silence, t->silence_ms, t->held, on_silence);
}

void
talk_settle(struct talk *t)
{
	int steps = 0;

	if (t->frozen)
		fn_drop_all(t); /* nobody waits for what still runs */
	while (fn_deliver(t) || say_step(t)) {
		if (++steps == SETTLE_MAX)
			talk_fail(t, "The brain goes in circles.");
		if (steps > 2 * SETTLE_MAX)
			break;
	}
	settle_silence(t);
	if (t->dirty && (talk_is_live(t) || t->fsm.state == TALK_CLOSING) &&
	    list_empty(&t->calls)) {
		t->dirty = false;
		emit_snapshot(t);
	}
	settle_closing(t);
}

static void
on_brain_timer(struct ptimer *p)
{
	struct talk *t = container_of(p, struct talk, brain_timer);

	turn_begins(t);
	if (t->brain->timer && talk_is_live(t))
		t->brain->timer(t->brain_state);
	talk_settle(t);
}

void
talk_listen(struct talk *t, int64_t silence_ms)
{
	t->silence_ms = silence_ms;
	ptimer_cancel(t->home->loop, &t->silence);
}

void
talk_timer(struct talk *t, int64_t ms)
{
	if (ms > 0)
		ptimer_set(t->home->loop, &t->brain_timer, ms, t->held, on_brain_timer);
	else
		ptimer_cancel(t->home->loop, &t->brain_timer);
}

/* --- from the call --- */

void
talk_begin(struct talk *t, media_id media)
{
	if (t->fsm.state != TALK_READY)
		return;
	t->media = media;
	turn_begins(t);
	talk_feed(t, TALK_EV_BEGIN);
	talk_settle(t);
}

void
talk_digit(struct talk *t, char digit)
{
	if (!talk_is_live(t))
		return;
	turn_begins(t);
	ptimer_cancel(t->home->loop, &t->silence);
	if (t->brain->digit)
		t->brain->digit(t->brain_state, digit);
	talk_settle(t);
}

void
talk_played(struct talk *t, uint32_t play, enum media_stop_how how, int played_ms)
{
	say_played(t, play, how, played_ms);
	talk_settle(t);
}

void
talk_hold(struct talk *t, bool held)
{
	/* what waits for the caller; a call that has not begun waits for the app */
	struct ptimer *const timers[] = { &t->speak, &t->silence, &t->brain_timer, &t->deadline };
	size_t count = ARRAY_LEN(timers) - (t->fsm.state == TALK_CLOSING ? 0 : 1);

	t->held = held;
	for (size_t i = 0; i < count; i++) {
		if (held)
			ptimer_pause(t->home->loop, timers[i]);
		else
			ptimer_resume(t->home->loop, timers[i]);
	}
}

void
talk_hand_back(struct talk *t, const char *reason)
{
	str_copy(t->why, sizeof(t->why), reason);
	talk_give_back(t, SAY_TIME_UP, reason);
	talk_settle(t);
}

void
talk_resume(struct talk *t, const char *why)
{
	str_copy(t->why, sizeof(t->why), why);
	turn_begins(t);
	if (t->media)
		talk_feed(t, TALK_EV_RESUME);
	talk_settle(t);
}

/* --- made and gone --- */

struct talk *
talk_create(const struct agent_start *s)
{
	struct talk *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->owner = s->owner;
	t->def = s->def;
	list_init(&t->says);
	list_init(&t->calls);
	list_init(&t->events);
	fsm_init(&t->fsm, &talk_fsm, TALK_STARTING);
	if (s->task && s->task[0]) {
		t->task = agentdef_task(s->def, s->task);
		t->task_unknown = !t->task;
	}
	if (s->snapshot)
		t->snapshot = json_deep_copy(s->snapshot);
	if (!vars_init(t, s->input_vars, s->call) || (s->snapshot && !t->snapshot) ||
	    !emit_reserve(t)) {
		talk_destroy(t);
		return NULL;
	}
	return t;
}

static const struct brain_ops *
find_brain(enum agent_brain b)
{
	return (size_t)b < ARRAY_LEN(brains) ? brains[b] : NULL;
}

void
talk_open(struct talk *t, struct talk_home *home)
{
	enum err e = ERR_UNSUPPORTED;

	t->home = home;
	talk_arm(t);
	snapshot_restore(t);
	if (!t->task)
		t->task = t->def->default_task;
	emit_agent(t, "starting", NULL);
	if (t->task_unknown)
		talk_note(t, "The task asked for is not known; %s instead.", t->task->name);
	t->brain = find_brain(t->def->brain);
	if (t->brain)
		e = t->brain->open(t, &t->brain_state);
	if (e != ERR_OK) {
		t->brain = NULL;
		talk_fail(t, "%s", err_text(e));
	}
}

void
talk_destroy(struct talk *t)
{
	if (!t)
		return;
	if (t->home) {
		struct loop *l = t->home->loop;
		struct ptimer *const timers[] = { &t->deadline, &t->speak, &t->tail, &t->silence,
						  &t->brain_timer };

		say_drop_all(t);
		fn_drop_all(t);
		speech_cancel(&t->prepared);
		loop_timer_cancel(l, &t->prepare);
		loop_timer_cancel(l, &t->max_duration);
		for (size_t i = 0; i < ARRAY_LEN(timers); i++)
			ptimer_cancel(l, timers[i]);
		if (t->brain)
			t->brain->close(t->brain_state);
	}
	emit_drop_all(t);
	list_remove(&t->link);
	outcome_finish(&t->outcome);
	json_decref(t->context);
	json_decref(t->transcript);
	json_decref(t->snapshot);
	free(t);
}
