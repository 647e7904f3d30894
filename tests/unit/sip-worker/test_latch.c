/* Who may be heard: the SDP's address, or what is learnt behind a NAT and then kept. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sip-worker/media/latch.h"

static struct addr
at(const char *hostport)
{
	struct addr a = { 0 };

	assert_true(addr_parse_hostport(hostport, &a));
	return a;
}

struct fixture {
	struct latch l;
	struct cidr net;
	struct cidr_list allow;
	uint16_t seq;
};

static void
prepare(struct fixture *f, bool nat)
{
	struct addr sdp = at("10.0.0.5:4000"), rtcp = at("10.0.0.5:4001");

	*f = (struct fixture){ .seq = 65533 };
	assert_true(cidr_parse("198.51.100.0/24", &f->net));
	f->allow = (struct cidr_list){ &f->net, 1 };
	f->l.nat = nat;
	f->l.signalling = at("192.0.2.1:5060");
	f->l.allow = &f->allow;
	latch_open(&f->l, &sdp, &rtcp, 1000);
}

static enum latch_verdict
hear(struct fixture *f, const char *from, uint32_t ssrc, int64_t now)
{
	struct rtp_packet p = { .seq = f->seq++, .ssrc = ssrc };
	struct addr a = at(from);

	return latch_rtp(&f->l, &a, &p, now);
}

static void
test_strict(void **state)
{
	struct fixture f;

	(void)state;
	prepare(&f, false);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(hear(&f, "192.0.2.1:4000", 1, 10), LATCH_REFUSE);
		assert_int_equal(hear(&f, "10.0.0.5:4002", 1, 10), LATCH_REFUSE);
	}
	assert_false(f.l.confirmed);
	assert_int_equal(hear(&f, "10.0.0.5:4000", 1, 10), LATCH_HEAR);
	assert_true(f.l.locked && f.l.confirmed);
}

static void
test_learn(void **state)
{
	struct fixture f;
	struct addr won = at("192.0.2.1:7000");

	(void)state;
	prepare(&f, true);
	for (int i = 0; i < 3; i++)
		assert_int_equal(hear(&f, "192.0.2.1:7000", 1, 10), LATCH_WAIT);
	assert_int_equal(hear(&f, "192.0.2.1:7000", 1, 10), LATCH_WON);
	assert_true(addr_equal(&f.l.rtp, &won));
	assert_int_equal(addr_port(&f.l.rtcp), 7001);
	assert_int_equal(hear(&f, "192.0.2.1:7000", 1, 10), LATCH_HEAR);
	/* Locked: not even the SDP's address any more. */
	for (int i = 0; i < 5; i++) {
		assert_int_equal(hear(&f, "192.0.2.1:7002", 1, 10), LATCH_REFUSE);
		assert_int_equal(hear(&f, "10.0.0.5:4000", 1, 10), LATCH_REFUSE);
	}
}

static void
test_learn_not(void **state)
{
	struct fixture f;

	(void)state;
	/* A stranger never. */
	prepare(&f, true);
	for (int i = 0; i < 10; i++)
		assert_int_equal(hear(&f, "203.0.113.9:7000", 1, 10), LATCH_REFUSE);
	/* Packets of two sources or SSRCs, or with holes, are not in a row. */
	for (int i = 0; i < 10; i++) {
		assert_int_equal(hear(&f, "192.0.2.1:7000", 1, 10), LATCH_WAIT);
		assert_int_equal(hear(&f, "198.51.100.7:7000", 1, 10), LATCH_WAIT);
	}
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(hear(&f, "192.0.2.1:7000", i, 10), LATCH_WAIT);
	for (int i = 0; i < 10; i++, f.seq++)
		assert_int_equal(hear(&f, "192.0.2.1:7000", 1, 10), LATCH_WAIT);
	/* The window is over. */
	assert_int_equal(hear(&f, "192.0.2.1:7000", 1, 1000), LATCH_REFUSE);
	assert_true(f.l.locked);
	assert_int_equal(hear(&f, "10.0.0.5:4000", 1, 1001), LATCH_HEAR);
}

static void
test_sdp_wins(void **state)
{
	struct fixture f;

	(void)state;
	prepare(&f, true);
	for (int i = 0; i < 4; i++)
		assert_int_equal(hear(&f, "10.0.0.5:4000", 1, 10), LATCH_HEAR);
	for (int i = 0; i < 6; i++)
		assert_int_equal(hear(&f, "192.0.2.1:7000", 2, 20), LATCH_REFUSE);
}

static void
test_update(void **state)
{
	struct fixture f;
	struct addr sdp = at("10.0.0.5:4000"), other = at("10.0.0.6:4000"),
		    rtcp = at("10.0.0.6:4001");

	(void)state;
	prepare(&f, true);
	for (int i = 0; i < 4; i++)
		hear(&f, "198.51.100.7:7000", 1, 10);
	assert_int_equal(addr_port(&f.l.rtp), 7000);
	/* The same SDP again: what was learnt stays, and may be learnt anew. */
	latch_open(&f.l, &sdp, &rtcp, 3000);
	assert_int_equal(addr_port(&f.l.rtp), 7000);
	assert_int_equal(hear(&f, "198.51.100.7:7000", 1, 2000), LATCH_HEAR);
	for (int i = 0; i < 3; i++)
		assert_int_equal(hear(&f, "10.0.0.5:4000", 2, 2000), LATCH_WAIT);
	assert_int_equal(hear(&f, "10.0.0.5:4000", 2, 2000), LATCH_WON);
	/* Another one: start from it. */
	latch_open(&f.l, &other, &rtcp, 5000);
	assert_true(addr_equal(&f.l.rtp, &other));
	assert_int_equal(hear(&f, "10.0.0.6:4000", 1, 4000), LATCH_HEAR);
	assert_int_equal(hear(&f, "10.0.0.5:4000", 1, 4000), LATCH_REFUSE);
}

static void
test_nothing_known(void **state)
{
	struct fixture f;
	struct addr none = { 0 };

	(void)state;
	prepare(&f, false);
	none = at("0.0.0.0:0");
	f.l.sdp = (struct addr){ 0 };
	latch_open(&f.l, &none, &none, 1000);
	assert_int_equal(hear(&f, "10.0.0.5:4000", 1, 10), LATCH_REFUSE);
}

static bool
rtcp(struct fixture *f, const char *from)
{
	struct addr a = at(from);

	return latch_rtcp(&f->l, &a);
}

static void
test_rtcp(void **state)
{
	struct fixture f;

	(void)state;
	prepare(&f, false);
	assert_true(rtcp(&f, "10.0.0.5:4001"));
	assert_true(rtcp(&f, "10.0.0.5:4000")); /* on the shared port */
	assert_false(rtcp(&f, "10.0.0.5:4002"));
	assert_false(rtcp(&f, "203.0.113.9:4001"));
	prepare(&f, true);
	assert_false(rtcp(&f, "192.0.2.1:9000")); /* before RTP is settled */
	for (int i = 0; i < 4; i++)
		hear(&f, "192.0.2.1:7000", 1, 10);
	assert_false(rtcp(&f, "198.51.100.7:9000"));
	assert_true(rtcp(&f, "192.0.2.1:9000"));
	assert_int_equal(addr_port(&f.l.rtcp), 9000);
	assert_false(rtcp(&f, "192.0.2.1:9002"));
	assert_true(rtcp(&f, "192.0.2.1:9000"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strict),    cmocka_unit_test(test_learn),
		cmocka_unit_test(test_learn_not), cmocka_unit_test(test_sdp_wins),
		cmocka_unit_test(test_update),    cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_rtcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
