/* The three ways back: BYE, REFER, INVITE (DESIGN.md 6). */
#include "sip-worker/call.h"

#include <stdlib.h>
#include <string.h>

#include "common/context.h"
#include "common/log.h"
#include "common/str.h"
#include "sip-worker/worker.h"

void
call_keep_outcome(struct call *c, struct outcome *o)
{
	outcome_finish(&c->outcome);
	c->outcome = *o;
	memset(o, 0, sizeof(*o));
}

/* Header mode: what the return carries.  false: nothing (API mode, lost calls), or it cannot be
 * made; *out is empty then. */
static bool
make_context(struct call *c, const char *uri, struct context *out)
{
	struct fault f = { 0 };
	struct context_input in = {
		.conversation = c->claim.conversation,
		.transfer_type = outcome_type_names[c->outcome.type],
		.transfer_variables = c->outcome.transfer_vars,
		.reference_variables = c->outcome.reference_vars,
		.uri = uri,
	};

	if (!c->header_mode || !c->give_back)
		return false;
	if (context_make(&in, out, &f) != ERR_OK) {
		call_report(c, CALL_EVENT_NOTE,
			    json_pack("{s:s, s:s}", "text", "the context could not be sent",
				      "error", f.what));
		return false;
	}
	if (out->dropped_count || json_array_size(json_object_get(out->report, "changed")))
		call_report(c, CALL_EVENT_NOTE,
			    json_pack("{s:s, s:O}", "text", "not all of the context could be sent",
				      "context", out->report));
	return true;
}

static void
report_return(struct call *c, const char *type, const char *state, int status, const char *reason)
{
	json_t *info = json_pack("{s:s, s:s}", "type", type, "state", state);

	if (status)
		json_object_set_new(info, "status", json_integer(status));
	if (reason && *reason)
		json_object_set_new(info, "reason", json_string(reason));
	call_report(c, CALL_EVENT_RETURN, info);
}

/* --- BYE --- */

void
call_bye(struct call *c)
{
	struct context ctx = { 0 };

	if (c->give_back && c->return_type == RETURN_BYE)
		report_return(c, "BYE", "sent", 0, NULL);
	call_report(c, CALL_EVENT_BYE,
		    json_pack("{s:s, s:s}", "by", "us", "reason", c->bye_reason));
	if (c->return_type == RETURN_BYE && make_context(c, NULL, &ctx))
		for (size_t i = 0; i < ctx.header_count; i++)
			sip_leg_bye_header(c->caller.leg, ctx.headers[i].name,
					   ctx.headers[i].value);
	sip_leg_bye(c->caller.leg, c->bye_reason);
	context_finish(&ctx);
}

/* --- REFER --- */

static void
cannot(struct call *c, const char *type, const char *why)
{
	report_return(c, type, "failed", 0, why);
	fsm_post(&c->fsm, EV_RETURN_FAILED, NULL);
}

/* "<URI>" as it goes out, malloced; NULL: no memory. */
static char *
refer_target(struct call *c)
{
	struct context ctx = { 0 };
	char *target;

	if (make_context(c, c->claim.return_uri, &ctx)) {
		target = ctx.refer_to;
		ctx.refer_to = NULL;
	} else {
		target = context_bare(c->claim.return_uri);
	}
	context_finish(&ctx);
	return target;
}

void
call_refer(struct call *c)
{
	char *target = c->claim.return_uri ? refer_target(c) : NULL, by[512];
	bool has_by = str_print(by, sizeof(by), "<%s>",
				json_string_value(json_object_get(c->sip_info, "to")));

	if (!target) {
		cannot(c, "REFER",
		       c->claim.return_uri ? "out of memory" : "there is no return URI");
		return;
	}
	report_return(c, "REFER", "sent", 0, NULL);
	media_tone(c->worker->media, c->caller.media, MEDIA_TONE_COMFORT);
	sip_leg_refer(c->caller.leg, target, has_by ? by : NULL);
	free(target);
}

void
call_on_refer(struct call *c, const struct sip_refer *r)
{
	static const enum call_ev events[] = {
		[SIP_REFER_ACCEPTED] = EV_REFER_PROGRESS, [SIP_REFER_TRYING] = EV_REFER_PROGRESS,
		[SIP_REFER_RINGING] = EV_REFER_PROGRESS,  [SIP_REFER_ANSWERED] = EV_REFER_DONE,
		[SIP_REFER_FAILED] = EV_RETURN_FAILED,    [SIP_REFER_UNKNOWN] = EV_REFER_DONE,
	};

	report_return(c, "REFER", sip_refer_state_names[r->state], r->status, r->reason);
	call_feed(c, events[r->state], r);
}

/* --- INVITE --- */

static enum err
open_far_media(struct call *c)
{
	struct media_open *o = &c->far.params;

	*o = (struct media_open){
		.family = c->caller.params.family,
		.nat = c->account->sip.nat,
		.signalling = c->caller.params.signalling,
		.allow = &c->account->sip.allow,
		.owner = c->handle | CALL_FAR,
		.beside = c->caller.media,
	};
	o->remote = c->caller.params.remote;
	/* Its keys are its own. */
	o->remote.send_key = o->remote.hear_key = (struct srtp_key){ .suite = SRTP_SUITE_NONE };
	addr_set_port(&o->remote.rtp, 0);
	addr_set_port(&o->remote.rtcp, 0);
	return media_open(c->worker->media, o, &c->far.local, &c->far.media);
}

/* The caller's codec first: then nothing is transcoded. */
static size_t
far_codecs(const struct call *c, enum codec out[CODEC_COUNT])
{
	const struct config *cfg = c->gen->cfg;
	size_t n = 0;

	out[n++] = c->caller.params.remote.codec;
	for (size_t i = 0; i < cfg->media.codec_count; i++)
		if (cfg->media.codecs[i] != out[0])
			out[n++] = cfg->media.codecs[i];
	return n;
}

static enum err
dial(struct call *c)
{
	struct context ctx = { 0 };
	struct sip_header_line lines[CONTEXT_HEADERS_MAX];
	struct sip_dial d = {
		.account = c->account,
		.inbound = c->caller.leg,
		.uri = c->claim.return_uri,
		.caller_id = c->account->returns.caller_id,
		.headers = lines,
		.realm = c->account->returns.auth_realm,
		.username = c->claim.return_username,
		.password = c->claim.return_password,
		.local = c->far.local,
	};
	enum err e;

	d.codec_count = far_codecs(c, d.codecs);
	if (make_context(c, c->claim.return_uri, &ctx))
		d.header_count = ctx.header_count;
	for (size_t i = 0; i < d.header_count; i++)
		lines[i] = (struct sip_header_line){ ctx.headers[i].name, ctx.headers[i].value };
	e = sip_dial(c->worker->sip, &d, &call_dial_ops, &c->far, &c->far.leg);
	context_finish(&ctx);
	return e;
}

void
call_dial(struct call *c)
{
	enum err e;

	if (!c->claim.return_uri) {
		cannot(c, "INVITE", "there is no return URI");
	} else if (c->far.media) {
		cannot(c, "INVITE", "the last attempt is not over yet");
	} else if (open_far_media(c) != ERR_OK) {
		cannot(c, "INVITE", "no media port is free");
	} else if ((e = dial(c)) != ERR_OK) {
		call_party_close(c, &c->far);
		cannot(c, "INVITE", e == ERR_FORBIDDEN ? "the target is not allowed" : err_text(e));
	} else {
		report_return(c, "INVITE", "sent", 0, NULL);
		media_tone(c->worker->media, c->caller.media, MEDIA_TONE_COMFORT);
	}
}

static void
far_media(struct call *c, const struct media_remote *remote)
{
	struct worker *w = c->worker;

	c->far.params.remote = *remote;
	media_update(w->media, c->far.media, remote);
	media_start(w->media, c->far.media);
	media_tone(w->media, c->caller.media, MEDIA_TONE_NONE);
	/* Two live sessions of one thread: it can fail only while one of them is being closed. */
	if (media_bridge(w->media, c->caller.media, c->far.media) != ERR_OK)
		log_err("call", "not_bridged", "call=%s", c->id);
}

static void
on_far_progress(void *owner, int status, const struct media_remote *remote)
{
	struct call *c = ((struct call_party *)owner)->call;

	report_return(c, "INVITE", status == 180 ? "ringing" : "progress", status, NULL);
	if (remote)
		far_media(c, remote);
	else if (status == 180)
		media_tone(c->worker->media, c->caller.media, MEDIA_TONE_RINGBACK);
}

static void
on_far_answered(void *owner, const struct media_remote *remote)
{
	struct call *c = ((struct call_party *)owner)->call;

	report_return(c, "INVITE", "answered", 200, NULL);
	far_media(c, remote);
	call_feed(c, EV_FAR_ANSWERED, NULL);
}

static void
on_far_failed(void *owner, int status, const char *reason)
{
	struct call *c = ((struct call_party *)owner)->call;

	report_return(c, "INVITE", "failed", status, reason);
	call_party_close(c, &c->far);
	call_feed(c, EV_RETURN_FAILED, NULL);
}

const struct sip_dial_ops call_dial_ops = {
	.progress = on_far_progress,
	.answered = on_far_answered,
	.failed = on_far_failed,
};

/* From now on two people talk: the agent has done its work. */
void
call_bridge(struct call *c)
{
	agent_stop(c->worker->agent, c->agent);
	c->agent = 0;
}

void
call_return_failed(struct call *c)
{
	bool go_on = c->account->returns.on_failure == FAIL_AGENT && c->agent;

	c->return_failed = true;
	media_tone(c->worker->media, c->caller.media, MEDIA_TONE_NONE);
	fsm_post(&c->fsm, go_on ? EV_GO_AGENT : EV_GO_BYE, NULL);
}
