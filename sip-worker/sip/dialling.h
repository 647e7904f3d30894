/* dialling.h - the part of an outbound leg that an inbound one has not: from the URI to the answer.
 *
 *   resolving ──▶ calling ──18x──▶ proceeding ──2xx──▶ (the leg is CONFIRMED, ACK sent)
 *       │            │  next address  │ refused
 *       └────────────┴───────CANCEL───┴──▶ over
 *
 * All of it while the leg is PROCEEDING.  A leg whose owner is gone, or was told that nobody
 * answers, stays until its INVITE has an end: a 2xx that crosses the CANCEL gets ACK and BYE. */
#ifndef SIP_WORKER_SIP_DIALLING_H
#define SIP_WORKER_SIP_DIALLING_H

#include "sip-worker/sip/challenge.h"
#include "sip-worker/sip/dial.h"
#include "sip-worker/sip/leg.h"
#include "sip-worker/sip/resolve.h"
#include "sip-worker/sip/target.h"

#define DIAL_BRANCH_MAX    128
#define SIP_TRANSACTION_MS 33000 /* 64*T1 and a little */
#define DIAL_STRAYS_MAX    8     /* 2xx of others that are ended politely, per call */

/* A challenge that was answered: goes along with every further INVITE. */
struct dial_login {
	struct digest_challenge challenge;
	uint32_t count;  /* uses of its nonce */
	int times;       /* answers so far; 0: none yet */
	char realm[256]; /* pinned by the first answer */
};

struct dialling {
	struct sip_leg *leg;
	struct target target;
	struct sip_dial_ops ops;
	bool has_source;
	struct addr source; /* where the inbound call came from */
	char **headers;     /* "NAME: VALUE" */
	size_t header_count;
	char *realm, *username;
	struct secret password;
	uint32_t max_forwards;
	char *offer;               /* the SDP, with a key perhaps */
	struct srtp_key offer_key; /* that one */

	struct resolution *resolution; /* NULL: done */
	struct resolve_target targets[RESOLVE_MAX];
	size_t target_count, next;

	nta_outgoing_t *invite; /* NULL: none under way */
	msg_t *request;         /* the last INVITE, referenced: CANCEL and ACK repeat parts of it */
	char branch[DIAL_BRANCH_MAX];
	uint32_t cseq;
	struct dial_login logins[2]; /* for 401, for 407 */
	bool provisional;            /* CANCEL may be sent (RFC 3261 9.1) */
	bool cancelling;             /* wanted */
	bool cancelled;              /* sent */
	bool told;                   /* the owner heard the end */
	bool has_session;            /* early media, which the 2xx may rely on */
	uint32_t rseq;               /* highest acknowledged reliable 18x … */
	char *rseq_tag;              /* … of this early dialog */
	int strays;
	int status; /* of the last address that failed; 0: none did */
	char reason[SIP_TEXT_MAX];
	struct loop_timer ring, step;
};

/* --- dial_invite.c --- */
/* The listener that reaches a, NULL: none. */
const struct listener *dial_listener(const struct sip *s, enum sip_transport transport, int family);
/* To leg->source by leg->transport, with the next CSeq.  false: it could not be sent. */
MUST_USE bool dial_send_invite(struct sip_leg *leg, nta_response_f *callback);
void dial_send_cancel(struct sip_leg *leg);
/* For the 2xx of the leg's own dialog. */
void dial_send_ack(struct sip_leg *leg);
/* PRACK of a reliable 18x that needs one. */
void dial_send_prack(struct sip_leg *leg, sip_t *reply);
/* Ends the dialog of a 2xx that is not ours to keep. */
void dial_send_away(struct sip_leg *leg, sip_t *reply, const struct addr *source);

/* --- dial_auth.c --- */
/* May the reply's challenge be answered?  Notes it for the next INVITE. */
MUST_USE bool dial_challenged(struct dialling *d, const sip_t *reply);
/* What was asked for so far.  false: no memory. */
MUST_USE bool dial_add_logins(struct dialling *d, msg_t *request);

/* --- dial.c, for dial_start.c --- */
void dial_found(void *arg, const struct resolve_target *targets, size_t count);
void dial_ring_timeout(struct loop_timer *t);

/* --- dial.c, for the leg --- */
/* Its owner wants it to end, or let it go. */
void dial_abandon(struct sip_leg *leg);
/* leg_set_deadline() fired while dialling. */
void dial_deadline(struct sip_leg *leg);
/* A 2xx for an INVITE that belongs to no transaction any more. */
void dial_stray(struct sip *s, sip_t *reply, const struct addr *source);
/* Stops timers and transactions; its memory stays until dialling_free(). */
void dialling_close(struct sip_leg *leg);
void dialling_free(struct dialling *d);
/* May the leg's requests go to a? */
bool dial_may_reach(const struct sip_leg *leg, const struct addr *a, const char **why);

#endif
