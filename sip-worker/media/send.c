/* send.c - what leaves a session: one packet per turn, reports now and then.  Media thread. */
#include <errno.h>
#include <string.h>

#include "sip-worker/media/engine.h"

static ssize_t
send_to(int fd, const void *data, size_t len, const struct addr *to)
{
	const struct sockaddr *sa = to ? &to->sa : NULL;
	socklen_t sa_len = to ? addr_len(to) : 0;
	ssize_t n = sendto(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, sa, sa_len);

	/* An ICMP error of an earlier packet is reported instead of sending this one. */
	if (n < 0 && (errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH))
		n = sendto(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, sa, sa_len);
	return n;
}

/* Connected, the kernel drops strangers' packets and need not look up a route for ours. */
void
send_connect(struct media_session *s, bool on)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	const struct sockaddr *sa = on ? &s->latch.rtp.sa : &none;
	socklen_t len = on ? addr_len(&s->latch.rtp) : sizeof(none);

	if (s->connected == on)
		return;
	if (connect(s->fd[0], sa, len) == 0)
		s->connected = on;
}

static bool
is_cut(const struct media_session *s, uint32_t pos)
{
	uint64_t stop = atomic_load_explicit(&s->stop, memory_order_acquire);

	return stop >> 32 == s->generation && (int32_t)((uint32_t)stop - pos) > 0;
}

static bool
clip_finish(struct media_session *s, enum media_stop_how how)
{
	struct engine_event e = { .kind = EV_PLAYED,
				  .play = s->clip_play,
				  .how = how,
				  .ms = (int)(s->clip_at / 8),
				  .clip = s->clip };

	if (!notify_put(s, &e))
		return false;
	s->clip = NULL;
	return true;
}

static void
clip_release(struct media_session *s)
{
	struct engine_event e = { .kind = EV_RELEASE, .clip = s->clip };
	bool put = notify_put(s, &e);

	assert(put); /* there was room */
	(void)put;
	s->clip = NULL;
}

static bool
clip_next(struct media_session *s)
{
	struct playlist_item item;

	while (notify_has_room(s) && playlist_take(&s->list, &item)) {
		s->clip = item.clip;
		s->clip_at = 0;
		s->clip_pos = item.pos;
		s->clip_play = item.play;
		if (item.generation == s->generation)
			return true;
		/* Put by a command that lost a race against the end of an earlier session. */
		clip_release(s);
	}
	return false;
}

/* Reports what was stopped. false: no room for the reports now. */
static bool
clips_cut(struct media_session *s, bool all)
{
	for (;;) {
		if (s->clip && (all || is_cut(s, s->clip_pos))) {
			if (!clip_finish(s, MEDIA_CUT))
				return false;
		} else if (s->clip || !(all || is_cut(s, s->list.head)) || !clip_next(s)) {
			return true;
		}
	}
}

bool
send_drop_clips(struct media_session *s)
{
	return clips_cut(s, true);
}

/* Fills with what is to be played, clip after clip; returns the samples filled. */
static size_t
clips_fill(struct media_session *s, uint8_t *out, size_t n)
{
	size_t done = 0;

	if (!clips_cut(s, false))
		return 0;
	while (done < n && (s->clip || clip_next(s))) {
		size_t left = s->clip->samples - s->clip_at;
		size_t take = left < n - done ? left : n - done;

		memcpy(out + done, s->clip->law[s->codec] + s->clip_at, take);
		s->clip_at += take;
		done += take;
		if (s->clip_at == s->clip->samples && !clip_finish(s, MEDIA_PLAYED))
			break;
	}
	return done;
}

/* What was heard, for the line test. */
static void
loop_fill(struct media_session *s, uint8_t *out, size_t n)
{
	uint16_t runs[JITTER_RUNS];
	int16_t pcm[FRAME_MAX];
	size_t count = jitter_pull(&s->jitter, out, n, thread_now(s->thread), runs);
	size_t at = 0;
	bool missing = false;

	for (size_t i = 0; i < count; i++) {
		if (i % 2 == 0) {
			law_decode((enum codec)s->codec, pcm + at, out + at, runs[i]);
			if (runs[i])
				dsp_heard(s->dsp, pcm + at, runs[i]);
		} else if (runs[i]) {
			dsp_conceal(s->dsp, pcm + at, runs[i]);
			missing = true;
		}
		at += runs[i];
	}
	if (at < n) {
		dsp_conceal(s->dsp, pcm + at, n - at);
		missing = true;
	}
	s->concealed += missing && s->jitter.running;
	if (missing || s->concealing)
		law_encode((enum codec)s->codec, out, pcm, n);
	s->concealing = missing;
}

static bool
wait_tone_fill(struct media_session *s, uint8_t *out, size_t n)
{
	uint64_t ctl = atomic_load_explicit(&s->ctl, memory_order_relaxed);
	uint8_t kind = (ctl & CTL_TONES) >> CTL_TONE;

	if (kind != s->tone_kind)
		s->tone_at = 0;
	s->tone_kind = kind;
	if (kind == MEDIA_TONE_NONE)
		return false;
	tone_fill(&s->media->tones->kinds[kind], (enum codec)s->codec, s->tone_at, out, n);
	s->tone_at += (uint32_t)n;
	return true;
}

/* false: silence. */
static bool
frame_make(struct media_session *s, uint8_t *scratch, size_t n)
{
	bool digit = s->digit.active;
	bool clips = s->clip || playlist_any(&s->list);
	bool tones = atomic_load_explicit(&s->ctl, memory_order_relaxed) & CTL_TONES;

	if (!digit && !clips && !tones && !s->listening && !s->tone_kind)
		return false;
	memset(scratch, law_silence((enum codec)s->codec), n);
	if (digit)
		return digits_tone(s, scratch, n);
	tones = wait_tone_fill(s, scratch, n);
	if (s->listening)
		loop_fill(s, scratch, n);
	clips = clips && clips_fill(s, scratch, n) > 0;
	return tones || clips || s->listening;
}

uint32_t
send_time(struct media_session *s)
{
	uint32_t ts = s->ts_offset + thread_now(s->thread);
	uint32_t behind = s->next_ts - ts;

	if ((int32_t)behind <= 0)
		return ts;
	s->ts_offset += behind; /* a bridged stream ran ahead of our clock */
	return s->next_ts;
}

/* In a copy: packets of silence belong to everybody.  0: not to be sent. */
static size_t
seal(struct media_session *s, uint8_t sealed[DATAGRAM_MAX + SRTP_TRAILER], const uint8_t *packet,
     size_t len)
{
	if (len > DATAGRAM_MAX)
		return 0;
	memcpy(sealed, packet, len);
	return srtp_session_seal_rtp(s->srtp, sealed, len);
}

void
send_rtp(struct media_session *s, uint8_t *packet, const struct rtp_packet *head, size_t n)
{
	const struct addr *to = s->connected ? NULL : &s->latch.rtp;
	uint8_t sealed[DATAGRAM_MAX + SRTP_TRAILER];
	size_t len = RTP_HEADER + n;

	rtp_write(packet, head);
	if (srtp_session_sends(s->srtp)) {
		len = seal(s, sealed, packet, len);
		packet = sealed;
	} else if (s->media->srtp_required) {
		return;
	}
	if (len && send_to(s->fd[0], packet, len, to) > 0) {
		s->packets_sent++;
		s->octets_sent += n;
		s->thread->sent++;
	}
}

void
send_frame(struct media_session *s)
{
	struct media_thread *t = s->thread;
	size_t n = (size_t)s->period * TICK_SAMPLES;
	uint8_t scratch[RTP_HEADER + FRAME_MAX];
	uint8_t *packet = t->silence[s->codec];
	struct rtp_packet head;

	if (!s->sending) {
		s->talking = false;
		digits_drop(s);
		if (s->clip || playlist_any(&s->list))
			clips_cut(s, false);
		return;
	}
	if (digits_turn(s) || bridge_flows(s))
		return;
	if (frame_make(s, scratch + RTP_HEADER, n))
		packet = scratch;
	head = (struct rtp_packet){
		.pt = s->pt, .seq = s->seq++, .ts = send_time(s), .ssrc = s->ssrc
	};
	head.marker = !s->talking || head.ts != s->next_ts;
	s->next_ts = head.ts + (uint32_t)n;
	s->talking = true;
	send_rtp(s, packet, &head, n);
}

static struct rtcp_block
block_make(struct media_session *s)
{
	struct rtp_source *src = &s->source;
	uint64_t lost = rtp_source_lost(src) - s->lost_before;
	/* 65536ths of a second since their report. */
	uint64_t since = (s->thread->tick - s->sr_tick) * (TICK_NS / 1000000) * 65536 / 1000;

	return (struct rtcp_block){
		.ssrc = src->ssrc,
		.fraction = rtp_source_fraction(src),
		.lost = (int32_t)(lost > 0x7fffff ? 0x7fffff : lost),
		.highest = rtp_source_highest(src),
		.jitter = src->jitter16 >> 4,
		.lsr = s->sr_mid,
		.dlsr = s->sr_mid ? (uint32_t)since : 0,
	};
}

void
send_rtcp(struct media_session *s, bool bye)
{
	uint8_t out[RTCP_MAX + SRTP_TRAILER];
	int64_t ns = thread_now_ntp_ns(s->thread);
	uint64_t seconds = (uint64_t)(ns / 1000000000) + NTP_1970;
	uint64_t fraction = ((uint64_t)(ns % 1000000000) << 32) / 1000000000;
	struct rtcp_report r = {
		.ssrc = s->ssrc,
		.ntp = seconds << 32 | fraction,
		.ts = s->ts_offset + thread_now(s->thread),
		.packets = (uint32_t)s->packets_sent,
		.octets = (uint32_t)s->octets_sent,
		.sent = s->packets_sent != s->packets_at_report,
		.has_block = s->source.valid,
		.cname = s->cname,
		.bye = bye,
	};
	bool mux = s->remote.rtcp_mux;
	const struct addr *to = mux ? &s->latch.rtp : &s->latch.rtcp;
	size_t len;

	if (addr_port(to) == 0 || addr_is_any(to))
		return;
	if (r.has_block)
		r.block = block_make(s);
	s->packets_at_report = s->packets_sent;
	len = rtcp_write(out, &r);
	if (srtp_session_sends(s->srtp))
		len = srtp_session_seal_rtcp(s->srtp, out, len);
	else if (s->media->srtp_required)
		return;
	if (len)
		send_to(s->fd[mux ? 0 : 1], out, len, mux && s->connected ? NULL : to);
}
