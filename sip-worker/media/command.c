/* command.c - what any thread may ask of a session: atomics of its slot, and one task to wake
 * its media thread. */
#include <sched.h>

#include "common/log.h"
#include "sip-worker/media/engine.h"

#define UPDATE_TRIES 10000

/* Any thread: the slot, whatever lives there now. */
static struct media_session *
slot_of(const struct media *m, media_id id)
{
	size_t index = (uint32_t)id;
	struct media_session *slab;

	if (id >> 32 == 0 || index >= atomic_load(&m->slots))
		return NULL;
	slab = atomic_load_explicit(&m->slabs[index / SLAB], memory_order_acquire);
	return &slab[index % SLAB];
}

static bool
is_alive(const struct media_session *s, media_id id)
{
	return atomic_load(&s->ctl) >> 32 == id >> 32;
}

static void
kick(struct media_session *s)
{
	enum err e;

	if (atomic_exchange(&s->kicked, true))
		return;
	/* The thread's mailbox has a place for every slot. */
	e = mailbox_post(s->thread->mailbox, &s->kick);
	assert(e == ERR_OK);
	ignore_err(e);
}

static void
command(struct media *m, media_id id, uint32_t set, uint32_t clear)
{
	struct media_session *s = slot_of(m, id);
	uint64_t old, new;

	if (!s)
		return;
	old = atomic_load(&s->ctl);
	do {
		if (old >> 32 != id >> 32)
			return;
		new = (old | set) & ~(uint64_t)clear;
	} while (!atomic_compare_exchange_weak(&s->ctl, &old, new));
	kick(s);
}

void
media_start(struct media *m, media_id id)
{
	command(m, id, CTL_START, 0);
}

void
media_loopback(struct media *m, media_id id, bool on)
{
	command(m, id, on ? CTL_LOOP : 0, on ? 0 : CTL_LOOP);
}

void
media_close(struct media *m, media_id id)
{
	command(m, id, CTL_CLOSE, 0);
}

static struct update *
update_take(struct media_session *s)
{
	/* Each is held for the time of a copy, so that waiting is a matter of microseconds. */
	for (int i = 0; i < UPDATE_TRIES; i++) {
		unsigned free = atomic_load(&s->updates_free);

		while (free) {
			unsigned bit = free & -free;

			if (atomic_compare_exchange_weak(&s->updates_free, &free, free & ~bit))
				return &s->updates[__builtin_ctz(bit)];
		}
		sched_yield();
	}
	return NULL;
}

void
media_update(struct media *m, media_id id, const struct media_remote *remote)
{
	struct media_session *s = slot_of(m, id);
	struct update *u, *old;

	if (!s || !is_alive(s, id))
		return;
	u = update_take(s);
	if (!u) {
		log_warn("media", "update_lost", "session=%llx", (unsigned long long)id);
		return;
	}
	*u = (struct update){ .generation = (uint32_t)(id >> 32), .remote = *remote };
	old = atomic_exchange(&s->pending, u);
	if (old) /* not seen yet: the newer one says it all */
		atomic_fetch_or(&s->updates_free, 1u << (old - s->updates));
	kick(s);
}

enum err
media_play(struct media *m, media_id id, struct clip *clip, uint32_t play)
{
	struct media_session *s = slot_of(m, id);
	struct playlist_item item = { .generation = (uint32_t)(id >> 32), .play = play };

	if (!s || !is_alive(s, id))
		return ERR_NOT_FOUND;
	item.clip = clip_ref(clip);
	if (playlist_put(&s->list, &item))
		return ERR_OK;
	clip_unref(clip);
	return ERR_BUSY;
}

void
media_stop_playing(struct media *m, media_id id)
{
	struct media_session *s = slot_of(m, id);
	uint64_t old, new;

	if (!s || !is_alive(s, id))
		return;
	old = atomic_load(&s->stop);
	do {
		if (old >> 32 != id >> 32)
			return;
		new = id >> 32 << 32 | playlist_end(&s->list);
	} while (!atomic_compare_exchange_weak(&s->stop, &old, new));
}
