/* Session timers (RFC 4028) as the side that is refreshed. */
#include <sofia-sip/sip_tag.h>

#include "sip-worker/sip/leg.h"

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

void
session_timer_read(struct sip_leg *leg, const sip_t *sip)
{
	const sip_session_expires_t *x = sip->sip_session_expires;

	leg->session_expires_s = 0;
	/* Who insists that we refresh gets a session without a timer, which is allowed. */
	if (!x || !peer_knows(sip) || str_eq_nocase(x->x_refresher, "uas"))
		return;
	leg->session_expires_s = (int64_t)x->x_delta;
}

/* The end comes a little before the peer's own (RFC 4028 10). */
void
session_timer_arm(struct sip_leg *leg)
{
	int64_t s = leg->session_expires_s, early = s / 3 < 32 ? s / 3 : 32;

	if (s > 0)
		leg_set_deadline(leg, (s - early) * 1000);
	else
		loop_timer_cancel(leg->s->loop, &leg->deadline);
}

sip_require_t *
session_timer_require(const struct sip_leg *leg)
{
	return leg->session_expires_s ? leg->s->require_timer : NULL;
}

sip_session_expires_t *
session_timer_header(const struct sip_leg *leg, su_home_t *home)
{
	if (!leg->session_expires_s)
		return NULL;
	return sip_session_expires_format(home, "%u;refresher=uac",
					  (unsigned)leg->session_expires_s);
}
