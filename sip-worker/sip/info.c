/* DTMF by INFO. */
#include "sip-worker/sip/info.h"

#include <sofia-sip/sip_tag.h>

#include "sip-worker/sip/leg.h"

void
info_received(struct sip_leg *leg, struct request *rq)
{
	const sip_content_type_t *c = rq->sip->sip_content_type;
	const sip_payload_t *pl = rq->sip->sip_payload;
	const char *type = c && c->c_type ? c->c_type : "";
	char digit;
	int duration_ms;

	if (!pl || pl->pl_len == 0) {
		reply_plain(rq, 200, "OK");
		return;
	}
	if (!str_eq_nocase(type, "application/dtmf-relay") &&
	    !str_eq_nocase(type, "application/dtmf")) {
		reply_refuse(
			rq, 415, "body is not a digit", 0,
			(sip_header_t *)sip_accept_make(
				msg_home(rq->msg), "application/dtmf-relay, application/dtmf"));
		return;
	}
	if (!info_parse(pl->pl_data, pl->pl_len, &digit, &duration_ms)) {
		reply_refuse(rq, 400, "no digit in the body", 0, NULL);
		return;
	}
	reply_plain(rq, 200, "OK");
	if (leg->owned && leg->state != LEG_ENDED && !leg->bye_reason[0])
		leg->s->ops->digit(leg->owner, digit, duration_ms);
}
