#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/context.h"
#include "common/jfield.h"
#include "common/str.h"
#include "common/uri.h"
#include "tests/fakes/oom.h"

static json_t *held[8];
static size_t held_count;

static int
teardown(void **state)
{
	(void)state;
	while (held_count > 0)
		json_decref(held[--held_count]);
	return 0;
}

/* A JSON object that teardown() frees. */
static json_t *
object(const char *text)
{
	struct fault f = { .where = "" };
	json_t *j = NULL;

	if (json_parse(text, strlen(text), &j, &f) != ERR_OK)
		fail_msg("%s: %s", text, f.what);
	assert_true(held_count < ARRAY_LEN(held));
	held[held_count++] = j;
	return j;
}

static struct context_input
input(const char *uri, const char *transfer, const char *reference)
{
	return (struct context_input){ .conversation = "conv-12345",
				       .transfer_type = "SYSTEM",
				       .transfer_variables = object(transfer),
				       .reference_variables = object(reference),
				       .uri = uri };
}

static void
make(const struct context_input *in, struct context *c)
{
	struct fault f = { .where = "" };

	assert_int_equal(context_make(in, c, &f), ERR_OK);
	assert_int_equal(json_integer_value(json_object_get(c->report, "used")), c->used);
}

static void
assert_report(const struct context *c, const char *list, const char *wanted)
{
	char *text = json_text(json_object_get(c->report, list));

	assert_string_equal(text, wanted);
	free(text);
}

static void
assert_header(const struct context *c, size_t i, const char *name, const char *value)
{
	assert_true(i < c->header_count);
	assert_string_equal(c->headers[i].name, name);
	assert_string_equal(c->headers[i].value, value);
}

/* --- what goes --- */

static void
the_guides_example(void **state)
{
	struct context_input in = input(
		"sip:your-sbc.example.com",
		"{\"next_action\":\"schedule_callback\",\"priority\":\"high\"}",
		"{\"account_balance\":\"1250.00\",\"last_payment_date\":\"2025-01-10\"}");
	struct context c;

	(void)state;
	make(&in, &c);
	assert_string_equal(
		c.refer_to,
		"<sip:your-sbc.example.com?X-GA-extConId=conv-12345&X-GA-transfer=SYSTEM"
		"&X-GA-tv-next_action=schedule_callback&X-GA-tv-priority=high"
		"&X-GA-rv-account_balance=1250.00&X-GA-rv-last_payment_date=2025-01-10>");
	assert_int_equal(c.used, strlen(strchr(c.refer_to, '?')) - 2);
	assert_int_equal(c.header_count, 6);
	assert_header(&c, 0, "X-GA-extConId", "conv-12345");
	assert_header(&c, 1, "X-GA-transfer", "SYSTEM");
	assert_header(&c, 2, "X-GA-tv-next_action", "schedule_callback");
	assert_header(&c, 3, "X-GA-tv-priority", "high");
	assert_header(&c, 4, "X-GA-rv-account_balance", "1250.00");
	assert_header(&c, 5, "X-GA-rv-last_payment_date", "2025-01-10");
	assert_report(&c, "kept",
		      "[{\"name\":\"next_action\",\"class\":\"transfer\",\"bytes\":38},"
		      "{\"name\":\"priority\",\"class\":\"transfer\",\"bytes\":22},"
		      "{\"name\":\"account_balance\",\"class\":\"reference\",\"bytes\":32},"
		      "{\"name\":\"last_payment_date\",\"class\":\"reference\",\"bytes\":37}]");
	assert_report(&c, "dropped", "[]");
	assert_report(&c, "changed", "[]");
	assert_report(&c, "budget", "1024");
	assert_null(json_object_get(c.report, "warning"));
	context_finish(&c);
}

/* What stands before and between; the URI itself is never touched. */
static void
uris(void **state)
{
	static const struct {
		const char *uri, *refer_to;
	} cases[] = {
		{ "sip:h", "<sip:h?X-GA-extConId=conv-12345&X-GA-transfer=SYSTEM&X-GA-tv-a=1>" },
		{ "sip:h?", "<sip:h?X-GA-extConId=conv-12345&X-GA-transfer=SYSTEM&X-GA-tv-a=1>" },
		{ "sip:h?b=2", "<sip:h?b=2&X-GA-extConId=conv-12345&X-GA-transfer=SYSTEM"
			       "&X-GA-tv-a=1>" },
		{ "sip:h?b=2&", "<sip:h?b=2&X-GA-extConId=conv-12345&X-GA-transfer=SYSTEM"
				"&X-GA-tv-a=1>" },
		{ "sip:u?q@h", "<sip:u?q@h?X-GA-extConId=conv-12345&X-GA-transfer=SYSTEM"
			       "&X-GA-tv-a=1>" },
		{ "SIPS:%75:p@[2001:DB8::1]:5061;lr;x=%3b?%62=%7e",
		  "<SIPS:%75:p@[2001:DB8::1]:5061;lr;x=%3b?%62=%7e&X-GA-extConId=conv-12345"
		  "&X-GA-transfer=SYSTEM&X-GA-tv-a=1>" },
		{ "sip:\xc3\xbc@h", "<sip:\xc3\xbc@h?X-GA-extConId=conv-12345&X-GA-transfer=SYSTEM"
				    "&X-GA-tv-a=1>" },
		{ "tel:+1-999", "<tel:+1-999>" },
		{ NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct context_input in = input(cases[i].uri, "{\"a\":\"1\"}", "{}");
		const char *behind;
		struct uri u;
		struct context c;
		size_t fixed = context_fixed_cost(&in);

		make(&in, &c);
		assert_true(str_eq(c.refer_to, cases[i].refer_to));
		assert_int_equal(c.header_count, 3);
		assert_int_equal(c.used, fixed + context_name_cost(CONTEXT_TRANSFER, "a") + 1);
		if (cases[i].uri && uri_split(cases[i].uri, &u) && !u.is_tel) {
			assert_true(uri_split(c.refer_to + 1, &u));
			behind = strrchr(c.refer_to, '>');
			assert_int_equal(c.used, behind - u.headers);
		}
		assert_int_equal(json_object_get(c.report, "warning") != NULL,
				 cases[i].uri && str_starts(cases[i].uri, "tel:"));
		context_finish(&c);
		assert_int_equal(teardown(state), 0);
	}
}

static void
bad_uris_are_refused(void **state)
{
	static const char *const uris[] = {
		"",         "h",      "mailto:u@h", "sip:h>",     "sip:h\r\nA: b",
		"sip:u @h", "<sip:h", "sip:",       "sip:\"u\"@h"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
		struct context_input in = { .conversation = "c", .transfer_type = "AGENT" };
		struct fault f = { .what = "" };
		struct context c;

		in.uri = uris[i];
		assert_int_equal(context_make(&in, &c, &f), ERR_INVALID);
		assert_true(f.what[0]);
		assert_true(!c.refer_to && !c.report && !c.header_count);
		context_finish(&c);
	}
}

static void
values_of_every_type(void **state)
{
	struct context_input in = input(
		"sip:h", "{\"n\":5,\"r\":1.5,\"t\":true,\"nothing\":null,\"s\":\"\"}",
		"{\"o\":{\"a\":[1,\"x\"]}}");
	struct context c;

	(void)state;
	in.transfer_type = "AGENT";
	make(&in, &c);
	assert_non_null(strstr(c.refer_to, "&X-GA-tv-n=5&X-GA-tv-r=1.5&X-GA-tv-t=true&X-GA-tv-s="
					   "&X-GA-rv-o=%7B%22a%22:[1%2C%22x%22]%7D>"));
	assert_int_equal(c.header_count, 7);
	assert_header(&c, 1, "X-GA-transfer", "AGENT");
	assert_header(&c, 5, "X-GA-tv-s", "");
	assert_header(&c, 6, "X-GA-rv-o", "{\"a\":[1,\"x\"]}");
	context_finish(&c);
}

static void
no_variables(void **state)
{
	struct context_input in = { .conversation = "", .transfer_type = "AGENT", .uri = "sip:h" };
	struct context c;

	(void)state;
	make(&in, &c);
	assert_string_equal(c.refer_to, "<sip:h?X-GA-extConId=&X-GA-transfer=AGENT>");
	assert_int_equal(c.header_count, 2);
	context_finish(&c);
}

/* --- what has to change --- */

static void
escaped_and_replaced(void **state)
{
	struct context_input in = input(
		"sip:h",
		"{\"a b\":\"50% & =;,\",\"x\":\"one\\r\\nVia: two\\u007f\",\"stra\xc3\x9f"
		"e\":\"\xc3\xbc\"}",
		"{\"r\\n:\":\"<>\\\"\"}");
	struct context c;

	(void)state;
	in.conversation = "c\t1";
	make(&in, &c);
	assert_string_equal(c.refer_to, "<sip:h?X-GA-extConId=c%201&X-GA-transfer=SYSTEM"
					"&X-GA-tv-a%20b=50%25%20%26%20%3D%3B%2C"
					"&X-GA-tv-x=one%20%20Via:%20two%20"
					"&X-GA-tv-stra%C3%9Fe=%C3%BC"
					"&X-GA-rv-r_:=%3C%3E%22>");
	assert_int_equal(c.used, strlen(strchr(c.refer_to, '?')) - 2);
	assert_header(&c, 0, "X-GA-extConId", "c 1");
	assert_header(&c, 2, "X-GA-tv-a_b", "50% & =;,");
	assert_header(&c, 3, "X-GA-tv-x", "one  Via: two ");
	assert_header(&c, 4, "X-GA-tv-stra_e", "\xc3\xbc");
	assert_header(&c, 5, "X-GA-rv-r__", "<>\"");
	assert_report(
		&c, "changed",
		"[{\"name\":\"\",\"class\":\"conversation\",\"what\":\"control characters became "
		"spaces\"},"
		"{\"name\":\"a b\",\"class\":\"transfer\",\"what\":\"as a header line its name is "
		"X-GA-tv-a_b\"},"
		"{\"name\":\"x\",\"class\":\"transfer\",\"what\":\"control characters became "
		"spaces\"},"
		"{\"name\":\"stra\xc3\x9f"
		"e\",\"class\":\"transfer\",\"what\":\"as a header line its "
		"name is X-GA-tv-stra_e\"},"
		"{\"name\":\"r\\n:\",\"class\":\"reference\",\"what\":\"as a header line its name "
		"is "
		"X-GA-rv-r__\"}]");
	context_finish(&c);
}

static void
names_that_become_one(void **state)
{
	struct context_input in = input("sip:h", "{\"a_b\":\"1\",\"A B\":\"2\"}",
					"{\"a_b\":\"3\",\"\":\"4\"}");
	struct context c;

	(void)state;
	make(&in, &c);
	assert_int_equal(c.header_count, 5);
	assert_report(
		&c, "changed",
		"[{\"name\":\"A B\",\"class\":\"transfer\",\"what\":\"as a header line its name is "
		"X-GA-tv-A_B\"},"
		"{\"name\":\"A B\",\"class\":\"transfer\",\"what\":\"another variable has the same "
		"header name\"}]");
	assert_report(&c, "dropped",
		      "[{\"name\":\"\",\"class\":\"reference\",\"bytes\":0,\"reason\":"
		      "\"has no name\"}]");
	assert_int_equal(c.dropped_count, 1);
	context_finish(&c);
}

static void
api_mode_adds_nothing(void **state)
{
	char *text = context_bare("sip:u@h;User-to-User=UUI-12345?X=%61");

	(void)state;
	assert_string_equal(text, "<sip:u@h;User-to-User=UUI-12345?X=%61>");
	free(text);
}

static void
costs(void **state)
{
	(void)state;
	assert_int_equal(context_name_cost(CONTEXT_TRANSFER, "a"), strlen("&X-GA-tv-a="));
	assert_int_equal(context_name_cost(CONTEXT_REFERENCE, "a b\n"), strlen("&X-GA-rv-a%20b_="));
}

/* --- no memory --- */

static bool
make_one(void *arg)
{
	const struct context_input *in = arg;
	struct fault f = { .what = "" };
	struct context c;
	char *bare;
	enum err e = context_make(in, &c, &f);
	bool ok = e == ERR_OK && c.refer_to && c.report && c.header_count > 2;

	assert(e == ERR_OK || (e == ERR_NOMEM && !c.refer_to && !c.report && !c.header_count));
	context_finish(&c);
	bare = context_bare("sip:h");
	ok = ok && bare;
	free(bare);
	return ok;
}

static void
without_memory(void **state)
{
	struct context_input in = input("sip:h", "{\"a b\":\"1\\n\",\"A B\":2,\"c\":{\"d\":1.5}}",
					"{\"\":1,\"e\":\"\xc3\xbc\"}");

	(void)state;
	assert_int_equal(json_object_set_new((json_t *)(uintptr_t)in.reference_variables, "long",
					     json_sprintf("%02000d", 1)),
			 0);
	assert_true(oom_run(make_one, &in) > 0);
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_guides_example),
		T(uris),
		T(bad_uris_are_refused),
		T(values_of_every_type),
		T(no_variables),
		T(escaped_and_replaced),
		T(names_that_become_one),
		T(api_mode_adds_nothing),
		T(costs),
		T(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
