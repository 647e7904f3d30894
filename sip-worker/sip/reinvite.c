/* Offers within a confirmed dialog: hold and resume, another address, another codec. */
#include <sofia-sip/sip_tag.h>
#include <string.h>

#include "common/secret.h"
#include "sip-worker/sip/leg.h"
#include "sip-worker/sip/session.h"

#define RETRY_S 3

static struct verdict
glare(const struct sip_leg *leg)
{
	if (leg->state == LEG_PROCEEDING)
		return (struct verdict){ .status = 500,
					 .why = "the call is not answered yet",
					 .retry_after_s = RETRY_S };
	if (leg->state == LEG_LEAVING || leg->state == LEG_ENDED)
		return (struct verdict){ .status = 481, .why = "the call is ending" };
	if (leg->state == LEG_ANSWERED || leg->reinvite ||
	    (leg->refresh.orq && leg->refresh.invite))
		return (struct verdict){ .status = 491, .why = "another offer is pending" };
	return (struct verdict){ 0 };
}

static struct verdict
check_offer(struct sip_leg *leg, struct request *rq, struct session_result *out)
{
	const char *sdp, *why;
	size_t len;
	int status;

	out->has_offer = false;
	switch (session_body(rq->sip, &sdp, &len)) {
	case BODY_NONE:
		return (struct verdict){ 0 };
	case BODY_SDP:
		break;
	case BODY_UNSUPPORTED:
		return (struct verdict){ .status = 415,
					 .why = "body is not application/sdp",
					 .extra = (const sip_header_t *)leg->s->accept };
	case BODY_MALFORMED:
		return (struct verdict){ .status = 400, .why = "malformed multipart body" };
	}
	out->has_offer = true;
	status = session_negotiate(leg->s, leg, sdp, len, out, &why);
	/* A call does not change its address family. */
	if (!status && addr_family(&out->remote.rtp) != addr_family(&leg->local_sdp.media.rtp)) {
		status = 488;
		why = "another address family";
	}
	return (struct verdict){ .status = status, .why = why };
}

/* Does our side of the session read the same? */
static bool
same_session(const struct media_remote *a, const struct media_remote *b)
{
	return a->codec == b->codec && a->payload_type == b->payload_type &&
	       a->dtmf_payload_type == b->dtmf_payload_type && a->direction == b->direction &&
	       a->ptime_ms == b->ptime_ms && a->rtcp_mux == b->rtcp_mux &&
	       srtp_key_equal(&a->send_key, &b->send_key);
}

/* The peer's Contact may move with a target refresh (RFC 3261 12.2.2). */
static void
refresh_target(struct sip_leg *leg, const sip_t *sip)
{
	sip_contact_t *fresh;

	if (!sip->sip_contact || !sip->sip_contact->m_url->url_host ||
	    url_cmp_all(sip->sip_contact->m_url, leg->target->m_url) == 0)
		return;
	fresh = sip_contact_dup(leg->home, sip->sip_contact);
	if (!fresh)
		return;
	su_free(leg->home, leg->target);
	leg->target = fresh;
}

static bool
apply_offer(struct sip_leg *leg, const struct session_result *result)
{
	bool same = same_session(&leg->remote_sdp, &result->remote) && leg->layout &&
		    str_eq(leg->layout->crypto_tag, result->layout.crypto_tag);

	if (!session_keep_layout(leg, &result->layout))
		return false;
	if (!same)
		leg->local_sdp.version++;
	leg->remote_sdp = result->remote;
	return true;
}

static int
reinvite_event(struct sip_leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	const char *why = NULL;
	bool ours;

	if (irq != leg->reinvite)
		return 0;
	if (sip && sip->sip_request->rq_method == sip_method_cancel)
		return 0;
	ours = leg->offer_pending;
	nta_incoming_destroy(irq);
	leg->reinvite = NULL;
	if (leg->state != LEG_CONFIRMED)
		return 0;
	if (!sip) {
		leg_drop(leg, SIP_END_NO_ACK, "SIP;cause=408;text=\"ACK missing\"");
	} else if (ours && !session_ack(leg, sip, &why)) {
		leg_drop(leg, SIP_END_NO_MEDIA, "SIP;cause=488;text=\"Not Acceptable Here\"");
	} else if (ours && leg->owned) {
		leg->s->ops->changed(leg->owner, &leg->remote_sdp);
	}
	return 0;
}

static void
answer(struct sip_leg *leg, nta_incoming_t *irq, bool with_session)
{
	struct sip *s = leg->s;
	su_home_t home[1] = { SU_HOME_INIT(home) };
	sip_payload_t *payload;

	su_home_init(home);
	payload = with_session ? session_describe(leg, home) : NULL;
	nta_incoming_treply(irq, 200, "OK", SIPTAG_CONTACT(leg->contact), SIPTAG_ALLOW(s->allow),
			    SIPTAG_SUPPORTED(s->supported), SIPTAG_SERVER(s->server),
			    TAG_IF(payload, SIPTAG_CONTENT_TYPE(s->content_type)),
			    SIPTAG_REQUIRE(session_timer_require(leg)),
			    SIPTAG_SESSION_EXPIRES(session_timer_header(leg, home)),
			    SIPTAG_PAYLOAD(payload), TAG_END());
	su_home_deinit(home);
}

static void
accept_change(struct sip_leg *leg, struct request *rq, const struct session_result *result,
	      bool invite)
{
	nta_incoming_t *irq = rq->irq;

	if (result->has_offer && !apply_offer(leg, result)) {
		reply_refuse(rq, 500, "out of memory", RETRY_S, NULL);
		return;
	}
	rq->irq = NULL;
	refresh_target(leg, rq->sip);
	session_timer_read(leg, rq->sip);
	session_timer_arm(leg);
	leg->offer_wanted = invite && !result->has_offer;
	if (leg->offer_wanted)
		leg->local_sdp.version++;
	if (invite) {
		leg->reinvite = irq;
		nta_incoming_bind(irq, reinvite_event, leg);
	}
	answer(leg, irq, invite || result->has_offer);
	if (!invite)
		nta_incoming_destroy(irq);
	if (result->has_offer && leg->owned)
		leg->s->ops->changed(leg->owner, &leg->remote_sdp);
}

static void
change_received(struct sip_leg *leg, struct request *rq, bool invite)
{
	struct session_result result;
	struct verdict v = glare(leg);

	if (!v.status)
		v = session_timer_check(leg->s, msg_home(rq->msg), rq->sip);
	if (!v.status)
		v = check_offer(leg, rq, &result);
	if (v.status)
		reply_refuse(rq, v.status, v.why, v.retry_after_s, v.extra);
	else
		accept_change(leg, rq, &result, invite);
	secret_wipe(&result, sizeof result);
}

void
reinvite_received(struct sip_leg *leg, struct request *rq)
{
	change_received(leg, rq, true);
}

void
update_received(struct sip_leg *leg, struct request *rq)
{
	change_received(leg, rq, false);
}
