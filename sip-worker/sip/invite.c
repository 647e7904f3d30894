/* A new INVITE of an admitted source: everything that can be refused without state is. */
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <string.h>

#include "common/secret.h"
#include "sip-worker/sip/leg.h"
#include "sip-worker/sip/session.h"

#define OVERLOAD_RETRY_S 5
#define REFUSED_NOTES    50 /* a second, of sources that did not authenticate */

static const char *
uri_text(struct request *rq, const url_t *url)
{
	const char *text = url ? url_as_string(msg_home(rq->msg), url) : NULL;

	return text ? text : "";
}

static const char *
transport_text(enum sip_transport t)
{
	return t == SIP_UDP ? "udp" : t == SIP_TCP ? "tcp" : "tls";
}

void
invite_refused(struct request *rq, const char *transfer, int status, const char *why)
{
	struct sip *s = rq->s;
	struct sip_refusal r = {
		.account = rq->account,
		.call_id = rq->sip->sip_call_id->i_id,
		.from = uri_text(rq, rq->sip->sip_from->a_url),
		.to = uri_text(rq, rq->sip->sip_to->a_url),
		.transfer = transfer,
		.transport = transport_text(rq->transport),
		.source = rq->source,
		.status = status,
		.reason = why,
	};

	if (rq->sip->sip_request->rq_method != sip_method_invite)
		return;
	if (rq->account || log_allowed(&s->refusal_limit, REFUSED_NOTES))
		s->ops->refused(s->app, &r);
}

static struct verdict
check_message(struct request *rq)
{
	const sip_t *sip = rq->sip;
	struct verdict v = request_check(rq);

	if (v.status)
		return v;
	if (sip->sip_max_forwards && sip->sip_max_forwards->mf_count == 0)
		return (struct verdict){ .status = 483, .why = "Max-Forwards is 0" };
	if (!sip->sip_contact || !sip->sip_contact->m_url->url_host)
		return (struct verdict){ .status = 400, .why = "no usable Contact" };
	return session_timer_check(rq->s, msg_home(rq->msg), sip);
}

static struct verdict
check_headers(struct request *rq, const struct invite_headers *h)
{
	if (h->looped)
		return (struct verdict){ .status = 482, .why = "our own return came back" };
	if (h->conflicting)
		return (struct verdict){ .status = 400, .why = "two different transfer ids" };
	if (!h->has_transfer && !rq->account->sip.headers_mode)
		return (struct verdict){ .status = 400, .why = "no transfer id" };
	return (struct verdict){ 0 };
}

static struct verdict
check_body(struct request *rq, struct session_result *session)
{
	const char *sdp, *why;
	size_t len;

	session->has_offer = false;
	switch (session_body(rq->sip, &sdp, &len)) {
	case BODY_NONE:
		return (struct verdict){ 0 };
	case BODY_SDP:
		break;
	case BODY_UNSUPPORTED:
		return (struct verdict){ .status = 415,
					 .why = "body is not application/sdp",
					 .extra = (const sip_header_t *)rq->s->accept };
	case BODY_MALFORMED:
		return (struct verdict){ .status = 400, .why = "malformed multipart body" };
	}
	session->has_offer = true;
	return (struct verdict){ .status = session_negotiate(rq->s, NULL, sdp, len, session, &why),
				 .why = why };
}

static struct verdict
check_gate(struct request *rq)
{
	struct verdict v = { .why = "refused" };

	v.status = rq->s->ops->gate(rq->s->app, rq->account, &v.why);
	v.retry_after_s = v.status == 503 ? OVERLOAD_RETRY_S : 0;
	return v;
}

static void
show(struct sip_leg *leg, struct request *rq, const struct invite_headers *h, bool has_offer)
{
	struct sip *s = rq->s;
	struct sip_invite inv = {
		.account = rq->account,
		.call_id = leg->call_id->i_id,
		.from_tag = leg->remote->a_tag,
		.from = uri_text(rq, rq->sip->sip_from->a_url),
		.to = uri_text(rq, rq->sip->sip_to->a_url),
		.transport = transport_text(rq->transport),
		.source = rq->source,
		.transfer = h->has_transfer ? h->transfer : NULL,
		.task = h->has_task ? h->task : NULL,
		.conversation = h->has_conversation ? h->conversation : NULL,
		.customer = h->has_customer ? h->customer : NULL,
		.input_variables = h->input_variables,
		.headers = h->headers,
		.has_offer = has_offer,
		.remote = leg->remote_sdp,
	};

	s->stats.invites++;
	s->ops->invite(s->app, leg, &inv);
	secret_wipe(&inv.remote, sizeof inv.remote);
	/* Nobody took it: refused. */
	if (!leg->owned && leg->state == LEG_PROCEEDING)
		sip_leg_destroy(leg);
}

static void
accept_invite(struct request *rq, const struct invite_headers *h,
	      const struct session_result *session)
{
	struct sip_leg *leg = leg_create(rq, session);

	if (!leg) {
		reply_refuse(rq, 503, "out of memory", OVERLOAD_RETRY_S, NULL);
		return;
	}
	nta_incoming_treply(leg->invite, 100, "Trying", TAG_END());
	show(leg, rq, h, session->has_offer);
	msg_destroy(rq->msg);
}

void
invite_received(struct request *rq)
{
	struct invite_headers h;
	struct session_result session;
	struct verdict v = check_message(rq);

	if (!headers_read(&h, rq->sip, rq->account)) {
		reply_refuse(rq, 503, "out of memory", OVERLOAD_RETRY_S, NULL);
		return;
	}
	if (!v.status)
		v = check_headers(rq, &h);
	if (!v.status)
		v = check_body(rq, &session);
	if (!v.status)
		v = check_gate(rq);
	if (v.status) {
		invite_refused(rq, h.has_transfer ? h.transfer : NULL, v.status, v.why);
		reply_refuse(rq, v.status, v.why, v.retry_after_s, v.extra);
	} else {
		accept_invite(rq, &h, &session);
	}
	headers_finish(&h);
	secret_wipe(&session, sizeof session);
}
