/* call.h - one call: what it owns and what can be done to it.  The life is in call_fsm.c, drawn.
 *
 * A call owns its leg, its media session, its agent session and its claim.  Others name it by its
 * handle (slot and generation), which is never used again, so that a late event finds nobody.
 * Signalling loop only. */
#ifndef SIP_WORKER_CALL_H
#define SIP_WORKER_CALL_H

#include "common/call_event.h"
#include "common/fsm.h"
#include "common/list.h"
#include "common/msg.h"
#include "sip-worker/agent/agent.h"
#include "sip-worker/media/media.h"
#include "sip-worker/sip/dial.h"
#include "sip-worker/sip/refer.h"
#include "sip-worker/sip/sip.h"

struct worker;

/* clang-format off */
#define CALL_STATES(X)                                                                       \
	/* symbol      deadline   why it cannot last for ever                              */ \
	X(NEW,              0) /* left before invite() returns                             */ \
	X(CLAIMING,      2000) /* api-server does not answer: 503                          */ \
	X(STARTING,         0) /* the account's agent_start_timeout, armed on entry: 480   */ \
	X(ANSWERED,       500) /* the conversation begins without the ACK                  */ \
	X(OFFERED,          0) /* delayed offer: the leg ends without an ACK (64*T1)       */ \
	X(TALKING,          0) /* the agent's max_duration, media and session timers       */ \
	X(COMMITTING,    2000) /* handed back anyway, the outcome is spooled               */ \
	X(SPOOLING,       100) /* the disk is waited for so long and no longer             */ \
	X(HANDING,          0) /* left before the action that entered it returns           */ \
	X(REFERRING,        0) /* the account's refer_timeout, refer_ring_timeout          */ \
	X(DIALLING,         0) /* ring_timeout and a little                              */ \
	X(BRIDGED,          0) /* media and session timers of both legs                    */ \
	X(RETURNING,    35000) /* the BYE's transaction gives up before                    */ \
	X(CLOSING,       2000) /* media's last statistics                                  */ \
	X(ENDED,            0) /* freed at the end of the turn                             */

#define CALL_EVENTS(X)                                                                       \
	X(INVITE)         /* admitted: claim the transfer                                  */ \
	X(CLAIMED)                                                                           \
	X(REFUSED)        /* the claim was refused, or could not be asked for              */ \
	X(READY)          /* the agent is connected                                        */ \
	X(READY_DELAYED)  /* likewise, and the INVITE had no offer                         */ \
	X(UNREADY)        /* no agent, no media port                                       */ \
	X(ACK)                                                                               \
	X(FIRST_RTP)                                                                         \
	X(CANCEL)         /* the caller left before the answer                             */ \
	X(HANGUP)         /* BYE from the caller                                           */ \
	X(LEG_LOST)       /* no ACK, session timer, transport                              */ \
	X(MEDIA_TIMEOUT)                                                                     \
	X(OUTCOME)        /* the agent is done and has spoken                              */ \
	X(COMMITTED)      /* the outcome is durable                                        */ \
	X(SPOOLED)        /* likewise, on our own disk                                     */ \
	X(GIVEN_UP)       /* api-server gave the call to nobody: it was reaped             */ \
	X(HAND_BACK)      /* the drain's end                                               */ \
	X(GO_BYE)         /* HANDING: which way                                            */ \
	X(GO_REFER)                                                                          \
	X(GO_INVITE)                                                                         \
	X(GO_AGENT)       /* the return failed, the conversation goes on                   */ \
	X(REFER_PROGRESS)                                                                    \
	X(REFER_DONE)     /* the far end answered, or nobody will say                      */ \
	X(RETURN_FAILED)  /* REFER or INVITE                                               */ \
	X(FAR_PROGRESS)                                                                      \
	X(FAR_ANSWERED)                                                                      \
	X(FAR_GONE)       /* the far end hung up or was lost                               */ \
	X(HUNG_UP)        /* our BYE is answered                                           */ \
	X(CLOSED)         /* the media session is gone                                     */ \
	X(DEADLINE)
/* clang-format on */

enum call_state {
#define X(sym, ms) CALL_##sym,
	CALL_STATES(X)
#undef X
		CALL_STATE_COUNT
};

enum call_ev {
#define X(sym) EV_##sym,
	CALL_EVENTS(X)
#undef X
		CALL_EV_COUNT
};

extern const struct fsm_def call_fsm; /* owner: struct call */

/* One side of a call: a dialog and its media. */
struct call_party {
	struct call *call;
	struct sip_leg *leg;      /* NULL: none (any more) */
	struct media_open params; /* remote, latching */
	struct media_local local;
	media_id media; /* 0: none */
	bool held, closing;
	struct media_stats stats; /* once closed */
	bool has_stats;
};

/* The owner that media events of the far party name. */
#define CALL_FAR (UINT64_C(1) << 31)

struct call {
	struct list node; /* worker.calls, or worker.graveyard once ENDED */
	struct worker *worker;
	struct generation *gen; /* the configuration it began under */
	const struct account *account;
	uint64_t handle;
	char id[ID_TOKEN_SIZE], token[ID_TOKEN_SIZE];
	struct fsm fsm;
	struct loop_timer deadline;
	int64_t started_ms, answered_ms; /* monotonic; 0: not yet */
	int64_t seq;                     /* of the last timeline entry */

	struct call_party caller, far; /* far: of an INVITE return */
	bool has_offer;                /* the INVITE's; else the ACK answers ours */
	bool tls;                      /* the way the INVITE came */
	bool keys_noted;               /* keys that anybody on the way may have read */
	agent_id agent;                /* 0: none */

	bool claimed; /* the claim is ours: neither released nor given up */
	struct msg_claim_reply claim;
	struct msg_claim ask; /* kept until the reply */
	json_t *sip_info;     /* {"from","to","headers"} for the agent */
	enum return_type return_type;
	char task[128]; /* the agent's, for an early hang-up */

	bool header_mode;       /* a return carries the context */
	bool completed;         /* its outcome is on its way, or durable */
	bool return_failed;     /* once: REFER or INVITE */
	bool give_back;         /* by return_type; else (lost, timed out) by BYE alone */
	struct outcome outcome; /* the last one: what a return carries */
	const char *end_cause;  /* static text: why it ended */
	const char *bye_reason; /* static text: Reason of our BYE */
	char last_digit;        /* one press may come twice, as RFC 4733 and as INFO */
	const char *last_digit_source;
	int64_t last_digit_ms;
	int refuse_status;      /* REFUSED, UNREADY */
	const char *refuse_why; /* static text */
	int retry_after_s;
};

/* --- call.c: data and operations --- */

/* From an admitted INVITE; NULL: no memory or no slot (the caller refuses). */
struct call *call_create(struct worker *w, struct sip_leg *leg, const struct sip_invite *inv);
void call_free(struct call *c);
/* arg: OUTCOME's struct outcome, else NULL; borrowed. */
void call_feed(struct call *c, enum call_ev ev, const void *arg);
/* A digit from media or SIP; the same press through another source is ignored. */
void call_digit(struct call *c, char digit, int duration_ms, const char *source);
/* NULL where it is in clear. */
const char *call_suite(const struct media_remote *remote);
/* A re-INVITE was answered, or a delayed offer's ACK came. */
void call_media_changed(struct call *c, struct call_party *p, const struct media_remote *remote);
/* Sends the claim; REFUSED is posted when it cannot be. */
void call_claim(struct call *c);
/* Puts the unconfirmed outcome on our own disk; SPOOLED follows, or the state's deadline. */
void call_spool(struct call *c);
/* (Re)arms the deadline of the state it is in. */
void call_arm(struct call *c, int64_t ms);
/* A timeline entry; takes info (NULL: {}), always. */
void call_report(struct call *c, enum call_event type, json_t *info);
/* Gives up the claim: it becomes ACTIVE again. */
void call_release(struct call *c, const char *reason);
/* The outcome is told to api-server; out is borrowed, NULL: none.  COMMITTED follows when durable.
 */
void call_complete(struct call *c, json_t *output, const char *reason);
json_t *call_output(const struct outcome *o); /* outputContext; new */
json_t *
call_disconnect_output(const struct call *c); /* CALLER_DISCONNECT, or NULL by configuration */
/* Lets go of legs, agent and media; CLOSED follows. */
void call_close(struct call *c, const char *cause);
void call_party_close(struct call *c, struct call_party *p);

/* --- call_return.c: the three ways back --- */

/* Keeps what a return will carry; takes o's maps. */
void call_keep_outcome(struct call *c, struct outcome *o);
void call_bye(struct call *c);   /* with the context on it in header mode */
void call_refer(struct call *c); /* RETURN_FAILED is posted when it cannot be */
void call_dial(struct call *c);  /* likewise */
void call_bridge(struct call *c);
/* The failure is in the timeline; posts GO_BYE or GO_AGENT, by on_failure. */
void call_return_failed(struct call *c);
extern const struct sip_dial_ops call_dial_ops;
void call_on_refer(struct call *c, const struct sip_refer *r);

#endif
