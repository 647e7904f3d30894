/* worker_internal.h - what the worker's files share.
 *
 *   worker.c         birth and death, calls by handle
 *   worker_events.c  what SIP, media and agent tell us
 *   worker_link.c    what the control link asks and tells
 *   worker_config.c  configurations in force
 *   worker_drain.c   the end
 *   gate.c           what may come in
 *   heartbeat.c      what we say of ourselves */
#ifndef SIP_WORKER_WORKER_INTERNAL_H
#define SIP_WORKER_WORKER_INTERNAL_H

#include "sip-worker/worker.h"

extern const struct sip_ops worker_sip_ops;
extern const struct media_ops worker_media_ops;
extern const struct agent_ops worker_agent_ops;
extern const struct control_ops worker_control_ops;

/* Takes cfg, always; it is the newest from now on. */
MUST_USE bool worker_add_config(struct worker *w, struct config *cfg);

#endif
