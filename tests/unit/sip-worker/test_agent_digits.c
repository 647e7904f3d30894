/* Keys to entries. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "sip-worker/agent/digits.h"

/* Types keys; '.' is a gap that has passed. Writes what came of it: "12=0 " (candidate 0),
 * "9! " (no match), "_" (waits). */
static void
type(const char *keys, const char *const *candidates, size_t count, char *out, size_t size)
{
	struct digits d = { 0 };
	char entered[DIGITS_MAX + 1];
	struct buf b;

	buf_init(&b, size);
	for (; *keys; keys++) {
		enum digits_result r;
		size_t index = 99;
		bool late = *keys == '.';

		if (!late)
			digits_add(&d, *keys, candidates, count);
		do {
			r = digits_take(&d, candidates, count, late, &index, entered);
			late = false;
			if (r == DIGITS_MATCH)
				buf_printf(&b, "%s=%zu ", entered, index);
			else if (r == DIGITS_NO_MATCH)
				buf_printf(&b, "%s! ", entered);
			else if (r == DIGITS_WAIT)
				buf_add_str(&b, "_");
		} while (r == DIGITS_MATCH || r == DIGITS_NO_MATCH);
	}
	str_copy(out, size, b.data ? b.data : "");
	buf_finish(&b);
}

static void
test_cases(void **state)
{
	static const char *const menu[] = { "1", "2", "0" };
	static const char *const longer[] = { "1", "12", "123", "9" };
	static const char *const gap[] = { "1", "123" };
	static const char *const odd[] = { "*", "#", "*1#", "A" };
	static const struct {
		const char *const *candidates;
		size_t count;
		const char *keys, *result;
	} cases[] = {
		{ menu, 3, "1", "1=0 " },
		{ menu, 3, "2", "2=1 " },
		{ menu, 3, "7", "7! " },
		{ menu, 3, "10", "1=0 0=2 " },
		{ menu, 3, "#", "" },
		{ menu, 3, "1#", "1=0 " },
		{ menu, 3, ".", "" },
		{ menu, 3, "x", "" },
		{ menu, 0, "5", "5! " },
		{ longer, 4, "1", "_" },
		{ longer, 4, "1.", "_1=0 " },
		{ longer, 4, "12", "__" },
		{ longer, 4, "12.", "__12=1 " },
		{ longer, 4, "123", "__123=2 " },
		{ longer, 4, "1#", "_1=0 " },
		{ longer, 4, "12#", "__12=1 " },
		{ longer, 4, "19", "_1=0 9=3 " },
		{ longer, 4, "125", "__12=1 5! " },
		{ longer, 4, "9", "9=3 " },
		{ gap, 2, "12.", "__1=0 2! " },
		{ gap, 2, "12#", "__12! " },
		{ gap, 2, "124", "__1=0 24! " },
		{ odd, 4, "*", "_" },
		{ odd, 4, "*.", "_*=0 " },
		{ odd, 4, "#", "#=1 " },
		{ odd, 4, "*1#", "__*1#=2 " },
		{ odd, 4, "A", "A=3 " },
		{ odd, 4, "B", "B! " },
	};
	char out[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		type(cases[i].keys, cases[i].candidates, cases[i].count, out, sizeof(out));
		if (strcmp(out, cases[i].result) != 0)
			fail_msg("case %zu, keys %s: got \"%s\", want \"%s\"", i, cases[i].keys,
				 out, cases[i].result);
	}
}

static void
test_limit(void **state)
{
	static const char *const far[] = { "1111111111111111111111111111111111111111" };
	struct digits d = { 0 };
	char entered[DIGITS_MAX + 1];
	size_t index;

	(void)state;
	for (int i = 0; i < 100; i++)
		digits_add(&d, '1', far, 1);
	assert_int_equal(d.len, DIGITS_MAX);
	assert_int_equal(digits_take(&d, far, 1, false, &index, entered), DIGITS_WAIT);
	assert_int_equal(digits_take(&d, far, 1, true, &index, entered), DIGITS_NO_MATCH);
	assert_int_equal(strlen(entered), DIGITS_MAX);
	assert_int_equal(digits_take(&d, far, 1, true, &index, entered), DIGITS_NONE);
	digits_add(&d, '1', far, 1);
	digits_clear(&d);
	assert_int_equal(digits_take(&d, far, 1, true, &index, entered), DIGITS_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
