#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/addr.h"

static void
parses_and_prints(void **state)
{
	static const struct {
		const char *in, *text;
	} cases[] = {
		{ "127.0.0.1:5060", "127.0.0.1:5060" },
		{ "[::1]:5060", "[::1]:5060" },
		{ "[2001:DB8::1]:1", "[2001:db8::1]:1" },
		{ "0.0.0.0:0", "0.0.0.0:0" },
		{ "[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.1]:80" },
		{ "[fe80:1111:2222:3333:4444:5555:6666:7777]:65535",
		  "[fe80:1111:2222:3333:4444:5555:6666:7777]:65535" },
		{ "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
		{ "127.0.0.1", NULL },
		{ "127.0.0.1:", NULL },
		{ "127.0.0.1:65536", NULL },
		{ "127.0.0.1:-1", NULL },
		{ "127.0.0.1:-0", NULL },
		{ "127.0.0.1: 1", NULL },
		{ "127.0.0.01:1", NULL },
		{ "127.1:1", NULL },
		{ "localhost:1", NULL },
		{ ":1", NULL },
		{ "::1:1", NULL },
		{ "[::1]", NULL },
		{ "[::1:1", NULL },
		{ "[]:1", NULL },
		{ "[127.0.0.1]:1", NULL },
		{ "[fe80::1%eth0]:1", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr a;
		char out[ADDR_TEXT_SIZE];
		bool ok = addr_parse_hostport(cases[i].in, &a);

		assert_int_equal(ok, cases[i].text != NULL);
		if (ok)
			assert_string_equal(addr_text(&a, out), cases[i].text);
	}
}

static void
parts(void **state)
{
	struct addr a;
	char out[ADDR_TEXT_SIZE], longer[300];

	(void)state;
	assert_true(addr_parse("[2001:db8::7]", 5061, &a));
	assert_int_equal(addr_family(&a), AF_INET6);
	assert_int_equal(addr_len(&a), sizeof(struct sockaddr_in6));
	assert_int_equal(addr_port(&a), 5061);
	assert_string_equal(addr_host(&a, out), "2001:db8::7");
	assert_true(addr_parse("10.1.2.3", 0, &a));
	addr_set_port(&a, 9);
	assert_int_equal(addr_port(&a), 9);
	assert_int_equal(addr_len(&a), sizeof(struct sockaddr_in));
	assert_string_equal(addr_host(&a, out), "10.1.2.3");
	memset(longer, '1', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_false(addr_parse(longer, 1, &a));
	longer[0] = '[';
	longer[sizeof(longer) - 2] = ']';
	assert_false(addr_parse(longer, 1, &a));
	assert_false(addr_parse(NULL, 1, &a));
	memset(&a, 0, sizeof(a));
	assert_string_equal(addr_text(&a, out), "?:0");
}

static struct addr
addr_of(const char *host)
{
	struct addr a;

	assert_true(addr_parse(host, 5060, &a));
	return a;
}

static void
mapped_equals_plain(void **state)
{
	struct addr v4 = addr_of("10.0.0.1"), mapped = addr_of("::ffff:10.0.0.1");
	struct addr v6 = addr_of("2001:db8::1"), other = v4;

	(void)state;
	assert_true(addr_equal(&v4, &mapped));
	assert_false(addr_equal_host(&v4, &v6));
	addr_set_port(&other, 1);
	assert_false(addr_equal(&v4, &other));
	assert_true(addr_equal_host(&v4, &other));
}

static void
special_addresses(void **state)
{
	static const struct {
		const char *host;
		bool any, multicast;
	} cases[] = {
		{ "0.0.0.0", true, false },          { "::", true, false },
		{ "::ffff:0.0.0.0", true, false },   { "0.0.0.1", false, false },
		{ "224.0.0.1", false, true },        { "239.255.255.255", false, true },
		{ "240.0.0.1", false, false },       { "ff02::1", false, true },
		{ "::ffff:224.0.0.1", false, true }, { "fe80::1", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr a = addr_of(cases[i].host);

		assert_int_equal(addr_is_any(&a), cases[i].any);
		assert_int_equal(addr_is_multicast(&a), cases[i].multicast);
	}
}

static void
blocks_match(void **state)
{
	static const struct {
		const char *block, *host;
		bool match;
	} cases[] = {
		{ "127.0.0.0/8", "127.255.0.1", true },
		{ "127.0.0.0/8", "128.0.0.1", false },
		{ "10.20.30.40", "10.20.30.40", true },
		{ "10.20.30.40", "10.20.30.41", false },
		{ "10.20.30.40/31", "10.20.30.41", true },
		{ "10.20.30.40/31", "10.20.30.42", false },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "203.0.113.9", false },
		{ "::/0", "::ffff:203.0.113.9", false },
		{ "2001:db8::/32", "2001:db8:ffff::1", true },
		{ "2001:db8::/32", "2001:db9::1", false },
		{ "2001:db8::1", "2001:db8::1", true },
		{ "10.0.0.0/8", "::ffff:10.9.9.9", true },
		{ "::ffff:10.0.0.0/104", "10.9.9.9", true },
		{ "fe80::/10", "febf::1", true },
		{ "fe80::/10", "fec0::1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr a = addr_of(cases[i].host);
		struct cidr c;

		assert_true(cidr_parse(cases[i].block, &c));
		assert_int_equal(cidr_match(&c, &a), cases[i].match);
	}
}

static void
bad_blocks_are_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-0",
		"10.0.0.1/8",
		"10.0.0.0/8 ",
		"10.0.0.0/8/8",
		"10.0.0.0/x",
		"2001:db8::/129",
		"2001:db8::1/32",
		"host/8",
		"10.0.0/8",
		" 10.0.0.0/8",
	};
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_false(cidr_parse(cases[i], &c));
	assert_false(cidr_parse(NULL, &c));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_and_prints),   cmocka_unit_test(parts),
		cmocka_unit_test(mapped_equals_plain), cmocka_unit_test(special_addresses),
		cmocka_unit_test(blocks_match),        cmocka_unit_test(bad_blocks_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
