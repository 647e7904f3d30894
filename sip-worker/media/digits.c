/* digits.c - digits of our own: telephone events (RFC 4733) at the session's pace, or tones where
 * the far side knows no events.  Media thread. */
#include "sip-worker/media/bytes.h"
#include "sip-worker/media/engine.h"

#define VOLUME    10 /* -10 dBm0 */
#define END       0x80
#define ENDS      3
#define QUIET_FOR 20 /* ticks after a press that was passed on */

bool
digits_put(struct media_session *s, uint32_t generation, uint8_t event, int ms)
{
	struct playlist_item item = { .generation = generation, .play = (uint32_t)ms << 8 | event };

	return playlist_put(&s->digits, &item);
}

bool
digits_busy(struct media_session *s)
{
	return s->digit.active || playlist_any(&s->digits);
}

void
digits_drop(struct media_session *s)
{
	struct playlist_item item;

	s->digit.active = false;
	while (playlist_take(&s->digits, &item))
		;
}

static bool
digit_next(struct media_session *s)
{
	const struct bridge *b = &s->bridge;
	struct playlist_item item;

	/* Presses do not overlap. */
	if (b->event_open && s->thread->tick - b->event_tick < QUIET_FOR)
		return false;
	while (playlist_take(&s->digits, &item)) {
		uint8_t event = (uint8_t)(item.play & 0xff);

		if (item.generation != s->generation)
			continue;
		bridge_flush(s);
		s->bridge.anchored = false;
		s->digit = (struct digit_out){ .active = true,
					       .event = event,
					       .total = (uint16_t)((item.play >> 8) * 8) };
		if (s->dtmf_pt < 0)
			s->digit.tone = &s->media->tones->digits[event];
		return true;
	}
	return false;
}

static void
event_send(struct media_session *s, bool first)
{
	const struct digit_out *d = &s->digit;
	uint8_t packet[RTP_HEADER + DTMF_EVENT_SIZE];
	uint8_t *payload = packet + RTP_HEADER;
	struct rtp_packet head = { .marker = first,
				   .pt = (uint8_t)s->dtmf_pt,
				   .seq = s->seq++,
				   .ts = d->ts,
				   .ssrc = s->ssrc };

	payload[0] = d->event;
	payload[1] = (uint8_t)((d->ends > 0 ? END : 0) | VOLUME);
	put_u16(payload + 2, d->duration);
	send_rtp(s, packet, &head, DTMF_EVENT_SIZE);
}

bool
digits_turn(struct media_session *s)
{
	struct digit_out *d = &s->digit;
	uint32_t duration;
	bool first;

	if (!d->active && !digit_next(s))
		return false;
	if (d->tone)
		return false;
	if (s->dtmf_pt < 0) { /* no longer agreed on */
		d->active = false;
		return false;
	}
	first = d->duration == 0;
	if (first)
		d->ts = send_time(s);
	duration = d->duration + (uint32_t)s->period * TICK_SAMPLES;
	d->duration = (uint16_t)(duration < d->total ? duration : d->total);
	if (d->duration == d->total)
		d->ends++;
	event_send(s, first);
	s->next_ts = d->ts + d->duration;
	s->talking = false;
	d->active = d->ends < ENDS;
	return true;
}

bool
digits_tone(struct media_session *s, uint8_t *out, size_t n)
{
	struct digit_out *d = &s->digit;
	size_t left;

	if (!d->active)
		return false;
	left = d->tone->cycle - d->at; /* once; what follows is silence already */
	tone_fill(d->tone, (enum codec)s->codec, d->at, out, left < n ? left : n);
	d->at += (uint32_t)n;
	d->active = n < left;
	return true;
}
