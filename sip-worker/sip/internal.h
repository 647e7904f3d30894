/* internal.h - what the files of the SIP stack share.  Signalling loop only. */
#ifndef SIP_WORKER_SIP_INTERNAL_H
#define SIP_WORKER_SIP_INTERNAL_H

#include <sofia-sip/su_wait.h>

struct sip;
struct sip_leg;
struct resolver;

#define NTA_AGENT_MAGIC_T    struct sip
#define NTA_INCOMING_MAGIC_T struct sip_leg
#define NTA_OUTGOING_MAGIC_T struct sip_leg
#include <sofia-sip/nta.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/tport.h>

#include "common/list.h"
#include "common/log.h"
#include "common/map.h"
#include "sip-worker/sip/body.h"
#include "sip-worker/sip/digest.h"
#include "sip-worker/sip/rate.h"
#include "sip-worker/sip/sdp.h"
#include "sip-worker/sip/sip.h"

#define SIP_LISTEN_MAX        32
#define SIP_ANSWER_TIMEOUT_MS 180000 /* call control must answer or refuse an INVITE by then */
#define SIP_TEXT_MAX          256    /* a reason told to a peer or an operator */

struct listener {
	enum sip_transport transport;
	struct addr addr;                        /* bound */
	char ident[8];                           /* its name for the library */
	sip_contact_t *contact, *secure_contact; /* secure: where the peer speaks of sips: */
};

struct sip {
	struct loop *loop;
	const struct config *cfg; /* accounts of now; calls keep their own account */
	const struct sip_ops *ops;
	void *app;

	su_root_t *root;
	su_home_t *home; /* of the headers below */
	nta_agent_t *agent;
	su_wait_t wait[1];
	int wait_index; /* -1: the loop is not nested */
	bool stopping, draining;
	uint64_t work; /* what came from outside so far: sip_run() tells a turn that did nothing */

	struct listener listeners[SIP_LISTEN_MAX];
	size_t listener_count;
	sip_allow_t *allow;
	sip_accept_t *accept;
	sip_supported_t *supported;
	sip_server_t *server;
	sip_content_type_t *content_type;
	sip_require_t *require_timer;

	struct digest *digest;
	struct rate *rate;
	bool open_users; /* an account that any address may try its credentials on */

	struct map *dialogs;       /* our tag -> leg */
	struct map *dialled;       /* host that an outbound leg goes to -> how many do */
	struct resolver *resolver; /* NULL: not needed yet */
	struct list legs;          /* sip_leg.node */
	struct list graveyard;     /* sip_leg.node: freed at the end of the turn */
	struct log_limit refusal_limit;
	struct sip_stats stats;
};

/* A request on its way through admission. */
struct request {
	struct sip *s;
	msg_t *msg;
	sip_t *sip;
	nta_incoming_t *irq; /* in a dialog: its transaction; NULL: answered without state */
	tport_t *tport;
	enum sip_transport transport;
	struct addr source;
	const struct account *account; /* once admitted */
};

/* A refusal to be, or status 0. */
struct verdict {
	int status;
	const char *why;
	int retry_after_s;
	const sip_header_t *extra;
};

/* --- reply.c: each answers once and for all: it consumes rq->msg, or rq->irq --- */
void reply_send(struct request *rq, int status, const char *phrase, tag_type_t tag,
		tag_value_t value, ...);
void reply_plain(struct request *rq, int status, const char *phrase);
/* With Warning: 399 and Reason; retry_after_s 0: none.  extra: one more header or NULL. */
void reply_refuse(struct request *rq, int status, const char *why, int retry_after_s,
		  const sip_header_t *extra);
void reply_challenge(struct request *rq, bool stale);
/* The standard phrase of a status, never NULL. */
const char *reply_phrase(int status);
/* Warning and Reason header values in home; why is made safe. */
sip_warning_t *reply_warning(su_home_t *home, int code, const char *why);
sip_header_t *reply_reason(su_home_t *home, int status, const char *why);

/* --- admission.c --- */
enum source_class {
	SOURCE_STRANGER, /* in nobody's list */
	SOURCE_TRUSTED,  /* authenticated not long ago */
	SOURCE_LISTED,   /* in an account's allow */
	SOURCE_OWN,      /* this machine asks itself: --ping */
};
enum source_class admission_source(const struct sip *s, const struct addr *source);
/* May this datagram go to the parser? */
bool admission_datagram(struct sip *s, const struct addr *source, const uint8_t *data, size_t len);
/* May this address open one more connection, given how many it has? */
bool admission_connection(const struct sip *s, const struct addr *source, size_t open);
/* Finds the account of an out-of-dialog request; false: it was answered or dropped. */
bool admission_request(struct request *rq);
void admission_config(struct sip *s);
/* The address that an outbound leg goes to may answer, whoever it is.  false: no memory. */
MUST_USE bool dialled_add(struct sip_leg *leg);
void dialled_remove(struct sip_leg *leg);
bool cidr_list_match(const struct cidr_list *list, const struct addr *a);

/* --- request.c: what comes out of the parser --- */
int request_received(struct sip *s, nta_agent_t *agent, msg_t *msg, sip_t *sip);
/* What any request must satisfy: scheme, Require. */
struct verdict request_check(struct request *rq);

/* --- invite.c --- */
void invite_received(struct request *rq);
/* For the timeline; transfer may be NULL. */
void invite_refused(struct request *rq, const char *transfer, int status, const char *why);

/* --- options.c --- */
void options_received(struct request *rq);

/* --- headers.c --- */
struct invite_headers {
	char transfer[SIP_TEXT_MAX + 1], task[SIP_TEXT_MAX + 1], conversation[SIP_TEXT_MAX + 1],
		customer[SIP_TEXT_MAX + 1];
	bool has_transfer, has_task, has_conversation, has_customer;
	bool conflicting; /* two different transfer ids */
	bool looped;      /* a marker of ours */
	json_t *input_variables, *headers;
};
/* false: no memory. */
MUST_USE bool
headers_read(struct invite_headers *h, const sip_t *sip, const struct account *account);
void headers_finish(struct invite_headers *h);
/* Any bytes to UTF-8 without control characters; false: truncated. */
bool headers_clean(char *out, size_t size, const char *value);
/* The Reason header as text, NULL: none. */
const char *headers_reason(const sip_t *sip, char *out, size_t size);
#define SIP_LOOP_HEADER     "X-Handback-Return"
#define SIP_LOOP_TOKEN_SIZE 33
/* What our own return INVITEs for this account carry in SIP_LOOP_HEADER. */
void headers_loop_token(const struct account *account, char out[SIP_LOOP_TOKEN_SIZE]);

/* --- guard.c: before the library sees anything --- */
MUST_USE bool guard_create(struct sip *s, struct fault *f);
void guard_destroy(void);
/* A well-formed, admitted request came over the connection from this address. */
void guard_alive(const struct addr *peer);

#endif
