#include "common/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/clock.h"

#define BATCH 64

/* The timerfd sits in the epoll set, so that whoever watches loop_fd() wakes for timers too.
 * It is set only when the earliest deadline gets earlier or after it rang: a timer that is pushed
 * back over and over (a keepalive) costs no system call, at the price of one idle wake-up. */
struct loop {
	int epoll_fd, timer_fd;
	int64_t now_ms; /* of this turn */
	int64_t set_ms; /* what timer_fd is set for, INT64_MAX: nothing */
	bool in_turn;
	bool stop;
	size_t watched;
	struct loop_timer **heap;
	uint32_t count, cap;
	struct epoll_event batch[BATCH];
	int batch_len;
	struct list ends; /* struct loop_end::node */
};

struct loop *
loop_create(void)
{
	struct loop *l = calloc(1, sizeof(*l));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };

	if (!l)
		return NULL;
	l->set_ms = INT64_MAX;
	list_init(&l->ends);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		goto fail_epoll;
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->timer_fd < 0)
		goto fail_timer;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->timer_fd, &ev) != 0)
		goto fail_add;
	return l;
fail_add:
	close(l->timer_fd);
fail_timer:
	close(l->epoll_fd);
fail_epoll:
	free(l);
	return NULL;
}

void
loop_destroy(struct loop *l)
{
	if (!l)
		return;
	assert(!l->in_turn && l->watched == 0 && l->count == 0);
	close(l->timer_fd);
	close(l->epoll_fd);
	free(l->heap);
	free(l);
}

int
loop_fd(const struct loop *l)
{
	return l->epoll_fd;
}

/* Between turns nobody refreshes the cached time: a nested loop's owner may be anywhere. */
int64_t
loop_now(const struct loop *l)
{
	return l->in_turn ? l->now_ms : clock_mono_ms();
}

/* --- timers: a binary heap, earliest first, each timer knows its place --- */

static void
place(struct loop *l, uint32_t i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->slot = i + 1;
}

static void
sift_up(struct loop *l, uint32_t i, struct loop_timer *t)
{
	while (i > 0 && l->heap[(i - 1) / 2]->at_ms > t->at_ms) {
		place(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(l, i, t);
}

static void
sift_down(struct loop *l, uint32_t i, struct loop_timer *t)
{
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= l->count)
			break;
		if (child + 1 < l->count && l->heap[child + 1]->at_ms < l->heap[child]->at_ms)
			child++;
		if (l->heap[child]->at_ms >= t->at_ms)
			break;
		place(l, i, l->heap[child]);
		i = child;
	}
	place(l, i, t);
}

static void
settle(struct loop *l, uint32_t i, struct loop_timer *t)
{
	if (i > 0 && l->heap[(i - 1) / 2]->at_ms > t->at_ms)
		sift_up(l, i, t);
	else
		sift_down(l, i, t);
}

static void
arm_timer_fd(struct loop *l)
{
	int64_t at = l->count > 0 ? l->heap[0]->at_ms : INT64_MAX;
	struct itimerspec its = { 0 };
	int rc;

	if (at >= l->set_ms)
		return;
	its.it_value.tv_sec = at > 0 ? at / 1000 : 0;
	its.it_value.tv_nsec = at > 0 ? at % 1000 * 1000000 : 1; /* all zero would disarm */
	rc = timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
	assert(rc == 0);
	(void)rc;
	l->set_ms = at;
}

static bool
heap_reserve(struct loop *l)
{
	uint32_t cap = l->cap ? l->cap * 2 : 64;
	struct loop_timer **heap;

	if (l->count < l->cap)
		return true;
	heap = realloc(l->heap, cap * sizeof(struct loop_timer *));
	if (!heap)
		return false;
	l->heap = heap;
	l->cap = cap;
	return true;
}

bool
loop_timer_set(struct loop *l, struct loop_timer *t, int64_t delay_ms,
	       void (*fire)(struct loop_timer *t))
{
	int64_t now = loop_now(l);

	if (t->slot == 0 && !heap_reserve(l))
		return false;
	if (delay_ms < 0)
		delay_ms = 0;
	t->at_ms = delay_ms < INT64_MAX - now ? now + delay_ms : INT64_MAX - 1;
	t->fire = fire;
	if (t->slot == 0)
		place(l, l->count++, t);
	settle(l, t->slot - 1, t);
	/* Within a turn one call at its end does for all. */
	if (!l->in_turn)
		arm_timer_fd(l);
	return true;
}

void
loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
	uint32_t i = t->slot;
	struct loop_timer *last;

	if (i-- == 0)
		return;
	assert(i < l->count && l->heap[i] == t);
	t->slot = 0;
	last = l->heap[--l->count];
	if (last != t)
		settle(l, i, last);
}

static void
run_timers(struct loop *l)
{
	/* As many as there were: one that arms itself for "now" waits for the next turn. */
	for (uint32_t left = l->count; left > 0 && l->count > 0; left--) {
		struct loop_timer *t = l->heap[0];

		if (t->at_ms > l->now_ms)
			break;
		loop_timer_cancel(l, t);
		t->fire(t);
	}
}

/* --- file descriptors --- */

static bool
is_watched(const struct loop_io *io)
{
	return io->fd >= 0 && io->ready;
}

enum err
loop_watch(struct loop *l, struct loop_io *io, int fd, uint32_t events,
	   void (*ready)(struct loop_io *io, uint32_t events))
{
	struct epoll_event ev = { .events = events, .data.ptr = io };

	assert(!is_watched(io) && ready);
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
		return err_from_errno(errno);
	io->fd = fd;
	io->ready = ready;
	l->watched++;
	return ERR_OK;
}

enum err
loop_rewatch(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = io };

	assert(is_watched(io));
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev) != 0)
		return err_from_errno(errno);
	return ERR_OK;
}

void
loop_unwatch(struct loop *l, struct loop_io *io)
{
	if (!is_watched(io))
		return;
	/* Fails only if the owner closed fd first; then the kernel has forgotten it already. */
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	for (int i = 0; i < l->batch_len; i++) {
		if (l->batch[i].data.ptr == io)
			l->batch[i].events = 0;
	}
	io->fd = -1;
	l->watched--;
}

static void
run_ready(struct loop *l)
{
	uint64_t expirations;

	for (int i = 0; i < l->batch_len; i++) {
		struct loop_io *io = l->batch[i].data.ptr;

		if (io) {
			if (l->batch[i].events)
				io->ready(io, l->batch[i].events);
		} else if (read(l->timer_fd, &expirations, sizeof(expirations)) > 0) {
			l->set_ms = INT64_MAX;
		}
	}
	l->batch_len = 0;
}

/* --- the end of a turn --- */

bool
loop_at_end(struct loop *l, struct loop_end *e, void (*run)(struct loop_end *e))
{
	if (!l->in_turn)
		return false;
	e->run = run;
	if (!list_linked(&e->node))
		list_append(&l->ends, &e->node);
	return true;
}

void
loop_end_cancel(struct loop_end *e)
{
	list_remove(&e->node);
}

static void
run_ends(struct loop *l)
{
	struct list *n;

	while ((n = list_pop(&l->ends)) != NULL) {
		struct loop_end *e = container_of(n, struct loop_end, node);

		e->run(e);
	}
}

void
loop_step(struct loop *l, int timeout_ms)
{
	int n;

	assert(!l->in_turn);
	n = epoll_wait(l->epoll_fd, l->batch, BATCH, timeout_ms);
	l->batch_len = n > 0 ? n : 0; /* EINTR is an empty turn */
	l->now_ms = clock_mono_ms();
	l->in_turn = true;
	run_ready(l);
	run_timers(l);
	run_ends(l);
	l->in_turn = false;
	arm_timer_fd(l);
}

void
loop_run(struct loop *l)
{
	l->stop = false;
	while (!l->stop)
		loop_step(l, -1);
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}
