/* The messages of an outbound leg: INVITE, CANCEL, PRACK, ACK. */
#include <sofia-sip/nta_tag.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/tport_tag.h>
#include <stdlib.h>
#include <string.h>

#include "sip-worker/sip/dialling.h"
#include "sip-worker/sip/tls.h"

const struct listener *
dial_listener(const struct sip *s, enum sip_transport transport, int family)
{
	for (size_t i = 0; i < s->listener_count; i++)
		if (s->listeners[i].transport == transport &&
		    addr_family(&s->listeners[i].addr) == family)
			return &s->listeners[i];
	return NULL;
}

static char *
dial_hop(const struct sip_leg *leg, su_home_t *home)
{
	return leg_hop(&leg->source, leg->transport, leg->dial->target.host, home);
}

/* --- INVITE --- */

static bool
insert(msg_t *msg, void *header)
{
	return header && msg_header_insert(msg, (msg_pub_t *)sip_object(msg), header) >= 0;
}

static bool
add_line(msg_t *msg, const char *line)
{
	return insert(msg, sip_unknown_format(msg_home(msg), "%s", line));
}

static bool
add_headers(const struct sip_leg *leg, msg_t *msg)
{
	const struct dialling *d = leg->dial;
	char token[SIP_LOOP_TOKEN_SIZE], line[sizeof SIP_LOOP_HEADER + sizeof token + 2];

	headers_loop_token(leg->account, token);
	str_print(line, sizeof line, "%s: %s", SIP_LOOP_HEADER, token);
	for (size_t i = 0; i < d->header_count; i++)
		if (!add_line(msg, d->headers[i]))
			return false;
	return add_line(msg, line);
}

static msg_t *
create_invite(struct sip_leg *leg)
{
	struct dialling *d = leg->dial;
	struct sip *s = leg->s;
	msg_t *msg = nta_msg_create(s->agent, 0);
	su_home_t *home = msg_home(msg);
	sip_t *sip = sip_object(msg);

	if (!msg)
		return NULL;
	if (!insert(msg, sip_request_create(home, SIP_METHOD_INVITE,
					    (url_string_t *)leg->remote->a_url, NULL)) ||
	    !insert(msg, sip_cseq_create(home, ++leg->local_cseq, SIP_METHOD_INVITE)) ||
	    !insert(msg, sip_max_forwards_format(home, "%u", (unsigned)d->max_forwards)) ||
	    !insert(msg, sip_supported_make(home, "timer, 100rel")) ||
	    !insert(msg, sip_payload_make(home, d->offer)) ||
	    sip_add_tl(msg, sip, SIPTAG_FROM(leg->local), SIPTAG_TO(leg->remote),
		       SIPTAG_CALL_ID(leg->call_id), SIPTAG_CONTACT(leg->contact),
		       SIPTAG_ALLOW(s->allow), SIPTAG_CONTENT_TYPE(s->content_type),
		       TAG_END()) < 0 ||
	    !add_headers(leg, msg) || !dial_add_logins(d, msg)) {
		msg_destroy(msg);
		return NULL;
	}
	return msg;
}

/* As a user agent, the library would end by itself what forks, wherever a Contact points; as
 * anything else it hands every 2xx over. */
static nta_outgoing_t *
create_transaction(struct sip_leg *leg, msg_t *msg, const struct listener *l,
		   nta_response_f *callback)
{
	nta_agent_t *agent = leg->s->agent;
	char *hop = dial_hop(leg, msg_home(msg));
	nta_outgoing_t *orq;

	if (!hop)
		return NULL;
	nta_agent_set_params(agent, NTATAG_UA(0), TAG_END());
	tls_dialling(leg->dial->target.name);
	orq = nta_outgoing_mcreate(agent, callback, leg, URL_STRING_MAKE(hop), msg,
				   NTATAG_PASS_100(1), TPTAG_IDENT(l->ident), TAG_END());
	tls_dialled();
	nta_agent_set_params(agent, NTATAG_UA(1), TAG_END());
	return orq;
}

bool
dial_send_invite(struct sip_leg *leg, nta_response_f *callback)
{
	struct dialling *d = leg->dial;
	const struct listener *l = dial_listener(leg->s, leg->transport, addr_family(&leg->source));
	msg_t *msg;

	if (!l)
		return false;
	leg->contact = d->target.secure && l->secure_contact ? l->secure_contact : l->contact;
	msg = create_invite(leg);
	if (!msg)
		return false;
	d->cseq = leg->local_cseq;
	d->invite = create_transaction(leg, msg, l, callback);
	if (!d->invite) {
		msg_destroy(msg);
		return false;
	}
	if (d->request)
		msg_destroy(d->request);
	d->request = nta_outgoing_getrequest(d->invite);
	str_copy(d->branch, sizeof d->branch, nta_outgoing_branch(d->invite));
	d->provisional = false;
	return true;
}

/* --- CANCEL --- */

/* All of it as in the INVITE (RFC 3261 9.1).  Not by the library's own function, which takes the
 * INVITE for completed. */
void
dial_send_cancel(struct sip_leg *leg)
{
	struct dialling *d = leg->dial;
	const sip_t *invite = sip_object(d->request);
	const struct listener *l = dial_listener(leg->s, leg->transport, addr_family(&leg->source));
	msg_t *msg = nta_msg_create(leg->s->agent, 0);
	su_home_t *home = msg_home(msg);
	nta_outgoing_t *orq = NULL;
	char *hop;

	if (!msg)
		return;
	hop = dial_hop(leg, home);
	tls_dialling(d->target.name);
	if (hop && l && invite->sip_via &&
	    insert(msg, sip_request_create(home, SIP_METHOD_CANCEL,
					   (url_string_t *)invite->sip_request->rq_url, NULL)) &&
	    insert(msg, sip_cseq_create(home, d->cseq, SIP_METHOD_CANCEL)) &&
	    sip_add_tl(msg, sip_object(msg), SIPTAG_VIA(invite->sip_via),
		       SIPTAG_FROM(invite->sip_from), SIPTAG_TO(invite->sip_to),
		       SIPTAG_CALL_ID(invite->sip_call_id),
		       SIPTAG_MAX_FORWARDS(invite->sip_max_forwards), TAG_END()) >= 0)
		orq = nta_outgoing_mcreate(leg->s->agent, NULL, NULL, URL_STRING_MAKE(hop), msg,
					   NTATAG_BRANCH_KEY(d->branch), NTATAG_USER_VIA(1),
					   TPTAG_IDENT(l->ident), TAG_END());
	tls_dialled();
	if (!orq)
		msg_destroy(msg);
	nta_outgoing_destroy(orq);
}

/* --- within the dialogs that it makes --- */

/* What of a leg says whom its requests are for. */
struct far_end {
	sip_to_t *remote;
	sip_contact_t *target;
	sip_route_t *route;
};

static struct far_end
turn_to(struct sip_leg *leg, struct far_end to)
{
	struct far_end before = { leg->remote, leg->target, leg->route };

	leg->remote = to.remote;
	leg->target = to.target;
	leg->route = to.route;
	return before;
}

/* The other end of the dialog that a reply began.  Borrows from it. */
static struct far_end
far_end_of(const struct sip_leg *leg, sip_t *reply, su_home_t *home)
{
	struct far_end f = { reply->sip_to, leg->target, NULL };

	if (reply->sip_contact && reply->sip_contact->m_url->url_host)
		f.target = reply->sip_contact;
	if (reply->sip_record_route)
		f.route = sip_route_reverse(home, reply->sip_record_route);
	return f;
}

/* branch NULL: its 2xx is not expected again. */
static void
send_ack(struct sip_leg *leg, const char *branch)
{
	struct dialling *d = leg->dial;
	const sip_t *invite = sip_object(d->request);
	uint32_t cseq = leg->local_cseq;
	nta_outgoing_t *orq = NULL;
	msg_t *msg;
	char *hop;

	leg->local_cseq = d->cseq - 1;
	msg = leg_request(leg, SIP_METHOD_ACK);
	leg->local_cseq = cseq;
	if (!msg)
		return;
	hop = leg_next_hop(leg, msg_home(msg));
	tls_dialling(leg->route ? leg->route->r_url->url_host : leg->target->m_url->url_host);
	/* The ACK carries what the INVITE was admitted with (RFC 3261 13.2.2.4). */
	if (hop &&
	    sip_add_tl(msg, sip_object(msg), SIPTAG_AUTHORIZATION(invite->sip_authorization),
		       SIPTAG_PROXY_AUTHORIZATION(invite->sip_proxy_authorization), TAG_END()) >= 0)
		orq = nta_outgoing_mcreate(leg->s->agent, NULL, NULL, URL_STRING_MAKE(hop), msg,
					   TAG_IF(leg->tport && !tport_is_shutdown(leg->tport),
						  NTATAG_TPORT(leg->tport)),
					   TAG_IF(branch, NTATAG_ACK_BRANCH(branch)),
					   TAG_IF(!branch, NTATAG_STATELESS(1)), TAG_END());
	tls_dialled();
	if (!orq)
		msg_destroy(msg);
	nta_outgoing_destroy(orq);
}

void
dial_send_ack(struct sip_leg *leg)
{
	send_ack(leg, leg->dial->branch);
}

static bool
add_rack(const struct sip_leg *leg, msg_t *msg, uint32_t rseq)
{
	return insert(msg, sip_rack_format(msg_home(msg), "%u %u INVITE", (unsigned)rseq,
					   (unsigned)leg->dial->cseq));
}

void
dial_send_prack(struct sip_leg *leg, sip_t *reply)
{
	su_home_t home[1] = { SU_HOME_INIT(home) };
	struct far_end before;
	nta_outgoing_t *orq = NULL;
	msg_t *msg;

	su_home_init(home);
	before = turn_to(leg, far_end_of(leg, reply, home));
	msg = leg_request(leg, SIP_METHOD_PRACK);
	if (msg && add_rack(leg, msg, reply->sip_rseq->rs_response))
		orq = leg_send(leg, msg, NULL);
	else if (msg)
		msg_destroy(msg);
	turn_to(leg, before);
	/* Repeated by the library until it is answered. */
	nta_outgoing_destroy(orq);
	su_home_deinit(home);
}

void
dial_send_away(struct sip_leg *leg, sip_t *reply, const struct addr *source)
{
	su_home_t home[1] = { SU_HOME_INIT(home) };
	struct far_end before;
	struct addr dialled = leg->source;

	su_home_init(home);
	before = turn_to(leg, far_end_of(leg, reply, home));
	if (leg_may_reach(leg, source))
		leg->source = *source;
	send_ack(leg, NULL);
	bye_send(leg, "SIP;cause=487;text=\"Answered elsewhere\"");
	turn_to(leg, before);
	leg->source = dialled;
	su_home_deinit(home);
}
