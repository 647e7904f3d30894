/* talk.h - one conversation, as the agent's own files see it (brains see brain.h).
 *
 * Owned by the agent's table; created on any thread, then the agent loop only.  Every entry from
 * outside (command, timer, speech, media) acts and ends with talk_settle(), which moves queues on,
 * so that callbacks do not nest.  Commands destroy a talk, its own callbacks never do. */
#ifndef SIP_WORKER_AGENT_TALK_H
#define SIP_WORKER_AGENT_TALK_H

#include "common/fsm.h"
#include "common/list.h"
#include "common/loop.h"
#include "sip-worker/agent/agent.h"
#include "sip-worker/agent/brain.h"
#include "sip-worker/agent/ptimer.h"
#include "sip-worker/speech/speech.h"

#define TALK_SPEECH_DEADLINE_MS 10000 /* for the synthesis of one text */
#define TALK_PLAYOUT_SLACK_MS   5000  /* beyond a clip's length until media must have reported */
#define TALK_TAIL_MS            200   /* after the last packet, before ended() */
#define TALK_PREPARE_MS         2000  /* ready waits so long for the first message */
#define TALK_CALLS_MAX          32    /* function calls in one turn */
#define TALK_ENTRIES_MAX        16    /* task entries in one turn */
#define TALK_EVENTS_MAX         256   /* waiting for room in the app's mailbox */

enum talk_state {
	TALK_STARTING,
	TALK_READY,
	TALK_LIVE,
	TALK_CLOSING,
	TALK_ENDED,
	TALK_STATE_COUNT
};
enum talk_event {
	TALK_EV_READY,  /* the brain can take the call, its first words are prepared */
	TALK_EV_FAILED, /* the brain cannot go on */
	TALK_EV_BEGIN,  /* the caller is on the line */
	TALK_EV_FREEZE, /* the outcome is decided */
	TALK_EV_SPOKEN, /* nothing is left to say, and TALK_TAIL_MS more */
	TALK_EV_RESUME, /* the return failed */
	TALK_EV_DEADLINE,
	TALK_EVENT_COUNT
};
extern const struct fsm_def talk_fsm;

/* Where talks live: what agent.c lends them. */
struct talk_home {
	struct loop *loop;
	struct media *media;
	struct speech *speech;
	struct mailbox *events;
	const struct agent_ops *ops;
	void *app;
	struct list backlog; /* of talks with events waiting */
	struct loop_timer retry;
	struct loop_end wake; /* the app, once for the events of a turn */
};

struct talk {
	struct list link; /* in the agent's table */
	agent_id id;
	uint64_t owner;
	struct talk_home *home;
	const struct agentdef *def;
	const struct brain_ops *brain;
	void *brain_state;
	struct fsm fsm;
	struct ptimer deadline; /* of the state */
	struct loop_timer max_duration;
	media_id media;
	bool held;

	/* what is known */
	const struct agent_task *task;
	bool task_unknown; /* the one asked for */
	json_t *snapshot;  /* to resume, until talk_open() */
	bool resumed;
	json_t *context; /* owns the next three */
	json_t *vars, *input_vars, *responses;
	json_t *transcript;
	size_t transcript_bytes;
	bool dirty;                        /* a snapshot is due */
	unsigned turn_calls, turn_entries; /* since the caller last did something */

	/* speaking (say.c) */
	struct list says; /* of struct say */
	unsigned say_count;
	uint32_t next_say;
	struct ptimer speak; /* deadline or retry of the first */
	struct ptimer tail;
	int64_t quiet_since; /* loop time at which the last clip ended */
	struct speech_job prepared;
	struct loop_timer prepare;
	bool brain_ready;

	/* listening */
	int64_t silence_ms;
	struct ptimer silence, brain_timer;

	/* functions (functions.c) */
	struct list calls; /* of struct call */
	uint32_t next_call;

	bool parting; /* the last message is being arranged: nothing can fail any more */
	bool frozen;  /* the outcome is decided */
	bool looped;  /* the caller hears himself */
	struct outcome outcome;
	char why[160]; /* of a failure */

	/* events on their way to the app (emit.c) */
	struct list backlog_link;
	struct list events; /* of struct talk_message */
	unsigned event_count;
	struct talk_message *reserve[2]; /* for "ready" or "failed", and for "ended" */
};

/* --- talk_fsm.c --- */
void talk_feed(struct talk *t, enum talk_event ev);
void talk_arm(struct talk *t); /* the state's deadline */
/* The outcome is what t->outcome says from now on. */
void talk_freeze(struct talk *t, enum outcome_type type, const char *reason);
/* Stops everything, says a short message where it can be heard, and goes back as AGENT. */
void talk_give_back(struct talk *t, const char *message, const char *reason);

/* --- talk.c --- */
/* NULL: no memory. Copies what s lends. */
struct talk *talk_create(const struct agent_start *s);
void talk_destroy(struct talk *t); /* NULL ok */
void talk_open(struct talk *t, struct talk_home *home);
void talk_begin(struct talk *t, media_id media);
void talk_digit(struct talk *t, char digit);
void talk_played(struct talk *t, uint32_t play, enum media_stop_how how, int played_ms);
void talk_hold(struct talk *t, bool held);
void talk_hand_back(struct talk *t, const char *reason);
void talk_resume(struct talk *t, const char *why);
void talk_settle(struct talk *t);

/* --- say.c --- */
bool say_step(struct talk *t); /* moves the first one on; false: it waits */
void say_hush(struct talk *t, bool firm_too);
void say_played(struct talk *t, uint32_t play, enum media_stop_how how, int played_ms);
void say_drop_all(struct talk *t); /* without a word to anybody */

/* --- functions.c --- */
bool fn_deliver(struct talk *t); /* one result to the brain; false: none waits */
void fn_drop_all(struct talk *t);

/* --- vars.c --- */
MUST_USE bool vars_init(struct talk *t, const json_t *input, const json_t *call);
/* Bounded; what does not fit is dropped with a note. value is taken. */
void vars_set(struct talk *t, json_t *map, const char *name, json_t *value);

/* --- outcome.c --- */
/* object string -> string of what stands in vars. */
json_t *outcome_reference_vars(struct talk *t);
json_t *outcome_transfer_vars(struct talk *t, const struct agent_function *fn,
			      const json_t *context, const json_t *args);

/* --- snapshot.c --- */
void transcript_add(struct talk *t, const char *who, const char *text, bool cut);
json_t *snapshot_take(const struct talk *t);
/* Uses up t->snapshot; a task asked for goes before the one in it.  Ignores what it cannot use. */
void snapshot_restore(struct talk *t);

/* --- emit.c --- */
void emit_ready(struct talk *t);
void emit_failed(struct talk *t, const char *why);
/* A JSON string of at most max bytes, cut between characters. */
json_t *emit_text(const char *text, size_t max);
void emit_agent(struct talk *t, const char *state, const char *error); /* error may be NULL */
void emit_event(struct talk *t, enum call_event type,
		json_t *info); /* takes info; NULL: no memory, nothing */
void emit_snapshot(struct talk *t);
void emit_ended(struct talk *t);
/* Memory for what must be told; false: not all of it. */
bool emit_reserve(struct talk *t);
void emit_drop_all(struct talk *t); /* and the reserve */

#endif
