/* Routing on the raw target, decoding after it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "api-server/http/guard.h"
#include "api-server/http/route.h"

static void
nothing(struct request *r)
{
	(void)r;
}

static const struct route table[] = {
	{ "GET", "/", SCOPE_PUBLIC, false, nothing },
	{ "POST", "/a/things", SCOPE_ACCOUNT, true, nothing },
	{ "GET", "/a/things", SCOPE_READ, false, nothing },
	{ "GET", "/a/things/:id", SCOPE_READ, false, nothing },
	{ "POST", "/a/things/:id/end", SCOPE_ACCOUNT, false, nothing },
	{ .method = NULL },
};

/* clang-format off */
static const struct {
	const char *method, *target;
	int row; /* -1: none */
	enum err err;
	const char *param, *query, *allow;
} cases[] = {
	{ "GET",    "/",                    0,  ERR_OK,        "",    "",    "" },
	{ "HEAD",   "/",                    0,  ERR_OK,        "",    "",    "" },
	{ "GET",    "/?",                   0,  ERR_OK,        "",    "",    "" },
	{ "GET",    "/?a=%2F",              0,  ERR_OK,        "",    "a=%2F", "" },
	{ "POST",   "/a/things",            1,  ERR_OK,        "",    "",    "" },
	{ "GET",    "/a/things/x",          3,  ERR_OK,        "x",   "",    "" },
	{ "GET",    "/a/things/x?y=1/2",    3,  ERR_OK,        "x",   "y=1/2", "" },
	{ "GET",    "/a/things/a%2Fb",      3,  ERR_OK,        "a/b", "",    "" },
	{ "GET",    "/a/things/%252F",      3,  ERR_OK,        "%2F", "",    "" },
	{ "GET",    "/a/things/a+b",        3,  ERR_OK,        "a+b", "",    "" },
	{ "GET",    "/a/things/%c3%A4",     3,  ERR_OK,        "\xc3\xa4", "", "" },
	{ "GET",    "/a/things/..",         3,  ERR_OK,        "..",  "",    "" },
	{ "POST",   "/a/things/x/end",      4,  ERR_OK,        "x",   "",    "" },
	{ "GET",    "/a/things/%00",        -1, ERR_INVALID,   "",    "",    "" },
	{ "GET",    "/a/things/%0",         -1, ERR_INVALID,   "",    "",    "" },
	{ "GET",    "/a/things/x%",         -1, ERR_INVALID,   "",    "",    "" },
	{ "GET",    "/a/things/%zz",        -1, ERR_INVALID,   "",    "",    "" },
	{ "GET",    "/a/things/%-1",        -1, ERR_INVALID,   "",    "",    "" },
	{ "GET",    "/a/things/",           -1, ERR_NOT_FOUND, "",    "",    "" },
	{ "GET",    "/a/things/x/",         -1, ERR_NOT_FOUND, "",    "",    "" },
	{ "GET",    "/a/things/x/y",        -1, ERR_NOT_FOUND, "",    "",    "" },
	{ "GET",    "/a//things",           -1, ERR_NOT_FOUND, "",    "",    "" },
	{ "GET",    "/A/things",            -1, ERR_NOT_FOUND, "",    "",    "" },
	{ "GET",    "/a/thing%73",          -1, ERR_NOT_FOUND, "",    "",    "" },
	{ "GET",    "/a/../",               -1, ERR_NOT_FOUND, "",    "",    "" },
	{ "GET",    "/a",                   -1, ERR_NOT_FOUND, "",    "",    "" },
	{ "DELETE", "/a/things",            -1, ERR_METHOD,    "",    "",    "POST, GET, HEAD" },
	{ "get",    "/",                    -1, ERR_METHOD,    "",    "",    "GET, HEAD" },
	{ "GET",    "/a/things/x/end",      -1, ERR_METHOD,    "",    "",    "POST" },
};
/* clang-format on */

static void
test_find(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct route_match m;

		route_find(table, cases[i].method, cases[i].target, &m);
		if (m.route != (cases[i].row < 0 ? NULL : &table[cases[i].row]) ||
		    m.err != cases[i].err)
			fail_msg("%s %s: row %d, err %d", cases[i].method, cases[i].target,
				 m.route ? (int)(m.route - table) : -1, m.err);
		if (m.route)
			assert_string_equal(m.param, cases[i].param);
		assert_string_equal(m.query, cases[i].query);
		if (m.err == ERR_METHOD)
			assert_string_equal(m.allow, cases[i].allow);
	}
}

static void
test_long(void **state)
{
	char target[GUARD_TARGET_MAX + 1] = "/a/things/";
	struct route_match m;

	(void)state;
	memset(target + 10, 'x', ROUTE_PARAM_MAX - 1);
	route_find(table, "GET", target, &m);
	assert_int_equal(m.err, ERR_OK);
	assert_int_equal(strlen(m.param), ROUTE_PARAM_MAX - 1);
	target[10 + ROUTE_PARAM_MAX - 1] = 'x';
	route_find(table, "GET", target, &m);
	assert_int_equal(m.err, ERR_NOT_FOUND);
	memset(target + 10, 'x', sizeof(target) - 11);
	route_find(table, "GET", target, &m);
	assert_int_equal(m.err, ERR_NOT_FOUND);
	target[sizeof(target) - 2] = '%';
	route_find(table, "GET", target, &m);
	assert_int_equal(m.err, ERR_INVALID);
	memcpy(target, "/?", 2);
	route_find(table, "GET", target, &m);
	assert_int_equal(m.err, ERR_INVALID);
}

static void
test_query(void **state)
{
	char value[8];
	bool found;

	(void)state;
	assert_int_equal(route_query("", "limit", value, sizeof(value), &found), ERR_OK);
	assert_false(found);
	assert_int_equal(route_query("a=1&limit=20&b", "limit", value, sizeof(value), &found),
			 ERR_OK);
	assert_true(found);
	assert_string_equal(value, "20");
	assert_int_equal(route_query("limit=%32%30", "limit", value, sizeof(value), &found),
			 ERR_OK);
	assert_string_equal(value, "20");
	assert_int_equal(
		route_query("limits=1&xlimit=2&limit", "limit", value, sizeof(value), &found),
		ERR_OK);
	assert_false(found);
	assert_int_equal(route_query("limit=1&limit=1", "limit", value, sizeof(value), &found),
			 ERR_INVALID);
	assert_int_equal(route_query("limit=%0", "limit", value, sizeof(value), &found),
			 ERR_INVALID);
	assert_int_equal(route_query("limit=%00", "limit", value, sizeof(value), &found),
			 ERR_INVALID);
	assert_int_equal(route_query("limit=12345678", "limit", value, sizeof(value), &found),
			 ERR_INVALID);
	assert_int_equal(route_query("&&&limit=1234567&", "limit", value, sizeof(value), &found),
			 ERR_OK);
	assert_string_equal(value, "1234567");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
