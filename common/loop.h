/* loop.h - an event loop of one thread: file descriptors (epoll), timers, and a turn end.
 *
 * Everything is intrusive and owned by the caller; the loop allocates only its heap of timers.
 * loop_fd() nests the loop in another one (sofia's su_root watches it; MHD's epoll fd is watched
 * by ours).  Everything on the loop's own thread; others use a mailbox. */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <sys/epoll.h>

#include "common/base.h"
#include "common/err.h"
#include "common/list.h"

struct loop;

struct loop *loop_create(void);
void loop_destroy(struct loop *l); /* every watch and timer must be gone; asserts it */

/* Readable when loop_step() has something to do (an fd or a timer). */
int loop_fd(const struct loop *l);
/* Waits at most timeout_ms (-1: for ever, 0: not at all), then runs what is due. */
void loop_step(struct loop *l, int timeout_ms);
/* Steps until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* Monotonic ms, read once per turn: cheap and the same within it. */
int64_t loop_now(const struct loop *l);

/* --- file descriptors --- */
struct loop_io {
	int fd;                                             /* -1: not watched */
	void (*ready)(struct loop_io *io, uint32_t events); /* EPOLL* bits */
};
/* events: EPOLLIN, EPOLLOUT, EPOLLET …  io must stay where it is until unwatched. */
MUST_USE enum err loop_watch(struct loop *l, struct loop_io *io, int fd, uint32_t events,
			     void (*ready)(struct loop_io *io, uint32_t events));
MUST_USE enum err loop_rewatch(struct loop *l, struct loop_io *io, uint32_t events);
/* Before close(fd), which is the caller's.  Safe inside a callback, also of another io ready in the
 * same turn. */
void loop_unwatch(struct loop *l, struct loop_io *io);

/* --- timers --- */
struct loop_timer {
	int64_t at_ms; /* monotonic */
	uint32_t slot; /* 1 + index in the heap; 0: not armed */
	void (*fire)(struct loop_timer *t);
};
/* (Re)arms; a zeroed timer is valid.  Fires once. false: no memory. */
MUST_USE bool loop_timer_set(struct loop *l, struct loop_timer *t, int64_t delay_ms,
			     void (*fire)(struct loop_timer *t));
void loop_timer_cancel(struct loop *l, struct loop_timer *t); /* not armed: nothing */

/* --- the end of a turn: what many callbacks ask for and one system call does --- */
struct loop_end {
	struct list node; /* zeroed: not asked for */
	void (*run)(struct loop_end *e);
};
/* Runs e once when all that is ready and due in this turn has run; asked for again: still once.
 * false: no turn is under way, the caller does it himself. */
MUST_USE bool loop_at_end(struct loop *l, struct loop_end *e, void (*run)(struct loop_end *e));
void loop_end_cancel(struct loop_end *e); /* not asked for: nothing */

#endif
