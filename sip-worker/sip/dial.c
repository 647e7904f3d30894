/* An outbound leg on its way to the answer: addresses in turn, and what is replied. */
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/nta_tag.h>
#include <sofia-sip/sip_util.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/secret.h"
#include "sip-worker/sip/dialling.h"
#include "sip-worker/sip/session.h"

#define ADDRESS_MS 4000 /* an address that says nothing, while there are others */

static int on_reply(struct sip_leg *leg, nta_outgoing_t *orq, const sip_t *sip);

/* --- the end of it --- */

void
dialling_close(struct sip_leg *leg)
{
	struct dialling *d = leg->dial;

	if (!d)
		return;
	loop_timer_cancel(leg->s->loop, &d->ring);
	loop_timer_cancel(leg->s->loop, &d->step);
	resolve_cancel(d->resolution);
	nta_outgoing_destroy(d->invite);
	d->resolution = NULL;
	d->invite = NULL;
}

void
dialling_free(struct dialling *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->header_count; i++)
		free(d->headers[i]);
	free(d->headers);
	free(d->realm);
	free(d->username);
	secret_finish(&d->password);
	if (d->offer)
		secret_wipe(d->offer, strlen(d->offer));
	free(d->offer);
	free(d->rseq_tag);
	if (d->request)
		msg_destroy(d->request);
	secret_wipe(d, sizeof *d);
	free(d);
}

/* The owner hears once how it ended, if it is still there. */
static void
tell(struct sip_leg *leg, int status, const char *reason)
{
	struct dialling *d = leg->dial;
	char text[SIP_TEXT_MAX];

	if (d->told)
		return;
	d->told = true;
	headers_clean(text, sizeof text, reason);
	log_info("sip", "not-answered", "call_id=%s status=%d reason=%s",
		 log_quote(leg->call_id->i_id), status, log_quote(text));
	if (!leg->owned)
		return;
	if (leg->bye_reason[0])
		leg->s->ops->hung_up(leg->owner);
	else
		d->ops.failed(leg->owner, status, text);
}

static void
over(struct sip_leg *leg, int status, const char *reason)
{
	bool owned = leg->owned;

	leg_close(leg);
	if (owned)
		tell(leg, status, reason);
	else
		leg_bury(leg);
}

static void
stop_waiting(struct sip_leg *leg)
{
	struct dialling *d = leg->dial;

	d->cancelling = true;
	loop_timer_cancel(leg->s->loop, &d->ring);
	loop_timer_cancel(leg->s->loop, &d->step);
	if (d->provisional && !d->cancelled) {
		d->cancelled = true;
		dial_send_cancel(leg);
		/* The INVITE has its end by then, or never. */
		leg_set_deadline(leg, SIP_TRANSACTION_MS);
	}
}

void
dial_abandon(struct sip_leg *leg)
{
	struct dialling *d = leg->dial;

	if (d->invite) {
		if (!d->cancelling)
			stop_waiting(leg);
		/* It is over for who was told so; and what is left of it is ours. */
		if (leg->owned && d->told)
			leg_set_deadline(leg, 0);
		return;
	}
	leg_close(leg);
	if (leg->owned)
		leg_set_deadline(leg, 0);
	else
		leg_bury(leg);
}

void
dial_deadline(struct sip_leg *leg)
{
	struct dialling *d = leg->dial;

	if (leg->owned && d->told && leg->bye_reason[0]) {
		leg_set_deadline(leg, SIP_TRANSACTION_MS);
		leg->bye_reason[0] = '\0';
		leg->s->ops->hung_up(leg->owner);
		return;
	}
	over(leg, 408, "no answer to CANCEL");
}

void
dial_ring_timeout(struct loop_timer *t)
{
	struct sip_leg *leg = container_of(t, struct dialling, ring)->leg;

	if (!leg->dial->invite) {
		over(leg, 408, "not answered in time");
		return;
	}
	stop_waiting(leg);
	tell(leg, 408, "not answered in time");
}

/* --- one address after the other --- */

static size_t
listener_addresses(const struct sip *s, struct addr out[2 * SIP_LISTEN_MAX])
{
	const struct addr_list *public = &s->cfg->sip.public_address;
	size_t n = 0;

	for (size_t i = 0; i < s->listener_count; i++) {
		const struct addr *bound = &s->listeners[i].addr;

		out[n++] = *bound;
		for (size_t k = 0;
		     k < public->count && n < 2 * SIP_LISTEN_MAX - s->listener_count + i; k++) {
			out[n] = public->items[k];
			addr_set_port(&out[n++], addr_port(bound));
		}
	}
	return n;
}

bool
dial_may_reach(const struct sip_leg *leg, const struct addr *a, const char **why)
{
	const struct dialling *d = leg->dial;
	struct addr own[2 * SIP_LISTEN_MAX];
	const struct target_policy p = {
		.account = leg->account,
		.source = d->has_source ? &d->source : NULL,
		.listeners = own,
		.listener_count = listener_addresses(leg->s, own),
	};

	return target_allowed(&p, d->target.name, a, why);
}

static void
note_failure(struct dialling *d, int status, const char *reason)
{
	d->status = status;
	str_copy(d->reason, sizeof d->reason, reason);
}

static void on_step(struct loop_timer *t);

/* false: not to this one. */
static bool
try_address(struct sip_leg *leg, const struct resolve_target *t)
{
	struct dialling *d = leg->dial;
	char text[ADDR_TEXT_SIZE];
	const char *why;

	if (!dial_may_reach(leg, &t->addr, &why)) {
		log_warn("sip", "target-refused", "call_id=%s address=%s why=%s",
			 log_quote(leg->call_id->i_id), addr_text(&t->addr, text), log_quote(why));
		note_failure(d, 403, why);
		return false;
	}
	dialled_remove(leg);
	tport_unref(leg->tport);
	leg->tport = NULL;
	leg->source = t->addr;
	leg->transport = t->transport;
	memset(d->logins, 0, sizeof d->logins);
	if (!dialled_add(leg) || !dial_send_invite(leg, on_reply)) {
		note_failure(d, 503, "no way to send to the address");
		return false;
	}
	/* Without memory for the timer it is the library that gives up, later. */
	if (d->next < d->target_count &&
	    !loop_timer_set(leg->s->loop, &d->step, ADDRESS_MS, on_step))
		log_warn("sip", "timer", "why=\"out of memory\"");
	return true;
}

static void
try_next(struct sip_leg *leg)
{
	struct dialling *d = leg->dial;

	while (d->next < d->target_count)
		if (try_address(leg, &d->targets[d->next++]))
			return;
	over(leg, d->status ? d->status : 503, d->status ? d->reason : "the host is not known");
}

static void
on_step(struct loop_timer *t)
{
	struct sip_leg *leg = container_of(t, struct dialling, step)->leg;
	struct dialling *d = leg->dial;

	nta_outgoing_destroy(d->invite);
	d->invite = NULL;
	note_failure(d, 408, "an address did not answer");
	try_next(leg);
}

void
dial_found(void *arg, const struct resolve_target *targets, size_t count)
{
	struct sip_leg *leg = arg;
	struct dialling *d = leg->dial;

	d->resolution = NULL;
	if (count)
		memcpy(d->targets, targets, count * sizeof *targets);
	d->target_count = count;
	try_next(leg);
}

/* --- replies --- */

static const char *
phrase_of(const sip_t *sip, int status)
{
	return sip && sip->sip_status && sip->sip_status->st_phrase && sip->sip_status->st_phrase[0]
		       ? sip->sip_status->st_phrase
		       : reply_phrase(status);
}

/* The connection it came by carries what follows. */
static void
take_transport(struct sip_leg *leg, const msg_t *reply)
{
	tport_t *tport = tport_delivered_by(nta_agent_tports(leg->s->agent), reply);

	if (tport && tport != leg->tport) {
		tport_unref(leg->tport);
		leg->tport = tport_ref(tport);
	}
}

/* An answer to our offer; a later one replaces it (RFC 3261 13.2.1, a fork may have its own). */
static bool
take_session(struct sip_leg *leg, const sip_t *sip, const char **why)
{
	struct dialling *d = leg->dial;
	struct media_remote before = leg->remote_sdp;
	bool ok;

	leg->local_sdp.offer_key = d->offer_key;
	secret_wipe(&leg->remote_sdp.send_key, sizeof leg->remote_sdp.send_key);
	ok = session_ack(leg, sip, why);
	if (!ok)
		leg->remote_sdp = before;
	secret_wipe(&before, sizeof before);
	return ok;
}

static bool
has_body(const sip_t *sip)
{
	return sip->sip_payload && sip->sip_payload->pl_len > 0;
}

static void
acknowledge_reliable(struct sip_leg *leg, sip_t *sip)
{
	struct dialling *d = leg->dial;
	const char *tag = sip->sip_to->a_tag;

	if (!sip->sip_rseq || !tag || !sip->sip_require ||
	    !sip_has_feature(sip->sip_require, "100rel"))
		return;
	if (d->rseq_tag && strcmp(d->rseq_tag, tag) == 0 && sip->sip_rseq->rs_response <= d->rseq)
		return;
	free(d->rseq_tag);
	d->rseq_tag = strdup(tag);
	d->rseq = sip->sip_rseq->rs_response;
	dial_send_prack(leg, sip);
}

static void
provisional(struct sip_leg *leg, int status, sip_t *sip)
{
	struct dialling *d = leg->dial;
	const char *why;
	bool early = false;

	d->provisional = true;
	loop_timer_cancel(leg->s->loop, &d->step);
	acknowledge_reliable(leg, sip);
	if (d->cancelling) {
		stop_waiting(leg);
		return;
	}
	if (status > 100 && has_body(sip))
		early = take_session(leg, sip, &why);
	d->has_session |= early;
	if (status > 100 && leg->owned)
		d->ops.progress(leg->owner, status, early ? &leg->remote_sdp : NULL);
}

/* The dialog as its 2xx says (RFC 3261 12.1.2). */
static bool
establish(struct sip_leg *leg, const sip_t *sip)
{
	sip_to_t *remote = sip_to_dup(leg->home, sip->sip_to);
	sip_contact_t *target = sip->sip_contact && sip->sip_contact->m_url->url_host
					? sip_contact_dup(leg->home, sip->sip_contact)
					: leg->target;
	sip_route_t *route = sip->sip_record_route
				     ? sip_route_reverse(leg->home, sip->sip_record_route)
				     : NULL;

	if (!remote || !target || (sip->sip_record_route && !route))
		return false;
	leg->remote = remote;
	leg->target = target;
	leg->route = route;
	return true;
}

static void
drop(struct sip_leg *leg, const char *reason, const char *why)
{
	bye_send(leg, reason);
	over(leg, 488, why);
}

static void
answered(struct sip_leg *leg, const sip_t *sip)
{
	struct dialling *d = leg->dial;
	const char *why = "no session description in the answer";

	if (!establish(leg, sip)) {
		over(leg, 503, "out of memory");
		return;
	}
	leg->state = LEG_CONFIRMED;
	loop_timer_cancel(leg->s->loop, &leg->deadline);
	dialling_close(leg);
	dial_send_ack(leg);
	if (d->told || !leg->owned) {
		drop(leg, "SIP;cause=487;text=\"Answered too late\"", "answered too late");
		return;
	}
	if (leg->bye_reason[0]) {
		leg_leave(leg);
		return;
	}
	if (has_body(sip) ? !take_session(leg, sip, &why) : !d->has_session) {
		drop(leg, "SIP;cause=488;text=\"Not Acceptable Here\"", why);
		return;
	}
	/* Nobody asked for a session timer: who does not say otherwise is refreshed by us. */
	leg->session_expires_s = leg->s->cfg->sip.session_expires_s;
	leg->refresh.ours = true;
	session_timer_answered(leg, sip);
	d->told = true;
	d->ops.answered(leg->owner, &leg->remote_sdp);
}

/* An address that is out of order, not a callee who declines. */
static bool
is_address_failure(const struct dialling *d, int status, bool real)
{
	return status == 503 || (status == 408 && !real && !d->provisional);
}

static void
refused(struct sip_leg *leg, int status, const sip_t *sip, bool real)
{
	struct dialling *d = leg->dial;

	if (!d->cancelling && (status == 401 || status == 407) && real && dial_challenged(d, sip)) {
		if (!dial_send_invite(leg, on_reply))
			over(leg, 503, "the INVITE could not be sent");
		return;
	}
	note_failure(d, status, phrase_of(sip, status));
	if (!d->cancelling && is_address_failure(d, status, real))
		try_next(leg);
	else
		over(leg, status, d->reason);
}

static int
on_reply(struct sip_leg *leg, nta_outgoing_t *orq, const sip_t *sip)
{
	int status = nta_outgoing_status(orq);
	msg_t *reply;
	bool real;

	if (!leg || !leg->dial || orq != leg->dial->invite)
		return 0;
	/* Kept: what happens below may be the transaction's end. */
	reply = nta_outgoing_getresponse(orq);
	/* The library writes some itself: 408, 503. */
	real = reply && sip && msg_addr(reply)->su_family != 0;
	if (real)
		take_transport(leg, reply);
	if (status < 200) {
		if (real)
			provisional(leg, status, sip_object(reply));
	} else {
		leg->dial->invite = NULL;
		loop_timer_cancel(leg->s->loop, &leg->dial->step);
		nta_outgoing_destroy(orq);
		if (status < 300 && real)
			answered(leg, sip_object(reply));
		else
			refused(leg, status, sip, real);
	}
	if (reply)
		msg_destroy(reply);
	return 0;
}

void
dial_stray(struct sip *s, sip_t *reply, const struct addr *source)
{
	const char *tag = reply->sip_from ? reply->sip_from->a_tag : NULL;
	struct sip_leg *leg = tag ? map_find(s->dialogs, tag) : NULL;
	int status = reply->sip_status->st_status;
	struct dialling *d;

	if (!leg || !leg->dial || !leg->dial->request || status < 200 || status >= 300 ||
	    reply->sip_cseq->cs_method != sip_method_invite ||
	    strcmp(reply->sip_call_id->i_id, leg->call_id->i_id) != 0)
		return;
	d = leg->dial;
	if (leg->state >= LEG_CONFIRMED && str_eq(reply->sip_to->a_tag, leg->remote->a_tag)) {
		if (reply->sip_cseq->cs_seq == d->cseq)
			dial_send_ack(leg);
		return;
	}
	if (d->strays++ < DIAL_STRAYS_MAX)
		dial_send_away(leg, reply, source);
}
