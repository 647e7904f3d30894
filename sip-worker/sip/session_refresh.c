/* Refreshing a session (RFC 4028) as the side that does it: UPDATE where the peer takes it, else
 * re-INVITE.  Challenges to either are not answered: like any other refusal they show that the peer
 * still has the call. */
#include <sofia-sip/nta_tag.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/tport_tag.h>

#include "common/id.h"
#include "sip-worker/sip/leg.h"
#include "sip-worker/sip/session.h"
#include "sip-worker/sip/tls.h"

#define RETRY_MS     5000 /* at most: a tenth of the interval */
#define GLARE_MS     2000 /* at most (RFC 3261 14.1, who did not make the Call-ID) */
#define INTERVAL_MAX 86400

static void on_due(struct loop_timer *t);

void
refresh_later(struct sip_leg *leg, int64_t delay_ms)
{
	/* No memory: the session runs out and the call ends. */
	if (!loop_timer_set(leg->s->loop, &leg->refresh.due, delay_ms, on_due))
		log_warn("sip", "timer", "why=\"out of memory\"");
}

void
refresh_stop(struct sip_leg *leg)
{
	loop_timer_cancel(leg->s->loop, &leg->refresh.due);
	nta_outgoing_destroy(leg->refresh.orq);
	leg->refresh.orq = NULL;
}

static void
retry(struct sip_leg *leg)
{
	int64_t tenth = leg->session_expires_s * 100;

	refresh_later(leg, tenth < RETRY_MS ? tenth : RETRY_MS);
}

/* --- the request --- */

static bool
add_session(struct sip_leg *leg, msg_t *msg)
{
	su_home_t *home = msg_home(msg);
	sip_payload_t *payload;

	leg->offer_wanted = true;
	leg->local_sdp.version++;
	payload = session_describe(leg, home);
	return payload && sip_add_tl(msg, sip_object(msg), SIPTAG_PAYLOAD(payload),
				     SIPTAG_CONTENT_TYPE(leg->s->content_type), TAG_END()) >= 0;
}

static bool
add_headers(struct sip_leg *leg, msg_t *msg)
{
	const struct sip *s = leg->s;
	su_home_t *home = msg_home(msg);
	sip_min_se_t *min = NULL;

	if (leg->refresh.min_se_s)
		min = sip_min_se_format(home, "%u", (unsigned)leg->refresh.min_se_s);
	return sip_add_tl(msg, sip_object(msg), SIPTAG_CONTACT(leg->contact),
			  SIPTAG_ALLOW(s->allow), SIPTAG_SUPPORTED(s->supported),
			  SIPTAG_SESSION_EXPIRES(sip_session_expires_format(
				  home, "%u;refresher=uac", (unsigned)leg->session_expires_s)),
			  SIPTAG_MIN_SE(min), TAG_END()) >= 0;
}

/* Our offer is not on its way any more. */
static void
forget_offer(struct sip_leg *leg)
{
	leg->offer_wanted = leg->offer_pending = false;
}

static int refresh_event(struct sip_leg *leg, nta_outgoing_t *orq, const sip_t *sip);

static void
send_refresh(struct sip_leg *leg)
{
	struct refresh *r = &leg->refresh;
	msg_t *msg;

	r->invite = !r->updates;
	msg = r->invite ? leg_request(leg, SIP_METHOD_INVITE) : leg_request(leg, SIP_METHOD_UPDATE);
	r->cseq = leg->local_cseq;
	if (msg && (!add_headers(leg, msg) || (r->invite && !add_session(leg, msg)))) {
		msg_destroy(msg);
		msg = NULL;
	}
	r->orq = msg ? leg_send(leg, msg, refresh_event) : NULL;
	if (r->orq)
		return;
	forget_offer(leg);
	retry(leg);
}

static void
on_due(struct loop_timer *t)
{
	struct sip_leg *leg = container_of(t, struct sip_leg, refresh.due);

	if (leg->state != LEG_CONFIRMED || leg->refresh.orq)
		return;
	if (leg->reinvite)
		retry(leg);
	else
		send_refresh(leg);
}

/* --- its answer --- */

static void
send_ack(struct sip_leg *leg, const char *branch)
{
	uint32_t last = leg->local_cseq;
	nta_outgoing_t *orq = NULL;
	char *hop;
	msg_t *msg;

	leg->local_cseq = leg->refresh.cseq - 1;
	msg = leg_request(leg, SIP_METHOD_ACK);
	leg->local_cseq = last;
	if (!msg)
		return;
	hop = leg_next_hop(leg, msg_home(msg));
	if (hop) {
		/* With the branch the library repeats it when the 200 comes again. */
		tls_dialling(leg->target->m_url->url_host);
		orq = nta_outgoing_mcreate(leg->s->agent, NULL, NULL, URL_STRING_MAKE(hop), msg,
					   TAG_IF(leg->tport && !tport_is_shutdown(leg->tport),
						  NTATAG_TPORT(leg->tport)),
					   NTATAG_ACK_BRANCH(branch), TAG_END());
		tls_dialled();
	}
	if (!orq)
		msg_destroy(msg);
	nta_outgoing_destroy(orq);
}

/* The answer to our offer; one that cannot be used leaves everything as it was. */
static void
take_session(struct sip_leg *leg, const sip_t *sip)
{
	const char *why = NULL;

	if (!session_ack(leg, sip, &why))
		log_info("sip", "refresh", "call_id=%s why=%s", log_quote(leg->call_id->i_id),
			 log_quote(why));
	else if (leg->owned)
		leg->s->ops->changed(leg->owner, &leg->remote_sdp);
}

static void
raise_interval(struct sip_leg *leg, uint32_t min_s)
{
	struct refresh *r = &leg->refresh;

	r->raised = true;
	r->min_se_s = min_s < INTERVAL_MAX ? (int64_t)min_s : INTERVAL_MAX;
	if (leg->session_expires_s < r->min_se_s)
		leg->session_expires_s = r->min_se_s;
	send_refresh(leg);
}

static int64_t
random_ms(int64_t below)
{
	uint32_t n;

	id_random(&n, sizeof n);
	return n % below;
}

static void
refused(struct sip_leg *leg, int status, const sip_t *sip)
{
	struct refresh *r = &leg->refresh;

	if (status == 408 || status == 481 || !sip) {
		log_info("sip", "refresh", "call_id=%s status=%d", log_quote(leg->call_id->i_id),
			 status);
		leg_drop(leg, SIP_END_SESSION, "Q.850;cause=102;text=\"Session expired\"");
	} else if (status == 422 && sip->sip_min_se && !r->raised) {
		raise_interval(leg, (uint32_t)sip->sip_min_se->min_delta);
	} else if ((status == 405 || status == 501) && !r->invite) {
		r->updates = false;
		send_refresh(leg);
	} else if (status == 491) {
		refresh_later(leg, random_ms(GLARE_MS));
	} else if (status >= 500 && status < 600) {
		retry(leg);
	} else {
		session_timer_arm(leg);
	}
}

static int
refresh_event(struct sip_leg *leg, nta_outgoing_t *orq, const sip_t *sip)
{
	int status = nta_outgoing_status(orq);

	if (!leg || orq != leg->refresh.orq || status < 200)
		return 0;
	leg->refresh.orq = NULL;
	if (status >= 300) {
		forget_offer(leg);
		refused(leg, status, sip);
	} else {
		session_timer_answered(leg, sip);
		if (leg->refresh.invite) {
			send_ack(leg, nta_outgoing_branch(orq));
			take_session(leg, sip);
		}
	}
	nta_outgoing_destroy(orq);
	return 0;
}
