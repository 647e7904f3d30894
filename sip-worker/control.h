/* control.h - the worker's end of the control link: connects, says hello, keeps the heartbeat,
 * carries requests and matches their replies.  It reconnects for ever with backoff; what must
 * survive an absence of api-server is the outbox's business.  Signalling loop only. */
#ifndef SIP_WORKER_CONTROL_H
#define SIP_WORKER_CONTROL_H

#include "common/config.h"
#include "common/loop.h"
#include "common/msg.h"

#define CONTROL_PENDING_MAX 8192 /* requests without a reply */

struct control;

struct control_ops {
	/* Fill in what hello says of us now (calls, capacity, addresses). */
	void (*hello)(void *app, struct msg_hello *h);
	/* Fill in a heartbeat. */
	void (*heartbeat)(void *app, struct msg_heartbeat *h);
	/* Linked and resynchronised: end the lost calls, then send what waits. */
	void (*up)(void *app, const struct msg_hello_reply *r);
	/* The link closed; pending requests have got ERR_CLOSED before. */
	void (*down)(void *app);
};

struct control *
control_create(struct loop *l, const struct config *cfg, const struct control_ops *ops, void *app);
void control_destroy(struct control *c); /* pending requests get ERR_CLOSED */
void control_start(struct control *c);
bool control_is_up(const struct control *c);
size_t control_pending(const struct control *c);

/* Called once with the reply, or with TIMEOUT, or CLOSED; body is borrowed, NULL unless OK. */
typedef void control_reply_h(void *arg, enum err e, const json_t *body);
/* msg is borrowed and gets its id here.  UNAVAILABLE, BUSY: nothing was sent and done is not
 * called. */
MUST_USE enum err
control_request(struct control *c, json_t *msg, int timeout_ms, control_reply_h *done, void *arg);
/* Closes the link at once; it reconnects (a reply that never comes). */
void control_reset(struct control *c, const char *why);

#endif
