/* What a call does: the actions of call_fsm.c's rules. */
#include "sip-worker/call_act.h"

#include "common/clock.h"
#include "common/log.h"
#include "sip-worker/worker.h"

#define REASON_NORMAL  "Q.850;cause=16;text=\"Normal call clearing\""
#define REASON_TIMER   "Q.850;cause=102;text=\"Recovery on timer expiry\""
#define REASON_FAILURE "SIP;cause=500;text=\"Call lost\""

void
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

void
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

void
act_refuse_claim(void *owner, const void *arg)
{
	(void)arg;
	refuse(owner, "claim refused");
}

void
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

void
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

void
act_abandon(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	call_release(c, "cancelled");
	call_close(c, "cancelled by the caller");
}

/* --- the answer --- */

void
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

void
act_begin(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	agent_begin(c->worker->agent, c->agent, c->caller.media);
}

/* --- the end --- */

void
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

void
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

void
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

void
act_hand_over(void *owner, const void *arg)
{
	(void)arg;
	hand_over(owner, "database");
}

void
act_hand_over_spooled(void *owner, const void *arg)
{
	(void)arg;
	hand_over(owner, "spool");
}

void
act_hand_over_anyway(void *owner, const void *arg)
{
	(void)arg;
	hand_over(owner, NULL);
}

void
act_bye(void *owner, const void *arg)
{
	(void)arg;
	call_bye(owner);
}

void
act_refer(void *owner, const void *arg)
{
	(void)arg;
	call_refer(owner);
}

/* A provisional NOTIFY: from now on the other patience counts. */
void
act_refer_progress(void *owner, const void *arg)
{
	struct call *c = owner;
	const struct sip_refer *r = arg;

	if (r->state != SIP_REFER_ACCEPTED)
		call_arm(c, c->account->returns.refer_ring_timeout_ms);
}

static void
return_state(struct call *c, const char *type, const char *state)
{
	call_report(c, CALL_EVENT_RETURN, json_pack("{s:s, s:s}", "type", type, "state", state));
}

void
act_refer_silent(void *owner, const void *arg)
{
	(void)arg;
	return_state(owner, "REFER", "unconfirmed");
	call_bye(owner);
}

void
act_refer_peer_bye(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	return_state(c, "REFER", "unconfirmed");
	call_report(c, CALL_EVENT_BYE, json_pack("{s:s}", "by", "caller"));
	call_close(c, c->end_cause);
}

void
act_dial(void *owner, const void *arg)
{
	(void)arg;
	call_dial(owner);
}

void
act_dial_timeout(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	return_state(c, "INVITE", "timeout");
	call_party_close(c, &c->far);
	call_return_failed(c);
}

void
act_bridge(void *owner, const void *arg)
{
	(void)arg;
	call_bridge(owner);
}

void
act_return_failed(void *owner, const void *arg)
{
	(void)arg;
	call_return_failed(owner);
}

void
act_resume(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->end_cause = NULL;
	media_tone(c->worker->media, c->caller.media, MEDIA_TONE_NONE);
	agent_resume(c->worker->agent, c->agent, "transfer_failed");
}

void
act_far_gone(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->end_cause = "the far end hung up";
	call_report(c, CALL_EVENT_BYE, json_pack("{s:s}", "by", "far"));
	call_party_close(c, &c->far);
	call_bye(c);
}

void
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
void
act_caller_left(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	call_report(c, CALL_EVENT_BYE, json_pack("{s:s}", "by", "caller"));
	call_close(c, c->end_cause);
}

void
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

void
act_lost(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	c->worker->counts.lost++;
	if (!c->completed)
		call_complete(c, NULL, "signalling_lost");
	call_close(c, c->end_cause ? c->end_cause : "signalling lost");
}

void
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

void
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

void
act_hand_back(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	agent_hand_back(c->worker->agent, c->agent, "drain");
}

void
act_close(void *owner, const void *arg)
{
	struct call *c = owner;

	(void)arg;
	call_close(c, c->end_cause);
}

void
act_end(void *owner, const void *arg)
{
	(void)arg;
	worker_bury(((struct call *)owner)->worker, owner);
}
