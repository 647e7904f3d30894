#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/jfield.h"
#include "common/str.h"
#include "tests/fakes/oom.h"

/* --- text --- */

static void
parses_or_says_why(void **state)
{
	static const struct {
		const char *text, *what; /* NULL: fine */
	} cases[] = {
		{ "{}", NULL },
		{ " [1,2,{\"a\":null}] ", NULL },
		{ "{\"a\":\"gr\xc3\xbc\xc3\x9f \\u20ac\"}", NULL },
		{ "", "end of file" },
		{ "{", "end of file" },
		{ "nonsense", "expected" },
		{ "\"text\"", "expected" },
		{ "{} x", "end of file expected" },
		{ "{\"a\":1,}", "expected" },
		{ "{\"a\":1,\"a\":2}", "duplicate object key near '\"a\"'" },
		{ "{\"a\":{\"b\":1,\"b\":1}}", "duplicate" },
		{ "{\"a\":\"x\\u0000y\"}", "NUL" },
		{ "{\"a\\u0000\":1}", "NUL" },
		{ "{\"a\":\"\xff\"}", "" },
		{ "{\"a\":\"\n\"}", "" },
		{ "{\"a\":1e999}", "" },
		{ "{\"a\":123456789012345678901}", "" },
		{ "{\"a\":\"\\ud800\"}", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fault f = { "untouched", "untouched" };
		json_t *j = NULL;
		enum err e = json_parse(cases[i].text, strlen(cases[i].text), &j, &f);

		assert_int_equal(e, cases[i].what ? ERR_INVALID : ERR_OK);
		if (e == ERR_OK) {
			json_decref(j);
			continue;
		}
		assert_null(j);
		assert_non_null(strstr(f.what, cases[i].what));
		assert_string_not_equal(f.where, "untouched");
	}
	assert_int_equal(json_parse("[\0]", 3, &(json_t *){ NULL }, NULL), ERR_INVALID);
	assert_int_equal(json_parse("[null\0,1]", 9, &(json_t *){ NULL }, NULL), ERR_INVALID);
}

static void
a_mistake_does_not_show_the_text(void **state)
{
	static const char text[] = "{\"password\":\"hunter2\" \"x\":1}";
	struct fault f;
	json_t *j;

	(void)state;
	assert_int_equal(json_parse(text, strlen(text), &j, &f), ERR_INVALID);
	assert_null(strstr(f.what, "hunter2"));
	assert_null(strstr(f.what, "near"));
	assert_non_null(strchr(f.where, ':'));
}

static void
depth_is_limited(void **state)
{
	char text[2 * 33 + 1];
	json_t *j;
	struct fault f;

	(void)state;
	for (int depth = 31; depth <= 33; depth++) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		if (depth <= 32) {
			assert_int_equal(json_parse(text, 2 * (size_t)depth, &j, &f), ERR_OK);
			json_decref(j);
		} else {
			assert_int_equal(json_parse(text, 2 * (size_t)depth, &j, &f), ERR_INVALID);
			assert_int_equal(json_parse_depth(text, 66, 33, &j, &f), ERR_OK);
			json_decref(j);
		}
	}
	/* Brackets in strings and siblings do not nest. */
	assert_true(json_shallow("[\"[[[\\\"[[\",[],[],{}]", 20, 2));
	assert_false(json_shallow("[[[", 3, 2));
	assert_true(json_shallow("]]]]", 4, 0));
	assert_true(json_shallow("\"\\\\u0000\"", 9, 1)); /* an escaped backslash, then text */
	assert_false(json_shallow("\"\\\\\\u0000\"", 10, 1));
}

static void
a_million_brackets_do_not_recurse(void **state)
{
	size_t len = 1 << 20;
	char *text = malloc(len);
	json_t *j;

	(void)state;
	memset(text, '[', len);
	assert_int_equal(json_parse(text, len, &j, NULL), ERR_INVALID);
	free(text);
}

static void
prints_compactly(void **state)
{
	json_t *j = json_pack("{s:i,s:[s,n]}", "a", 1, "b", "x");
	char *text = json_text(j);

	(void)state;
	assert_string_equal(text, "{\"a\":1,\"b\":[\"x\",null]}");
	free(text);
	json_decref(j);
	j = json_string("alone");
	text = json_text(j);
	assert_string_equal(text, "\"alone\"");
	free(text);
	json_decref(j);
}

/* --- fields --- */

static const char *const colours[] = { "red", "green", NULL };

struct thing {
	char name[8];
	char *text;
	int64_t number, any_number;
	bool flag;
	int colour;
	json_t *list;
	json_t *any;
};

static const struct jfield fields[] = {
	JF(struct thing, name, J_STR, true),
	{ .name = "text", .type = J_TEXT, .offset = offsetof(struct thing, text), .max = 5 },
	JF_INT(struct thing, number, true, -1, 10),
	JF_INT(struct thing, any_number, false, 0, 0),
	JF(struct thing, flag, J_BOOL, false),
	JF_ENUM(struct thing, colour, false, colours),
	JF(struct thing, list, J_JSON, false),
	JF(struct thing, any, J_ANY, false),
	JF_END,
};

static enum err
read_thing(const char *text, struct thing *out, struct fault *f)
{
	json_error_t je;
	json_t *j = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
	enum err e;

	assert_non_null(j);
	*out = (struct thing){ 0 };
	e = jfield_read(fields, j, "/body", out, f);
	json_decref(j);
	return e;
}

static void
what_is_written_is_read_back(void **state)
{
	static const char text[] =
		"{\"name\":\"n\",\"text\":\"t\",\"number\":7,\"any_number\":-9007199254740993,"
		"\"flag\":true,\"colour\":\"green\",\"list\":[1,{}],\"any\":null}";
	struct thing t;
	json_t *back;
	char *printed;

	(void)state;
	assert_int_equal(read_thing(text, &t, NULL), ERR_OK);
	assert_string_equal(t.name, "n");
	assert_string_equal(t.text, "t");
	assert_int_equal(t.number, 7);
	assert_true(t.flag);
	assert_int_equal(t.colour, 1);
	assert_true(json_is_null(t.any));
	back = jfield_write(fields, &t);
	printed = json_text(back);
	assert_string_equal(printed, text);
	free(printed);
	json_decref(back);
	jfield_finish(fields, &t);
	assert_null(t.text);
	assert_null(t.list);
	jfield_finish(fields, &t);
}

static void
what_is_absent_stays_absent(void **state)
{
	struct thing t;
	json_t *back;
	char *printed;

	(void)state;
	assert_int_equal(read_thing("{\"name\":\"1234567\",\"number\":0,\"new\":[]}", &t, NULL),
			 ERR_OK);
	assert_null(t.text);
	assert_null(t.list);
	assert_string_equal(t.name, "1234567");
	back = jfield_write(fields, &t);
	printed = json_text(back);
	assert_string_equal(printed, "{\"name\":\"1234567\",\"number\":0,\"any_number\":0,"
				     "\"flag\":false,\"colour\":\"red\"}");
	free(printed);
	json_decref(back);
}

static void
what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *text, *where, *what;
	} cases[] = {
		{ "[]", "/body", "expected an object" },
		{ "{}", "/body/name", "missing" },
		{ "{\"name\":1}", "/body/name", "expected a string" },
		{ "{\"name\":null}", "/body/name", "expected a string" },
		{ "{\"name\":\"12345678\"}", "/body/name", "string is too long" },
		{ "{\"name\":\"a\\u0000b\"}", "/body/name", "expected a string" },
		{ "{\"name\":\"n\"}", "/body/number", "missing" },
		{ "{\"name\":\"n\",\"text\":[]}", "/body/text", "expected a string" },
		{ "{\"name\":\"n\",\"text\":\"a\\u0000b\"}", "/body/text", "expected a string" },
		{ "{\"name\":\"n\",\"text\":\"123456\"}", "/body/text", "string is too long" },
		{ "{\"name\":\"n\",\"number\":1.0}", "/body/number", "expected an integer" },
		{ "{\"name\":\"n\",\"number\":\"1\"}", "/body/number", "expected an integer" },
		{ "{\"name\":\"n\",\"number\":11}", "/body/number", "integer is out of range" },
		{ "{\"name\":\"n\",\"number\":-2}", "/body/number", "integer is out of range" },
		{ "{\"name\":\"n\",\"text\":\"t\",\"number\":1,\"flag\":1}", "/body/flag",
		  "expected true or false" },
		{ "{\"name\":\"n\",\"number\":1,\"colour\":\"blue\"}", "/body/colour",
		  "not one of the values allowed" },
		{ "{\"name\":\"n\",\"number\":1,\"colour\":0}", "/body/colour",
		  "expected a string" },
		{ "{\"name\":\"n\",\"text\":\"t\",\"number\":1,\"list\":\"x\"}", "/body/list",
		  "expected an object or an array" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct thing t;
		struct fault f;

		assert_int_equal(read_thing(cases[i].text, &t, &f), ERR_INVALID);
		assert_string_equal(f.where, cases[i].where);
		assert_string_equal(f.what, cases[i].what);
		assert_null(t.text);
		assert_null(t.list);
	}
	assert_int_equal(jfield_read(fields, NULL, "", &(struct thing){ 0 }, NULL), ERR_INVALID);
}

static void
bytes_that_are_not_text_become_question_marks(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "a\xff", "a?" },         { "\xc3\xbc\xc3", "\xc3\xbc?" },
		{ "\xe2\x82", "??" },      { "\x80\xe2\x82\xac", "?\xe2\x82\xac" },
		{ "\xed\xa0\x80", "???" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct thing t = { 0 };
		json_t *j;

		assert_true(str_copy(t.name, sizeof(t.name), cases[i].in));
		t.text = strdup(cases[i].in);
		j = jfield_write(fields, &t);
		assert_string_equal(json_string_value(json_object_get(j, "name")), cases[i].out);
		assert_string_equal(json_string_value(json_object_get(j, "text")), cases[i].out);
		json_decref(j);
		jfield_finish(fields, &t);
	}
}

static bool
round_trip(void *arg)
{
	static const char text[] = "{\"name\":\"n\",\"text\":\"t\",\"number\":7,\"list\":[1,{}]}";
	struct thing t = { 0 };
	json_t *j = NULL, *back = NULL;
	char *printed = NULL;
	struct fault f;

	(void)arg;
	if (json_parse(text, strlen(text), &j, &f) == ERR_OK &&
	    jfield_read(fields, j, "", &t, &f) == ERR_OK) {
		/* Not UTF-8: needs a copy. */
		t.name[0] = (char)0xff;
		back = jfield_write(fields, &t);
		printed = back ? json_text(back) : NULL;
		jfield_finish(fields, &t);
	}
	json_decref(j);
	json_decref(back);
	free(printed);
	return printed != NULL;
}

static void
survives_lack_of_memory(void **state)
{
	(void)state;
	assert_true(oom_run(round_trip, NULL) > 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_or_says_why),
		cmocka_unit_test(a_mistake_does_not_show_the_text),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(a_million_brackets_do_not_recurse),
		cmocka_unit_test(prints_compactly),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(what_is_absent_stays_absent),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(bytes_that_are_not_text_become_question_marks),
		cmocka_unit_test(survives_lack_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
