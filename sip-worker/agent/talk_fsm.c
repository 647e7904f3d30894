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

#include "common/log.h"
#include "common/str.h"
#include "sip-worker/agent/prefetch.h"

#define OVERDUE_MS 10000 /* max_duration found somebody saying good-bye: look again */

/* clang-format off */
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
act_ready(void *owner, const void *arg)
{
	(void)arg;
	emit_agent(owner, "ready", NULL);
	emit_ready(owner);
}

static void
act_refuse(void *owner, const void *arg)
{
	struct talk *t = self(owner);

	(void)arg;
	if (!t->why[0])
		str_copy(t->why, sizeof(t->why), "the agent did not become ready in time");
	emit_agent(t, "failed", t->why);
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

void
talk_arm(struct talk *t)
{
	int ms = states[t->fsm.state].deadline_ms;

	ptimer_cancel(t->home->loop, &t->deadline);
	if (ms > 0)
		ptimer_set(t->home->loop, &t->deadline, ms, t->held && t->fsm.state == TALK_CLOSING,
			   on_deadline);
}

static void
enter_state(void *owner, int from, int to, int event)
{
	struct talk *t = self(owner);

	log_debug("agent", "state", "talk=%llu owner=%llu from=%s on=%s to=%s",
		  (unsigned long long)t->id, (unsigned long long)t->owner, states[from].name,
		  event_names[event], states[to].name);
	talk_arm(t);
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
void
talk_give_back(struct talk *t, const char *message, const char *reason)
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
	emit_agent(t, "failed", t->why);
	talk_give_back(t, SAY_FAILED, "agent_failed");
}

static void
on_max_duration(struct loop_timer *timer)
{
	struct talk *t = container_of(timer, struct talk, max_duration);

	if (t->fsm.state == TALK_LIVE) {
		talk_give_back(t, SAY_TIME_UP, "max_duration");
		arm_max_duration(t, OVERDUE_MS);
	} else if (t->fsm.state == TALK_CLOSING && t->held) {
		say_drop_all(t); /* nobody hears it, and the call must not wait for ever */
	} else if (t->fsm.state == TALK_CLOSING) {
		arm_max_duration(t, OVERDUE_MS);
	}
	talk_settle(t);
}
