#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "common/id.h"
#include "sip-worker/sip/rate.h"

static struct rate *
fresh(void)
{
	struct rate *r;

	assert_true(id_init());
	r = rate_create();
	assert_non_null(r);
	return r;
}

static struct addr
at(const char *host)
{
	struct addr a;

	assert_true(addr_parse(host, 5060, &a));
	return a;
}

static void
burst_then_slow(void **state)
{
	struct rate *r = fresh();
	struct addr a = at("192.0.2.1"), b = at("192.0.2.2");

	(void)state;
	for (int i = 0; i < RATE_BURST; i++)
		assert_true(rate_take(r, &a, 1000));
	assert_false(rate_take(r, &a, 1000));
	assert_true(rate_take(r, &b, 1000));
	assert_false(rate_take(r, &a, 1000 + RATE_REFILL_MS - 1));
	assert_true(rate_take(r, &a, 1000 + RATE_REFILL_MS));
	assert_false(rate_take(r, &a, 1000 + RATE_REFILL_MS));
	/* Never more than a burst, however long it was quiet. */
	for (int i = 0; i < RATE_BURST; i++)
		assert_true(rate_take(r, &a, 100000000));
	assert_false(rate_take(r, &a, 100000000));
	rate_destroy(r);
}

static void
trusted_are_not_counted(void **state)
{
	struct rate *r = fresh();
	struct addr a = at("192.0.2.1");

	(void)state;
	assert_false(rate_is_trusted(r, &a, 0));
	rate_trust(r, &a, 0);
	for (int i = 0; i < 1000; i++)
		assert_true(rate_take(r, &a, 10));
	assert_true(rate_is_trusted(r, &a, RATE_TRUST_MS - 1));
	assert_false(rate_is_trusted(r, &a, RATE_TRUST_MS));
	rate_destroy(r);
}

static void
ipv6_counts_by_network(void **state)
{
	struct rate *r = fresh();
	struct addr a = at("2001:db8::1"), b = at("2001:db8::2"), c = at("2001:db8:0:1::1");

	(void)state;
	for (int i = 0; i < RATE_BURST; i++)
		assert_true(rate_take(r, i % 2 ? &a : &b, 0));
	assert_false(rate_take(r, &a, 0));
	assert_true(rate_take(r, &c, 0));
	rate_destroy(r);
}

/* Neighbours do not push each other out of the table. */
static void
neighbours_are_limited(void **state)
{
	struct rate *r = fresh();
	char host[32];
	int taken = 0;

	(void)state;
	for (int round = 0; round < 100; round++)
		for (unsigned i = 0; i < 250; i++) {
			snprintf(host, sizeof host, "192.0.2.%u", i);
			struct addr a = at(host);

			taken += rate_take(r, &a, 1000);
		}
	assert_int_equal(taken, 250 * RATE_BURST);
	rate_destroy(r);
}

/* A flood of addresses forgets strangers, not those who proved themselves. */
static void
trust_survives_a_flood(void **state)
{
	struct rate *r = fresh();
	struct addr good = at("198.51.100.1");
	char host[32];

	(void)state;
	rate_trust(r, &good, 0);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(host, sizeof host, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		struct addr a = at(host);

		rate_take(r, &a, 1 + i);
	}
	assert_true(rate_is_trusted(r, &good, 100));
	rate_destroy(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(burst_then_slow),        cmocka_unit_test(trusted_are_not_counted),
		cmocka_unit_test(ipv6_counts_by_network), cmocka_unit_test(neighbours_are_limited),
		cmocka_unit_test(trust_survives_a_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
