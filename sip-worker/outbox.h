/* outbox.h - everything that api-server must be told, in order, kept until it has answered.
 *
 * Two classes: vital (release, complete: spooled to disk when the link is away, never dropped) and
 * others (reports, snapshots: dropped oldest first above OUTBOX_MAX).  Resent after a reconnect;
 * all of them may be repeated safely.  Signalling loop only. */
#ifndef SIP_WORKER_OUTBOX_H
#define SIP_WORKER_OUTBOX_H

#include "common/msg.h"
#include "sip-worker/control.h"
#include "sip-worker/spool.h"

#define OUTBOX_MAX 20000 /* records that are not vital */

struct outbox;

/* Called once: OK when api-server has it durably; another error when it refused it for good. */
typedef void outbox_done_h(void *arg, enum err e);

struct outbox *outbox_create(struct loop *l, struct control *c, struct spool *s);
void outbox_destroy(struct outbox *o);
/* Takes what an earlier process left in the spool. */
void outbox_recover(struct outbox *o);
/* The link is up: everything waiting goes out, in order.  Down: vital records are spooled. */
void outbox_link_up(struct outbox *o);
void outbox_link_down(struct outbox *o);

/* body is written at once (struct of type t).  done may be NULL; when arg goes before the answer it
 * is taken back by outbox_forget(). */
MUST_USE enum err
outbox_put(struct outbox *o, enum msg_type t, const void *body, outbox_done_h *done, void *arg);
void outbox_forget(struct outbox *o, const void *arg);
/* Puts the vital records of arg on disk now, whatever the link does; done(done_arg, ok) for each
 * that was not there already. false: there was none, done is not called. */
bool outbox_spool_now(struct outbox *o, const void *arg, spool_done_h *done, void *done_arg);
/* Live tokens for hello: [{"call","token"}] of vital records not yet answered are appended. */
void outbox_list_claims(const struct outbox *o, json_t *calls);
size_t outbox_count(const struct outbox *o);
int64_t outbox_dropped(const struct outbox *o);

#endif
