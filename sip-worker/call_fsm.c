/* The life of a call.
 *
 *        INVITE             CLAIMED               READY              ACK, first RTP, 500 ms
 *   NEW ───────▶ CLAIMING ─────────▶ STARTING ──────────▶ ANSWERED ───────────────────────┐
 *                   │                  │ └─READY_DELAYED─▶ OFFERED ──ACK──────────────────┤
 *         refused,  │       no agent,  │                      │                           ▼
 *         CANCEL,   │       CANCEL:    │           hang-up,   │          hang-up       TALKING
 * ◀──────┐ 2 s: 503  │       release    │           no ACK     │      ┌───────────────────┤ │ ▼ ▼
 * ▼      ▼   outcome,        │            │ CLOSING ◀──────────────────────────────────────────┐
 * media timeout   ▼            │ │  ▲                                             │ COMMITTING │
 *  media is gone    │  │ caller hangs up from any state below        │     durable   │   │ 2 s │ ▼
 * │                                             │               │   ▼            │ ENDED│ │ │
 * SPOOLING       │ │                                             │               ▼   ▼ 100 ms     │
 *                      │             REFERRING ◀──REFER─────────── HANDING ◀───────────┘ │ │ │  │
 * failed ──────────────▶ │ │ │ ▲                             │ │    answered, │ INVITE │ │ │ │
 * failed, timeout             │ │    silence   │              BYE ┌────────┼─┘ └─┼── on_failure:
 * agent ────────┘ │              ▼                  ▼        ▼     │ └───────── RETURNING
 * ◀─────────────┘   DIALLING ─┘ BYE answered      ▲                           │ answered └──────
 * far end gone ─── BRIDGED
 *
 * The outcome is durable before BYE, REFER or INVITE leaves; a caller is never kept longer than
 * 2.1 s for it. */
#include "sip-worker/call.h"

#include "common/clock.h"
#include "common/log.h"
#include "sip-worker/worker.h"

#define REASON_NORMAL  "Q.850;cause=16;text=\"Normal call clearing\""
#define REASON_TIMER   "Q.850;cause=102;text=\"Recovery on timer expiry\""
#define REASON_FAILURE "SIP;cause=500;text=\"Call lost\""

static void
on_deadline(struct loop_timer *t)
{
	call_feed(container_of(t, struct call, deadline), EV_DEADLINE, NULL);
}

static void
arm(struct call *c, int64_t ms)
{
	if (!loop_timer_set(c->worker->loop, &c->deadline, ms, on_deadline))
		log_err("call", "no_deadline", "call=%s", c->id);
}

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
	if (media_open(w->media, &c->caller.params, &c->caller.local, &c->caller.media) != ERR_OK) {
		unready(c, "No media port is free");
		return;
	}
	if (agent_start(w->agent, &s, &c->agent) != ERR_OK) {
		unready(c, "The agent cannot start");
		return;
	}
	sip_leg_ring(c->caller.leg);
	call_report(c, CALL_EVENT_RINGING, NULL);
}

/* The leg is refused, the claim given back; what was started stops. */
static void
refuse(struct call *c, const char *cause)
{
	c->worker->counts.refused++;
	call_report(c, CALL_EVENT_REFUSED,
		    json_pack("{s:i, s:s}", "status", c->refuse_status, "reason", c->refuse_why));
	sip_leg_reject(c->caller.leg, c->refuse_status, c->refuse_why, c->retry_after_s);
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
	const struct media_remote *r = &c->caller.params.remote;

	(void)arg;
	c->answered_ms = clock_mono_ms();
	c->worker->counts.answered++;
	sip_leg_answer(c->caller.leg, &c->caller.local);
	media_start(c->worker->media, c->caller.media);
	call_report(c, CALL_EVENT_ANSWERED,
		    c->has_offer
			    ? json_pack("{s:s, s:s, s:s, s:i, s:s*}", "codec",
					codec_names[r->codec], "local",
					addr_text(&c->caller.local.rtp, local), "remote",
					addr_text(&r->rtp, remote), "ptime", r->ptime_ms, "srtp",
					call_suite(r))
			    : json_pack("{s:s}", "local", addr_text(&c->caller.local.rtp, local)));
}

static void
act_begin(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	agent_begin(c->worker->agent, c->agent, c->caller.media);
}

/* --- the end --- */

static void
act_commit(void *owner, const void *arg)
{
	struct call *c = owner;
	/* The outcome is ours from here: the caller of the machine finds it empty. */
	struct outcome *o = (struct outcome *)(uintptr_t)arg;
	json_t *output;

	c->bye_reason = REASON_NORMAL;
	c->end_cause = "handed back";
	c->give_back = true;
	c->worker->counts.handed_back++;
	call_report(c, CALL_EVENT_OUTCOME,
		    json_pack("{s:s, s:s, s:s}", "transferType", outcome_type_names[o->type],
			      "currentTaskName", o->task, "reason", o->reason));
	call_keep_outcome(c, o);
	output = call_output(&c->outcome);
	call_complete(c, output, c->outcome.reason);
	json_decref(output);
}

static void
act_commit_timeout(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->bye_reason = REASON_TIMER;
	c->end_cause = "media timeout";
	c->give_back = false;
	c->worker->counts.lost++;
	call_report(c, CALL_EVENT_MEDIA, json_pack("{s:s}", "state", "timeout"));
	agent_stop(c->worker->agent, c->agent);
	c->agent = 0;
	if (!c->completed)
		call_complete(c, NULL, "media_timeout");
	else
		fsm_post(&c->fsm, EV_COMMITTED, NULL); /* the last hand-back's outcome stands */
}

static void
act_spool(void *owner, const void *arg)
{
	(void)arg;
	call_spool(owner);
}

/* --- the way back --- */

static void
hand_over(struct call *c, const char *durable)
{
	static const enum call_ev ways[] = {
		[RETURN_BYE] = EV_GO_BYE,
		[RETURN_REFER] = EV_GO_REFER,
		[RETURN_INVITE] = EV_GO_INVITE,
	};

	if (durable)
		call_report(c, CALL_EVENT_COMMITTED, json_pack("{s:s}", "where", durable));
	else
		log_err("call", "not_durable", "call=%s", c->id);
	fsm_post(&c->fsm, c->give_back ? (int)ways[c->return_type] : (int)EV_GO_BYE, NULL);
}

static void
act_hand_over(void *owner, const void *arg)
{
	(void)arg;
	hand_over(owner, "database");
}

static void
act_hand_over_spooled(void *owner, const void *arg)
{
	(void)arg;
	hand_over(owner, "spool");
}

static void
act_hand_over_anyway(void *owner, const void *arg)
{
	(void)arg;
	hand_over(owner, NULL);
}

static void
act_bye(void *owner, const void *arg)
{
	(void)arg;
	call_bye(owner);
}

static void
act_refer(void *owner, const void *arg)
{
	(void)arg;
	call_refer(owner);
}

/* A provisional NOTIFY: from now on the other patience counts. */
static void
act_refer_progress(void *owner, const void *arg)
{
	struct call *c = owner;
	const struct sip_refer *r = arg;

	if (r->state != SIP_REFER_ACCEPTED)
		arm(c, c->account->returns.refer_ring_timeout_ms);
}

static void
return_state(struct call *c, const char *type, const char *state)
{
	call_report(c, CALL_EVENT_RETURN, json_pack("{s:s, s:s}", "type", type, "state", state));
}

static void
act_refer_silent(void *owner, const void *arg)
{
	(void)arg;
	return_state(owner, "REFER", "unconfirmed");
	call_bye(owner);
}

static void
act_refer_peer_bye(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	return_state(c, "REFER", "unconfirmed");
	call_report(c, CALL_EVENT_BYE, json_pack("{s:s}", "by", "caller"));
	call_close(c, c->end_cause);
}

static void
act_dial(void *owner, const void *arg)
{
	(void)arg;
	call_dial(owner);
}

static void
act_dial_timeout(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	return_state(c, "INVITE", "timeout");
	call_party_close(c, &c->far);
	call_return_failed(c);
}

static void
act_bridge(void *owner, const void *arg)
{
	(void)arg;
	call_bridge(owner);
}

static void
act_return_failed(void *owner, const void *arg)
{
	(void)arg;
	call_return_failed(owner);
}

static void
act_resume(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->end_cause = NULL;
	media_tone(c->worker->media, c->caller.media, MEDIA_TONE_NONE);
	agent_resume(c->worker->agent, c->agent, "transfer_failed");
}

static void
act_far_gone(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->end_cause = "the far end hung up";
	call_report(c, CALL_EVENT_BYE, json_pack("{s:s}", "by", "far"));
	call_party_close(c, &c->far);
	call_bye(c);
}

static void
act_bridge_silent(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->bye_reason = REASON_TIMER;
	c->end_cause = "media timeout";
	call_report(c, CALL_EVENT_MEDIA, json_pack("{s:s}", "state", "timeout"));
	call_party_close(c, &c->far);
	call_bye(c);
}

/* The caller leaves while the call is being returned, or is bridged: its outcome stands. */
static void
act_caller_left(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	call_report(c, CALL_EVENT_BYE, json_pack("{s:s}", "by", "caller"));
	call_close(c, c->end_cause);
}

static void
act_caller_gone(void *owner, const void *arg)
{
	struct call *c = owner;
	json_t *output = call_disconnect_output(c);

	(void)arg;
	c->worker->counts.hung_up++;
	call_report(c, CALL_EVENT_BYE, json_pack("{s:s}", "by", "caller"));
	if (!c->completed) /* else the last hand-back's outcome stands */
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
	if (!c->completed)
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
	call_party_close(c, &c->far);
	call_bye(c);
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
		ms = c->account->returns.ring_timeout_ms;
	loop_timer_cancel(c->worker->loop, &c->deadline);
	if (ms)
		arm(c, ms);
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
