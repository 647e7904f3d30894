/* mailbox.h - the one way into another thread: a bounded lock-free queue of tasks and an eventfd.
 *
 * mailbox_post() from any thread, never blocks, allocates nothing; ERR_BUSY when full, and then
 * the caller still owns the task and decides (drop, retry, refuse the call).  Order per poster is
 * kept.  The receiver either attaches it to its loop or drains it by itself. */
#ifndef COMMON_MAILBOX_H
#define COMMON_MAILBOX_H

#include "common/base.h"
#include "common/err.h"
#include "common/loop.h"

/* First member of whatever is posted.  run() is called on the receiving thread and owns t. */
struct task {
	void (*run)(struct task *t);
};

struct mailbox;

/* slots: a power of two. */
struct mailbox *mailbox_create(size_t slots);
/* Runs nothing: leftover tasks get `drop(t)` (NULL: free). */
void mailbox_destroy(struct mailbox *m, void (*drop)(struct task *t));
MUST_USE enum err mailbox_post(struct mailbox *m, struct task *t);
/* Posts without waking the receiver: mailbox_wake() must follow, once for many. */
MUST_USE enum err mailbox_post_quietly(struct mailbox *m, struct task *t);
void mailbox_wake(struct mailbox *m);
/* Receiver: run everything posted so far (at most `max`, 0: all). Returns how many ran. */
size_t mailbox_drain(struct mailbox *m, size_t max);
/* Receiver, cheap: is there anything? (one atomic load) */
bool mailbox_pending(const struct mailbox *m);
/* Receiver: becomes readable on post while armed by the last drain. */
int mailbox_fd(const struct mailbox *m);
/* Drains from the loop. */
MUST_USE enum err mailbox_attach(struct mailbox *m, struct loop *l);
void mailbox_detach(struct mailbox *m);

#endif
