/* receive.c - what arrives at the sockets of a thread's sessions.  Media thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "sip-worker/media/bytes.h"
#include "sip-worker/media/engine.h"

#define BATCH  8   /* datagrams of one socket per tick: 1,600 a second */
#define READY  256 /* sockets per epoll_wait() */
#define ROUNDS 64

#define PT_CN 13

struct receive {
	struct epoll_event ready[READY];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	struct addr from[BATCH];
	uint8_t data[BATCH][DATAGRAM_MAX];
};

struct receive *
receive_create(void)
{
	struct receive *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	for (int i = 0; i < BATCH; i++) {
		r->iov[i] = (struct iovec){ r->data[i], DATAGRAM_MAX };
		r->msgs[i].msg_hdr = (struct msghdr){ .msg_name = &r->from[i],
						      .msg_namelen = sizeof(r->from[i]),
						      .msg_iov = &r->iov[i],
						      .msg_iovlen = 1 };
	}
	return r;
}

void
receive_destroy(struct receive *r)
{
	free(r);
}

static void
alive(struct media_session *s)
{
	s->last_heard = s->thread->tick;
	s->timed_out = false;
}

/* false: not from the peer, or not for the first time.  It is counted and nothing else, however
 * often it happens: who can send here cannot end a call by it. */
static bool
receive_open(struct media_session *s, uint8_t *data, size_t *len, bool rtcp)
{
	enum srtp_verdict v;

	if (!srtp_session_hears(s->srtp))
		return !s->media->srtp_required;
	v = rtcp ? srtp_session_open_rtcp(s->srtp, data, len)
		 : srtp_session_open_rtp(s->srtp, data, len);
	if (v == SRTP_SHORT)
		s->malformed++;
	return v == SRTP_TAKE;
}

static void
receive_rtcp(struct media_session *s, uint8_t *data, size_t len, const struct addr *from)
{
	struct media_thread *t = s->thread;
	struct rtcp_heard heard;
	int64_t trip;

	if (!receive_open(s, data, &len, true))
		return;
	if (!latch_rtcp(&s->latch, from)) {
		s->bad_source++;
		return;
	}
	if (!rtcp_read(data, len, s->ssrc, &heard)) {
		s->malformed++;
		return;
	}
	alive(s);
	if (heard.sender) {
		s->sr_mid = heard.ntp_mid;
		s->sr_tick = t->tick;
	}
	if (!heard.about_us)
		return;
	s->report = heard.block;
	s->reported = true;
	trip = rtcp_round_trip(&heard.block, thread_ntp_mid(t));
	if (trip >= 0)
		s->round_trip_us = (int32_t)(trip * 1000000 / 65536);
}

static void
tell_digit(struct media_session *s, char digit, int ms, bool inband)
{
	struct engine_event e = { .kind = EV_DIGIT, .digit = digit, .ms = ms, .inband = inband };

	if (!notify_put(s, &e))
		s->discarded++;
}

static bool
is_event(const struct media_session *s, const struct rtp_packet *p)
{
	if (p->pt == s->dtmf_pt)
		return true;
	/* Not negotiated, but sent all the same by some gateways. */
	return p->pt >= 96 && p->pt != s->pt && p->len == DTMF_EVENT_SIZE &&
	       p->payload[0] < DTMF_EVENTS;
}

static void
receive_event(struct media_session *s, const struct rtp_packet *p, unsigned gap)
{
	struct dtmf_event e;
	char digit;

	if (!dtmf_read(p->payload, p->len, &e)) {
		s->malformed++;
		return;
	}
	s->heard_event = true;
	digit = dtmf_take(&s->dtmf, p->ts, p->marker, &e, thread_now_ms(s->thread));
	if (digit)
		tell_digit(s, digit, e.duration / 8, false);
	bridge_event(s, p, &e, digit, gap);
}

static void
listen_tones(struct media_session *s, const struct rtp_packet *p, unsigned gap)
{
	int16_t pcm[FRAME_MAX];
	char digits[8];
	size_t n = p->len < FRAME_MAX ? p->len : FRAME_MAX;
	size_t count;

	if (gap > 0)
		dsp_tones_missing(s->dsp, (gap < 10 ? gap : 10) * n);
	law_decode((enum codec)s->codec, pcm, p->payload, n);
	count = dsp_tones(s->dsp, pcm, n, digits, sizeof(digits) - 1);
	for (size_t i = 0; i < count; i++)
		tell_digit(s, digits[i], 0, true);
}

static void
receive_audio(struct media_session *s, const struct rtp_packet *p, enum rtp_order order,
	      unsigned gap)
{
	uint32_t now = thread_now(s->thread);

	rtp_source_time(&s->source, p->ts, now);
	if (s->inband && !s->heard_event && order != RTP_EARLIER)
		listen_tones(s, p, gap);
	bridge_audio(s, p, order, gap);
	if (!s->listening)
		return;
	if (order == RTP_NEW)
		jitter_init(&s->jitter, (size_t)s->period * TICK_SAMPLES);
	if (jitter_put(&s->jitter, p->ts, p->payload, p->len, now) == JITTER_LATE)
		s->late++;
}

static void
receive_heard(struct media_session *s, const struct rtp_packet *p, const struct addr *from)
{
	uint64_t lost = rtp_source_lost(&s->source);
	unsigned gap;
	enum rtp_order order;

	alive(s);
	s->received++;
	if (!s->heard_rtp) {
		s->heard_rtp = true;
		s->first_from = *from;
		notify_owe(s, OWE_FIRST);
	}
	if (!s->connected && s->latch.locked && s->latch.confirmed)
		send_connect(s, true);
	order = rtp_source_take(&s->source, p, &gap);
	if (order == RTP_NEW) {
		s->lost_before = lost;
		s->dtmf = (struct dtmf){ 0 };
	}
	if (order == RTP_DUPLICATE)
		s->duplicates++;
	else if (is_event(s, p))
		receive_event(s, p, gap);
	else if (p->pt == s->pt)
		receive_audio(s, p, order, gap);
	else if (p->pt != PT_CN)
		s->discarded++;
}

static void
receive_rtp(struct media_session *s, uint8_t *data, size_t len, const struct addr *from)
{
	struct rtp_packet p;

	if (rtp_is_rtcp(data, len)) {
		receive_rtcp(s, data, len, from);
		return;
	}
	/* Somebody else's copy must not spoil the packet itself, so the address comes first. */
	if (latch_is_stranger(&s->latch, from)) {
		s->bad_source++;
		return;
	}
	if (!receive_open(s, data, &len, false))
		return;
	if (!rtp_read(data, len, &p)) {
		s->malformed++;
		return;
	}
	switch (latch_rtp(&s->latch, from, &p, thread_now_ms(s->thread))) {
	case LATCH_REFUSE:
		s->bad_source++;
		return;
	case LATCH_WAIT:
		return;
	case LATCH_WON:
		session_address_changed(s);
		notify_owe(s, OWE_LATCHED);
		break;
	case LATCH_HEAR:
		break;
	}
	receive_heard(s, &p, from);
}

static void
receive_one(struct media_session *s, int which, int i)
{
	struct receive *r = s->thread->receive;
	size_t len = r->msgs[i].msg_len; /* of the datagram, also where it was cut */

	if (len > DATAGRAM_MAX)
		s->malformed++;
	else if (which == 0)
		receive_rtp(s, r->data[i], len, &r->from[i]);
	else
		receive_rtcp(s, r->data[i], len, &r->from[i]);
	r->msgs[i].msg_hdr.msg_namelen = sizeof(r->from[i]);
}

static void
receive_socket(struct media_thread *t, struct media_session *s, int which)
{
	uint64_t bad = s->bad_source, malformed = s->malformed;
	int n = -1;

	/* The first call may report an ICMP error of what we sent. */
	for (int tries = 0; n < 0 && tries < 2; tries++) {
		n = recvmmsg(s->fd[which], t->receive->msgs, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
		if (n < 0 && errno == EAGAIN)
			return;
	}
	for (int i = 0; i < n; i++)
		receive_one(s, which, i);
	/* Edge-triggered: what is left must be asked for, else it waits for the next packet. */
	if (n == BATCH)
		thread_watch(t, s, which, EPOLL_CTL_MOD);
	if (n > 0)
		t->received += (unsigned)n;
	t->bad_source += s->bad_source - bad;
	t->malformed += s->malformed - malformed;
}

void
receive_ready(struct media_thread *t)
{
	struct receive *r = t->receive;

	for (int round = 0; round < ROUNDS; round++) {
		int n = epoll_wait(t->epoll, r->ready, READY, 0);

		for (int i = 0; i < n; i++) {
			uintptr_t p = (uintptr_t)r->ready[i].data.ptr;

			receive_socket(t, (struct media_session *)(p & ~(uintptr_t)1), p & 1);
		}
		if (n < READY)
			return;
	}
}
