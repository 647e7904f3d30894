/* REFER within the dialog, and what NOTIFY tells of it. */
#include "sip-worker/sip/refer.h"

#include <sofia-sip/sip_extra.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <stdlib.h>
#include <string.h>

#include "sip-worker/sip/challenge.h"
#include "sip-worker/sip/leg.h"
#include "sip-worker/sip/sipfrag.h"

#define CHALLENGES_MAX 2 /* the second only if it says that the nonce was too old */

const char *const sip_refer_state_names[] = {
	[SIP_REFER_ACCEPTED] = "accepted", [SIP_REFER_TRYING] = "trying",
	[SIP_REFER_RINGING] = "ringing",   [SIP_REFER_ANSWERED] = "answered",
	[SIP_REFER_FAILED] = "failed",     [SIP_REFER_UNKNOWN] = "unknown",
	[SIP_REFER_UNKNOWN + 1] = NULL,
};

static void
tell(struct sip_leg *leg, enum sip_refer_state state, int status, const char *reason)
{
	char text[SIP_TEXT_MAX];
	const struct sip_refer r = { .state = state, .status = status, .reason = text };

	headers_clean(text, sizeof text, reason ? reason : "");
	log_info("sip", "refer", "call_id=%s state=%s status=%d reason=%s",
		 log_quote(leg->call_id->i_id), sip_refer_state_names[state], status,
		 log_quote(text));
	if (leg->owned && leg->s->ops->refer)
		leg->s->ops->refer(leg->owner, &r);
}

/* The owner may do anything to the leg meanwhile, but its memory stays until the end of the turn. */
static void
finish(struct sip_leg *leg, enum sip_refer_state state, int status, const char *reason)
{
	leg->refer.phase = REFER_DONE;
	tell(leg, state, status, reason);
}

/* --- the request --- */

/* As it is: the library would write a URI its own way. */
static bool
add_verbatim(msg_t *msg, const char *name, const char *value)
{
	sip_unknown_t *u = sip_unknown_format(msg_home(msg), "%s: %s", name, value);

	return u && msg_header_insert(msg, (msg_pub_t *)sip_object(msg), (msg_header_t *)u) >= 0;
}

static struct digest_login
login_of(const struct sip_leg *leg)
{
	return (struct digest_login){
		.realm = leg->account->returns.auth_realm,
		.username = leg->account->returns.auth_username,
		.password = leg->account->returns.auth_password.text,
	};
}

static int refer_event(struct sip_leg *leg, nta_outgoing_t *orq, const sip_t *sip);

/* c: what is to be answered, in a reply with that status; NULL: nothing yet. */
static bool
send_refer(struct sip_leg *leg, const struct digest_challenge *c, int status)
{
	struct refer *r = &leg->refer;
	const struct digest_login login = login_of(leg);
	msg_t *msg = r->to ? leg_request(leg, sip_method_refer, "REFER") : NULL;

	if (!msg)
		return false;
	if (sip_add_tl(msg, sip_object(msg), SIPTAG_CONTACT(leg->contact), TAG_END()) < 0 ||
	    !add_verbatim(msg, "Refer-To", r->to) ||
	    (r->by && !add_verbatim(msg, "Referred-By", r->by)) ||
	    (c && !challenge_answer(msg, status, c, &login, 1))) {
		msg_destroy(msg);
		return false;
	}
	r->orq = leg_send(leg, msg, refer_event);
	if (!r->orq)
		return false;
	r->cseq = leg->local_cseq;
	if (!c)
		r->first_cseq = r->cseq;
	if (!r->oldest_cseq)
		r->oldest_cseq = r->cseq;
	r->phase = REFER_SENT;
	return true;
}

static void
on_unsent(struct loop_timer *t)
{
	finish(container_of(t, struct sip_leg, refer.unsent), SIP_REFER_FAILED, 500,
	       "the REFER could not be sent");
}

static void
start(struct sip_leg *leg)
{
	if (send_refer(leg, NULL, 0))
		return;
	/* Told later: the owner is still in the middle of asking. */
	if (!loop_timer_set(leg->s->loop, &leg->refer.unsent, 0, on_unsent))
		log_warn("sip", "timer", "why=\"out of memory\"");
}

void
sip_leg_refer(struct sip_leg *leg, const char *refer_to, const char *referred_by)
{
	struct refer *r = &leg->refer;

	if (leg->state > LEG_CONFIRMED || leg->bye_reason[0] ||
	    (r->phase != REFER_NONE && r->phase != REFER_DONE))
		return;
	refer_close(leg);
	r->to = strdup(refer_to);
	r->by = referred_by ? strdup(referred_by) : NULL;
	r->phase = REFER_DUE;
	/* Nothing overtakes the ACK. */
	if (leg->state == LEG_CONFIRMED || !r->to)
		start(leg);
}

void
refer_confirmed(struct sip_leg *leg)
{
	if (leg->refer.phase == REFER_DUE && leg->state == LEG_CONFIRMED)
		start(leg);
}

void
refer_close(struct sip_leg *leg)
{
	struct refer *r = &leg->refer;

	loop_timer_cancel(leg->s->loop, &r->unsent);
	/* The library repeats it until it is answered or given up, and nobody hears of it. */
	nta_outgoing_destroy(r->orq);
	free(r->to);
	free(r->by);
	*r = (struct refer){ .oldest_cseq = r->oldest_cseq };
}

/* --- its answer --- */

/* RFC 4488: no NOTIFY will come. */
static bool
without_subscription(const sip_t *sip)
{
	const sip_refer_sub_t *sub = (const sip_refer_sub_t *)msg_header_access(
		(const msg_pub_t *)sip, sip_refer_sub_class);

	return sub && str_eq_nocase(sub->rs_value, "false");
}

/* Credentials are for the peer of this dialog alone, and it may ask once. */
static bool
answer_challenge(struct sip_leg *leg, const sip_t *sip, int status)
{
	struct refer *r = &leg->refer;
	const struct digest_login login = login_of(leg);
	struct digest_challenge c;

	if ((status != 401 && status != 407) || !sip || r->challenges == CHALLENGES_MAX ||
	    !challenge_find(sip, &login, &c) || (r->challenges > 0 && !c.stale))
		return false;
	r->challenges++;
	return send_refer(leg, &c, status);
}

static void
accepted(struct sip_leg *leg, int status, const char *phrase, bool alone)
{
	struct refer *r = &leg->refer;

	r->phase = REFER_SUBSCRIBED;
	if (!r->heard)
		tell(leg, SIP_REFER_ACCEPTED, status, phrase);
	if (alone && r->phase == REFER_SUBSCRIBED)
		finish(leg, SIP_REFER_UNKNOWN, 0, "the peer reports nothing");
}

static int
refer_event(struct sip_leg *leg, nta_outgoing_t *orq, const sip_t *sip)
{
	int status = nta_outgoing_status(orq);
	char phrase[SIP_TEXT_MAX];
	bool alone;

	if (!leg || orq != leg->refer.orq || status < 200)
		return 0;
	str_copy(phrase, sizeof phrase,
		 sip && sip->sip_status && sip->sip_status->st_phrase ? sip->sip_status->st_phrase
								      : reply_phrase(status));
	alone = sip && without_subscription(sip);
	leg->refer.orq = NULL;
	if (leg->refer.phase == REFER_SENT && !answer_challenge(leg, sip, status)) {
		if (status < 300)
			accepted(leg, status, phrase, alone);
		else
			finish(leg, SIP_REFER_FAILED, status, phrase);
	}
	nta_outgoing_destroy(orq);
	return 0;
}

/* --- NOTIFY --- */

static bool
is_sipfrag(const sip_t *sip)
{
	return sip->sip_content_type &&
	       str_eq_nocase(sip->sip_content_type->c_type, "message/sipfrag");
}

/* The REFER it speaks of.  Peers disagree on the id of a REFER that was sent again with
 * credentials, and on whether the first one has any. */
enum match { MATCH_NONE, MATCH_EARLIER, MATCH_CURRENT };

static enum match
match(const struct refer *r, const sip_t *sip)
{
	const char *id = sip->sip_event ? sip->sip_event->o_id : NULL;
	int64_t number;

	if (!r->oldest_cseq)
		return MATCH_NONE;
	if (!id)
		return MATCH_CURRENT;
	if (!str_to_int64(id, r->oldest_cseq, UINT32_MAX, &number))
		return MATCH_NONE;
	if (number < r->first_cseq || r->phase == REFER_NONE)
		return MATCH_EARLIER;
	return number <= r->cseq ? MATCH_CURRENT : MATCH_NONE;
}

static void
heard(struct sip_leg *leg, const sip_t *sip)
{
	const sip_subscription_state_t *ss = sip->sip_subscription_state;
	const sip_payload_t *pl = sip->sip_payload;
	bool over = ss && str_eq_nocase(ss->ss_substate, "terminated");
	char phrase[SIP_TEXT_MAX] = "";
	int status = 0;

	leg->refer.heard = true;
	if (!pl || !is_sipfrag(sip) ||
	    !sipfrag_parse(pl->pl_data, pl->pl_len, &status, phrase, sizeof phrase))
		status = 0;
	if (status >= 300)
		finish(leg, SIP_REFER_FAILED, status, phrase);
	else if (status >= 200)
		finish(leg, SIP_REFER_ANSWERED, status, phrase);
	else if (over)
		finish(leg, SIP_REFER_UNKNOWN, status, ss->ss_reason ? ss->ss_reason : phrase);
	else
		tell(leg, status >= 180 ? SIP_REFER_RINGING : SIP_REFER_TRYING, status, phrase);
}

void
notify_received(struct sip_leg *leg, struct request *rq)
{
	const sip_t *sip = rq->sip;
	const struct refer *r = &leg->refer;
	const char *event = sip->sip_event ? sip->sip_event->o_type : NULL;
	enum match which;

	if (event ? !str_eq_nocase(event, "refer") : !is_sipfrag(sip)) {
		reply_refuse(rq, 489, "no such event", 0,
			     (sip_header_t *)sip_allow_events_make(msg_home(rq->msg), "refer"));
		return;
	}
	which = leg->state == LEG_CONFIRMED ? match(r, sip) : MATCH_NONE;
	if (which == MATCH_NONE) {
		reply_refuse(rq, 481, "no such subscription", 0, NULL);
		return;
	}
	reply_plain(rq, 200, "OK");
	if (which == MATCH_CURRENT && (r->phase == REFER_SENT || r->phase == REFER_SUBSCRIBED))
		heard(leg, sip);
}
