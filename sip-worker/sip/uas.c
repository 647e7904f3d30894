/* What the owner of a leg does: ring, answer, refuse, hang up, let go. */
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <string.h>

#include "sip-worker/sip/dialling.h"
#include "sip-worker/sip/session.h"

#define NORMAL_CLEARING "Q.850;cause=16;text=\"Normal call clearing\""
#define ACK_GUARD_MS    40000 /* the library gives up at 64*T1, 32 s; this is for its sake */

void
sip_leg_set_owner(struct sip_leg *leg, void *owner)
{
	leg->owner = owner;
	leg->owned = true;
}

void
sip_leg_ring(struct sip_leg *leg)
{
	if (leg->state != LEG_PROCEEDING || leg->dial)
		return;
	if (leg->reliable.wanted)
		reliable_ring(leg);
	else
		nta_incoming_treply(leg->invite, 180, "Ringing", SIPTAG_CONTACT(leg->contact),
				    SIPTAG_SERVER(leg->s->server), TAG_END());
}

void
sip_leg_answer(struct sip_leg *leg, const struct media_local *local)
{
	struct sip *s = leg->s;
	su_home_t home[1] = { SU_HOME_INIT(home) };
	sip_payload_t *payload;

	if (leg->state != LEG_PROCEEDING || leg->dial)
		return;
	leg->local_sdp.media = *local;
	su_home_init(home);
	payload = session_describe(leg, home);
	if (!payload) {
		leg_set_deadline(leg, 0); /* refused, and the owner told, in a moment */
		su_home_deinit(home);
		return;
	}
	leg->state = LEG_ANSWERED;
	reliable_stop(leg);
	leg_set_deadline(leg, ACK_GUARD_MS);
	nta_incoming_treply(leg->invite, 200, "OK", SIPTAG_CONTACT(leg->contact),
			    SIPTAG_ALLOW(s->allow), SIPTAG_SUPPORTED(s->supported),
			    SIPTAG_SERVER(s->server), SIPTAG_CONTENT_TYPE(s->content_type),
			    SIPTAG_REQUIRE(session_timer_require(leg)),
			    SIPTAG_SESSION_EXPIRES(session_timer_header(leg, home)),
			    SIPTAG_PAYLOAD(payload), TAG_END());
	su_home_deinit(home);
}

void
sip_leg_reject(struct sip_leg *leg, int status, const char *why, int retry_after_s)
{
	struct sip *s = leg->s;
	su_home_t home[1] = { SU_HOME_INIT(home) };

	if (leg->state != LEG_PROCEEDING || leg->dial)
		return;
	su_home_init(home);
	s->stats.refused++;
	nta_incoming_treply(
		leg->invite, status, reply_phrase(status), SIPTAG_SERVER(s->server),
		SIPTAG_WARNING(reply_warning(home, 399, why)),
		SIPTAG_HEADER(reply_reason(home, status, why)),
		SIPTAG_RETRY_AFTER(retry_after_s > 0
					   ? sip_retry_after_format(home, "%d", retry_after_s)
					   : NULL),
		TAG_END());
	su_home_deinit(home);
	leg_close(leg);
}

void
sip_leg_bye(struct sip_leg *leg, const char *reason)
{
	if (leg->bye_reason[0])
		return;
	str_copy(leg->bye_reason, sizeof leg->bye_reason,
		 reason && reason[0] ? reason : NORMAL_CLEARING);
	switch (leg->state) {
	case LEG_PROCEEDING:
		if (leg->dial) {
			dial_abandon(leg);
			return;
		}
		sip_leg_reject(leg, 480, "call ended", 0);
		leg_set_deadline(leg, 0);
		return;
	case LEG_CONFIRMED:
		leg_leave(leg);
		return;
	case LEG_ANSWERED: /* a BYE must not overtake the ACK (RFC 3261 15) */
	case LEG_LEAVING:
		return;
	case LEG_ENDED:
		leg_set_deadline(leg, 0);
		return;
	}
}

void
sip_leg_destroy(struct sip_leg *leg)
{
	if (!leg)
		return;
	leg->owned = false;
	leg->owner = NULL;
	switch (leg->state) {
	case LEG_PROCEEDING:
		if (leg->dial) {
			dial_abandon(leg);
			return;
		}
		sip_leg_reject(leg, 480, "call ended", 0);
		break;
	case LEG_ANSWERED:
		/* It goes on alone until the ACK, and then there is a BYE. */
		if (!leg->bye_reason[0])
			str_copy(leg->bye_reason, sizeof leg->bye_reason, NORMAL_CLEARING);
		return;
	case LEG_CONFIRMED:
		bye_send(leg, leg->bye_reason[0] ? leg->bye_reason : NORMAL_CLEARING);
		break;
	case LEG_LEAVING:
	case LEG_ENDED:
		break;
	}
	leg_bury(leg);
}
