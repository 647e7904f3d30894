/* The life of a call.
 *
 *           INVITE            CLAIMED               READY                 ACK, first RTP, 500 ms
 *     NEW ─────────▶ CLAIMING ────────▶ STARTING ───────────▶ ANSWERED ──────────────────┐
 *                       │                  │ READY_DELAYED ──▶ OFFERED ───── ACK ────────┤
 *             refused,  │        no agent, │                                             ▼
 *             CANCEL,   │        CANCEL:   │                          ┌─────────────▶ TALKING
 *             2 s: 503  │        release   │                on_failure:│                  │ outcome,
 *                       ▼                  ▼                  agent  │                  │ media timeout
 *                    CLOSING            CLOSING                      │                  ▼
 *                                                                    │             COMMITTING ──2 s──▶ SPOOLING
 *                                          ┌──────── REFER ───────── HANDING ◀─────────┴── durable ────────┘
 *                                          ▼                         │ ▲ │ ▲
 *                                      REFERRING ────── failed ──────┼─┘ │ └────────── failed, timeout ─┐
 *                                          │                     BYE │   └─── INVITE ──▶ DIALLING ──────┤
 *                       answered, silence  │                         ▼                                  │ answered
 *                                          └──────────────────▶ RETURNING ◀───── far end gone ────── BRIDGED
 *                                                                    │ BYE answered
 *                        media gone                                  ▼
 *               ENDED ◀───────────────────────────────────────── CLOSING ◀── the caller hangs up, from every state
 *
 * The outcome is durable before BYE, REFER or INVITE leaves; a caller is never kept longer than
 * 2.1 s for it. */
#include "sip-worker/call_act.h"

#include "common/log.h"
#include "sip-worker/worker.h"

static void
on_deadline(struct loop_timer *t)
{
	call_feed(container_of(t, struct call, deadline), EV_DEADLINE, NULL);
}

void
call_arm(struct call *c, int64_t ms)
{
	if (!loop_timer_set(c->worker->loop, &c->deadline, ms, on_deadline))
		log_err("call", "no_deadline", "call=%s", c->id);
}

/* The outbound leg keeps the ring timeout itself; this is for one that does not end. */
#define DIAL_SPARE_MS 5000

/* clang-format off */
static const struct fsm_rule rules[] = {
	/* in               on                go               do                  */
	{ CALL_NEW,        EV_INVITE,        CALL_CLAIMING,   act_claim           },

	{ CALL_CLAIMING,   EV_CLAIMED,       CALL_STARTING,   act_start           },
	{ CALL_CLAIMING,   EV_REFUSED,       CALL_CLOSING,    act_refuse_claim    },
	{ CALL_CLAIMING,   EV_DEADLINE,      CALL_CLOSING,    act_claim_timeout   },
	{ CALL_CLAIMING,   EV_GIVEN_UP,      CALL_CLOSING,    act_claim_timeout   },
	{ CALL_CLAIMING,   EV_CANCEL,        CALL_CLOSING,    act_abandon         },
	{ CALL_CLAIMING,   EV_LEG_LOST,      CALL_CLOSING,    act_abandon         },

	{ CALL_STARTING,   EV_READY,         CALL_ANSWERED,   act_answer          },
	{ CALL_STARTING,   EV_READY_DELAYED, CALL_OFFERED,    act_answer          },
	{ CALL_STARTING,   EV_UNREADY,       CALL_CLOSING,    act_refuse_agent    },
	{ CALL_STARTING,   EV_DEADLINE,      CALL_CLOSING,    act_refuse_agent    },
	{ CALL_STARTING,   EV_GIVEN_UP,      CALL_CLOSING,    act_refuse_given_up },
	{ CALL_STARTING,   EV_CANCEL,        CALL_CLOSING,    act_abandon         },
	{ CALL_STARTING,   EV_LEG_LOST,      CALL_CLOSING,    act_abandon         },

	{ CALL_ANSWERED,   EV_ACK,           CALL_TALKING,    act_begin           },
	{ CALL_ANSWERED,   EV_FIRST_RTP,     CALL_TALKING,    act_begin           },
	{ CALL_ANSWERED,   EV_DEADLINE,      CALL_TALKING,    act_begin           },
	{ CALL_OFFERED,    EV_ACK,           CALL_TALKING,    act_begin           },

	{ CALL_ANSWERED,   EV_HANGUP,        CALL_CLOSING,    act_caller_gone     },
	{ CALL_OFFERED,    EV_HANGUP,        CALL_CLOSING,    act_caller_gone     },
	{ CALL_TALKING,    EV_HANGUP,        CALL_CLOSING,    act_caller_gone     },
	{ CALL_ANSWERED,   EV_LEG_LOST,      CALL_CLOSING,    act_lost            },
	{ CALL_OFFERED,    EV_LEG_LOST,      CALL_CLOSING,    act_lost            },
	{ CALL_TALKING,    EV_LEG_LOST,      CALL_CLOSING,    act_lost            },
	{ CALL_ANSWERED,   EV_GIVEN_UP,      CALL_RETURNING,  act_given_up        },
	{ CALL_OFFERED,    EV_GIVEN_UP,      CALL_RETURNING,  act_given_up        },
	{ CALL_TALKING,    EV_GIVEN_UP,      CALL_RETURNING,  act_given_up        },

	{ CALL_TALKING,    EV_OUTCOME,       CALL_COMMITTING, act_commit          },
	{ CALL_TALKING,    EV_MEDIA_TIMEOUT, CALL_COMMITTING, act_commit_timeout  },
	{ CALL_TALKING,    EV_HAND_BACK,     FSM_SAME,        act_hand_back       },

	{ CALL_COMMITTING, EV_COMMITTED,     CALL_HANDING,    act_hand_over         },
	{ CALL_COMMITTING, EV_DEADLINE,      CALL_SPOOLING,   act_spool             },
	{ CALL_SPOOLING,   EV_COMMITTED,     CALL_HANDING,    act_hand_over         },
	{ CALL_SPOOLING,   EV_SPOOLED,       CALL_HANDING,    act_hand_over_spooled },
	{ CALL_SPOOLING,   EV_DEADLINE,      CALL_HANDING,    act_hand_over_anyway  },
	/* The outcome was frozen and is on its way: it stands. */
	{ CALL_COMMITTING, EV_HANGUP,        CALL_CLOSING,    act_caller_left       },
	{ CALL_COMMITTING, EV_LEG_LOST,      CALL_CLOSING,    act_close             },
	{ CALL_SPOOLING,   EV_HANGUP,        CALL_CLOSING,    act_caller_left       },
	{ CALL_SPOOLING,   EV_LEG_LOST,      CALL_CLOSING,    act_close             },

	{ CALL_HANDING,    EV_GO_BYE,        CALL_RETURNING,  act_bye               },
	{ CALL_HANDING,    EV_GO_REFER,      CALL_REFERRING,  act_refer             },
	{ CALL_HANDING,    EV_GO_INVITE,     CALL_DIALLING,   act_dial              },
	{ CALL_HANDING,    EV_GO_AGENT,      CALL_TALKING,    act_resume            },

	{ CALL_REFERRING,  EV_REFER_PROGRESS, FSM_SAME,       act_refer_progress    },
	{ CALL_REFERRING,  EV_REFER_DONE,    CALL_RETURNING,  act_bye               },
	{ CALL_REFERRING,  EV_RETURN_FAILED, CALL_HANDING,    act_return_failed     },
	{ CALL_REFERRING,  EV_DEADLINE,      CALL_RETURNING,  act_refer_silent      },
	{ CALL_REFERRING,  EV_HANGUP,        CALL_CLOSING,    act_refer_peer_bye    },
	{ CALL_REFERRING,  EV_LEG_LOST,      CALL_CLOSING,    act_close             },

	{ CALL_DIALLING,   EV_FAR_ANSWERED,  CALL_BRIDGED,    act_bridge            },
	{ CALL_DIALLING,   EV_RETURN_FAILED, CALL_HANDING,    act_return_failed     },
	{ CALL_DIALLING,   EV_DEADLINE,      CALL_HANDING,    act_dial_timeout      },
	{ CALL_DIALLING,   EV_HANGUP,        CALL_CLOSING,    act_caller_left       },
	{ CALL_DIALLING,   EV_LEG_LOST,      CALL_CLOSING,    act_close             },

	{ CALL_BRIDGED,    EV_FAR_GONE,      CALL_RETURNING,  act_far_gone          },
	{ CALL_BRIDGED,    EV_MEDIA_TIMEOUT, CALL_RETURNING,  act_bridge_silent     },
	{ CALL_BRIDGED,    EV_HANGUP,        CALL_CLOSING,    act_caller_left       },
	{ CALL_BRIDGED,    EV_LEG_LOST,      CALL_CLOSING,    act_close             },

	{ CALL_RETURNING,  EV_HUNG_UP,       CALL_CLOSING,    act_close           },
	{ CALL_RETURNING,  EV_HANGUP,        CALL_CLOSING,    act_close           }, /* BYEs crossed */
	{ CALL_RETURNING,  EV_LEG_LOST,      CALL_CLOSING,    act_close           },
	{ CALL_RETURNING,  EV_DEADLINE,      CALL_CLOSING,    act_close           },

	{ CALL_CLOSING,    EV_CLOSED,        CALL_ENDED,      act_end             },
	{ CALL_CLOSING,    EV_DEADLINE,      CALL_ENDED,      act_end             },
};

static const struct fsm_state states[] = {
#define X(sym, ms) { #sym, ms },
	CALL_STATES(X)
#undef X
};

static const char *const events[] = {
#define X(sym) #sym,
	CALL_EVENTS(X)
#undef X
};
/* clang-format on */

static void
enter(void *owner, int from, int to, int event)
{
	struct call *c = owner;
	int64_t ms = states[to].deadline_ms;

	log_debug("call", "state", "call=%s from=%s on=%s to=%s", c->id, states[from].name,
		  events[event], states[to].name);
	if (to == from)
		return;
	if (to == CALL_STARTING)
		ms = c->account->agent_start_timeout_ms;
	else if (to == CALL_REFERRING)
		ms = c->account->returns.refer_timeout_ms;
	else if (to == CALL_DIALLING)
		ms = c->account->returns.ring_timeout_ms + DIAL_SPARE_MS;
	loop_timer_cancel(c->worker->loop, &c->deadline);
	if (ms)
		call_arm(c, ms);
}

const struct fsm_def call_fsm = {
	.name = "call",
	.states = states,
	.state_count = CALL_STATE_COUNT,
	.events = events,
	.event_count = CALL_EV_COUNT,
	.rules = rules,
	.rule_count = ARRAY_LEN(rules),
	.enter = enter,
};
