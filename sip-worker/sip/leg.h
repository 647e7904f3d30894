/* leg.h - an INVITE dialog inside the stack; what only outbound ones have is in dialling.h.
 *
 *   PROCEEDING ──200──▶ ANSWERED ──ACK──▶ CONFIRMED ──our BYE──▶ LEAVING ──▶ ENDED
 *       │ CANCEL, refusal   │ no ACK: BYE     │ peer's BYE                     ▲
 *       └───────────────────┴─────────────────┴────────────────────────────────┘
 *
 * A BYE asked for while ANSWERED waits for the ACK (bye_reason is set then). */
#ifndef SIP_WORKER_SIP_LEG_H
#define SIP_WORKER_SIP_LEG_H

#include "sip-worker/sip/internal.h"

enum leg_state { LEG_PROCEEDING, LEG_ANSWERED, LEG_CONFIRMED, LEG_LEAVING, LEG_ENDED };

#define LEG_TAG_SIZE 25

enum refer_phase {
	REFER_NONE,
	REFER_DUE,        /* asked for, the ACK is not here yet */
	REFER_SENT,       /* not answered yet; a NOTIFY may come already */
	REFER_SUBSCRIBED, /* 2xx */
	REFER_DONE,       /* the owner knows the end */
};

struct refer {
	enum refer_phase phase;
	char *to, *by;             /* values of Refer-To and Referred-By; by NULL: none */
	nta_outgoing_t *orq;       /* NULL: answered */
	uint32_t first_cseq, cseq; /* as sent first, and again with credentials */
	uint32_t oldest_cseq;      /* of the dialog's first REFER; 0: there was none */
	int challenges;            /* answered */
	bool heard;                /* a NOTIFY came */
	struct loop_timer unsent;
};

struct dialling;

/* Of a session with a timer. */
struct refresh {
	bool ours;           /* we refresh, else the peer */
	bool updates;        /* the peer takes UPDATE */
	bool raised;         /* the interval was too small for the peer, once */
	bool invite;         /* what is on its way is a re-INVITE */
	int64_t min_se_s;    /* the peer's; 0: not known */
	uint32_t cseq;       /* of what is on its way */
	nta_outgoing_t *orq; /* NULL: nothing is */
	struct loop_timer due;
};

/* The 180 of a caller who requires 100rel. */
struct reliable {
	bool wanted, acknowledged;
	uint32_t rseq; /* 0: not sent */
	int64_t interval_ms, waited_ms;
	struct loop_timer repeat;
};

struct sip_leg {
	struct list node; /* sip.legs, or sip.graveyard */
	struct sip *s;
	void *owner;
	bool owned; /* false: destroyed by its owner, or never taken */
	enum leg_state state;
	const struct account *account;

	/* the dialog */
	char tag[LEG_TAG_SIZE];
	su_home_t *home; /* of the headers below */
	sip_from_t *local;
	sip_to_t *remote;
	sip_call_id_t *call_id;
	sip_route_t *route;     /* as it goes into our requests */
	sip_contact_t *target;  /* the peer's Contact */
	sip_contact_t *contact; /* ours */
	uint32_t local_cseq, remote_cseq, invite_cseq;
	enum sip_transport transport;
	struct addr source;
	bool counted;   /* in sip.dialled */
	tport_t *tport; /* referenced */

	/* transactions, NULL: none */
	nta_incoming_t *invite;   /* until the ACK of its 200, or its end */
	nta_incoming_t *reinvite; /* likewise */
	nta_outgoing_t *bye;
	char bye_reason[SIP_TEXT_MAX]; /* set: our owner wants it to end */
	sip_unknown_t *bye_headers;    /* go out with our BYE */
	struct loop_timer deadline;

	struct reliable reliable;
	struct refer refer;
	struct dialling *dial; /* NULL: inbound */

	/* the session */
	bool offer_wanted;  /* the INVITE had no offer: ours goes into the 200 */
	bool offer_pending; /* our offer went out in a 200, the answer comes with the ACK */
	struct sdp_layout *layout;
	struct sdp_local local_sdp;
	struct media_remote remote_sdp;
	int64_t session_expires_s; /* 0: no session timer */
	struct refresh refresh;
	enum codec codecs[CODEC_COUNT]; /* the only ones, … */
	size_t codec_count;             /* … 0: those of the configuration */
	uint32_t max_forwards;          /* of the INVITE that came */
};

struct session_result; /* session.h */

/* --- leg.c --- */
/* With a tag and a home; in no list.  NULL: no memory. */
struct sip_leg *leg_alloc(struct sip *s, const struct account *account);
/* Its dialog can be found from now on.  false: no memory. */
MUST_USE bool leg_register(struct sip_leg *leg);
/* Of one that was not registered; others are buried. */
void leg_free(struct sip_leg *leg);
/* From an admitted INVITE; its transaction takes a reference to the message.  NULL: no memory. */
struct sip_leg *leg_create(struct request *rq, const struct session_result *session);
/* Frees what was buried. */
void leg_reap(struct sip *s);
/* For good, whatever state it is in. */
void leg_bury(struct sip_leg *leg);
/* Ends its transactions and takes it out of the dialogs. */
void leg_close(struct sip_leg *leg);
/* It is over: tells the owner, once. */
void leg_ended(struct sip_leg *leg, enum sip_end_cause cause, const char *reason);
/* Ends a call whose owner does not expect it: BYE, and the owner hears why. */
void leg_drop(struct sip_leg *leg, enum sip_end_cause cause, const char *reason);
void leg_set_deadline(struct sip_leg *leg, int64_t delay_ms);
/* The library's word on the transaction of the INVITE: ACK, CANCEL or (sip NULL) no ACK. */
int leg_invite_event(struct sip_leg *leg, nta_incoming_t *irq, const sip_t *sip);

/* --- send.c: our own requests in the dialog --- */
/* The URL that makes the library send to an address, in home; NULL: no memory.  By TLS the name
 * (NULL: none) goes along: it is to be in the certificate. */
char *
leg_hop(const struct addr *a, enum sip_transport transport, const char *name, su_home_t *home);
/* Where the next request goes to. */
char *leg_next_hop(const struct sip_leg *leg, su_home_t *home);
/* Is a one that the leg's requests may go to and come from? */
bool leg_may_reach(const struct sip_leg *leg, const struct addr *a);
/* Request line, routes, dialog headers with the next CSeq; the caller adds the rest.  NULL: no
 * memory. */
msg_t *leg_request(struct sip_leg *leg, sip_method_t method, const char *name);
/* Takes msg, always.  NULL: it could not be sent. */
nta_outgoing_t *leg_send(struct sip_leg *leg, msg_t *msg, nta_response_f *callback);

/* --- bye.c --- */
/* Sends a BYE that nobody waits for. */
void bye_send(struct sip_leg *leg, const char *reason);
/* Sends the BYE that the owner asked for (leg->bye_reason) and waits for its end. */
void leg_leave(struct sip_leg *leg);

/* --- dialog.c --- */
struct sip_leg *dialog_find(struct sip *s, const sip_t *sip);
void dialog_request(struct sip_leg *leg, struct request *rq);

/* --- refer.c --- */
/* The ACK came: sends what waited for it. */
void refer_confirmed(struct sip_leg *leg);
/* Nothing more is heard of it. */
void refer_close(struct sip_leg *leg);
void notify_received(struct sip_leg *leg, struct request *rq);

/* --- reliable.c --- */
bool reliable_wanted(const sip_t *invite);
/* 180, repeated until its PRACK; without one the INVITE is refused and the owner hears it. */
void reliable_ring(struct sip_leg *leg);
/* A final answer went out: nothing more is repeated. */
void reliable_stop(struct sip_leg *leg);
void prack_received(struct sip_leg *leg, struct request *rq);

/* --- info.c --- */
void info_received(struct sip_leg *leg, struct request *rq);

#endif
