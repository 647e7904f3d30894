/* call_event.h - the kinds of entries in a call's timeline, the same in both programs.
 * `info` keys are listed; an operator reads them through GET /handback/v1/calls/{id}.
 * The row of a call is a projection of its entries: INVITE or REFUSED makes it. */
#ifndef COMMON_CALL_EVENT_H
#define COMMON_CALL_EVENT_H

/* clang-format off */
#define CALL_EVENT_LIST(X)                                                                    \
	/* symbol     wire           info                                                  */ \
	X(INVITE,    "invite")    /* account transfer from to source transport call_id mode   */ \
	X(REFUSED,   "refused")   /* the same, and status reason: no call came of the INVITE  */ \
	X(CLAIMED,   "claimed")   /* transfer conversation                                    */ \
	X(RELEASED,  "released")  /* reason                                                   */ \
	X(AGENT,     "agent")     /* state: starting|ready|failed, agent, task, error         */ \
	X(RINGING,   "ringing")                                                                 \
	X(ANSWERED,  "answered")  /* codec local remote ptime: the 200 left                   */ \
	X(CONFIRMED, "confirmed") /* ACK arrived                                              */ \
	X(MEDIA,     "media")     /* state: first_rtp|hold|resume|changed|latched|timeout     */ \
	X(DTMF,      "dtmf")      /* digit source duration_ms                                 */ \
	X(SAID,      "said")      /* text, played_ms, cut                                     */ \
	X(HEARD,     "heard")     /* text, how: dtmf|speech                                   */ \
	X(TASK,      "task")      /* name, how                                                */ \
	X(FUNCTION,  "function")  /* name arguments result error                              */ \
	X(NOTE,      "note")      /* text: a dropped variable, an unknown task, …             */ \
	X(OUTCOME,   "outcome")   /* transferType currentTaskName reason                      */ \
	X(COMMITTED, "committed") /* the outcome is durable                                   */ \
	X(RETURN,    "return")    /* type: BYE|REFER|INVITE, state, status, reason            */ \
	X(BYE,       "bye")       /* by: caller|us, reason                                    */ \
	X(ENDED,     "ended")     /* cause, duration_ms, rtp statistics                       */ \
	X(LOST,      "lost")      /* reason: the worker or the link died; written by api-server */
/* clang-format on */

enum call_event {
#define X(sym, wire) CALL_EVENT_##sym,
	CALL_EVENT_LIST(X)
#undef X
		CALL_EVENT_COUNT
};

extern const char *const call_event_names[CALL_EVENT_COUNT + 1];

#endif
