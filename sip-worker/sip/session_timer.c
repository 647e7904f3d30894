/* Session timers (RFC 4028): who refreshes, and how often.  A peer that can refreshes if it wants to;
 * for all others we do (session_refresh.c), so that a call whose end got lost does not stay. */
#include <sofia-sip/sip_tag.h>

#include "sip-worker/sip/leg.h"
#include "sip-worker/sip/session.h"

static bool
peer_knows(const sip_t *sip)
{
	return sip->sip_supported && sip_has_feature(sip->sip_supported, "timer");
}

struct verdict
session_timer_check(const struct sip *s, su_home_t *home, const sip_t *sip)
{
	const sip_session_expires_t *x = sip->sip_session_expires;
	int64_t min = s->cfg->sip.min_se_s;

	if (!x || !peer_knows(sip) || (int64_t)x->x_delta >= min)
		return (struct verdict){ 0 };
	return (struct verdict){ .status = 422,
				 .why = "session interval too small",
				 .extra = (sip_header_t *)sip_min_se_format(home, "%u",
									    (unsigned)min) };
}

static void
note_allow(struct sip_leg *leg, const sip_t *sip)
{
	if (sip->sip_allow)
		leg->refresh.updates = sip_is_allowed(sip->sip_allow, SIP_METHOD_UPDATE);
}

void
session_timer_read(struct sip_leg *leg, const sip_t *sip)
{
	const sip_session_expires_t *x = sip->sip_session_expires;
	const struct config *cfg = leg->s->cfg;
	bool knows = peer_knows(sip);

	note_allow(leg, sip);
	/* One below our minimum is refused before; if it is a proxy's, it is not heard. */
	if (x && (int64_t)x->x_delta >= cfg->sip.min_se_s) {
		leg->session_expires_s = (int64_t)x->x_delta;
		leg->refresh.ours = !knows || str_eq_nocase(x->x_refresher, "uas");
	} else if (!leg->session_expires_s || !leg->refresh.ours) {
		leg->session_expires_s = cfg->sip.session_expires_s;
		leg->refresh.ours = true;
	}
	if (sip->sip_min_se && leg->session_expires_s < (int64_t)sip->sip_min_se->min_delta &&
	    leg->refresh.ours)
		leg->session_expires_s = (int64_t)sip->sip_min_se->min_delta;
}

void
session_timer_answered(struct sip_leg *leg, const sip_t *reply)
{
	const sip_session_expires_t *x = reply->sip_session_expires;
	int64_t min = leg->s->cfg->sip.min_se_s;

	note_allow(leg, reply);
	leg->refresh.raised = false;
	if (x) {
		leg->session_expires_s = (int64_t)x->x_delta > min ? (int64_t)x->x_delta : min;
		leg->refresh.ours = !str_eq_nocase(x->x_refresher, "uas");
	}
	session_timer_arm(leg);
}

/* The end comes a little before the peer's own (RFC 4028 10). */
void
session_timer_arm(struct sip_leg *leg)
{
	int64_t s = leg->session_expires_s, early = s / 3 < 32 ? s / 3 : 32;

	loop_timer_cancel(leg->s->loop, &leg->refresh.due);
	if (s <= 0) {
		loop_timer_cancel(leg->s->loop, &leg->deadline);
		return;
	}
	leg_set_deadline(leg, (s - early) * 1000);
	if (leg->refresh.ours)
		refresh_later(leg, s * 500);
}

sip_require_t *
session_timer_require(const struct sip_leg *leg)
{
	return leg->session_expires_s && !leg->refresh.ours ? leg->s->require_timer : NULL;
}

sip_session_expires_t *
session_timer_header(const struct sip_leg *leg, su_home_t *home)
{
	if (!leg->session_expires_s)
		return NULL;
	return sip_session_expires_format(home, "%u;refresher=%s", (unsigned)leg->session_expires_s,
					  leg->refresh.ours ? "uas" : "uac");
}
