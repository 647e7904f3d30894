/* What fits into the context of a returned call, to the byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/context.h"
#include "common/jfield.h"
#include "common/str.h"

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

/* An object with one variable whose value has `len` bytes, and another behind it. */
static json_t *
sized(const char *name, size_t len, const char *fill)
{
	struct buf b;
	json_t *j;

	buf_init(&b, 8192);
	while (b.len < len)
		buf_add_str(&b, fill);
	j = json_pack("{s:s%,s:s}", name, b.data, len, "z", "1");
	buf_finish(&b);
	assert_non_null(j);
	held[held_count++] = j;
	return j;
}

static void
the_last_byte(void **state)
{
	struct context_input in = input("sip:h", "{}", "{}");
	size_t fixed = context_fixed_cost(&in), name = context_name_cost(CONTEXT_TRANSFER, "a");
	size_t z = context_name_cost(CONTEXT_TRANSFER, "z") + 1;
	size_t room = CONTEXT_BUDGET - fixed - name;
	struct context c;

	(void)state;
	assert_int_equal(fixed, strlen("X-GA-extConId=conv-12345&X-GA-transfer=SYSTEM"));
	in.transfer_variables = sized("a", room, "x");
	make(&in, &c);
	assert_int_equal(c.used, CONTEXT_BUDGET);
	assert_int_equal(strlen(c.refer_to), strlen("<sip:h?>") + CONTEXT_BUDGET);
	assert_report(&c, "dropped",
		      "[{\"name\":\"z\",\"class\":\"transfer\",\"bytes\":12,\"reason\":\"does not "
		      "fit\"}]");
	context_finish(&c);

	/* One more: neither it nor what is behind it, though that would fit. */
	in.transfer_variables = sized("a", room + 1, "x");
	in.reference_variables = object("{\"r\":\"1\"}");
	make(&in, &c);
	assert_int_equal(c.used, fixed);
	assert_int_equal(c.header_count, 2);
	assert_int_equal(c.dropped_count, 3);
	assert_report(&c, "dropped",
		      "[{\"name\":\"a\",\"class\":\"transfer\",\"bytes\":980,\"reason\":\"does not "
		      "fit\"},"
		      "{\"name\":\"z\",\"class\":\"transfer\",\"bytes\":12,\"reason\":\"after one "
		      "that did "
		      "not fit\"},"
		      "{\"name\":\"r\",\"class\":\"reference\",\"bytes\":12,\"reason\":\"after one "
		      "that did "
		      "not fit\"}]");
	context_finish(&c);

	/* Both, to the last byte. */
	in.transfer_variables = sized("a", room - z, "x");
	in.reference_variables = NULL;
	make(&in, &c);
	assert_int_equal(c.used, CONTEXT_BUDGET);
	assert_int_equal(c.dropped_count, 0);
	context_finish(&c);
}

/* What is escaped counts three, in a header line too: both forms drop the same. */
static void
escapes_count(void **state)
{
	struct context_input in = input("sip:h", "{}", "{}");
	size_t room = CONTEXT_BUDGET - context_fixed_cost(&in) -
		      context_name_cost(CONTEXT_TRANSFER, "a");
	struct context c;

	(void)state;
	for (int with_uri = 0; with_uri < 2; with_uri++) {
		in.uri = with_uri ? "sip:h" : NULL;
		in.transfer_variables = sized("a", room / 3, "&");
		make(&in, &c);
		assert_header(&c, 2, "X-GA-tv-a", c.headers[2].value);
		context_finish(&c);
		in.transfer_variables = sized("a", room / 3 + 1, "&");
		make(&in, &c);
		assert_int_equal(c.header_count, 2);
		context_finish(&c);
	}
}

static void
the_uris_own_headers_count(void **state)
{
	struct context_input in = input("sip:h?X-A=12345", "{}", "{}");
	struct context_input bare = input("sip:h", "{}", "{}");
	size_t room;
	struct context c;

	(void)state;
	assert_int_equal(context_fixed_cost(&in), context_fixed_cost(&bare) + strlen("X-A=12345&"));
	room = CONTEXT_BUDGET - context_fixed_cost(&in) - context_name_cost(CONTEXT_TRANSFER, "a");
	in.transfer_variables = sized("a", room, "x");
	make(&in, &c);
	assert_int_equal(c.header_count, 3);
	context_finish(&c);
	in.transfer_variables = sized("a", room + 1, "x");
	make(&in, &c);
	assert_int_equal(c.header_count, 2);
	context_finish(&c);
}

/* However long they are, these two go. */
static void
the_fixed_part_always_goes(void **state)
{
	char id[1201];
	struct context_input in = input("sip:h", "{\"a\":\"\"}", "{\"b\":\"\"}");
	struct context c;

	(void)state;
	memset(id, '=', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	in.conversation = id;
	make(&in, &c);
	assert_int_equal(c.header_count, 2);
	assert_string_equal(c.headers[0].value, id);
	assert_int_equal(c.used, strlen("X-GA-extConId=&X-GA-transfer=SYSTEM") + 3 * 1200);
	assert_int_equal(strlen(c.refer_to), strlen("<sip:h?>") + c.used);
	assert_int_equal(c.dropped_count, 2);
	context_finish(&c);
}

/* As many as can be, and a list of the dropped that ends. */
static void
many(void **state)
{
	struct context_input in = input("sip:h", "{}", "{}");
	json_t *all = json_object();
	struct context c;

	(void)state;
	held[held_count++] = all;
	in.conversation = "";
	for (int i = 0; i < 600; i++) {
		char name[3] = { (char)('a' + i % 26), i < 26 ? '\0' : (char)('a' + i / 26), '\0' };

		assert_int_equal(json_object_set_new(all, name, json_string("")), 0);
	}
	in.reference_variables = all;
	make(&in, &c);
	assert_int_equal(c.header_count - 2 + c.dropped_count, 600);
	assert_int_equal(json_array_size(json_object_get(c.report, "kept")), c.header_count - 2);
	assert_int_equal(json_array_size(json_object_get(c.report, "dropped")), CONTEXT_LISTED);
	assert_int_equal(json_integer_value(json_object_get(c.report, "droppedCount")),
			 c.dropped_count);
	assert_true(c.used <= CONTEXT_BUDGET && c.used > CONTEXT_BUDGET - 12);
	context_finish(&c);
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_last_byte),
		T(escapes_count),
		T(the_uris_own_headers_count),
		T(the_fixed_part_always_goes),
		T(many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
