/* prefetch.h - the fixed prompts of agents, synthesised before anybody waits for them.
 * Agent loop only. */
#ifndef SIP_WORKER_AGENT_PREFETCH_H
#define SIP_WORKER_AGENT_PREFETCH_H

#include "common/agentdef/agentdef.h"
#include "sip-worker/speech/speech.h"

#define PREFETCH_SEEN 64

/* What the worker itself may have to say. */
#define SAY_TIME_UP "I have to end our conversation here. Please hold the line."
#define SAY_FAILED  "I am sorry, something went wrong. Please hold the line."

struct prefetch {
	const struct agentdef *seen[PREFETCH_SEEN]; /* compared only, never followed */
	size_t next;
};

/* Once for each definition (again after a reload). Texts with variables in them are left to
 * their moment. */
void prefetch_agent(struct prefetch *p, struct speech *sp, const struct agentdef *def);

#endif
