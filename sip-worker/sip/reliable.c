/* Reliable provisional responses (RFC 3262), for callers who insist on them: one 180 with an RSeq,
 * repeated until its PRACK. */
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>

#include "common/id.h"
#include "sip-worker/sip/leg.h"

#define REPEAT_MS  500   /* T1, doubled each time */
#define GIVE_UP_MS 32000 /* 64*T1 */

static void on_repeat(struct loop_timer *t);

static void
send_ringing(struct sip_leg *leg)
{
	struct reliable *r = &leg->reliable;
	char rseq[16];

	str_print(rseq, sizeof rseq, "%u", (unsigned)r->rseq);
	nta_incoming_treply(leg->invite, 180, "Ringing", SIPTAG_CONTACT(leg->contact),
			    SIPTAG_REQUIRE_STR("100rel"), SIPTAG_RSEQ_STR(rseq),
			    SIPTAG_ALLOW(leg->s->allow), SIPTAG_SERVER(leg->s->server), TAG_END());
	/* No memory: the caller repeats its INVITE, and the library its last answer. */
	if (!loop_timer_set(leg->s->loop, &r->repeat, r->interval_ms, on_repeat))
		log_warn("sip", "timer", "why=\"out of memory\"");
}

static void
on_repeat(struct loop_timer *t)
{
	struct sip_leg *leg = container_of(t, struct sip_leg, reliable.repeat);
	struct reliable *r = &leg->reliable;

	if (leg->state != LEG_PROCEEDING)
		return;
	r->waited_ms += r->interval_ms;
	r->interval_ms *= 2;
	if (r->waited_ms < GIVE_UP_MS) {
		if (r->waited_ms + r->interval_ms > GIVE_UP_MS)
			r->interval_ms = GIVE_UP_MS - r->waited_ms;
		send_ringing(leg);
		return;
	}
	sip_leg_reject(leg, 504, "no PRACK for the reliable 180", 0);
	leg_ended(leg, SIP_END_TRANSPORT, "no PRACK");
}

bool
reliable_wanted(const sip_t *invite)
{
	return invite->sip_require && sip_has_feature(invite->sip_require, "100rel");
}

void
reliable_ring(struct sip_leg *leg)
{
	struct reliable *r = &leg->reliable;

	/* The first reliable response to an INVITE without an offer must bring ours (RFC 3262 5),
	 * and ours is not there before the 200. */
	if (r->rseq || !leg->layout)
		return;
	id_random(&r->rseq, sizeof r->rseq);
	r->rseq = (r->rseq & 0x7fffffff) | 1;
	r->interval_ms = REPEAT_MS;
	send_ringing(leg);
}

void
reliable_stop(struct sip_leg *leg)
{
	loop_timer_cancel(leg->s->loop, &leg->reliable.repeat);
}

/* Also after the final answer, which need not wait for it: there is no SDP in the 180. */
void
prack_received(struct sip_leg *leg, struct request *rq)
{
	struct reliable *r = &leg->reliable;
	const sip_rack_t *rack = rq->sip->sip_rack;

	if (!rack) {
		reply_refuse(rq, 400, "no RAck", 0, NULL);
		return;
	}
	if (!r->rseq || r->acknowledged || rack->ra_response != r->rseq ||
	    rack->ra_cseq != leg->invite_cseq || rack->ra_method != sip_method_invite) {
		reply_refuse(rq, 481, "no such response", 0, NULL);
		return;
	}
	r->acknowledged = true;
	reliable_stop(leg);
	reply_plain(rq, 200, "OK");
}
