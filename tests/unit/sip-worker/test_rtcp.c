/* RTCP: what we write others can read, what others write we read, the rest is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sip-worker/media/rtcp.h"

static struct rtcp_report
full(void)
{
	return (struct rtcp_report){
		.ssrc = 0xaabbccdd,
		.ntp = 0x1122334455667788,
		.ts = 99,
		.packets = 5,
		.octets = 800,
		.sent = true,
		.has_block = true,
		.block = { .ssrc = 0x01020304,
			   .fraction = 12,
			   .lost = -3,
			   .highest = 0x10002,
			   .jitter = 40,
			   .lsr = 0xdeadbeef,
			   .dlsr = 65536 },
		.cname = "0123456789abcdef",
		.bye = true,
	};
}

static void
test_round_trip(void **state)
{
	struct rtcp_report r = full();
	struct rtcp_heard h;
	uint8_t out[RTCP_MAX];
	size_t n = rtcp_write(out, &r);

	(void)state;
	assert_int_equal(n, 28 + 24 + 28 + 8);
	assert_true(rtcp_read(out, n, 0x01020304, &h));
	assert_true(h.sender);
	assert_true(h.bye);
	assert_true(h.about_us);
	assert_int_equal(h.ssrc, 0xaabbccdd);
	assert_int_equal(h.ntp_mid, 0x33445566);
	assert_int_equal(h.block.fraction, 12);
	assert_int_equal(h.block.lost, -3);
	assert_int_equal(h.block.highest, 0x10002);
	assert_int_equal(h.block.jitter, 40);
	assert_int_equal(h.block.lsr, 0xdeadbeef);
	assert_int_equal(h.block.dlsr, 65536);
	assert_true(rtcp_read(out, n, 5, &h));
	assert_false(h.about_us);
}

static void
test_receiver_report(void **state)
{
	struct rtcp_report r = full();
	struct rtcp_heard h;
	uint8_t out[RTCP_MAX];
	size_t n;

	(void)state;
	r.sent = r.has_block = r.bye = false;
	r.cname = "";
	n = rtcp_write(out, &r);
	assert_int_equal(n, 8 + 12);
	assert_int_equal(out[1], 201);
	assert_true(rtcp_read(out, n, 1, &h));
	assert_false(h.sender || h.bye || h.about_us);
}

/* Each cut and each length that does not add up. */
static void
test_refused(void **state)
{
	struct rtcp_report r = full();
	struct rtcp_heard h;
	uint8_t out[RTCP_MAX], bad[RTCP_MAX];
	size_t n = rtcp_write(out, &r);

	(void)state;
	for (size_t len = 0; len < n; len++) {
		/* Where a packet of the compound ends, what is before it is whole. */
		bool whole = len == 52 || len == 80;

		assert_int_equal(rtcp_read(out, len, 1, &h), whole);
	}
	memcpy(bad, out, n);
	bad[0] = 0x80 | 31; /* blocks that are not there */
	assert_false(rtcp_read(bad, n, 1, &h));
	memcpy(bad, out, n);
	bad[0] = 0x41;
	assert_false(rtcp_read(bad, n, 1, &h));
	memcpy(bad, out, n);
	bad[1] = 0;
	assert_false(rtcp_read(bad, n, 1, &h));
	memcpy(bad, out, n);
	bad[3]++;
	assert_false(rtcp_read(bad, n, 1, &h));
	/* A report without room for its SSRC. */
	assert_false(rtcp_read((const uint8_t[]){ 0x80, 201, 0, 0 }, 4, 1, &h));
}

static void
test_round_trip_time(void **state)
{
	struct rtcp_block b = { .lsr = 0xffff0000, .dlsr = 0x8000 };

	(void)state;
	assert_int_equal(rtcp_round_trip(&b, 0xffff0000 + 0x8000 + 6554), 6554); /* 100 ms */
	assert_int_equal(rtcp_round_trip(&b, 0xffff0000 + 0x7fff), -1);
	assert_int_equal(rtcp_round_trip(&b, 0xffff0000 + 0x8000 + (61u << 16)), -1);
	b.lsr = 0;
	assert_int_equal(rtcp_round_trip(&b, 1), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_receiver_report),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_round_trip_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
