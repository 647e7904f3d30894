/* Our BYE. */
#include <sofia-sip/sip_tag.h>

#include "sip-worker/sip/leg.h"
#include "sip-worker/sip/session.h"

#define BYE_GUARD_MS 40000 /* the library gives up at 64*T1, 32 s */

static int
bye_event(struct sip_leg *leg, nta_outgoing_t *orq, const sip_t *sip)
{
	(void)sip;
	if (leg && orq == leg->bye && nta_outgoing_status(orq) >= 200)
		leg_ended(leg, SIP_END_BYE, NULL);
	return 0;
}

void
sip_leg_bye_header(struct sip_leg *leg, const char *name, const char *value)
{
	sip_unknown_t **last = &leg->bye_headers;

	while (*last)
		last = &(*last)->un_next;
	*last = sip_unknown_format(leg->home, "%s: %s", name, value);
}

/* A copy of each: what is inserted belongs to the message. */
static bool
add_headers(msg_t *msg, const sip_unknown_t *u)
{
	for (; u; u = u->un_next) {
		sip_unknown_t *copy = sip_unknown_format(msg_home(msg), "%s: %s", u->un_name,
							 u->un_value);

		if (!copy ||
		    msg_header_insert(msg, (msg_pub_t *)sip_object(msg), (msg_header_t *)copy) < 0)
			return false;
	}
	return true;
}

/* NULL: it could not be sent. */
static nta_outgoing_t *
create_bye(struct sip_leg *leg, const char *reason, nta_response_f *callback)
{
	msg_t *msg = leg_request(leg, sip_method_bye, "BYE");

	if (!msg)
		return NULL;
	if (sip_add_tl(msg, sip_object(msg), SIPTAG_REASON_STR(reason), TAG_END()) < 0 ||
	    !add_headers(msg, leg->bye_headers)) {
		msg_destroy(msg);
		return NULL;
	}
	return leg_send(leg, msg, callback);
}

void
bye_send(struct sip_leg *leg, const char *reason)
{
	/* Destroyed at once: the library repeats it until it is answered or given up. */
	nta_outgoing_destroy(create_bye(leg, reason, NULL));
}

void
leg_leave(struct sip_leg *leg)
{
	leg->state = LEG_LEAVING;
	refer_close(leg);
	refresh_stop(leg);
	nta_incoming_destroy(leg->invite);
	leg->invite = NULL;
	if (!leg->owned) {
		bye_send(leg, leg->bye_reason);
		leg_ended(leg, SIP_END_BYE, NULL);
		return;
	}
	leg->bye = create_bye(leg, leg->bye_reason, bye_event);
	leg_set_deadline(leg, leg->bye ? BYE_GUARD_MS : 0);
}
