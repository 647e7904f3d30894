/* brain.h - what decides in a conversation, and what it may ask of it.
 *
 * A brain decides; it never touches SIP, media or the app.  It is told what happens through
 * struct brain_ops and acts through the talk_… functions below, which only queue: none of them
 * calls back into the brain, so a brain's callbacks never nest.  Everything on the agent loop.
 * A new brain is one file and one row in brains[] (talk.c). */
#ifndef SIP_WORKER_AGENT_BRAIN_H
#define SIP_WORKER_AGENT_BRAIN_H

#include <jansson.h>

#include "common/agentdef/agentdef.h"
#include "common/base.h"
#include "common/err.h"
#include "sip-worker/agent/agent.h"

struct talk; /* one conversation */

/* What came of talk_call(). Borrowed during the callback. */
struct call_result {
	uint32_t call;
	const struct agent_function *function;
	enum err err; /* not OK: error says why */
	const char *error;
	const json_t *response; /* NULL on error */
};

/* NULL: not wanted. */
struct brain_ops {
	const char *name;
	/* Before the answer.  *state is the brain's. talk_ready() or talk_fail() must follow, now
	 * or later. On error nothing is opened. */
	enum err (*open)(struct talk *t, void **state);
	void (*begin)(void *state); /* the caller is on the line */
	void (*resume)(void *state,
		       const char *why); /* the return failed; the conversation goes on */
	void (*digit)(void *state, char digit);
	void (*heard)(void *state, const char *text); /* speech recognised while listening */
	void (*said)(void *state, uint32_t say, bool cut, int played_ms);
	void (*called)(void *state, const struct call_result *r);
	void (*silence)(void *state); /* talk_listen()'s time has passed */
	void (*timer)(void *state);   /* talk_timer()'s */
	void (*close)(void *state);   /* frees; last call */
};

extern const struct brain_ops brain_rules, brain_echo;

/* --- what it may look at --- */
const struct agentdef *talk_def(const struct talk *t);
const struct agent_task *talk_task(const struct talk *t);
bool talk_is_resumed(const struct talk *t);
/* false: the outcome is decided or not yet begun; what it asks for is ignored. */
bool talk_is_live(const struct talk *t);
/* Root names of templates and expressions, up to date; borrowed until the next talk_… call. */
const json_t *talk_context(struct talk *t);
/* [{"who":"agent"|"caller","text"}], oldest first; borrowed. */
const json_t *talk_transcript(const struct talk *t);

/* --- what it may ask --- */
/* It can take the call (once, before begin). */
void talk_ready(struct talk *t);
/* It cannot go on: before the answer the call is refused; later the caller hears a short message
 * and goes back as AGENT. */
PRINTF(2, 3) void talk_fail(struct talk *t, const char *fmt, ...);

enum say_flags { SAY_FIRM = 1 /* barge-in does not stop it */ };
/* Speaks after what is queued; said() follows for the number returned.  0: nothing to say.
 * At most SAY_QUEUE_MAX wait; more is a failure of the brain. */
#define SAY_QUEUE_MAX 16
uint32_t talk_say(struct talk *t, const char *text, unsigned flags);
uint32_t talk_say_tmpl(struct talk *t, const struct tmpl *text, unsigned flags); /* NULL: nothing */
/* Synthesise ahead; before talk_ready() it also delays the answer, 2 s at most. */
void talk_prepare(struct talk *t, const struct tmpl *text);
/* Barge-in: stops what is spoken or queued, up to the first firm one. */
void talk_hush(struct talk *t);

/* silence() after so long without speech, input or a running function; again after each; 0: never.
 * Held calls wait. */
void talk_listen(struct talk *t, int64_t silence_ms);
void talk_timer(struct talk *t, int64_t ms); /* one per brain; 0: cancel */
/* Something was understood: into timeline and transcript. how: "dtmf" or "speech". */
void talk_heard(struct talk *t, const char *text, const char *how);
PRINTF(2, 3) void talk_note(struct talk *t, const char *fmt, ...);

/* Enters a task (also the same again). false: too many in one turn; the talk has failed. */
MUST_USE bool talk_enter(struct talk *t, const struct agent_task *task, const char *how);
/* Runs a function; args (object or NULL) is taken.  called() follows, except after a transfer,
 * which ends the conversation.  Returns its number; 0: the talk is over or has failed. */
uint32_t talk_call(struct talk *t, const struct agent_function *fn, json_t *args);
/* Hands the call back with reference variables as they stand (AGENT) or empty maps (SYSTEM). */
void talk_end(struct talk *t, enum outcome_type type, const char *reason);
/* Gives the caller back what it says. */
void talk_loopback(struct talk *t, bool on);

#endif
