#include "sip-worker/media/rtp.h"

#include "sip-worker/media/bytes.h"

#define MAX_DROPOUT  3000 /* a jump further ahead is a restart */
#define MAX_DISORDER 64   /* what `seen` remembers */

bool
rtp_read(const uint8_t *data, size_t len, struct rtp_packet *out)
{
	size_t head = RTP_HEADER;
	size_t padding = 0;

	if (len < RTP_HEADER || data[0] >> 6 != 2)
		return false;
	head += 4 * (size_t)(data[0] & 0x0f);
	if (data[0] & 0x10) {
		if (head + 4 > len)
			return false;
		head += 4 + 4 * (size_t)get_u16(data + head + 2);
	}
	if (head > len)
		return false;
	if (data[0] & 0x20) {
		padding = data[len - 1];
		if (padding == 0 || head + padding > len)
			return false;
	}
	*out = (struct rtp_packet){
		.marker = data[1] & 0x80,
		.pt = data[1] & 0x7f,
		.seq = get_u16(data + 2),
		.ts = get_u32(data + 4),
		.ssrc = get_u32(data + 8),
		.payload = data + head,
		.len = len - head - padding,
	};
	return true;
}

void
rtp_write(uint8_t out[RTP_HEADER], const struct rtp_packet *p)
{
	out[0] = 0x80;
	out[1] = (uint8_t)((p->marker ? 0x80 : 0) | p->pt);
	put_u16(out + 2, p->seq);
	put_u32(out + 4, p->ts);
	put_u32(out + 8, p->ssrc);
}

bool
rtp_is_rtcp(const uint8_t *data, size_t len)
{
	return len >= 2 && data[1] >= 192 && data[1] <= 223;
}

static enum rtp_order
source_restart(struct rtp_source *s, const struct rtp_packet *p)
{
	s->valid = true;
	s->ssrc = p->ssrc;
	s->max_seq = p->seq;
	s->cycles = 0;
	s->seen = 1;
	s->strange = 0;
	s->timed = false;
	s->jitter16 = 0;
	s->expected++;
	s->received++;
	return RTP_NEW;
}

/* Far from where it should be: a second one in a row, following the first, is a restart. */
static enum rtp_order
source_strange(struct rtp_source *s, const struct rtp_packet *p)
{
	if (s->strange && p->seq == s->strange_seq)
		return source_restart(s, p);
	s->strange = 1;
	s->strange_seq = (uint16_t)(p->seq + 1);
	return RTP_DUPLICATE;
}

enum rtp_order
rtp_source_take(struct rtp_source *s, const struct rtp_packet *p, unsigned *gap)
{
	uint16_t ahead = (uint16_t)(p->seq - s->max_seq);
	unsigned behind = (uint16_t)(s->max_seq - p->seq);

	*gap = 0;
	if (!s->valid || p->ssrc != s->ssrc)
		return source_restart(s, p);
	if (ahead != 0 && ahead < MAX_DROPOUT) {
		if (p->seq < s->max_seq)
			s->cycles += 0x10000;
		s->max_seq = p->seq;
		s->expected += ahead;
		s->received++;
		s->seen = ahead < MAX_DISORDER ? s->seen << ahead | 1 : 1;
		s->strange = 0;
		*gap = ahead - 1u;
		return RTP_NEXT;
	}
	if (behind >= MAX_DISORDER)
		return source_strange(s, p);
	if (s->seen >> behind & 1)
		return RTP_DUPLICATE;
	s->seen |= (uint64_t)1 << behind;
	/* From before the first packet: not among the expected ones. */
	if (s->received < s->expected)
		s->received++;
	return RTP_EARLIER;
}

void
rtp_source_time(struct rtp_source *s, uint32_t ts, uint32_t arrival)
{
	int32_t transit = (int32_t)(arrival - ts);
	int64_t d = (int64_t)transit - s->transit;

	if (d < 0)
		d = -d;
	/* A change of more than two seconds is a new timestamp base, not jitter. */
	if (s->timed && d < 16000)
		s->jitter16 += (uint32_t)d - ((s->jitter16 + 8) >> 4);
	s->timed = true;
	s->transit = transit;
}

uint64_t
rtp_source_lost(const struct rtp_source *s)
{
	return s->expected - s->received;
}

uint32_t
rtp_source_highest(const struct rtp_source *s)
{
	return s->cycles | s->max_seq;
}

uint8_t
rtp_source_fraction(struct rtp_source *s)
{
	uint64_t expected = s->expected - s->expected_before;
	uint64_t received = s->received - s->received_before;

	s->expected_before = s->expected;
	s->received_before = s->received;
	if (expected == 0 || received >= expected)
		return 0;
	return (uint8_t)((expected - received) * 255 / expected);
}
