/* Requests within a dialog: found by our tag, judged by tags and CSeq, given to their method. */
#include <sofia-sip/sip_tag.h>
#include <string.h>

#include "sip-worker/sip/leg.h"
#include "sip-worker/sip/session.h"

struct sip_leg *
dialog_find(struct sip *s, const sip_t *sip)
{
	struct sip_leg *leg = map_find(s->dialogs, sip->sip_to->a_tag);

	if (!leg || strcmp(leg->call_id->i_id, sip->sip_call_id->i_id) != 0)
		return NULL;
	/* A peer of RFC 2543 has no tag. */
	if (!str_eq(leg->remote->a_tag, sip->sip_from->a_tag))
		return NULL;
	return leg;
}

static void
bye_received(struct sip_leg *leg, struct request *rq)
{
	char reason[SIP_TEXT_MAX];
	const char *text = headers_reason(rq->sip, reason, sizeof reason);

	if (leg->state == LEG_PROCEEDING)
		nta_incoming_treply(leg->invite, 487, "Request Terminated",
				    SIPTAG_SERVER(leg->s->server), TAG_END());
	reply_plain(rq, 200, "OK");
	leg_ended(leg, SIP_END_BYE, text);
}

static void
dispatch(struct sip_leg *leg, struct request *rq)
{
	switch ((int)rq->sip->sip_request->rq_method) {
	case sip_method_bye:
		bye_received(leg, rq);
		return;
	case sip_method_invite:
		reinvite_received(leg, rq);
		return;
	case sip_method_update:
		update_received(leg, rq);
		return;
	case sip_method_info:
		info_received(leg, rq);
		return;
	case sip_method_options:
		options_received(rq);
		return;
	case sip_method_notify:
		notify_received(leg, rq);
		return;
	case sip_method_prack:
		prack_received(leg, rq);
		return;
	case sip_method_unknown:
		reply_plain(rq, 501, NULL);
		return;
	default:
		reply_refuse(rq, 405, "method not allowed here", 0,
			     (const sip_header_t *)rq->s->allow);
	}
}

void
dialog_request(struct sip_leg *leg, struct request *rq)
{
	uint32_t seq = rq->sip->sip_cseq->cs_seq;

	if (rq->sip->sip_request->rq_method == sip_method_cancel) {
		reply_plain(rq, 481, NULL);
		return;
	}
	/* A transaction of its own answers the retransmissions; the message stays until we are
	 * done. */
	rq->irq = nta_incoming_create(leg->s->agent, NULL, msg_ref(rq->msg), rq->sip, TAG_END());
	if (!rq->irq) {
		reply_plain(rq, 500, NULL);
		return;
	}
	if (seq <= leg->remote_cseq) {
		reply_refuse(rq, 500, "CSeq out of order", 0, NULL);
	} else {
		leg->remote_cseq = seq;
		dispatch(leg, rq);
	}
	msg_destroy(rq->msg);
}
