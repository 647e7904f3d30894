#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "tests/fakes/oom.h"

static void
copies_and_reports_truncation(void **state)
{
	char out[4];

	(void)state;
	assert_true(str_copy(out, sizeof(out), "abc"));
	assert_string_equal(out, "abc");
	assert_false(str_copy(out, sizeof(out), "abcd"));
	assert_string_equal(out, "abc");
	assert_true(str_copy(out, sizeof(out), NULL));
	assert_string_equal(out, "");
	assert_false(str_copy(out, 0, "x"));
	assert_true(str_print(out, sizeof(out), "%d", 123));
	assert_false(str_print(out, sizeof(out), "%d", 1234));
	assert_string_equal(out, "123");
}

static void
compares(void **state)
{
	(void)state;
	assert_true(str_eq(NULL, NULL));
	assert_false(str_eq(NULL, ""));
	assert_true(str_eq("a", "a"));
	assert_false(str_eq("a", "A"));
	assert_true(str_eq_nocase("aB", "Ab"));
	assert_false(str_eq_nocase("a", NULL));
	assert_true(str_starts("sip:x", "sip:"));
	assert_false(str_starts("sip", "sip:"));
	assert_false(str_starts(NULL, "sip:"));
	assert_true(str_starts_nocase("SIP:x", "sip:"));
}

static void
reads_integers(void **state)
{
	static const struct {
		const char *text;
		int64_t min, max;
		bool ok;
		int64_t value;
	} cases[] = {
		{ "0", 0, 9, true, 0 },
		{ "-5", -9, 9, true, -5 },
		{ "10", 0, 9, false, 0 },
		{ "-1", 0, 9, false, 0 },
		{ "", 0, 9, false, 0 },
		{ "-", -9, 9, false, 0 },
		{ "--1", -9, 9, false, 0 },
		{ "+1", 0, 9, false, 0 },
		{ " 1", 0, 9, false, 0 },
		{ "1 ", 0, 9, false, 0 },
		{ "1x", 0, 9, false, 0 },
		{ "0x1", 0, 9, false, 0 },
		{ "9223372036854775807", INT64_MIN, INT64_MAX, true, INT64_MAX },
		{ "-9223372036854775808", INT64_MIN, INT64_MAX, true, INT64_MIN },
		{ "9223372036854775808", INT64_MIN, INT64_MAX, false, 0 },
		{ NULL, 0, 9, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t v = 77;

		assert_int_equal(str_to_int64(cases[i].text, cases[i].min, cases[i].max, &v),
				 cases[i].ok);
		assert_int_equal(v, cases[i].ok ? cases[i].value : 77);
	}
}

static void
knows_utf8(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} cases[] = {
		{ "", true },
		{ "plain", true },
		{ "gr\xc3\xbc\xc3\x9f", true },
		{ "\xe2\x82\xac", true },
		{ "\xf0\x9f\x93\x9e", true },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "\xf4\x90\x80\x80", false }, /* above U+10FFFF */
		{ "\xc0\xaf", false },         /* overlong */
		{ "\xe0\x80\xaf", false },
		{ "\xf0\x80\x80\xaf", false },
		{ "\xed\xa0\x80", false }, /* surrogate */
		{ "\xc3", false },
		{ "\xe2\x82", false },
		{ "\x80", false },
		{ "\xff", false },
		{ "\xc3(", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(str_is_utf8(cases[i].text, strlen(cases[i].text)), cases[i].ok);
	assert_false(str_is_utf8("a\0b", 3));
	assert_true(str_has_control("a\tb"));
	assert_true(str_has_control("\x7f"));
	assert_false(str_has_control("a b\xc3\xbc"));
	assert_false(str_has_control(NULL));
}

static void
buffer_grows_up_to_its_maximum(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_string_equal(b.data, "");
	buf_add_str(&b, "hello");
	buf_printf(&b, "%05d", 42);
	assert_false(b.failed);
	assert_string_equal(b.data, "hello00042");
	assert_int_equal(b.len, 10);
	buf_add(&b, "x", 1);
	assert_true(b.failed);
	assert_string_equal(b.data, "hello00042");
	assert_null(buf_take(&b));
	assert_int_equal(b.len, 0);
	buf_reset(&b);
	buf_add_str(&b, "again");
	assert_string_equal(b.data, "again");
	buf_reset(&b);
	assert_string_equal(b.data, "");
	buf_printf(&b, "%s", "eleven bytes");
	assert_true(b.failed);
	buf_finish(&b);
	buf_finish(&b);
}

static void
buffer_hands_its_text_over(void **state)
{
	struct buf b, zero = { 0 };
	char *text;

	(void)state;
	buf_init(&b, 100000);
	text = buf_take(&b);
	assert_string_equal(text, "");
	free(text);
	for (int i = 0; i < 10000; i++)
		buf_add(&b, "ab", 2);
	assert_int_equal(b.len, 20000);
	text = buf_take(&b);
	assert_int_equal(strlen(text), 20000);
	free(text);
	assert_int_equal(b.len, 0);
	buf_finish(&zero);
	buf_add(&zero, "x", 1);
	assert_true(zero.failed);
}

static bool
build_text(void *arg)
{
	struct buf b;
	char *text;

	(void)arg;
	buf_init(&b, 10000);
	for (int i = 0; i < 100; i++)
		buf_printf(&b, "%d,", i * 1000);
	text = buf_take(&b);
	free(text);
	return text != NULL;
}

static void
buffer_survives_lack_of_memory(void **state)
{
	(void)state;
	assert_true(oom_run(build_text, NULL) > 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_and_reports_truncation),
		cmocka_unit_test(compares),
		cmocka_unit_test(reads_integers),
		cmocka_unit_test(knows_utf8),
		cmocka_unit_test(buffer_grows_up_to_its_maximum),
		cmocka_unit_test(buffer_hands_its_text_over),
		cmocka_unit_test(buffer_survives_lack_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
