/* session.h - the session of a leg: offer and answer (RFC 3264), re-INVITE and UPDATE, session timers
 * (RFC 4028).  Signalling loop. */
#ifndef SIP_WORKER_SIP_SESSION_H
#define SIP_WORKER_SIP_SESSION_H

#include "sip-worker/sip/leg.h"

/* What negotiation made of an offer. */
struct session_result {
	bool has_offer;
	struct media_remote remote;
	struct sdp_layout layout;
};

/* --- session.c --- */
enum body_kind session_body(const sip_t *sip, const char **sdp, size_t *len);
/* 0, 400 or 488, then with *why.  leg: in a call, else NULL.  out holds keys: wipe it. */
int session_negotiate(const struct sip *s, const struct sip_leg *leg, const char *sdp, size_t len,
		      struct session_result *out, const char **why);
/* What goes into the 200 of the INVITE: the answer, or our offer.  In home; NULL: no memory. */
sip_payload_t *session_describe(struct sip_leg *leg, su_home_t *home);
/* The ACK of a 200 that carried our offer; false: nothing acceptable in it, *why. */
bool session_ack(struct sip_leg *leg, const sip_t *ack, const char **why);

MUST_USE bool session_keep_layout(struct sip_leg *leg, const struct sdp_layout *layout);

/* --- reinvite.c: offers within a dialog --- */
void reinvite_received(struct sip_leg *leg, struct request *rq);
void update_received(struct sip_leg *leg, struct request *rq);

/* --- session_timer.c (RFC 4028): who refreshes; we end what is not refreshed --- */
/* 422 for an interval below min_se. */
struct verdict session_timer_check(const struct sip *s, su_home_t *home, const sip_t *sip);
/* An INVITE or UPDATE that is about to be accepted. */
void session_timer_read(struct sip_leg *leg, const sip_t *sip);
/* The 2xx to one of ours that had Session-Expires; arms. */
void session_timer_answered(struct sip_leg *leg, const sip_t *reply);
void session_timer_arm(struct sip_leg *leg);
/* Headers of a 200; NULL: no timer. */
sip_require_t *session_timer_require(const struct sip_leg *leg);
sip_session_expires_t *session_timer_header(const struct sip_leg *leg, su_home_t *home);

/* --- session_refresh.c --- */
void refresh_later(struct sip_leg *leg, int64_t delay_ms);
void refresh_stop(struct sip_leg *leg);

#endif
