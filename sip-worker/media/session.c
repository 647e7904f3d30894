/* session.c - a session on its media thread: commands, its turn, its end. */
#include <string.h>

#include "common/secret.h"
#include "sip-worker/media/engine.h"

#define SLOW_TICKS   40 /* how often timeout and reports are looked at: 200 ms */
#define RTCP_TICKS   1000
#define TURN_SOON    (0x10000 - 64)
#define SETTLE_TICKS 1000 /* 5 s: what was sent before a new key has arrived by then */

/* Not secret, only different: for intervals of reports. */
static uint32_t
next_random(struct media_session *s)
{
	s->random = s->random * 1664525u + 1013904223u;
	return s->random >> 8;
}

/* 2.5 to 7.5 s (RFC 3550 6.2), the first in half the time. */
static uint64_t
rtcp_interval(struct media_session *s)
{
	return RTCP_TICKS / 2 + next_random(s) % RTCP_TICKS;
}

static bool
direction_sends(enum media_direction d)
{
	return d == MEDIA_SENDRECV || d == MEDIA_SENDONLY;
}

void
session_address_changed(struct media_session *s)
{
	const struct addr *to = &s->latch.rtp;

	send_connect(s, false);
	s->sending = direction_sends(s->remote.direction) && addr_port(to) != 0 && !addr_is_any(to);
}

static uint8_t
ticks_per_packet(int ptime_ms)
{
	int ticks = ptime_ms / 5;

	return (uint8_t)(ticks < 2 ? 2 : ticks > 12 ? 12 : ticks);
}

static void
listen_again(struct media_session *s)
{
	bool loop = atomic_load(&s->ctl) & CTL_LOOP;
	bool inband = s->remote.dtmf_payload_type < 0;

	if ((loop && !s->listening) || (inband && !s->inband)) {
		dsp_reset(s->dsp);
		jitter_init(&s->jitter, (size_t)s->period * TICK_SAMPLES);
		s->concealing = false;
	}
	s->listening = loop;
	s->inband = inband;
}

/* The keys live in the SRTP session alone. */
static void
apply_keys(struct media_session *s)
{
	struct media_remote *r = &s->remote;

	/* If the first packets under a key are lost and the next ones come after the turn-over, the
	 * peer never finds out how often the sequence number turned over. */
	if (srtp_session_send_key(s->srtp, &r->send_key) && s->seq >= TURN_SOON)
		s->seq = 0;
	srtp_session_hear_key(s->srtp, &r->hear_key);
	s->settle_at = s->thread->tick + SETTLE_TICKS;
	secret_wipe(&r->send_key, sizeof(r->send_key));
	secret_wipe(&r->hear_key, sizeof(r->hear_key));
}

void
session_apply_remote(struct media_session *s, const struct media_remote *r)
{
	int64_t until = thread_now_ms(s->thread) + s->media->latch_ms;
	bool other_codec = r->codec != s->codec;

	bridge_flush(s); /* in the old codec */
	s->remote = *r;
	apply_keys(s);
	s->codec = (uint8_t)r->codec;
	s->pt = r->payload_type;
	s->dtmf_pt = r->dtmf_payload_type;
	s->period = ticks_per_packet(r->ptime_ms);
	latch_open(&s->latch, &r->rtp, &r->rtcp, until);
	session_address_changed(s);
	s->jitter.frame = (uint32_t)s->period * TICK_SAMPLES;
	if (other_codec)
		jitter_init(&s->jitter, s->jitter.frame);
	listen_again(s);
	s->last_heard = s->thread->tick; /* a changed call gets its whole timeout again */
}

static void
session_begin(struct media_session *s)
{
	struct media_thread *t = s->thread;

	session_apply_remote(s, &s->remote);
	s->next_ts = s->ts_offset + thread_now(t);
	thread_admit(t, s);
	s->running = true;
	s->started = t->tick;
	s->next_slow = t->tick + SLOW_TICKS;
	s->next_rtcp = t->tick + rtcp_interval(s) / 2;
}

static void
take_update(struct media_session *s)
{
	struct update *u = atomic_exchange(&s->pending, NULL);

	if (!u)
		return;
	if (u->generation == s->generation) {
		if (s->running)
			session_apply_remote(s, &u->remote);
		else
			s->remote = u->remote;
	}
	secret_wipe(&u->remote, sizeof(u->remote));
	atomic_fetch_or(&s->updates_free, 1u << (u - s->updates));
}

static void
final_stats(struct media_session *s)
{
	int64_t ticks = s->running ? (int64_t)(s->thread->tick - s->started) : 0;

	s->final = (struct media_stats){
		.duration_ms = ticks * (TICK_NS / 1000000),
		.packets_sent = s->packets_sent,
		.packets_received = s->received,
		.lost = rtp_source_lost(&s->source),
		.late = s->late,
		.discarded = s->discarded,
		.duplicates = s->duplicates,
		.concealed = s->concealed,
		.jitter_us = (s->source.jitter16 >> 4) * 125,
		.bad_source = s->bad_source,
		.malformed = s->malformed,
		.srtp_bad_tag = srtp_session_count(s->srtp, SRTP_BAD_TAG),
		.srtp_replayed = srtp_session_count(s->srtp, SRTP_REPLAYED),
		.srtp = srtp_session_hears(s->srtp),
		.remote_lost = s->report.lost > 0 ? (uint32_t)s->report.lost : 0,
		.remote_jitter_us = s->report.jitter < 8000000 ? s->report.jitter * 125 : 0,
		.round_trip_us = s->round_trip_us,
		.local = s->local,
		.remote = s->latch.rtp,
		.codec = (enum codec)s->codec,
	};
}

void
session_kick(struct task *task)
{
	struct media_session *s = container_of(task, struct media_session, kick);
	uint64_t ctl;

	atomic_store(&s->kicked, false);
	ctl = atomic_load(&s->ctl);
	if (!(ctl & (CTL_START | CTL_CLOSE)) || s->state != SESSION_OPEN)
		return;
	take_update(s);
	if (ctl & CTL_CLOSE) {
		bridge_detach(s);
		s->state = SESSION_CLOSING;
		atomic_store(&s->ctl, 0); /* no more commands */
		final_stats(s);
		session_close_step(s);
		return;
	}
	if (!s->running)
		session_begin(s);
	else
		listen_again(s);
	bridge_apply(s);
}

static void
slow(struct media_session *s)
{
	uint64_t now = s->thread->tick;
	int64_t limit = s->media->timeout_ticks;

	s->next_slow = now + SLOW_TICKS;
	/* On hold, whoever holds: the far side may be silent. */
	if (s->remote.direction != MEDIA_SENDRECV)
		s->last_heard = now;
	if (limit > 0 && !s->timed_out && (int64_t)(now - s->last_heard) >= limit) {
		s->timed_out = true;
		notify_owe(s, OWE_TIMEOUT);
	}
	if (now >= s->settle_at)
		srtp_session_settle(s->srtp);
	if (now >= s->next_rtcp) {
		send_rtcp(s, false);
		s->next_rtcp = now + rtcp_interval(s);
	}
}

void
session_slot(struct media_session *s)
{
	send_frame(s);
	if (s->thread->tick >= s->next_slow)
		slow(s);
}

void
session_close_step(struct media_session *s)
{
	if (s->running) {
		if (s->packets_sent > 0)
			send_rtcp(s, true);
		thread_dismiss(s->thread, s);
		s->running = false;
	}
	if (!send_drop_clips(s)) {
		thread_retry(s);
		return;
	}
	/* From the store on the slot is control's, unless the post fails. */
	list_remove(&s->retry);
	s->state = SESSION_CLOSED;
	atomic_store(&s->closed, true);
	notify_post(s);
}
