/* Datagrams as they come: each is [length u8][time step u8][bytes]; all of one session's
 * receiving parts see them: header, address, source, telephone events, jitter buffer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sip-worker/media/dtmf.h"
#include "sip-worker/media/jitter.h"
#include "sip-worker/media/latch.h"
#include "sip-worker/media/rtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct far {
	struct latch latch;
	struct rtp_source source;
	struct dtmf dtmf;
	struct jitter jitter;
	uint32_t now; /* samples */
};

static void
pull(struct far *f)
{
	uint8_t out[JITTER_FRAME];
	uint16_t runs[JITTER_RUNS];
	size_t sum = 0;
	size_t n = jitter_pull(&f->jitter, out, 160, f->now, runs);

	if (n > JITTER_RUNS)
		abort();
	for (size_t i = 0; i < n; i++)
		sum += runs[i];
	if (sum > 160)
		abort();
}

static void
datagram(struct far *f, const uint8_t *data, size_t len, const struct addr *from)
{
	struct rtp_packet p;
	struct dtmf_event e;
	unsigned gap;

	if (rtp_is_rtcp(data, len) || !rtp_read(data, len, &p))
		return;
	if (p.payload < data || p.payload + p.len > data + len)
		abort();
	if (latch_rtp(&f->latch, from, &p, f->now / 8) >= LATCH_WAIT)
		return;
	if (rtp_source_take(&f->source, &p, &gap) == RTP_DUPLICATE)
		return;
	if (f->source.received > f->source.expected)
		abort();
	rtp_source_time(&f->source, p.ts, f->now);
	if (dtmf_read(p.payload, p.len, &e))
		dtmf_take(&f->dtmf, p.ts, p.marker, &e, f->now / 8);
	jitter_put(&f->jitter, p.ts, p.payload, p.len, f->now);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct far f;
	struct addr from[2];

	memset(&f, 0, sizeof(f));
	if (!addr_parse("127.0.0.1", 4000, &from[0]) || !addr_parse("127.0.0.1", 5000, &from[1]))
		abort();
	f.latch.nat = true;
	f.latch.signalling = from[0];
	latch_open(&f.latch, &from[0], &from[0], 1000);
	jitter_init(&f.jitter, 160);
	while (size >= 2) {
		size_t len = data[0];
		uint8_t step = data[1];

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		datagram(&f, data, len, &from[step & 1]);
		data += len;
		size -= len;
		f.now += (step >> 1) * 40u;
		if (step & 2)
			pull(&f);
	}
	rtp_source_lost(&f.source);
	rtp_source_fraction(&f.source);
	return 0;
}
