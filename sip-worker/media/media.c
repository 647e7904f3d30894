/* media.c - the engine on its control thread: slots, ports, start and end. */
#include "sip-worker/media/media.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/secret.h"
#include "sip-worker/media/engine.h"

static void
slot_init(struct media_session *s, struct media *m, uint32_t index)
{
	s->media = m;
	s->index = index;
	s->thread = &m->threads[index % m->thread_count];
	s->kick.run = session_kick;
	s->notify.run = notify_run;
	s->state = SESSION_FREE;
	playlist_init(&s->list);
	playlist_init(&s->digits);
	atomic_init(&s->updates_free, (1u << UPDATES) - 1);
	list_append(&s->thread->free, &s->free);
}

static void
slab_destroy(struct media_session *slab)
{
	for (int i = 0; slab && i < SLAB; i++) {
		dsp_destroy(slab[i].dsp);
		srtp_session_destroy(slab[i].srtp);
	}
	free(slab);
}

static enum err
slab_add(struct media *m)
{
	size_t slots = atomic_load(&m->slots);
	struct media_session *slab;

	if (slots + SLAB > m->slots_max)
		return ERR_BUSY;
	slab = calloc(SLAB, sizeof(*slab));
	if (!slab)
		return ERR_NOMEM;
	for (int i = 0; i < SLAB; i++) {
		slab[i].dsp = dsp_create();
		slab[i].srtp = srtp_session_create();
		if (!slab[i].dsp || !slab[i].srtp) {
			slab_destroy(slab);
			return ERR_NOMEM;
		}
	}
	for (int i = 0; i < SLAB; i++)
		slot_init(&slab[i], m, (uint32_t)(slots + (size_t)i));
	atomic_store_explicit(&m->slabs[slots / SLAB], slab, memory_order_release);
	atomic_store(&m->slots, slots + SLAB);
	return ERR_OK;
}

/* Of the threads with a free slot (or of this one) that with the fewest sessions. */
static struct media_thread *
thread_choose(struct media *m, const struct media_thread *only)
{
	struct media_thread *best = NULL;

	for (unsigned i = 0; i < m->thread_count; i++) {
		struct media_thread *t = &m->threads[i];

		if (!list_empty(&t->free) && (!best || t->open < best->open) &&
		    (!only || t == only))
			best = t;
	}
	return best;
}

/* beside: a slot of this session's thread; 0, or gone: of any. */
static enum err
slot_take(struct media *m, media_id beside, struct media_session **out)
{
	const struct media_session *other = slot_of(m, beside);
	bool alive = other && atomic_load(&other->ctl) >> 32 == beside >> 32;
	const struct media_thread *only = alive ? other->thread : NULL;
	struct media_thread *best = thread_choose(m, only);

	while (!best) {
		enum err e = slab_add(m);

		if (e != ERR_OK)
			return e;
		best = thread_choose(m, only);
	}
	*out = container_of(list_pop(&best->free), struct media_session, free);
	best->open++;
	return ERR_OK;
}

static void
slot_give(struct media_session *s)
{
	s->state = SESSION_FREE;
	s->thread->open--;
	list_append(&s->thread->free, &s->free);
}

/* IPv4 or IPv6: the index of everything there is one of per family. */
static int
family_index(int family)
{
	return family == AF_INET6;
}

static bool
has_family(const struct addr *list, int family)
{
	return list[family_index(family)].sa.sa_family != AF_UNSPEC;
}

static void
addresses_copy(struct addr out[FAMILIES], const struct addr_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct addr *a = &list->items[i];

		if (!has_family(out, addr_family(a)))
			out[family_index(addr_family(a))] = *a;
	}
}

static void
count_ports(struct media *m)
{
	int64_t n = 0;

	for (int i = 0; i < FAMILIES; i++)
		if (m->address[i].sa.sa_family != AF_UNSPEC)
			n += (int64_t)ports_free(m->ports[i]);
	atomic_store(&m->ports_free, n);
}

static void
session_random(struct media_session *s)
{
	struct {
		uint64_t name;
		uint32_t ssrc, ts, more;
		uint16_t seq;
	} r;

	id_random(&r, sizeof(r));
	s->ssrc = r.ssrc;
	s->ts_offset = r.ts;
	s->random = r.more;
	s->seq = r.seq & 0x7fff; /* the first turn-over is far away: clear for SRTP's receivers */
	id_hex(s->cname, &r.name, sizeof(r.name));
}

/* Everything a session may have left behind.  What commands of any thread touch stays: the list,
 * the updates, the flags of tasks. */
static void
session_clear(struct media_session *s)
{
	memset(&s->clip, 0,
	       offsetof(struct media_session, list) - offsetof(struct media_session, clip));
	memset(&s->latch, 0,
	       offsetof(struct media_session, jitter) - offsetof(struct media_session, latch));
	s->running = s->sending = s->connected = s->listening = s->inband = false;
	s->talking = s->concealing = false;
	s->next_ts = 0;
	s->next_slow = 0;
	s->round_trip_us = -1;
}

static void
session_set(struct media_session *s, const struct media_open *o)
{
	session_clear(s);
	session_random(s);
	s->owner = o->owner;
	s->remote = o->remote;
	s->latch.nat = o->nat;
	s->latch.signalling = o->signalling;
	s->latch.allow = o->allow;
	s->codec = (uint8_t)o->remote.codec;
	s->state = SESSION_OPEN;
	s->generation++;
	atomic_store(&s->closed, false);
	atomic_store(&s->stop, (uint64_t)s->generation << 32 | playlist_end(&s->list));
	atomic_store(&s->want, session_id(s));
	atomic_store(&s->ctl, (uint64_t)s->generation << 32);
}

static void
local_tell(const struct media *m, const struct media_session *s, int family,
	   struct media_local *local)
{
	local->rtp = has_family(m->public, family) ? m->public[family_index(family)] : s->local;
	local->rtcp = local->rtp;
	addr_set_port(&local->rtp, s->port);
	addr_set_port(&local->rtcp, (uint16_t)(s->port + 1));
}

enum err
media_open(struct media *m, const struct media_open *o, struct media_local *local, media_id *out)
{
	const struct addr *ip = &m->address[family_index(o->family)];
	struct media_session *s;
	enum err e;

	if (!has_family(m->address, o->family))
		return ERR_UNSUPPORTED;
	e = slot_take(m, o->beside, &s);
	if (e != ERR_OK)
		return e;
	s->family_index = family_index(o->family);
	e = ports_open(m->ports[s->family_index], ip, clock_mono_ms(), s->fd, &s->port);
	count_ports(m);
	if (e != ERR_OK) {
		slot_give(s);
		return e;
	}
	s->local = *ip;
	addr_set_port(&s->local, s->port);
	session_set(s, o);
	local_tell(m, s, o->family, local);
	atomic_fetch_add(&m->sessions, 1);
	*out = session_id(s);
	return ERR_OK;
}

/* The media thread is done with it: clips that came too late, sockets, port. */
void
slot_release(struct media_session *s)
{
	struct media *m = s->media;
	struct playlist_item item;

	while (playlist_take(&s->list, &item))
		clip_unref(item.clip);
	digits_drop(s);
	ports_close(m->ports[s->family_index], s->fd, s->port, clock_mono_ms());
	count_ports(m);
	atomic_fetch_sub(&m->sessions, 1);
	srtp_session_clear(s->srtp);
	secret_wipe(&s->remote, sizeof(s->remote));
	slot_give(s);
}

void
media_set_ports(struct media *m, uint16_t first, uint16_t last)
{
	for (int i = 0; i < FAMILIES; i++)
		if (ports_set(m->ports[i], first, last) != ERR_OK)
			log_err("media", "ports", "error=\"out of memory\" first=%u last=%u", first,
				last);
	count_ports(m);
	log_info("media", "ports", "first=%u last=%u free=%lld", first, last,
		 (long long)atomic_load(&m->ports_free));
}

static size_t
slots_wanted(const struct config *cfg)
{
	/* Beside the calls: those that are ending, and return legs. */
	size_t n = 2 * (size_t)cfg->worker.max_calls + SLAB;

	return (n + SLAB - 1) / SLAB * SLAB;
}

static unsigned
threads_wanted(const struct config *cfg)
{
	long n = cfg->media.threads > 0 ? (long)cfg->media.threads : sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
}

static bool
media_alloc(struct media *m, const struct config *cfg)
{
	m->threads = calloc(m->thread_count, sizeof(*m->threads));
	m->slabs = calloc(m->slots_max / SLAB, sizeof(*m->slabs));
	if (!m->threads || !m->slabs)
		return false;
	for (int i = 0; i < FAMILIES; i++) {
		m->ports[i] = ports_create();
		if (!m->ports[i] ||
		    ports_set(m->ports[i], cfg->media.port_first, cfg->media.port_last) != ERR_OK)
			return false;
	}
	count_ports(m);
	m->tones = tones_create();
	return m->tones;
}

struct media *
media_create(const struct config *cfg, struct mailbox *events, const struct media_ops *ops,
	     void *app, struct fault *f)
{
	struct media *m = calloc(1, sizeof(*m));

	if (!m)
		goto fail;
	*m = (struct media){
		.events = events,
		.ops = ops,
		.app = app,
		.thread_count = threads_wanted(cfg),
		.slots_max = slots_wanted(cfg),
		.timeout_ticks = cfg->media.timeout_ms / (TICK_NS / 1000000),
		.latch_ms = cfg->media.latch_ms,
		.srtp_required = cfg->media.srtp == SRTP_REQUIRED,
	};
	addresses_copy(m->address, &cfg->media.address);
	addresses_copy(m->public, &cfg->media.public_address);
	if (!media_alloc(m, cfg))
		goto fail;
	for (unsigned i = 0; i < m->thread_count; i++)
		if (thread_start(&m->threads[i], m, m->slots_max) != ERR_OK)
			goto fail;
	return m;
fail:
	fault_set(f, "media", "cannot start: out of memory, threads or descriptors");
	media_destroy(m);
	return NULL;
}

static void
session_discard(struct media_session *s)
{
	struct playlist_item item;

	clip_unref(s->clip);
	while (playlist_take(&s->list, &item))
		clip_unref(item.clip);
	for (unsigned head = atomic_load(&s->events.head); head != atomic_load(&s->events.tail);
	     head++)
		clip_unref(s->events.items[head % EVENTS].clip);
	close(s->fd[0]);
	close(s->fd[1]);
}

void
media_destroy(struct media *m)
{
	if (!m)
		return;
	for (unsigned i = 0; m->threads && i < m->thread_count; i++)
		thread_stop(&m->threads[i]);
	for (size_t i = 0; m->slabs && i < m->slots_max / SLAB; i++) {
		struct media_session *slab = atomic_load(&m->slabs[i]);

		for (int k = 0; slab && k < SLAB; k++)
			if (slab[k].state != SESSION_FREE)
				session_discard(&slab[k]);
		slab_destroy(slab);
	}
	for (int i = 0; i < FAMILIES; i++)
		ports_destroy(m->ports[i]);
	tones_destroy(m->tones);
	free(m->slabs);
	free(m->threads);
	free(m);
}

void
media_totals(const struct media *m, struct media_totals *out)
{
	struct media_totals sum = { .sessions = atomic_load(&m->sessions),
				    .ports_free = atomic_load(&m->ports_free) };

	for (unsigned i = 0; i < m->thread_count; i++) {
		const struct media_counters *c = &m->threads[i].counters;

		sum.packets_sent += atomic_load(&c->packets_sent);
		sum.packets_received += atomic_load(&c->packets_received);
		sum.late_ticks += atomic_load(&c->late_ticks);
		sum.bad_source += atomic_load(&c->bad_source);
		sum.malformed += atomic_load(&c->malformed);
	}
	*out = sum;
}
