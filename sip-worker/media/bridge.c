/* bridge.c - two sessions of one thread that send what the other hears: as it came and when it
 * came, under the sender's own numbers.  Media thread.
 *
 * A session's timestamps follow its clock.  A stream that begins is anchored to it; from then on
 * the peer's timestamps move by a constant, so that its pauses and losses are passed on as they
 * are.  Whatever else is sent (silence, clips, digits) ends that, and the next packet anchors
 * again: timestamps never go back. */
#include <string.h>

#include "sip-worker/media/engine.h"

#define QUIET_TICKS 40   /* nothing for so long: silence is sent in its place (200 ms) */
#define APART_MAX   2000 /* samples: further from the clock a jump is not followed */
#define GAP_MAX     16   /* packets: numbers kept free for what may come late */
#define LONG_PRESS  0xf000

static struct media_session *
peer_wanted(struct media_session *s)
{
	uint64_t want = atomic_load(&s->want);
	struct media_session *p;

	if (want == session_id(s))
		return NULL;
	p = slot_of(s->media, want);
	/* ctl says whether it lives; then what it wrote before may be read. */
	if (!p || p->thread != s->thread || atomic_load(&p->ctl) >> 32 != want >> 32)
		return NULL;
	if (!p->running || atomic_load(&p->want) != session_id(s))
		return NULL;
	return p;
}

static void
line_begin(struct media_session *s, struct media_session *peer)
{
	s->bridge = (struct bridge){ .peer = peer };
	s->bridge.flowed = s->thread->tick - QUIET_TICKS;
}

void
bridge_detach(struct media_session *s)
{
	struct media_session *p = s->bridge.peer;

	if (!p)
		return;
	bridge_flush(s);
	bridge_flush(p);
	line_begin(s, NULL);
	line_begin(p, NULL);
}

void
bridge_apply(struct media_session *s)
{
	struct media_session *p = peer_wanted(s);

	if (p == s->bridge.peer)
		return;
	bridge_detach(s);
	if (!p)
		return;
	bridge_detach(p);
	line_begin(s, p);
	line_begin(p, s);
}

/* May the peer's audio go out, or does something else? */
static bool
line_free(struct media_session *s)
{
	return s->sending && !s->clip && !playlist_any(&s->list) && !digits_busy(s);
}

bool
bridge_flows(struct media_session *s)
{
	if (s->bridge.peer && s->thread->tick - s->bridge.flowed < QUIET_TICKS && line_free(s))
		return true;
	bridge_flush(s);
	s->bridge.anchored = false;
	return false;
}

static bool
hears(const struct media_session *s)
{
	enum media_direction d = s->remote.direction;

	return d == MEDIA_SENDRECV || d == MEDIA_RECVONLY;
}

static uint32_t
clock_or_end(const struct media_session *to)
{
	uint32_t now = to->ts_offset + thread_now(to->thread);

	return (int32_t)(now - to->next_ts) > 0 ? now : to->next_ts;
}

static bool
is_near(uint32_t a, uint32_t b)
{
	return a - b + APART_MAX <= 2 * APART_MAX;
}

/* Our timestamp for the peer's packet. */
static uint32_t
line_time(struct media_session *to, const struct rtp_packet *p, unsigned *gap)
{
	struct bridge *b = &to->bridge;
	uint32_t ts = p->ts + b->ts_delta;
	bool follows = p->ts == b->next_in + *gap * (uint32_t)p->len;

	if (b->anchored && (int32_t)(ts - to->next_ts) >= 0 &&
	    (follows || is_near(ts, to->ts_offset + thread_now(to->thread))))
		return ts;
	ts = clock_or_end(to);
	b->ts_delta = ts - p->ts;
	b->first_seq = to->seq;
	b->anchored = true;
	*gap = 0; /* what was lost has been made good */
	return ts;
}

/* Our number for the peer's packet; those of lost ones stay free, so that the far side knows. */
static uint16_t
line_seq(struct media_session *to, const struct rtp_packet *p, unsigned gap)
{
	struct bridge *b = &to->bridge;
	uint16_t seq = (uint16_t)(to->seq + (gap <= GAP_MAX ? gap : 0));

	if ((uint16_t)(seq - p->seq) != b->seq_delta)
		b->first_seq = to->seq;
	b->seq_delta = (uint16_t)(seq - p->seq);
	to->seq = (uint16_t)(seq + 1);
	return seq;
}

static void
line_send(struct media_session *to, struct rtp_packet *head, const uint8_t *data)
{
	uint8_t packet[RTP_HEADER + FRAME_MAX];

	head->pt = to->pt;
	head->ssrc = to->ssrc;
	memcpy(packet + RTP_HEADER, data, head->len);
	to->talking = true;
	send_rtp(to, packet, head, head->len);
}

static void
copy_audio(const struct media_session *from, const struct media_session *to, uint8_t *out,
	   const uint8_t *in, size_t n)
{
	const uint8_t *table = to->media->tones->recode[from->codec];

	if (from->codec == to->codec) {
		memcpy(out, in, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		out[i] = table[in[i]];
}

/* One that others overtook: into the number kept free for it. */
static void
audio_late(struct media_session *from, const struct rtp_packet *p)
{
	struct media_session *to = from->bridge.peer;
	struct bridge *b = &to->bridge;
	struct rtp_packet head = { .seq = (uint16_t)(p->seq + b->seq_delta),
				   .ts = p->ts + b->ts_delta,
				   .len = p->len };
	uint8_t data[FRAME_MAX];

	if (!b->anchored || b->held > 0 || p->len > sizeof(data) ||
	    (uint16_t)(head.seq - b->first_seq) >= (uint16_t)(to->seq - b->first_seq) ||
	    (int32_t)(to->next_ts - head.ts) <= 0) {
		from->late++;
		return;
	}
	copy_audio(from, to, data, p->payload, p->len);
	line_send(to, &head, data);
}

static void
audio_whole(struct media_session *from, const struct rtp_packet *p, uint32_t ts, unsigned gap)
{
	struct media_session *to = from->bridge.peer;
	struct rtp_packet head = { .ts = ts, .len = p->len };
	uint8_t data[FRAME_MAX];

	head.marker = p->marker || !to->talking || (ts != to->next_ts && gap == 0);
	head.seq = line_seq(to, p, gap);
	to->next_ts = ts + (uint32_t)p->len;
	copy_audio(from, to, data, p->payload, p->len);
	line_send(to, &head, data);
}

void
bridge_flush(struct media_session *s)
{
	struct bridge *b = &s->bridge;
	struct rtp_packet head = { .ts = b->held_ts, .len = b->held };

	if (b->held == 0)
		return;
	b->held = 0;
	if (!s->sending)
		return;
	head.marker = !s->talking;
	head.seq = s->seq++;
	b->first_seq = s->seq; /* nothing from before fits any more */
	line_send(s, &head, b->hold);
}

/* Cut and joined to frames of the length agreed on with the far side. */
static void
audio_pieces(struct media_session *from, const struct rtp_packet *p, uint32_t ts, unsigned gap)
{
	struct media_session *to = from->bridge.peer;
	struct bridge *b = &to->bridge;
	size_t frame = (size_t)to->period * TICK_SAMPLES;

	if (ts != to->next_ts) {
		bridge_flush(to);
		if (gap > 0)
			to->seq++;
		else
			to->talking = false; /* a marker, please */
	}
	for (size_t at = 0; at < p->len;) {
		size_t take;

		if (b->held >= frame)
			bridge_flush(to);
		if (b->held == 0)
			b->held_ts = ts + (uint32_t)at;
		take = frame - b->held < p->len - at ? frame - b->held : p->len - at;
		copy_audio(from, to, b->hold + b->held, p->payload + at, take);
		b->held = (uint16_t)(b->held + take);
		at += take;
	}
	to->next_ts = ts + (uint32_t)p->len;
	if (b->held >= frame)
		bridge_flush(to);
}

void
bridge_audio(struct media_session *from, const struct rtp_packet *p, enum rtp_order order,
	     unsigned gap)
{
	struct media_session *to = from->bridge.peer;
	uint32_t ts;

	if (!to || p->len == 0 || !hears(from))
		return;
	if (!line_free(to)) {
		to->bridge.anchored = false;
		return;
	}
	if (order == RTP_EARLIER) {
		audio_late(from, p);
		return;
	}
	ts = line_time(to, p, &gap);
	to->bridge.next_in = p->ts + (uint32_t)p->len;
	to->bridge.flowed = to->thread->tick;
	if (to->bridge.held == 0 && p->len == (size_t)to->period * TICK_SAMPLES)
		audio_whole(from, p, ts, gap);
	else
		audio_pieces(from, p, ts, gap);
}

static void
press_begin(struct media_session *to, const struct rtp_packet *p, const struct dtmf_event *e)
{
	struct bridge *b = &to->bridge;
	uint32_t ts = p->ts + b->ts_delta;

	bridge_flush(to);
	if (ts == b->event_out) /* of the press before: a timestamp names only one */
		to->next_ts = ts + b->event_duration + 1;
	if (!b->anchored || ts == b->event_out || !is_near(ts, to->next_ts)) {
		ts = clock_or_end(to);
		b->ts_delta = ts - p->ts;
		b->anchored = true;
	}
	if ((int32_t)(ts - to->next_ts) > 0)
		to->next_ts = ts;
	b->event_open = true;
	b->event = e->event;
	b->event_in = p->ts;
	b->event_out = ts;
}

/* Another packet of the press under way; false: of something else. */
static bool
press_goes_on(struct bridge *b, const struct rtp_packet *p, const struct dtmf_event *e)
{
	uint32_t step = p->ts - b->event_in;

	if (!b->event_open || e->event != b->event || (int32_t)step < 0)
		return false;
	/* A long press is told in segments; otherwise a moving timestamp is a sender's mistake. */
	if (step > 0 && b->event_duration >= LONG_PRESS && e->duration < b->event_duration)
		b->event_out += step;
	b->event_in = p->ts;
	return true;
}

void
bridge_event(struct media_session *from, const struct rtp_packet *p, const struct dtmf_event *e,
	     char digit, unsigned gap)
{
	struct media_session *to = from->bridge.peer;
	struct rtp_packet head = { .len = DTMF_EVENT_SIZE };
	uint8_t packet[RTP_HEADER + DTMF_EVENT_SIZE];
	struct bridge *b;

	if (!to || !to->sending || !hears(from))
		return;
	b = &to->bridge;
	if (digit) {
		b->event_open = false;
		if (to->dtmf_pt < 0 || digits_busy(to)) {
			if (!digits_put(to, to->generation, e->event, DIGIT_MS))
				from->discarded++;
			return;
		}
		press_begin(to, p, e);
	} else if (!press_goes_on(b, p, e)) {
		return;
	}
	if (to->dtmf_pt < 0 || to->digit.active)
		return;
	b->event_duration = e->duration;
	b->event_tick = b->flowed = to->thread->tick;
	head = (struct rtp_packet){ .marker = digit != 0,
				    .pt = (uint8_t)to->dtmf_pt,
				    .seq = line_seq(to, p, gap),
				    .ts = b->event_out,
				    .ssrc = to->ssrc };
	memcpy(packet + RTP_HEADER, p->payload, DTMF_EVENT_SIZE);
	to->talking = false;
	send_rtp(to, packet, &head, DTMF_EVENT_SIZE);
}
