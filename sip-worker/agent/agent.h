/* agent.h - conversations: the agent loop and its sessions, as call control sees them.
 *
 * One thread and loop of its own.  Commands may come from any thread and are posted; events reach
 * ops in the mailbox given to agent_create() (the signalling loop).  A session is named by a handle
 * that is never used again; commands to one that is gone do nothing.
 * A session speaks by media_play() and hears digits (and later speech) through agent_digit(). */
#ifndef SIP_WORKER_AGENT_AGENT_H
#define SIP_WORKER_AGENT_AGENT_H

#include <jansson.h>

#include "common/agentdef/agentdef.h"
#include "common/base.h"
#include "common/call_event.h"
#include "common/err.h"
#include "common/mailbox.h"
#include "sip-worker/media/media.h"
#include "sip-worker/speech/speech.h"

struct agent;
typedef uint64_t agent_id; /* 0: none */

enum outcome_type { OUTCOME_SYSTEM, OUTCOME_AGENT };
extern const char *const outcome_type_names[]; /* "SYSTEM", "AGENT", NULL */

/* How a conversation ended: what outputContext will say.  All JSON owned by the receiver. */
struct outcome {
	enum outcome_type type;
	char task[128];         /* currentTaskName */
	json_t *reference_vars; /* object string -> string */
	json_t *transfer_vars;
	char reason[64]; /* "function", "silence", "no_match", "max_duration", "agent_failed",
			    "hangup", "drain" */
};

struct agent_start {
	const struct agentdef *def; /* must outlive the session */
	uint64_t owner;             /* given back in events */
	const char *task;           /* NULL: default task */
	const json_t *input_vars;   /* object; copied */
	const json_t *call;         /* {"from","to","headers":{}}; copied */
	const json_t *snapshot;     /* resume this conversation, or NULL */
};

struct agent_ops {
	/* The brain is connected: the call may be answered. */
	void (*ready)(void *app, uint64_t owner);
	/* It cannot start: refuse the call (480). */
	void (*failed)(void *app, uint64_t owner, const char *why);
	/* A timeline entry; info is the receiver's reference. */
	void (*event)(void *app, uint64_t owner, enum call_event type, json_t *info);
	/* State worth keeping for a reconnection, after every turn; the receiver's reference. */
	void (*snapshot)(void *app, uint64_t owner, json_t *state);
	/* The conversation is over: message_before was played to its last packet and 200 ms more.
	 * out is the receiver's (outcome_finish). Nothing follows but what agent_resume() asks for.
	 */
	void (*ended)(void *app, uint64_t owner, struct outcome *out);
};

struct agent *
agent_create(const struct config *cfg, struct media *m, struct speech *sp, struct mailbox *events,
	     const struct agent_ops *ops, void *app, struct fault *f);
void agent_destroy(struct agent *a); /* stops the thread */

/* Before the answer: ready or failed follows.  BUSY: no room. */
MUST_USE enum err agent_start(struct agent *a, const struct agent_start *s, agent_id *out);
/* The caller is on the line: the first prompt. media is the call's session. */
void agent_begin(struct agent *a, agent_id id, media_id media);
void agent_digit(struct agent *a, agent_id id, char digit);
/* From media's played(). */
void
agent_played(struct agent *a, agent_id id, uint32_t play, enum media_stop_how how, int played_ms);
void agent_hold(struct agent *a, agent_id id, bool held);
/* Drain's end: say a short message and end as AGENT. */
void agent_hand_back(struct agent *a, agent_id id, const char *reason);
/* After ended(): the return failed and the conversation goes on where it was. */
void agent_resume(struct agent *a, agent_id id, const char *why);
/* The call is over: no event follows but what is in the mailbox already. */
void agent_stop(struct agent *a, agent_id id);

void outcome_finish(struct outcome *o);

#endif
