/* The life of a leg: from the INVITE to the graveyard. */
#include "sip-worker/sip/leg.h"
#include "sip-worker/sip/session.h"

#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/secret.h"
#include "sip-worker/sip/dialling.h"

static void on_deadline(struct loop_timer *t);

/* --- birth --- */

static const struct listener *
listener_of(const struct request *rq)
{
	const struct sip *s = rq->s;
	const char *port = rq->tport ? tport_name(rq->tport)->tpn_ident : NULL;

	for (size_t i = 0; i < s->listener_count; i++)
		if (port && strcmp(s->listeners[i].ident, port) == 0)
			return &s->listeners[i];
	return s->listener_count ? &s->listeners[0] : NULL;
}

/* RFC 3261 12.1.1 */
static sip_contact_t *
own_contact(const struct listener *l, const sip_t *sip)
{
	bool secure = sip->sip_request->rq_url->url_type == url_sips ||
		      (sip->sip_record_route ? sip->sip_record_route->r_url->url_type == url_sips
					     : sip->sip_contact->m_url->url_type == url_sips);

	return secure && l->transport == SIP_TLS ? l->secure_contact : l->contact;
}

static bool
copy_dialog(struct sip_leg *leg, const struct request *rq)
{
	const sip_t *sip = rq->sip;
	const struct listener *l = listener_of(rq);

	if (!l)
		return false;
	leg->local = sip_from_dup(leg->home, (sip_from_t *)sip->sip_to);
	leg->remote = sip_to_dup(leg->home, (sip_to_t *)sip->sip_from);
	leg->call_id = sip_call_id_dup(leg->home, sip->sip_call_id);
	leg->target = sip_contact_dup(leg->home, sip->sip_contact);
	leg->contact = own_contact(l, sip);
	if (sip->sip_record_route) {
		leg->route = sip_route_fixdup(leg->home, sip->sip_record_route);
		if (!leg->route)
			return false;
	}
	leg->remote_cseq = leg->invite_cseq = sip->sip_cseq->cs_seq;
	leg->reliable.wanted = reliable_wanted(sip);
	return leg->local && leg->remote && leg->call_id && leg->target && leg->contact &&
	       sip_from_tag(leg->home, leg->local, leg->tag) == 0;
}

struct sip_leg *
leg_alloc(struct sip *s, const struct account *account)
{
	struct sip_leg *leg = calloc(1, sizeof *leg);
	uint8_t random[LEG_TAG_SIZE / 2];

	if (!leg)
		return NULL;
	leg->s = s;
	leg->account = account;
	leg->home = su_home_new(sizeof *leg->home);
	leg->local_sdp.session = (uint64_t)clock_wall_ms();
	leg->local_sdp.version = 1;
	leg->remote_sdp.dtmf_payload_type = -1;
	id_random(random, sizeof random);
	id_hex(leg->tag, random, sizeof random);
	if (leg->home)
		return leg;
	leg_free(leg);
	return NULL;
}

bool
leg_register(struct sip_leg *leg)
{
	if (!map_put(leg->s->dialogs, leg->tag, leg))
		return false;
	list_append(&leg->s->legs, &leg->node);
	leg->s->stats.legs++;
	return true;
}

void
leg_free(struct sip_leg *leg)
{
	dialling_free(leg->dial);
	if (leg->home)
		su_home_unref(leg->home);
	tport_unref(leg->tport);
	free(leg->layout);
	secret_wipe(leg, sizeof *leg);
	free(leg);
}

static bool
copy_session(struct sip_leg *leg, const struct session_result *session)
{
	if (!session->has_offer)
		return true;
	leg->remote_sdp = session->remote;
	leg->layout = malloc(sizeof *leg->layout);
	if (leg->layout)
		*leg->layout = session->layout;
	return leg->layout != NULL;
}

struct sip_leg *
leg_create(struct request *rq, const struct session_result *session)
{
	struct sip *s = rq->s;
	struct sip_leg *leg = leg_alloc(s, rq->account);

	if (!leg)
		return NULL;
	leg->transport = rq->transport;
	leg->source = rq->source;
	leg->max_forwards = rq->sip->sip_max_forwards
				    ? (uint32_t)rq->sip->sip_max_forwards->mf_count
				    : 70;
	if (!copy_dialog(leg, rq) || !copy_session(leg, session) || !leg_register(leg))
		goto fail;
	if (!loop_timer_set(s->loop, &leg->deadline, SIP_ANSWER_TIMEOUT_MS, on_deadline))
		goto fail_registered;
	/* The transaction takes a reference of its own, whether it comes to be or not. */
	leg->invite = nta_incoming_create(s->agent, NULL, msg_ref(rq->msg), rq->sip, TAG_END());
	if (!leg->invite)
		goto fail_armed;
	leg->tport = tport_ref(rq->tport);
	nta_incoming_tag(leg->invite, leg->tag);
	nta_incoming_bind(leg->invite, leg_invite_event, leg);
	session_timer_read(leg, rq->sip);
	return leg;
fail_armed:
	loop_timer_cancel(s->loop, &leg->deadline);
fail_registered:
	map_remove(s->dialogs, leg->tag);
	list_remove(&leg->node);
	s->stats.legs--;
fail:
	leg_free(leg);
	return NULL;
}

/* --- death --- */

void
leg_close(struct sip_leg *leg)
{
	struct sip *s = leg->s;

	leg->state = LEG_ENDED;
	loop_timer_cancel(s->loop, &leg->deadline);
	map_remove(s->dialogs, leg->tag);
	dialling_close(leg);
	dialled_remove(leg);
	nta_incoming_destroy(leg->invite);
	nta_incoming_destroy(leg->reinvite);
	nta_outgoing_destroy(leg->bye);
	refer_close(leg);
	reliable_stop(leg);
	refresh_stop(leg);
	leg->invite = leg->reinvite = NULL;
	leg->bye = NULL;
}

void
leg_bury(struct sip_leg *leg)
{
	if (leg->state != LEG_ENDED)
		leg_close(leg);
	loop_timer_cancel(leg->s->loop, &leg->deadline);
	list_remove(&leg->node);
	list_append(&leg->s->graveyard, &leg->node);
	leg->s->stats.legs--;
}

void
leg_reap(struct sip *s)
{
	struct list *node;

	while ((node = list_pop(&s->graveyard)))
		leg_free(container_of(node, struct sip_leg, node));
}

void
leg_ended(struct sip_leg *leg, enum sip_end_cause cause, const char *reason)
{
	const struct sip_end end = { .cause = cause, .reason = reason };
	/* Who asked for the end himself hears that it is done, not that it came. */
	bool asked = leg->bye_reason[0] != '\0';

	leg_close(leg);
	if (!leg->owned)
		leg_bury(leg);
	else if (asked)
		leg->s->ops->hung_up(leg->owner);
	else
		leg->s->ops->ended(leg->owner, &end);
}

void
leg_drop(struct sip_leg *leg, enum sip_end_cause cause, const char *reason)
{
	bye_send(leg, reason);
	leg_ended(leg, cause, NULL);
}

/* --- what happens to it --- */

static void
confirmed(struct sip_leg *leg, const sip_t *ack)
{
	const char *why = NULL;
	bool delayed = leg->offer_pending;

	nta_incoming_destroy(leg->invite);
	leg->invite = NULL;
	leg->state = LEG_CONFIRMED;
	loop_timer_cancel(leg->s->loop, &leg->deadline);
	if (leg->bye_reason[0]) {
		leg_leave(leg);
		return;
	}
	if (delayed && !session_ack(leg, ack, &why)) {
		log_info("sip", "no-media", "call_id=%s why=%s", log_quote(leg->call_id->i_id),
			 log_quote(why));
		leg_drop(leg, SIP_END_NO_MEDIA, "SIP;cause=488;text=\"Not Acceptable Here\"");
		return;
	}
	session_timer_arm(leg);
	leg->s->ops->confirmed(leg->owner, delayed ? &leg->remote_sdp : NULL);
	refer_confirmed(leg);
}

void
leg_set_deadline(struct sip_leg *leg, int64_t delay_ms)
{
	/* No memory for a timer: the library's own timers end everything but a silent owner. */
	if (!loop_timer_set(leg->s->loop, &leg->deadline, delay_ms, on_deadline))
		log_warn("sip", "timer", "why=\"out of memory\"");
}

int
leg_invite_event(struct sip_leg *leg, nta_incoming_t *irq, const sip_t *sip)
{
	char reason[SIP_TEXT_MAX];

	if (irq != leg->invite)
		return 0;
	if (!sip) {
		if (leg->state != LEG_ANSWERED)
			return 0;
		log_warn("sip", "no-ack", "call_id=%s contact=%s", log_quote(leg->call_id->i_id),
			 log_quote(leg->target->m_url->url_host));
		if (leg->bye_reason[0])
			leg_leave(leg);
		else
			leg_drop(leg, SIP_END_NO_ACK, "SIP;cause=408;text=\"ACK missing\"");
	} else if (sip->sip_request->rq_method == sip_method_cancel) {
		if (leg->state != LEG_PROCEEDING)
			return 0;
		nta_incoming_treply(irq, 487, "Request Terminated", SIPTAG_SERVER(leg->s->server),
				    TAG_END());
		leg_ended(leg, SIP_END_CANCEL, headers_reason(sip, reason, sizeof reason));
	} else if (leg->state == LEG_ANSWERED) {
		confirmed(leg, sip);
	}
	return 0;
}

static void
on_deadline(struct loop_timer *t)
{
	struct sip_leg *leg = container_of(t, struct sip_leg, deadline);

	switch (leg->state) {
	case LEG_PROCEEDING:
		if (leg->dial) {
			dial_deadline(leg);
			return;
		}
		sip_leg_reject(leg, 480, "not answered in time", 0);
		leg_ended(leg, SIP_END_TRANSPORT, "not answered in time");
		return;
	case LEG_ANSWERED:
		leg_invite_event(leg, leg->invite, NULL);
		return;
	case LEG_CONFIRMED:
		leg_drop(leg, SIP_END_SESSION, "Q.850;cause=102;text=\"Session expired\"");
		return;
	case LEG_LEAVING:
		leg_ended(leg, SIP_END_TRANSPORT, NULL);
		return;
	case LEG_ENDED:
		/* A BYE was asked for when it was over already. */
		if (leg->owned && leg->bye_reason[0])
			leg->s->ops->hung_up(leg->owner);
		return;
	}
}
