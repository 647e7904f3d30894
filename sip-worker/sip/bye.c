/* Our BYE: along the route set, to the remote target, over the flow the call came by. */
#include <sofia-sip/nta_tag.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/tport_tag.h>
#include <string.h>

#include "sip-worker/sip/leg.h"

#define BYE_GUARD_MS 40000 /* the library gives up at 64*T1, 32 s */

/* Never a name, never an address that the account has nothing to do with: then the call's source,
 * which as the last hop knows the way. */
static const char *
next_hop(struct sip_leg *leg, su_home_t *home)
{
	const url_t *url = leg->route ? leg->route->r_url : leg->target->m_url;
	const char *port = url->url_port;
	struct addr a;
	char text[ADDR_TEXT_SIZE];
	int64_t number = 5060;

	if (!url->url_host || !addr_parse(url->url_host, 0, &a) ||
	    (!addr_equal_host(&a, &leg->source) &&
	     !cidr_list_match(&leg->account->sip.allow, &a)) ||
	    (port && !str_to_int64(port, 1, 65535, &number)))
		a = leg->source;
	else
		addr_set_port(&a, (uint16_t)number);
	return su_sprintf(home, "sip:%s;transport=%s", addr_text(&a, text),
			  leg->transport == SIP_UDP   ? "udp"
			  : leg->transport == SIP_TCP ? "tcp"
						      : "tls");
}

/* Request-URI and Route (RFC 3261 12.2.1.1), with a strict router first in line or without. */
static bool
add_route(struct sip_leg *leg, msg_t *msg, sip_t *sip, const char *method)
{
	su_home_t *home = msg_home(msg);
	const url_t *uri = leg->target->m_url;
	sip_route_t *rest = leg->route;
	bool strict = rest && !url_has_param(rest->r_url, "lr");
	sip_request_t *line;

	if (strict) {
		uri = rest->r_url;
		rest = rest->r_next;
	}
	line = sip_request_create(home, sip_method_bye, method, (const url_string_t *)uri, NULL);
	if (!line || msg_header_insert(msg, (msg_pub_t *)sip, (msg_header_t *)line) < 0)
		return false;
	if (rest && sip_add_dup(msg, sip, (sip_header_t *)rest) < 0)
		return false;
	if (strict) {
		sip_route_t *last = sip_route_create(home, leg->target->m_url, NULL);

		return last && msg_header_insert(msg, (msg_pub_t *)sip, (msg_header_t *)last) >= 0;
	}
	return true;
}

static int
bye_event(struct sip_leg *leg, nta_outgoing_t *orq, const sip_t *sip)
{
	(void)sip;
	if (leg && orq == leg->bye && nta_outgoing_status(orq) >= 200)
		leg_ended(leg, SIP_END_BYE, NULL);
	return 0;
}

/* NULL: it could not be sent. */
static nta_outgoing_t *
create_bye(struct sip_leg *leg, const char *reason, nta_response_f *callback)
{
	struct sip *s = leg->s;
	msg_t *msg = nta_msg_create(s->agent, 0);
	sip_t *sip = sip_object(msg);
	nta_outgoing_t *orq;
	const char *hop;

	if (!sip)
		return NULL;
	hop = next_hop(leg, msg_home(msg));
	if (!hop || !add_route(leg, msg, sip, "BYE") ||
	    sip_add_tl(msg, sip, SIPTAG_FROM(leg->local), SIPTAG_TO(leg->remote),
		       SIPTAG_CALL_ID(leg->call_id),
		       SIPTAG_CSEQ(sip_cseq_create(msg_home(msg), ++leg->local_cseq, sip_method_bye,
						   "BYE")),
		       SIPTAG_MAX_FORWARDS_STR("70"), SIPTAG_REASON_STR(reason), TAG_END()) < 0) {
		msg_destroy(msg);
		return NULL;
	}
	orq = nta_outgoing_mcreate(
		s->agent, callback, leg, (const url_string_t *)hop, msg,
		TAG_IF(leg->tport && !tport_is_shutdown(leg->tport), NTATAG_TPORT(leg->tport)),
		TAG_END());
	if (!orq)
		msg_destroy(msg);
	return orq;
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
