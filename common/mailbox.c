#include "common/mailbox.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A bounded ring after D. Vyukov: each cell carries the number of the turn it is free (or filled)
 * for, so posters meet only at `tail` and the receiver touches nothing that is shared but cells.
 *
 * The eventfd is written only while `armed`: the receiver arms at the end of a drain that found
 * nothing left, the first poster after it disarms and writes.  A poster that meets an awake
 * receiver makes no system call.  Both sides put a full fence between "publish" and "look", so
 * either the poster sees armed or the receiver sees the task. */
struct cell {
	_Atomic size_t turn;
	struct task *task;
};

struct mailbox {
	_Alignas(64) _Atomic size_t tail; /* posters */
	_Alignas(64) size_t head;         /* the receiver's own, down to io */
	uint64_t owed;                    /* writes to event_fd that are not read yet */
	struct loop *loop;
	struct loop_io io;
	_Alignas(64) size_t mask; /* read by all, hardly ever written */
	struct cell *cells;
	int event_fd;
	bool was_armed;
	_Atomic bool armed;
};

struct mailbox *
mailbox_create(size_t slots)
{
	struct mailbox *m;

	assert(slots >= 2 && (slots & (slots - 1)) == 0);
	m = aligned_alloc(_Alignof(struct mailbox), sizeof(*m));
	if (!m)
		return NULL;
	*m = (struct mailbox){ .mask = slots - 1, .was_armed = true, .io.fd = -1 };
	atomic_init(&m->armed, true);
	m->cells = calloc(slots, sizeof(*m->cells));
	if (!m->cells)
		goto fail_cells;
	for (size_t i = 0; i < slots; i++)
		atomic_init(&m->cells[i].turn, i);
	m->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->event_fd < 0)
		goto fail_event;
	return m;
fail_event:
	free(m->cells);
fail_cells:
	free(m);
	return NULL;
}

static void
ring(struct mailbox *m)
{
	uint64_t one = 1;

	/* Cannot fail: the counter holds far more than there can be writes. */
	(void)!write(m->event_fd, &one, sizeof(one));
}

enum err
mailbox_post_quietly(struct mailbox *m, struct task *t)
{
	size_t at = atomic_load_explicit(&m->tail, memory_order_relaxed);
	struct cell *c;

	for (;;) {
		size_t turn;

		c = &m->cells[at & m->mask];
		turn = atomic_load_explicit(&c->turn, memory_order_acquire);
		if (turn == at) {
			if (atomic_compare_exchange_weak_explicit(&m->tail, &at, at + 1,
								  memory_order_relaxed,
								  memory_order_relaxed))
				break;
		} else if ((ptrdiff_t)(turn - at) < 0) {
			return ERR_BUSY;
		} else {
			at = atomic_load_explicit(&m->tail, memory_order_relaxed);
		}
	}
	c->task = t;
	/* Sequentially consistent, as is the look at `armed`: see the head of this file. */
	atomic_store(&c->turn, at + 1);
	return ERR_OK;
}

void
mailbox_wake(struct mailbox *m)
{
	if (atomic_load(&m->armed) && atomic_exchange(&m->armed, false))
		ring(m);
}

enum err
mailbox_post(struct mailbox *m, struct task *t)
{
	enum err e = mailbox_post_quietly(m, t);

	if (e == ERR_OK)
		mailbox_wake(m);
	return e;
}

bool
mailbox_pending(const struct mailbox *m)
{
	return atomic_load(&m->cells[m->head & m->mask].turn) == m->head + 1;
}

static struct task *
take(struct mailbox *m)
{
	struct cell *c = &m->cells[m->head & m->mask];
	struct task *t;

	if (atomic_load_explicit(&c->turn, memory_order_acquire) != m->head + 1)
		return NULL;
	t = c->task;
	atomic_store_explicit(&c->turn, m->head + m->mask + 1, memory_order_release);
	m->head++;
	return t;
}

/* Whoever disarmed has written, or is about to: then the read finds nothing now and the next
 * drain tries again, else the descriptor would stay readable for ever. */
static void
disarm(struct mailbox *m)
{
	uint64_t count;

	if (m->was_armed && !atomic_exchange(&m->armed, false))
		m->owed++;
	m->was_armed = false;
	if (m->owed > 0 && read(m->event_fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		m->owed -= count;
}

static void
arm(struct mailbox *m)
{
	atomic_store(&m->armed, true);
	m->was_armed = true;
	if (!mailbox_pending(m) || !atomic_exchange(&m->armed, false))
		return;
	/* Something came meanwhile or was left over: wake ourselves. */
	m->was_armed = false;
	m->owed++;
	ring(m);
}

size_t
mailbox_drain(struct mailbox *m, size_t max)
{
	size_t ran = 0, posted;
	struct task *t;

	disarm(m);
	posted = atomic_load_explicit(&m->tail, memory_order_relaxed) - m->head;
	if (max == 0 || max > posted)
		max = posted;
	while (ran < max && (t = take(m)) != NULL) {
		t->run(t);
		ran++;
	}
	arm(m);
	return ran;
}

int
mailbox_fd(const struct mailbox *m)
{
	return m->event_fd;
}

static void
on_ready(struct loop_io *io, uint32_t events)
{
	(void)events;
	(void)mailbox_drain(container_of(io, struct mailbox, io), 0);
}

enum err
mailbox_attach(struct mailbox *m, struct loop *l)
{
	enum err e = loop_watch(l, &m->io, m->event_fd, EPOLLIN, on_ready);

	if (e == ERR_OK)
		m->loop = l;
	return e;
}

void
mailbox_detach(struct mailbox *m)
{
	if (!m->loop)
		return;
	loop_unwatch(m->loop, &m->io);
	m->loop = NULL;
}

void
mailbox_destroy(struct mailbox *m, void (*drop)(struct task *t))
{
	struct task *t;

	if (!m)
		return;
	mailbox_detach(m);
	while ((t = take(m)) != NULL) {
		if (drop)
			drop(t);
		else
			free(t);
	}
	close(m->event_fd);
	free(m->cells);
	free(m);
}
