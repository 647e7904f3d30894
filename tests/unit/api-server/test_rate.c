/* Token buckets and the table of sources. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "api-server/http/rate.h"
#include "common/id.h"

static void
test_bucket(void **state)
{
	struct bucket b = { 0 };
	int taken = 0;

	(void)state;
	while (taken < 1000 && bucket_take(&b, 10, 5000))
		taken++;
	assert_int_equal(taken, 10);
	assert_false(bucket_take(&b, 10, 5099));
	assert_true(bucket_take(&b, 10, 5100));
	assert_false(bucket_take(&b, 10, 5100));
	/* Asking often does not lose fractions. */
	for (int64_t t = 5100; t < 5200; t++)
		assert_false(bucket_take(&b, 10, t));
	assert_true(bucket_take(&b, 10, 5200));
	/* A long time fills it, but no fuller than it was. */
	for (taken = 0; bucket_take(&b, 10, 1000000); taken++)
		;
	assert_int_equal(taken, 10);
	assert_false(bucket_take(&b, 10, 999000));
}

static void
test_no_limit(void **state)
{
	struct bucket b = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(bucket_take(&b, 0, 1));
}

static struct addr
address(const char *text)
{
	struct addr a;

	assert_true(addr_parse(text, 0, &a));
	return a;
}

static void
test_sources(void **state)
{
	struct sources *s = sources_create();
	struct addr bad = address("10.0.0.1"), good = address("10.0.0.2");
	struct addr six = address("2001:db8::1"), same64 = address("2001:db8::2");
	struct addr other64 = address("2001:db8:0:1::1"), mapped = address("::ffff:10.0.0.1");

	(void)state;
	assert_non_null(s);
	for (int i = 0; i < 5; i++) {
		assert_false(sources_blocked(s, &bad, 5, 1000));
		sources_failed(s, &bad, 5, 1000);
		sources_failed(s, &six, 5, 1000);
	}
	assert_true(sources_blocked(s, &bad, 5, 1000));
	assert_true(sources_blocked(s, &mapped, 5, 1000));
	assert_false(sources_blocked(s, &good, 5, 1000));
	assert_true(sources_blocked(s, &same64, 5, 1000));
	assert_false(sources_blocked(s, &other64, 5, 1000));
	assert_false(sources_blocked(s, &bad, 5, 1200));
	sources_destroy(s);
}

/* A flood of addresses stays within the table, and does not free the one that keeps failing. */
static void
test_flood(void **state)
{
	struct sources *s = sources_create();
	struct addr bad = address("192.0.2.1");
	char text[32];
	int blocked = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct addr a;

		snprintf(text, sizeof(text), "10.%d.%d.%d", i >> 16, (i >> 8) & 255, i & 255);
		a = address(text);
		sources_failed(s, &a, 5, 1000 + i / 100);
		sources_failed(s, &bad, 5, 1000 + i / 100);
		blocked += sources_blocked(s, &bad, 5, 1000 + i / 100);
	}
	assert_true(blocked > 19000);
	sources_destroy(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bucket),
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_flood),
	};

	return id_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
