/* The life of a call.
 *
 *                INVITE             CLAIMED               READY                  ACK, first RTP,
 * 500 ms NEW ───────────▶ CLAIMING ─────────▶ STARTING ─────────────▶ ANSWERED ────────────────┐ │
 * │ └──READY_DELAYED──▶ OFFERED ──ACK────────────┤ refused,  │        no agent,  │ │ ▼ CANCEL,   │
 * CANCEL:    │             hang-up,   │                  TALKING 2 s: 503  │        release    │ no
 * ACK     │     hang-up         │ outcome, │                   │                        │
 * ┌─────────────────┤ media timeout ▼                   ▼                        ▼   ▼ ▼ CLOSING
 * ◀──────────────────────────────────────────┐            COMMITTING │  ▲ │    durable   │  │ 2 s
 *                            │  │       BYE answered, BYEs crossed            │  ┌───────────┘  ▼
 *            media is gone   │  └──────────────────────────── RETURNING ◀─────┼──┴──────────
 * SPOOLING ▼                                                │   on our disk, or 100 ms ENDED
 * hang-up while committing
 *
 * The outcome is durable before the BYE leaves; a caller is never kept longer than 2.1 s for it. */
#include "sip-worker/call.h"

#include "common/clock.h"
#include "common/log.h"
#include "sip-worker/worker.h"

#define REASON_NORMAL  "Q.850;cause=16;text=\"Normal call clearing\""
#define REASON_TIMER   "Q.850;cause=102;text=\"Recovery on timer expiry\""
#define REASON_FAILURE "SIP;cause=500;text=\"Call lost\""

static void
act_claim(void *owner, const void *arg)
{
	(void)arg;
	call_claim(owner);
}

/* --- before the answer --- */

static void
unready(struct call *c, const char *why)
{
	c->refuse_status = 480;
	c->refuse_why = why;
	fsm_post(&c->fsm, EV_UNREADY, NULL);
}

static void
act_start(void *owner, const void *arg)
{
	struct call *c = owner;
	struct worker *w = c->worker;
	struct agent_start s = {
		.def = c->account->agent_def,
		.owner = c->handle,
		.task = c->claim.task,
		.input_vars = c->claim.variables,
		.call = c->sip_info,
		.snapshot = c->claim.snapshot,
	};

	(void)arg;
	c->claimed = true;
	call_report(c, CALL_EVENT_CLAIMED,
		    json_pack("{s:s, s:s}", "transfer", c->claim.transfer, "conversation",
			      c->claim.conversation));
	if (media_open(w->media, &c->media_params, &c->local, &c->media) != ERR_OK) {
		unready(c, "No media port is free");
		return;
	}
	if (agent_start(w->agent, &s, &c->agent) != ERR_OK) {
		unready(c, "The agent cannot start");
		return;
	}
	sip_leg_ring(c->leg);
	call_report(c, CALL_EVENT_RINGING, NULL);
}

/* The leg is refused, the claim given back; what was started stops. */
static void
refuse(struct call *c, const char *cause)
{
	c->worker->counts.refused++;
	call_report(c, CALL_EVENT_REFUSED,
		    json_pack("{s:i, s:s}", "status", c->refuse_status, "reason", c->refuse_why));
	sip_leg_reject(c->leg, c->refuse_status, c->refuse_why, c->retry_after_s);
	call_close(c, cause);
}

static void
act_refuse_claim(void *owner, const void *arg)
{
	(void)arg;
	refuse(owner, "claim refused");
}

static void
act_claim_timeout(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->refuse_status = 503;
	c->refuse_why = "The transfer registry does not answer";
	c->retry_after_s = 2;
	/* The claim may have been made all the same. */
	call_release(c, "claim timed out");
	refuse(c, "claim timed out");
}

static void
act_refuse_agent(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	if (!c->refuse_status) {
		c->refuse_status = 480;
		c->refuse_why = "The agent did not start in time";
	}
	call_release(c, c->refuse_why);
	refuse(c, "agent not ready");
}

static void
act_abandon(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	call_release(c, "cancelled");
	call_close(c, "cancelled by the caller");
}

/* --- the answer --- */

static void
act_answer(void *owner, const void *arg)
{
	struct call *c = owner;
	char local[ADDR_TEXT_SIZE], remote[ADDR_TEXT_SIZE];
	const struct media_remote *r = &c->media_params.remote;

	(void)arg;
	c->answered_ms = clock_mono_ms();
	c->worker->counts.answered++;
	sip_leg_answer(c->leg, &c->local);
	media_start(c->worker->media, c->media);
	call_report(c, CALL_EVENT_ANSWERED,
		    c->has_offer ? json_pack("{s:s, s:s, s:s, s:i, s:s*}", "codec",
					     codec_names[r->codec], "local",
					     addr_text(&c->local.rtp, local), "remote",
					     addr_text(&r->rtp, remote), "ptime", r->ptime_ms,
					     "srtp", call_suite(r))
				 : json_pack("{s:s}", "local", addr_text(&c->local.rtp, local)));
}

static void
act_begin(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	agent_begin(c->worker->agent, c->agent, c->media);
}

/* --- the end --- */

static void
act_commit(void *owner, const void *arg)
{
	struct call *c = owner;
	const struct outcome *o = arg;
	json_t *output = call_output(o);

	c->bye_reason = REASON_NORMAL;
	c->end_cause = "handed back";
	c->worker->counts.handed_back++;
	call_report(c, CALL_EVENT_OUTCOME,
		    json_pack("{s:s, s:s, s:s}", "transferType", outcome_type_names[o->type],
			      "currentTaskName", o->task, "reason", o->reason));
	call_complete(c, output, o->reason);
	json_decref(output);
}

static void
act_commit_timeout(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->bye_reason = REASON_TIMER;
	c->end_cause = "media timeout";
	c->worker->counts.lost++;
	call_report(c, CALL_EVENT_MEDIA, json_pack("{s:s}", "state", "timeout"));
	agent_stop(c->worker->agent, c->agent);
	c->agent = 0;
	call_complete(c, NULL, "media_timeout");
}

static void
act_spool(void *owner, const void *arg)
{
	(void)arg;
	call_spool(owner);
}

static void
hand_back(struct call *c, const char *durable)
{
	if (durable)
		call_report(c, CALL_EVENT_COMMITTED, json_pack("{s:s}", "where", durable));
	if (c->return_type != RETURN_BYE)
		call_report(
			c, CALL_EVENT_NOTE,
			json_pack("{s:s}", "text",
				  "this version hands back by BYE; REFER and INVITE are not sent"));
	call_report(c, CALL_EVENT_RETURN, json_pack("{s:s, s:s}", "type", "BYE", "state", "sent"));
	call_report(c, CALL_EVENT_BYE,
		    json_pack("{s:s, s:s}", "by", "us", "reason", c->bye_reason));
	sip_leg_bye(c->leg, c->bye_reason);
}

static void
act_return(void *owner, const void *arg)
{
	(void)arg;
	hand_back(owner, "database");
}

static void
act_return_spooled(void *owner, const void *arg)
{
	(void)arg;
	hand_back(owner, "spool");
}

static void
act_return_anyway(void *owner, const void *arg)
{
	(void)arg;
	log_err("call", "not_durable", "call=%s", ((struct call *)owner)->id);
	hand_back(owner, NULL);
}

static void
act_caller_gone(void *owner, const void *arg)
{
	struct call *c = owner;
	json_t *output = call_disconnect_output(c);

	(void)arg;
	c->worker->counts.hung_up++;
	call_report(c, CALL_EVENT_BYE, json_pack("{s:s}", "by", "caller"));
	call_complete(c, output, "caller_hangup");
	json_decref(output);
	call_close(c, "caller hung up");
}

static void
act_lost(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->worker->counts.lost++;
	call_complete(c, NULL, "signalling_lost");
	call_close(c, c->end_cause ? c->end_cause : "signalling lost");
}

static void
act_given_up(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->bye_reason = REASON_FAILURE;
	c->end_cause = "given up by api-server";
	c->claimed = false;
	c->worker->counts.lost++;
	agent_stop(c->worker->agent, c->agent);
	c->agent = 0;
	hand_back(c, NULL);
}

static void
act_refuse_given_up(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->claimed = false;
	c->refuse_status = 503;
	c->refuse_why = "The claim was given up";
	c->retry_after_s = 2;
	refuse(c, "given up by api-server");
}

static void
act_hand_back(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	agent_hand_back(c->worker->agent, c->agent, "drain");
}

static void
act_close(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	call_close(c, c->end_cause);
}

static void
act_end(void *owner, const void *arg)
{
	(void)arg;
	worker_bury(((struct call *)owner)->worker, owner);
}

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

	{ CALL_COMMITTING, EV_COMMITTED,     CALL_RETURNING,  act_return          },
	{ CALL_COMMITTING, EV_DEADLINE,      CALL_SPOOLING,   act_spool           },
	{ CALL_SPOOLING,   EV_COMMITTED,     CALL_RETURNING,  act_return          },
	{ CALL_SPOOLING,   EV_SPOOLED,       CALL_RETURNING,  act_return_spooled  },
	{ CALL_SPOOLING,   EV_DEADLINE,      CALL_RETURNING,  act_return_anyway   },
	/* The outcome was frozen and is on its way: it stands. */
	{ CALL_COMMITTING, EV_HANGUP,        CALL_CLOSING,    act_close           },
	{ CALL_COMMITTING, EV_LEG_LOST,      CALL_CLOSING,    act_close           },
	{ CALL_SPOOLING,   EV_HANGUP,        CALL_CLOSING,    act_close           },
	{ CALL_SPOOLING,   EV_LEG_LOST,      CALL_CLOSING,    act_close           },

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
on_deadline(struct loop_timer *t)
{
	call_feed(container_of(t, struct call, deadline), EV_DEADLINE, NULL);
}

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
	loop_timer_cancel(c->worker->loop, &c->deadline);
	if (ms && !loop_timer_set(c->worker->loop, &c->deadline, ms, on_deadline))
		log_err("call", "no_deadline", "call=%s state=%s", c->id, states[to].name);
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
