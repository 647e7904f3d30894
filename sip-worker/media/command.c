/* command.c - what any thread may ask of a session: atomics of its slot, and one task to wake
 * its media thread. */
#include <sched.h>

#include "common/log.h"
#include "common/secret.h"
#include "sip-worker/media/engine.h"

#define UPDATE_TRIES 10000
#define DIGIT_MIN_MS 40
#define DIGIT_MAX_MS 5000

struct media_session *
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

/* Clears, then sets; false: the session is gone. */
static bool
flags(struct media_session *s, media_id id, uint32_t set, uint32_t clear)
{
	uint64_t old = atomic_load(&s->ctl);

	do {
		if (old >> 32 != id >> 32)
			return false;
	} while (!atomic_compare_exchange_weak(&s->ctl, &old, (old & ~(uint64_t)clear) | set));
	return true;
}

static void
command(struct media *m, media_id id, uint32_t set, uint32_t clear)
{
	struct media_session *s = slot_of(m, id);

	if (s && flags(s, id, set, clear))
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
	if (old) { /* not seen yet: the newer one says it all */
		secret_wipe(&old->remote, sizeof(old->remote));
		atomic_fetch_or(&s->updates_free, 1u << (old - s->updates));
	}
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
	if (playlist_put(&s->list, &item)) {
		flags(s, id, 0, CTL_TONES);
		return ERR_OK;
	}
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

void
media_tone(struct media *m, media_id id, enum media_tone tone)
{
	struct media_session *s = slot_of(m, id);

	/* Seen at the session's next turn. */
	if (s && is_alive(s, id))
		flags(s, id, (uint32_t)tone << CTL_TONE, CTL_TONES);
}

enum err
media_send_digit(struct media *m, media_id id, char digit, int duration_ms)
{
	struct media_session *s = slot_of(m, id);
	int event = dtmf_event_of(digit);

	if (event < 0)
		return ERR_INVALID;
	if (!s || !is_alive(s, id))
		return ERR_NOT_FOUND;
	duration_ms = duration_ms < DIGIT_MIN_MS ? DIGIT_MIN_MS : duration_ms;
	duration_ms = duration_ms > DIGIT_MAX_MS ? DIGIT_MAX_MS : duration_ms;
	if (!digits_put(s, (uint32_t)(id >> 32), (uint8_t)event, duration_ms))
		return ERR_BUSY;
	return ERR_OK;
}

/* false: the session is gone.  One that takes its place has another `want` of its own. */
static bool
want_set(struct media_session *s, media_id id, media_id other)
{
	uint64_t old = atomic_load(&s->want);

	do {
		if (!is_alive(s, id))
			return false;
	} while (!atomic_compare_exchange_weak(&s->want, &old, other));
	flags(s, id, 0, CTL_TONES);
	return true;
}

enum err
media_bridge(struct media *m, media_id a, media_id b)
{
	struct media_session *sa = slot_of(m, a), *sb = slot_of(m, b);

	if (a == b)
		return ERR_INVALID;
	if (!sa || !sb || !is_alive(sa, a) || !is_alive(sb, b))
		return ERR_NOT_FOUND;
	if (sa->thread != sb->thread)
		return ERR_UNSUPPORTED;
	if (!want_set(sa, a, b) || !want_set(sb, b, a))
		return ERR_NOT_FOUND;
	kick(sa);
	kick(sb);
	return ERR_OK;
}

static void
want_end(struct media *m, media_id id, media_id other)
{
	struct media_session *s = slot_of(m, id);
	uint64_t old = other;

	if (s && is_alive(s, id) && atomic_compare_exchange_strong(&s->want, &old, id))
		kick(s);
}

void
media_unbridge(struct media *m, media_id a, media_id b)
{
	want_end(m, a, b);
	want_end(m, b, a);
}
