/* RTP headers and source statistics. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sip-worker/media/rtp.h"

static void
test_round_trip(void **state)
{
	struct rtp_packet in = {
		.ts = 0xfedcba98, .ssrc = 0x01020304, .seq = 0xfffe, .pt = 101, .marker = true
	};
	struct rtp_packet out;
	uint8_t data[RTP_HEADER + 3] = { 0 };

	(void)state;
	rtp_write(data, &in);
	assert_true(rtp_read(data, sizeof(data), &out));
	assert_int_equal(out.ts, in.ts);
	assert_int_equal(out.ssrc, in.ssrc);
	assert_int_equal(out.seq, in.seq);
	assert_int_equal(out.pt, in.pt);
	assert_true(out.marker);
	assert_int_equal(out.len, 3);
	assert_ptr_equal(out.payload, data + RTP_HEADER);
}

/* First byte, datagram length, bytes 12.., payload length or -1. */
static void
test_headers(void **state)
{
	static const struct {
		uint8_t first;
		size_t len;
		uint8_t rest[20];
		int payload;
	} cases[] = {
		{ 0x80, 12, { 0 }, 0 },
		{ 0x80, 11, { 0 }, -1 },
		{ 0x40, 12, { 0 }, -1 },          /* version 1 */
		{ 0xc0, 12, { 0 }, -1 },          /* version 3 */
		{ 0x82, 24, { 0 }, 4 },           /* two CSRC */
		{ 0x8f, 24, { 0 }, -1 },          /* 15 do not fit */
		{ 0x90, 20, { 0, 0, 0, 1 }, 0 },  /* extension of one word */
		{ 0x90, 16, { 0, 0, 0, 0 }, 0 },  /* empty extension */
		{ 0x90, 15, { 0 }, -1 },          /* extension header cut */
		{ 0x90, 20, { 0, 0, 0, 2 }, -1 }, /* longer than the datagram */
		{ 0x90, 20, { 0, 0, 0xff, 0xff }, -1 },
		{ 0xa0, 16, { 0, 0, 0, 4 }, 0 }, /* all padding */
		{ 0xa0, 16, { 0, 0, 0, 1 }, 3 },
		{ 0xa0, 16, { 0, 0, 0, 0 }, -1 }, /* padding of none */
		{ 0xa0, 16, { 0, 0, 0, 5 }, -1 }, /* into the header */
		{ 0xa0, 12, { 0 }, -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t data[32] = { cases[i].first };
		struct rtp_packet p;
		bool ok;

		memcpy(data + 12, cases[i].rest, sizeof(cases[i].rest));
		ok = rtp_read(data, cases[i].len, &p);
		if (ok != (cases[i].payload >= 0))
			fail_msg("case %zu", i);
		if (ok && p.len != (size_t)cases[i].payload)
			fail_msg("case %zu: payload %zu", i, p.len);
	}
}

static void
test_demultiplex(void **state)
{
	uint8_t data[2] = { 0x80, 0 };

	(void)state;
	for (int type = 0; type < 256; type++) {
		data[1] = (uint8_t)type;
		assert_int_equal(rtp_is_rtcp(data, 2), type >= 192 && type <= 223);
	}
	assert_false(rtp_is_rtcp(data, 1));
}

static enum rtp_order
take(struct rtp_source *s, uint16_t seq, unsigned *gap)
{
	struct rtp_packet p = { .seq = seq, .ssrc = 1 };

	return rtp_source_take(s, &p, gap);
}

static void
test_order(void **state)
{
	struct rtp_source s = { 0 };
	unsigned gap;

	(void)state;
	assert_int_equal(take(&s, 65534, &gap), RTP_NEW);
	assert_int_equal(take(&s, 65535, &gap), RTP_NEXT);
	assert_int_equal(gap, 0);
	assert_int_equal(take(&s, 2, &gap), RTP_NEXT); /* over the turn, two missing */
	assert_int_equal(gap, 2);
	assert_int_equal(rtp_source_lost(&s), 2);
	assert_int_equal(take(&s, 1, &gap), RTP_EARLIER);
	assert_int_equal(take(&s, 1, &gap), RTP_DUPLICATE);
	assert_int_equal(take(&s, 2, &gap), RTP_DUPLICATE);
	assert_int_equal(take(&s, 65535, &gap), RTP_DUPLICATE);
	assert_int_equal(rtp_source_lost(&s), 1);
	assert_int_equal(rtp_source_highest(&s), 0x10002);
	/* From before the first packet: heard, but none is lost for it. */
	assert_int_equal(take(&s, 65533, &gap), RTP_EARLIER);
	assert_int_equal(rtp_source_fraction(&s), 0);
	assert_int_equal(take(&s, 3, &gap), RTP_NEXT);
	assert_int_equal(take(&s, 5, &gap), RTP_NEXT);
	assert_int_equal(rtp_source_fraction(&s), 255 / 3);
}

static void
test_restart(void **state)
{
	struct rtp_source s = { 0 };
	struct rtp_packet other = { .seq = 7, .ssrc = 2 };
	unsigned gap;

	(void)state;
	assert_int_equal(take(&s, 100, &gap), RTP_NEW);
	/* One stray packet changes nothing, two in a row do. */
	assert_int_equal(take(&s, 40000, &gap), RTP_DUPLICATE);
	assert_int_equal(take(&s, 101, &gap), RTP_NEXT);
	assert_int_equal(take(&s, 40000, &gap), RTP_DUPLICATE);
	assert_int_equal(take(&s, 40001, &gap), RTP_NEW);
	assert_int_equal(take(&s, 40002, &gap), RTP_NEXT);
	assert_int_equal(rtp_source_take(&s, &other, &gap), RTP_NEW);
	assert_int_equal(rtp_source_lost(&s), 0);
}

static void
test_jitter(void **state)
{
	struct rtp_source s = { 0 };
	uint32_t late = 0;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		rtp_source_time(&s, 0xffffff00 + i * 160, i * 160);
	assert_int_equal(s.jitter16 >> 4, 0);
	/* Every other packet 5 ms late: the estimate comes near 40 samples. */
	for (uint32_t i = 1000; i < 2000; i++, late = 40 - late)
		rtp_source_time(&s, 0xffffff00 + i * 160, i * 160 + late);
	assert_in_range(s.jitter16 >> 4, 38, 40);
	/* A new timestamp base is not jitter. */
	rtp_source_time(&s, 12345678, 2000 * 160);
	assert_in_range(s.jitter16 >> 4, 30, 40);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_headers),
		cmocka_unit_test(test_demultiplex), cmocka_unit_test(test_order),
		cmocka_unit_test(test_restart),     cmocka_unit_test(test_jitter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
