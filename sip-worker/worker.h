/* worker.h - the process: its parts, its calls, its limits, its end.
 *
 *   main ─ worker ─┬─ sip       (signalling: sofia's loop, ours nested in it)
 *                  ├─ calls     (call.c, call_fsm.c)
 *                  ├─ control ── outbox ── spool (thread)
 *                  ├─ media     (threads)
 *                  ├─ agent     (thread)
 *                  └─ speech    (threads)
 *
 * Signalling loop only; the other loops reach it through `mailbox`. */
#ifndef SIP_WORKER_WORKER_H
#define SIP_WORKER_WORKER_H

#include "common/config.h"
#include "common/list.h"
#include "common/loop.h"
#include "common/mailbox.h"
#include "common/map.h"
#include "sip-worker/agent/agent.h"
#include "sip-worker/call.h"
#include "sip-worker/control.h"
#include "sip-worker/media/media.h"
#include "sip-worker/outbox.h"
#include "sip-worker/report.h"
#include "sip-worker/sip/sip.h"
#include "sip-worker/speech/speech.h"

/* A configuration in force, and how many calls still live under it: it is freed after the last. */
struct generation {
	struct list node; /* worker.generations, newest last */
	struct config *cfg;
	size_t calls;
	int64_t idle_since_ms;
};

struct worker_counts {
	int64_t accepted, answered, refused, handed_back, hung_up, lost, shed;
};

struct worker {
	struct loop *loop;
	struct mailbox *mailbox; /* events of media, agent and spool */
	struct config *cfg;      /* the newest; the first stays until the end: the parts hold it */
	struct list generations;

	struct sip *sip;
	struct media *media;
	struct speech *speech;
	struct agent *agent;
	struct spool *spool;
	struct control *control;
	struct outbox *outbox;
	struct report *report;

	struct list calls;     /* struct call::node */
	struct list graveyard; /* struct call::node, freed at the end of the turn */
	struct loop_timer reap;
	struct call **slots; /* by the lower half of a handle */
	uint32_t *slot_gen;
	uint32_t *free_slots;
	size_t slot_count, free_count;
	size_t call_count;
	struct map *by_account; /* name -> struct account_use */
	struct worker_counts counts;

	bool draining, said_ready;
	int drain_away; /* checks in a row that found api-server away */
	struct loop_timer drain, drained, probe, recycle;
	int64_t probe_due_ms, lag_ms;
};

/* Takes cfg.  NULL with f set. */
struct worker *worker_create(struct config *cfg, struct fault *f);
void worker_destroy(struct worker *w);
/* Until drained or stopped. */
void worker_run(struct worker *w);
/* SIGTERM: no new calls, ends when the last is over; at worker.drain the rest goes back as AGENT.
 * A second one ends at once. */
void worker_drain(struct worker *w, const char *why);
/* SIGHUP: takes cfg. */
void worker_set_config(struct worker *w, struct config *cfg);

/* By handle; NULL: gone. */
struct call *worker_call(struct worker *w, uint64_t handle);
/* A slot for c (its handle is set); false: full. */
MUST_USE bool worker_adopt(struct worker *w, struct call *c);
/* ENDED: out of every index now, freed at the end of the turn. */
void worker_bury(struct worker *w, struct call *c);

/* gate.c */
int worker_gate(void *app, const struct account *account, const char **why);
void worker_count_account(struct worker *w, const struct account *a, int delta);

/* heartbeat.c */
void worker_heartbeat(struct worker *w, struct msg_heartbeat *h);

#endif
