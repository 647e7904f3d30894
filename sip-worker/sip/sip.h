/* sip.h - SIP as the call control sees it: admitted INVITEs come up, answers go down.
 *
 * The stack (sofia-sip at the nta level) does listeners, admission (size, source, rate, account,
 * digest), transactions, dialogs, offer/answer and session timers; nothing above this header sees
 * sofia.  Everything runs on the signalling loop.
 *
 * A leg is one inbound INVITE dialog.  It belongs to the stack until sip_leg_destroy(), which its
 * owner calls exactly once, at any moment (an unanswered one is refused with 480, an answered one
 * gets a BYE that nobody waits for).  After it no callback comes.  Callbacks may destroy their leg. */
#ifndef SIP_WORKER_SIP_SIP_H
#define SIP_WORKER_SIP_SIP_H

#include <jansson.h>

#include "common/addr.h"
#include "common/base.h"
#include "common/config.h"
#include "common/err.h"
#include "common/loop.h"
#include "sip-worker/media/media.h"

struct sip;
struct sip_leg;

/* Everything of an admitted INVITE that call control may want.  Borrowed during the callback. */
struct sip_invite {
	const struct account *account;
	const char *call_id, *from_tag;
	const char *from, *to; /* URIs as text */
	const char *transport; /* "udp", "tcp", "tls" */
	struct addr source;
	const char *transfer;                       /* X-ASAPP-CallTransferId, NULL: header mode */
	const char *task, *conversation, *customer; /* X-GA-…, NULL: absent */
	const json_t *input_variables;              /* X-GA-iv-*: object of strings */
	const json_t *
		headers; /* X-*, User-to-User, Diversion, P-Asserted-Identity: name -> value (last), case kept */
	bool has_offer;             /* false: delayed offer, media comes with the ACK */
	struct media_remote remote; /* negotiated from the offer (has_offer) */
};

/* An INVITE that was refused without ever reaching call control: for the timeline. */
struct sip_refusal {
	const struct account *account; /* NULL: unauthenticated */
	const char *call_id, *from, *to, *transfer, *transport;
	struct addr source;
	int status;
	const char *reason;
};

enum sip_end_cause {
	SIP_END_BYE,      /* the peer hung up */
	SIP_END_CANCEL,   /* before the answer; 487 was sent */
	SIP_END_NO_ACK,   /* 64*T1 after the 200; BYE was sent */
	SIP_END_NO_MEDIA, /* delayed offer: nothing acceptable in the ACK; BYE was sent, cause=488 */
	SIP_END_SESSION,  /* session timer ran out; BYE was sent, cause=102 */
	SIP_END_TRANSPORT, /* the peer answers nothing any more */
};
struct sip_end {
	enum sip_end_cause cause;
	const char *reason; /* the peer's Reason header, or NULL */
};

struct sip_refer; /* refer.h */

struct sip_ops {
	/* May this account have one more call? 0: yes; else the status to refuse with, statelessly
	 * (503: full, draining, api-server away, overload; 480: account full), and why. */
	int (*gate)(void *app, const struct account *account, const char **why);
	/* A new leg: 100 was sent.  Take it (sip_leg_set_owner) and answer later, or sip_leg_reject(). */
	void (*invite)(void *app, struct sip_leg *leg, const struct sip_invite *inv);
	void (*refused)(void *app, const struct sip_refusal *r);
	/* --- to the leg's owner --- */
	void (*confirmed)(
		void *owner,
		const struct media_remote *remote); /* ACK; remote: delayed offer, else NULL */
	void (*changed)(void *owner,
			const struct media_remote
				*remote); /* re-INVITE/UPDATE answered: address, codec, hold */
	void (*digit)(void *owner, char digit, int duration_ms); /* SIP INFO */
	void (*ended)(void *owner,
		      const struct sip_end *end); /* once; the leg is dead but not yet destroyed */
	/* Our BYE is answered or given up, or the peer's came first.  After sip_leg_bye() this is the
	 * only callback that comes. */
	void (*hung_up)(void *owner);
	void (*refer)(void *owner,
		      const struct sip_refer *r); /* a step of sip_leg_refer(); may be NULL */
};

/* Counters for /metrics; names in snake case. */
struct sip_stats {
	int64_t received, malformed, dropped_source, dropped_rate, challenged, auth_failed, refused,
		invites;
	int64_t legs; /* now */
};

/* Creates sofia's su_root, nests l in it, binds every listener (cfg->sip.listen; a wildcard is
 * every address of the machine).  ops and app outlive it.  NULL with f set (which address, why).
 * One per process; run and destroyed on the thread that created it. */
struct sip *sip_create(struct loop *l, const struct config *cfg, const struct sip_ops *ops,
		       void *app, struct fault *f);
void sip_destroy(struct sip *s);
/* Runs the signalling loop (su_root and l) until sip_stop(). */
void sip_run(struct sip *s);
void sip_stop(struct sip *s);
/* Accounts and certificates; listeners stay.  Calls keep the account they came in by: the old config
 * must live until they are gone.  Ask sip_check_config() before. */
void sip_set_config(struct sip *s, const struct config *cfg);
/* Are the certificates of a new configuration usable?  false: f says which is not, and why. */
MUST_USE bool sip_check_config(const struct config *cfg, struct fault *f);
/* OPTIONS answers 503 while draining. */
void sip_set_draining(struct sip *s, bool draining);
void sip_stats(const struct sip *s, struct sip_stats *out);

void sip_leg_set_owner(struct sip_leg *leg, void *owner);
/* 180. */
void sip_leg_ring(struct sip_leg *leg);
/* 200 with our SDP: the answer, or with a delayed offer our offer.  Retransmitted until ACK. */
void sip_leg_answer(struct sip_leg *leg, const struct media_local *local);
/* Final refusal with Warning: 399 and Reason; retry_after_s 0: none. Then destroy the leg. */
void sip_leg_reject(struct sip_leg *leg, int status, const char *why, int retry_after_s);
/* BYE, with the Reason header value ("Q.850;cause=16;text=\"Normal call clearing\"").
 * hung_up follows.  Before the ACK it waits for it (RFC 3261 15). */
void sip_leg_bye(struct sip_leg *leg, const char *reason);
/* Before sip_leg_bye(): a header more on the BYE.  name is a token, value has no control character. */
void sip_leg_bye_header(struct sip_leg *leg, const char *name, const char *value);
void sip_leg_destroy(struct sip_leg *leg);

/* --ping: OPTIONS to the first listener that is not tls, or by TLS, 0: it answered 200 within 2 s. No stack needed. */
int sip_ping(const struct config *cfg);

#endif
