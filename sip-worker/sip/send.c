/* Requests of ours within a dialog: along the route set, to the remote target, over the flow the
 * call came by. */
#include <sofia-sip/nta_tag.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/tport_tag.h>
#include <string.h>

#include "sip-worker/sip/dialling.h"
#include "sip-worker/sip/tls.h"

bool
leg_may_reach(const struct sip_leg *leg, const struct addr *a)
{
	const char *why;

	if (addr_equal_host(a, &leg->source) || cidr_list_match(&leg->account->sip.allow, a))
		return true;
	return leg->dial && dial_may_reach(leg, a, &why);
}

char *
leg_hop(const struct addr *a, enum sip_transport transport, const char *name, su_home_t *home)
{
	char text[ADDR_TEXT_SIZE];

	if (transport == SIP_TLS && name)
		return su_sprintf(home, "sip:%s:%u;transport=tls;maddr=%s", name, addr_port(a),
				  addr_host(a, text));
	return su_sprintf(home, "sip:%s;transport=%s", addr_text(a, text),
			  transport == SIP_UDP   ? "udp"
			  : transport == SIP_TCP ? "tcp"
						 : "tls");
}

/* Never a name, never an address that the account has nothing to do with: then the call's source,
 * which as the last hop knows the way. */
char *
leg_next_hop(const struct sip_leg *leg, su_home_t *home)
{
	const url_t *url = leg->route ? leg->route->r_url : leg->target->m_url;
	const char *port = url->url_port;
	struct addr a;
	int64_t number = leg->transport == SIP_TLS ? 5061 : 5060;

	if (!url->url_host || (port && !str_to_int64(port, 1, 65535, &number)) ||
	    !addr_parse(url->url_host, (uint16_t)number, &a) || !leg_may_reach(leg, &a))
		a = leg->source;
	return leg_hop(&a, leg->transport, url->url_host, home);
}

/* Request-URI and Route (RFC 3261 12.2.1.1), with a strict router first in line or without. */
static bool
add_route(const struct sip_leg *leg, msg_t *msg, sip_method_t method, const char *name)
{
	su_home_t *home = msg_home(msg);
	sip_t *sip = sip_object(msg);
	const url_t *uri = leg->target->m_url;
	sip_route_t *rest = leg->route;
	bool strict = rest && !url_has_param(rest->r_url, "lr");
	sip_request_t *line;

	if (strict) {
		uri = rest->r_url;
		rest = rest->r_next;
	}
	line = sip_request_create(home, method, name, (const url_string_t *)uri, NULL);
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

msg_t *
leg_request(struct sip_leg *leg, sip_method_t method, const char *name)
{
	msg_t *msg = nta_msg_create(leg->s->agent, 0);
	sip_cseq_t *cseq;

	if (!msg)
		return NULL;
	cseq = sip_cseq_create(msg_home(msg), ++leg->local_cseq, method, name);
	if (!cseq || !add_route(leg, msg, method, name) ||
	    sip_add_tl(msg, sip_object(msg), SIPTAG_FROM(leg->local), SIPTAG_TO(leg->remote),
		       SIPTAG_CALL_ID(leg->call_id), SIPTAG_CSEQ(cseq),
		       SIPTAG_MAX_FORWARDS_STR("70"), TAG_END()) < 0) {
		msg_destroy(msg);
		return NULL;
	}
	return msg;
}

nta_outgoing_t *
leg_send(struct sip_leg *leg, msg_t *msg, nta_response_f *callback)
{
	const url_t *url = leg->route ? leg->route->r_url : leg->target->m_url;
	char *hop = leg_next_hop(leg, msg_home(msg));
	nta_outgoing_t *orq = NULL;

	if (hop) {
		tls_dialling(url->url_host);
		orq = nta_outgoing_mcreate(leg->s->agent, callback, leg, URL_STRING_MAKE(hop), msg,
					   TAG_IF(leg->tport && !tport_is_shutdown(leg->tport),
						  NTATAG_TPORT(leg->tport)),
					   TAG_END());
		tls_dialled();
	}
	if (!orq)
		msg_destroy(msg);
	return orq;
}
