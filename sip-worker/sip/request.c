/* What comes out of the parser and belongs to no transaction of the library. */
#include "sip-worker/sip/internal.h"

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_tag.h>
#include <string.h>

#include "sip-worker/sip/dialling.h"

static enum sip_transport
transport_of(const tport_t *tport)
{
	const char *proto = tport ? tport_name(tport)->tpn_proto : "udp";

	if (str_eq_nocase(proto, "udp"))
		return SIP_UDP;
	return str_eq_nocase(proto, "tls") ? SIP_TLS : SIP_TCP;
}

static void
source_of(msg_t *msg, struct addr *out)
{
	const su_sockaddr_t *su = msg_addr(msg);

	*out = (struct addr){ 0 };
	if (su->su_family == AF_INET6)
		memcpy(&out->v6, &su->su_sin6, sizeof out->v6);
	else
		memcpy(&out->v4, &su->su_sin, sizeof out->v4);
}

static bool
is_supported(const char *feature)
{
	return str_eq_nocase(feature, "timer") || str_eq_nocase(feature, "100rel");
}

/* Unsupported: what of Require we do not know; NULL: nothing. */
static sip_header_t *
unsupported(su_home_t *home, const sip_t *sip)
{
	char text[SIP_TEXT_MAX] = "";
	size_t n = 0;

	for (const sip_require_t *r = sip->sip_require; r; r = r->k_next)
		for (size_t i = 0; r->k_items && r->k_items[i]; i++) {
			size_t len = strlen(r->k_items[i]);

			if (is_supported(r->k_items[i]) || n + len + 3 > sizeof text)
				continue;
			str_print(text + n, sizeof text - n, "%s%s", n ? ", " : "", r->k_items[i]);
			n = strlen(text);
		}
	return n ? (sip_header_t *)sip_unsupported_make(home, text) : NULL;
}

struct verdict
request_check(struct request *rq)
{
	const url_t *url = rq->sip->sip_request->rq_url;
	const sip_header_t *extra;

	if (url->url_type != url_sip && url->url_type != url_sips && url->url_type != url_tel)
		return (struct verdict){ .status = 416, .why = "unsupported URI scheme" };
	if (url->url_headers)
		return (struct verdict){ .status = 400, .why = "headers in the Request-URI" };
	extra = unsupported(msg_home(rq->msg), rq->sip);
	if (extra)
		return (struct verdict){ .status = 420,
					 .why = "unsupported extension required",
					 .extra = extra };
	return (struct verdict){ 0 };
}

static void
refuse_method(struct request *rq, bool known)
{
	su_home_t *home = msg_home(rq->msg);

	if (known)
		reply_refuse(rq, 405, "method not allowed here", 0,
			     (sip_header_t *)sip_allow_dup(home, rq->s->allow));
	else
		reply_plain(rq, 501, NULL);
}

/* Without a dialog: only INVITE and OPTIONS have a meaning. */
static void
outside_dialog(struct request *rq, enum source_class source)
{
	switch ((int)rq->sip->sip_request->rq_method) {
	case sip_method_invite:
		if (admission_request(rq))
			invite_received(rq);
		return;
	case sip_method_options:
		if (source != SOURCE_STRANGER || admission_request(rq))
			options_received(rq);
		return;
	case sip_method_bye:
	case sip_method_cancel:
	case sip_method_update:
	case sip_method_info:
	case sip_method_prack:
	case sip_method_notify:
		reply_plain(rq, 481, NULL);
		return;
	case sip_method_refer:
	case sip_method_register:
	case sip_method_subscribe:
	case sip_method_message:
	case sip_method_publish:
		refuse_method(rq, true);
		return;
	default:
		refuse_method(rq, false);
	}
}

static void
drop_stranger(struct request *rq)
{
	rq->s->stats.dropped_source++;
	if (rq->s->cfg->sip.unknown_drop)
		nta_msg_discard(rq->s->agent, rq->msg);
	else
		reply_plain(rq, 403, NULL);
}

/* In-dialog requests come from where the call came from, or from the account's other addresses. */
static bool
may_use(const struct sip_leg *leg, const struct request *rq)
{
	return leg_may_reach(leg, &rq->source);
}

int
request_received(struct sip *s, nta_agent_t *agent, msg_t *msg, sip_t *sip)
{
	struct request rq = { .s = s, .msg = msg, .sip = sip };
	enum source_class source;
	struct sip_leg *leg;
	sip_method_t method;

	s->stats.received++;
	if (sip && sip->sip_status) {
		source_of(msg, &rq.source);
		dial_stray(s, sip, &rq.source);
	}
	if (!sip || !sip->sip_request || sip->sip_request->rq_method == sip_method_ack) {
		nta_msg_discard(agent, msg);
		return 0;
	}
	rq.tport = tport_delivered_by(nta_agent_tports(agent), msg);
	rq.transport = transport_of(rq.tport);
	source_of(msg, &rq.source);
	source = admission_source(s, &rq.source);
	if (rq.transport != SIP_UDP && source != SOURCE_STRANGER)
		guard_alive(&rq.source);
	leg = sip->sip_to->a_tag ? dialog_find(s, sip) : NULL;
	if (leg && may_use(leg, &rq)) {
		dialog_request(leg, &rq);
		return 0;
	}
	method = sip->sip_request->rq_method;
	if (source == SOURCE_STRANGER &&
	    (!s->open_users || (method != sip_method_invite && method != sip_method_options)))
		drop_stranger(&rq);
	else if (sip->sip_to->a_tag)
		reply_plain(&rq, 481, NULL);
	else
		outside_dialog(&rq, source);
	return 0;
}
