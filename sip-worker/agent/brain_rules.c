/* The brain that needs no model: tasks with messages, intents by key (and later by phrase),
 * silence and no-match rules, exactly as the definition says (DESIGN.md 7). */
#include "sip-worker/agent/brain.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "sip-worker/agent/digits.h"

#define INTENTS_MAX 64 /* of one task that are looked at */

struct rules {
	struct talk *talk;
	struct digits digits;
	int silences, no_matches; /* answered with `say` since the last entry or understood input */
	size_t entry_next;        /* on_entry: the function after the one running */
	uint32_t entry_call;      /* 0: none is running */
};

/* The intents that can be chosen now. */
struct choices {
	const struct agent_intent *intents[INTENTS_MAX];
	const char *keys[INTENTS_MAX];
	size_t count;
};

static void
choices_by_key(struct rules *r, struct choices *c)
{
	const struct agent_task *task = talk_task(r->talk);
	const json_t *context = talk_context(r->talk);

	c->count = 0;
	for (size_t i = 0; i < task->intent_count && c->count < INTENTS_MAX; i++) {
		const struct agent_intent *in = &task->intents[i];

		if (!in->dtmf || !in->dtmf[0])
			continue;
		if (in->action.call && !agentdef_allows(task, in->action.call, context))
			continue;
		c->intents[c->count] = in;
		c->keys[c->count++] = in->dtmf;
	}
}

/* --- tasks and functions --- */

/* Calls on_entry's functions one after the other; those whose condition is false are left out. */
static void
entry_step(struct rules *r)
{
	const struct agent_task *task = talk_task(r->talk);

	r->entry_call = 0;
	while (r->entry_next < task->on_entry_count) {
		const struct agent_function *fn = task->on_entry[r->entry_next++];

		if (!agentdef_allows(task, fn, talk_context(r->talk)))
			continue;
		r->entry_call = talk_call(r->talk, fn, NULL);
		return;
	}
}

static void
enter_task(struct rules *r, const struct agent_task *task, const char *how, bool welcome_back)
{
	if (!talk_enter(r->talk, task, how))
		return;
	r->silences = r->no_matches = 0;
	r->entry_next = 0;
	talk_listen(r->talk, task->on_silence.present ? task->on_silence.after_ms : 0);
	talk_say_tmpl(r->talk,
		      welcome_back && task->resume_message ? task->resume_message : task->message,
		      0);
	entry_step(r);
}

static void
call_function(struct rules *r, const struct agent_action *a, const char *otherwise)
{
	struct fault f = { 0 };
	json_t *args = NULL;

	if (!agentdef_allows(talk_task(r->talk), a->call, talk_context(r->talk))) {
		talk_note(r->talk, "Function %s is not offered now.", a->call->name);
		talk_end(r->talk, OUTCOME_AGENT, otherwise);
		return;
	}
	if (a->with_tmpl &&
	    tmpl_json_render(a->with_tmpl, talk_context(r->talk), &args, &f) != ERR_OK) {
		talk_fail(r->talk, "Arguments of %s: %s", a->call->name, f.what);
		return;
	}
	talk_call(r->talk, a->call, args);
}

static void
act(struct rules *r, const struct agent_action *a, const char *reason)
{
	if (a->call)
		call_function(r, a, reason);
	else if (a->task)
		enter_task(r, a->task, reason, false);
	else if (a->hangup)
		talk_end(r->talk, OUTCOME_SYSTEM, "hangup");
	else
		talk_end(r->talk, OUTCOME_AGENT, reason);
}

static void
reprompt(struct rules *r, const struct agent_reprompt *p, int *said, const char *reason)
{
	if (!p->present)
		return;
	if (p->say && *said < p->times) {
		(*said)++;
		talk_say_tmpl(r->talk, p->say, 0);
	} else {
		act(r, &p->action, reason);
	}
}

/* --- keys --- */

static void
take_digits(struct rules *r, bool late)
{
	char entered[DIGITS_MAX + 1];
	enum digits_result result;
	struct choices c;
	size_t i = 0;

	do { /* ends: each round takes a key off */
		choices_by_key(r, &c);
		result = digits_take(&r->digits, c.keys, c.count, late, &i, entered);
		late = false;
		if (result == DIGITS_MATCH || result == DIGITS_NO_MATCH)
			talk_heard(r->talk, entered, "dtmf");
		if (result == DIGITS_MATCH) {
			r->silences = r->no_matches = 0;
			act(r, &c.intents[i]->action, "intent");
		} else if (result == DIGITS_NO_MATCH) {
			reprompt(r, &talk_task(r->talk)->on_no_match, &r->no_matches, "no_match");
		}
	} while (result != DIGITS_NONE && result != DIGITS_WAIT && talk_is_live(r->talk));
	talk_timer(r->talk, result == DIGITS_WAIT ? DIGITS_GAP_MS : 0);
}

static void
rules_digit(void *state, char digit)
{
	struct rules *r = state;
	struct choices c;

	talk_hush(r->talk);
	r->silences = 0;
	choices_by_key(r, &c);
	digits_add(&r->digits, digit, c.keys, c.count);
	take_digits(r, false);
}

static void
rules_timer(void *state)
{
	take_digits(state, true);
}

/* --- the rest of what happens --- */

static void
rules_called(void *state, const struct call_result *res)
{
	struct rules *r = state;

	if (res->err != ERR_OK)
		talk_fail(r->talk, "Function %s: %s", res->function->name, res->error);
	else if (res->call == r->entry_call)
		entry_step(r);
}

static void
rules_silence(void *state)
{
	struct rules *r = state;

	reprompt(r, &talk_task(r->talk)->on_silence, &r->silences, "silence");
}

static void
rules_begin(void *state)
{
	struct rules *r = state;
	bool resumed = talk_is_resumed(r->talk);

	enter_task(r, talk_task(r->talk), resumed ? "resumed" : "start", resumed);
}

static void
rules_resume(void *state, const char *why)
{
	struct rules *r = state;

	talk_note(r->talk, "The conversation goes on: %s", why);
	digits_clear(&r->digits);
	enter_task(r, talk_task(r->talk), "resumed", true);
}

static enum err
rules_open(struct talk *t, void **state)
{
	struct rules *r = calloc(1, sizeof(*r));
	const struct agent_task *task = talk_task(t);

	if (!r)
		return ERR_NOMEM;
	r->talk = t;
	*state = r;
	talk_prepare(t, talk_is_resumed(t) && task->resume_message ? task->resume_message
								   : task->message);
	talk_ready(t);
	return ERR_OK;
}

static void
rules_close(void *state)
{
	free(state);
}

const struct brain_ops brain_rules = {
	.name = "rules",
	.open = rules_open,
	.begin = rules_begin,
	.resume = rules_resume,
	.digit = rules_digit,
	.said = NULL, /* what was said changes nothing */
	.called = rules_called,
	.silence = rules_silence,
	.timer = rules_timer,
	.close = rules_close,
};
