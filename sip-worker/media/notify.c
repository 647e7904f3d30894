/* notify.c - events from a media thread to control: a ring per session and one task in the
 * mailbox while anything is in it. */
#include <string.h>

#include "sip-worker/media/engine.h"

static unsigned
ring_used(const struct event_ring *r)
{
	return atomic_load_explicit(&r->tail, memory_order_relaxed) -
	       atomic_load_explicit(&r->head, memory_order_acquire);
}

bool
notify_has_room(const struct media_session *s)
{
	return ring_used(&s->events) < EVENTS - DIGIT_ROOM;
}

bool
notify_put(struct media_session *s, const struct engine_event *e)
{
	struct event_ring *r = &s->events;
	unsigned tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	if (ring_used(r) >= (e->kind == EV_DIGIT ? EVENTS : EVENTS - DIGIT_ROOM))
		return false;
	r->items[tail % EVENTS] = *e;
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
	notify_post(s);
	return true;
}

void
notify_post(struct media_session *s)
{
	if (atomic_exchange(&s->notified, true))
		return;
	if (mailbox_post(s->media->events, &s->notify) == ERR_OK)
		return;
	atomic_store(&s->notified, false);
	thread_retry(s);
}

void
notify_owe(struct media_session *s, unsigned what)
{
	s->owed |= what;
	notify_flush(s);
}

static bool
owed_put(struct media_session *s, unsigned what)
{
	struct engine_event e = { .kind = what == OWE_FIRST     ? EV_FIRST_RTP
					  : what == OWE_LATCHED ? EV_LATCHED
								: EV_TIMEOUT };
	const struct addr *a = what == OWE_FIRST ? &s->first_from : &s->latch.rtp;

	memcpy(&e.addr, a, sizeof(e.addr));
	if (!notify_put(s, &e))
		return false;
	s->owed &= ~what;
	return true;
}

void
notify_flush(struct media_session *s)
{
	static const unsigned order[] = { OWE_FIRST, OWE_LATCHED, OWE_TIMEOUT };

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if ((s->owed & order[i]) && !owed_put(s, order[i]))
			thread_retry(s);
}

static void
event_tell(const struct media *m, uint64_t owner, const struct engine_event *e)
{
	struct addr a = { 0 };

	memcpy(&a, &e->addr, sizeof(e->addr));
	switch (e->kind) {
	case EV_FIRST_RTP:
		m->ops->first_rtp(m->app, owner, &a);
		break;
	case EV_LATCHED:
		m->ops->latched(m->app, owner, &a);
		break;
	case EV_TIMEOUT:
		m->ops->timeout(m->app, owner);
		break;
	case EV_DIGIT:
		m->ops->digit(m->app, owner, e->digit, e->ms, e->inband ? "inband" : "rfc4733");
		break;
	case EV_PLAYED:
		m->ops->played(m->app, owner, e->play, e->how, e->ms);
		break;
	case EV_RELEASE:
		break;
	}
}

void
notify_run(struct task *t)
{
	struct media_session *s = container_of(t, struct media_session, notify);
	struct media *m = s->media;
	struct event_ring *r = &s->events;
	unsigned head = atomic_load_explicit(&r->head, memory_order_relaxed);
	bool closed;

	atomic_store(&s->notified, false);
	closed = atomic_load(&s->closed); /* before the ring: all its events are in it then */
	while (head != atomic_load_explicit(&r->tail, memory_order_acquire)) {
		struct engine_event e = r->items[head % EVENTS];

		atomic_store_explicit(&r->head, ++head, memory_order_release);
		event_tell(m, s->owner, &e);
		clip_unref(e.clip);
	}
	if (closed && s->state != SESSION_FREE) {
		struct media_stats stats = s->final;
		uint64_t owner = s->owner;

		slot_release(s);
		m->ops->closed(m->app, owner, &stats);
	}
}

void
notify_nothing(struct task *t)
{
	(void)t;
}
