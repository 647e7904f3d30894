/* The life of a conversation.
 *
 *   STARTING --ready--> READY --begin--> LIVE --freeze--> CLOSING --spoken--> ENDED
 *       \                 \                ^                                    |
 *        `--failed---------`--------------- \------------- resume -------------'
 *
 * STARTING and READY leave by failure for ENDED; ENDED waits for agent_stop() or agent_resume(). */
#include "sip-worker/agent/talk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "sip-worker/agent/prefetch.h"

#define SETTLE_MAX 128   /* steps in one go: more is a brain that goes in circles */
#define OVERDUE_MS 10000 /* max_duration found somebody saying good-bye: look again */

/* clang-format off */
static const struct brain_ops *const brains[] = {
	[BRAIN_RULES] = &brain_rules,
	[BRAIN_ECHO]  = &brain_echo,
};

static const struct fsm_state states[TALK_STATE_COUNT] = {
	[TALK_STARTING] = { "starting", 15000 },
	[TALK_READY]    = { "ready",    60000 },  /* beyond any ACK */
	[TALK_LIVE]     = { "live",     0 },      /* max_duration ends it */
	[TALK_CLOSING]  = { "closing",  300000 }, /* each prompt in it has its own deadline */
	[TALK_ENDED]    = { "ended",    0 },      /* the call's, which stops it */
};

static const char *const event_names[TALK_EVENT_COUNT] = {
	"ready", "failed", "begin", "freeze", "spoken", "resume", "deadline",
};
/* clang-format on */

/* --- actions --- */

static struct talk *
self(void *owner)
{
	return owner;
}

static void
agent_entry(struct talk *t, const char *state, const char *error)
{
	json_t *info = json_pack("{s:s,s:s,s:s}", "state", state, "agent", t->def->name, "task",
				 t->task ? t->task->name : "");

	if (info && error)
		json_object_set_new(info, "error", json_string(error));
	emit_event(t, CALL_EVENT_AGENT, info);
}

static void
act_ready(void *owner, const void *arg)
{
	(void)arg;
	agent_entry(owner, "ready", NULL);
	emit_ready(owner);
}

static void
act_refuse(void *owner, const void *arg)
{
	struct talk *t = self(owner);

	(void)arg;
	if (!t->why[0])
		str_copy(t->why, sizeof(t->why), "the agent did not become ready in time");
	agent_entry(t, "failed", t->why);
	emit_failed(t, t->why);
}

static void on_max_duration(struct loop_timer *timer);

static void
arm_max_duration(struct talk *t, int64_t ms)
{
	if (ms > 0 && !loop_timer_set(t->home->loop, &t->max_duration, ms, on_max_duration))
		log_err("agent", "timer", "text=\"out of memory: no limit of duration\"");
}

static void
act_begin(void *owner, const void *arg)
{
	struct talk *t = self(owner);

	(void)arg;
	arm_max_duration(t, t->def->max_duration_ms);
	t->brain->begin(t->brain_state);
}

static void
act_close(void *owner, const void *arg)
{
	struct talk *t = self(owner);

	(void)arg;
	emit_event(t, CALL_EVENT_OUTCOME,
		   json_pack("{s:s,s:s,s:s}", "transferType", outcome_type_names[t->outcome.type],
			     "currentTaskName", t->outcome.task, "reason", t->outcome.reason));
}

static void
act_end(void *owner, const void *arg)
{
	struct talk *t = self(owner);

	(void)arg;
	loop_timer_cancel(t->home->loop, &t->max_duration);
	if (t->dirty)
		emit_snapshot(t);
	t->dirty = false;
	emit_ended(t);
}

static void
act_end_unheard(void *owner, const void *arg)
{
	act_close(owner, arg);
	act_end(owner, arg);
}

static void set_outcome(struct talk *t, enum outcome_type type, const char *reason);

static void
act_expire(void *owner, const void *arg)
{
	set_outcome(owner, OUTCOME_AGENT, "agent_failed");
	act_end_unheard(owner, arg);
}

static void
act_resume(void *owner, const void *arg)
{
	struct talk *t = self(owner);

	(void)arg;
	outcome_finish(&t->outcome);
	emit_reserve(t); /* tried; without it the next end may still be told */
	t->frozen = t->parting = false;
	t->resumed = true;
	arm_max_duration(t, t->def->max_duration_ms);
	if (t->brain->resume)
		t->brain->resume(t->brain_state, t->why);
	else
		t->brain->begin(t->brain_state);
}

/* clang-format off */
static const struct fsm_rule rules[] = {
	/* in             on                 go             do              */
	{ TALK_STARTING,  TALK_EV_READY,     TALK_READY,    act_ready       },
	{ TALK_STARTING,  TALK_EV_FAILED,    TALK_ENDED,    act_refuse      },
	{ TALK_STARTING,  TALK_EV_FREEZE,    TALK_ENDED,    act_refuse      }, /* drained while starting */
	{ TALK_STARTING,  TALK_EV_DEADLINE,  TALK_ENDED,    act_refuse      },
	{ TALK_READY,     TALK_EV_BEGIN,     TALK_LIVE,     act_begin       },
	{ TALK_READY,     TALK_EV_FREEZE,    TALK_ENDED,    act_end_unheard },
	{ TALK_READY,     TALK_EV_DEADLINE,  TALK_ENDED,    act_expire      },
	{ TALK_LIVE,      TALK_EV_FREEZE,    TALK_CLOSING,  act_close       },
	{ TALK_CLOSING,   TALK_EV_SPOKEN,    TALK_ENDED,    act_end         },
	{ TALK_CLOSING,   TALK_EV_DEADLINE,  TALK_ENDED,    act_end         },
	{ TALK_ENDED,     TALK_EV_RESUME,    TALK_LIVE,     act_resume      },
};
/* clang-format on */

static void
on_deadline(struct ptimer *p)
{
	struct talk *t = container_of(p, struct talk, deadline);

	say_drop_all(t);
	talk_feed(t, TALK_EV_DEADLINE);
}

static void
enter_state(void *owner, int from, int to, int event)
{
	struct talk *t = self(owner);

	log_info("agent", "state", "talk=%llu owner=%llu from=%s on=%s to=%s",
		 (unsigned long long)t->id, (unsigned long long)t->owner, states[from].name,
		 event_names[event], states[to].name);
	ptimer_cancel(t->home->loop, &t->deadline);
	if (states[to].deadline_ms > 0)
		ptimer_set(t->home->loop, &t->deadline, states[to].deadline_ms,
			   t->held && to == TALK_CLOSING, on_deadline);
}

const struct fsm_def talk_fsm = {
	.name = "talk",
	.states = states,
	.state_count = TALK_STATE_COUNT,
	.events = event_names,
	.event_count = TALK_EVENT_COUNT,
	.rules = rules,
	.rule_count = ARRAY_LEN(rules),
	.enter = enter_state,
};

void
talk_feed(struct talk *t, enum talk_event ev)
{
	if (t->fsm.running)
		fsm_post(&t->fsm, (int)ev, NULL);
	else if (!fsm_feed(&t->fsm, t, (int)ev, NULL))
		log_debug("agent", "ignored", "talk=%llu event=%s", (unsigned long long)t->id,
			  event_names[ev]);
}

/* Live until the outcome is decided, though the machine may hear of that a moment later. */
bool
talk_is_live(const struct talk *t)
{
	return t->fsm.state == TALK_LIVE && !t->frozen;
}

/* --- the end --- */

static void
set_outcome(struct talk *t, enum outcome_type type, const char *reason)
{
	t->frozen = true;
	t->outcome.type = type;
	str_copy(t->outcome.task, sizeof(t->outcome.task), t->task ? t->task->name : "");
	str_copy(t->outcome.reason, sizeof(t->outcome.reason), reason);
	t->outcome.reference_vars = type == OUTCOME_AGENT ? outcome_reference_vars(t)
							  : json_object();
	t->outcome.transfer_vars = json_object();
	if (t->looped)
		talk_loopback(t, false);
}

void
talk_freeze(struct talk *t, enum outcome_type type, const char *reason)
{
	if (t->frozen || t->fsm.state == TALK_CLOSING || t->fsm.state == TALK_ENDED)
		return;
	set_outcome(t, type, reason);
	talk_feed(t, TALK_EV_FREEZE);
}

void
talk_end(struct talk *t, enum outcome_type type, const char *reason)
{
	talk_freeze(t, type, reason);
}

/* Stops everything, says a short message where somebody can hear it, and goes back as AGENT. */
static void
give_back(struct talk *t, const char *message, const char *reason)
{
	t->parting = true;
	if (talk_is_live(t)) {
		say_hush(t, true);
		if (t->looped)
			talk_loopback(t, false);
		if (!t->held && t->media)
			talk_say(t, message, SAY_FIRM);
	}
	talk_freeze(t, OUTCOME_AGENT, reason);
}

void
talk_fail(struct talk *t, const char *fmt, ...)
{
	va_list args;

	if (t->parting || t->frozen || t->fsm.state == TALK_ENDED)
		return;
	va_start(args, fmt);
	vsnprintf(t->why, sizeof(t->why), fmt, args);
	va_end(args);
	log_warn("agent", "failed", "talk=%llu agent=%s why=%s", (unsigned long long)t->id,
		 t->def->name, log_quote(t->why));
	if (t->fsm.state == TALK_STARTING) {
		talk_feed(t, TALK_EV_FAILED);
		return;
	}
	agent_entry(t, "failed", t->why);
	give_back(t, SAY_FAILED, "agent_failed");
}

static void
on_max_duration(struct loop_timer *timer)
{
	struct talk *t = container_of(timer, struct talk, max_duration);

	if (t->fsm.state == TALK_LIVE) {
		give_back(t, SAY_TIME_UP, "max_duration");
		arm_max_duration(t, OVERDUE_MS);
	} else if (t->fsm.state == TALK_CLOSING && t->held) {
		say_drop_all(t); /* nobody hears it, and the call must not wait for ever */
	} else if (t->fsm.state == TALK_CLOSING) {
		arm_max_duration(t, OVERDUE_MS);
	}
	talk_settle(t);
}

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

/* --- listening --- */

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
	bool wanted = talk_is_live(t) && t->silence_ms > 0 && t->say_count == 0 &&
		      list_empty(&t->calls);

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
	give_back(t, SAY_TIME_UP, reason);
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

/* --- what brains ask --- */

const struct agentdef *
talk_def(const struct talk *t)
{
	return t->def;
}

const struct agent_task *
talk_task(const struct talk *t)
{
	return t->task;
}

bool
talk_is_resumed(const struct talk *t)
{
	return t->resumed;
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

void
talk_heard(struct talk *t, const char *text, const char *how)
{
	emit_event(t, CALL_EVENT_HEARD, json_pack("{s:s,s:s}", "text", text, "how", how));
	transcript_add(t, "caller", text, false);
}

void
talk_note(struct talk *t, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	emit_event(t, CALL_EVENT_NOTE, json_pack("{s:s}", "text", text));
}

bool
talk_enter(struct talk *t, const struct agent_task *task, const char *how)
{
	if (!talk_is_live(t))
		return false;
	if (++t->turn_entries > TALK_ENTRIES_MAX) {
		talk_fail(t, "More than %d tasks were entered in one turn.", TALK_ENTRIES_MAX);
		return false;
	}
	t->task = task;
	t->dirty = true;
	emit_event(t, CALL_EVENT_TASK, json_pack("{s:s,s:s}", "name", task->name, "how", how));
	return true;
}

void
talk_loopback(struct talk *t, bool on)
{
	t->looped = on;
	media_loopback(t->home->media, t->media, on);
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
	ptimer_set(home->loop, &t->deadline, states[TALK_STARTING].deadline_ms, false, on_deadline);
	snapshot_restore(t);
	if (!t->task)
		t->task = t->def->default_task;
	agent_entry(t, "starting", NULL);
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
