#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/call_event.h"
#include "common/err.h"

static void
every_error_has_its_words(void **state)
{
	(void)state;
	for (int i = 0; i < ERR_COUNT; i++) {
		enum err back = ERR_COUNT;
		char http[4];

		assert_true(strlen(err_name((enum err)i)) > 1);
		assert_true(strlen(err_text((enum err)i)) > 1);
		assert_true(err_from_name(err_name((enum err)i), &back));
		assert_int_equal(back, i);
		assert_in_range(err_http((enum err)i), 200, 503);
		/* The contract's code starts with the status. */
		http[0] = (char)('0' + err_http((enum err)i) / 100);
		http[1] = (char)('0' + err_http((enum err)i) / 10 % 10);
		http[2] = (char)('0' + err_http((enum err)i) % 10);
		http[3] = '\0';
		if (i != ERR_OK)
			assert_memory_equal(err_code((enum err)i), http, 3);
	}
	assert_string_equal(err_name(ERR_CONFLICT), "CONFLICT");
	assert_string_equal(err_code(ERR_CONFLICT), "409-01");
	assert_int_equal(err_http(ERR_UNAUTHORIZED), 401);
	/* A number from nowhere is a fault of ours. */
	assert_string_equal(err_name((enum err)999), "INTERNAL");
}

static void
unknown_names_are_refused(void **state)
{
	enum err e = ERR_GONE;

	(void)state;
	assert_false(err_from_name("NOPE", &e));
	assert_false(err_from_name("ok", &e));
	assert_false(err_from_name("", &e));
	assert_false(err_from_name(NULL, &e));
	assert_int_equal(e, ERR_GONE);
}

static void
errno_becomes_ours(void **state)
{
	static const struct {
		int num;
		enum err e;
	} cases[] = {
		{ 0, ERR_OK },
		{ ENOMEM, ERR_NOMEM },
		{ EAGAIN, ERR_BUSY },
		{ EMFILE, ERR_BUSY },
		{ EPIPE, ERR_CLOSED },
		{ ECONNRESET, ERR_CLOSED },
		{ ECONNREFUSED, ERR_CLOSED },
		{ ETIMEDOUT, ERR_TIMEOUT },
		{ ENOENT, ERR_NOT_FOUND },
		{ EACCES, ERR_FORBIDDEN },
		{ EADDRINUSE, ERR_CONFLICT },
		{ EMSGSIZE, ERR_TOO_LARGE },
		{ EINVAL, ERR_INVALID },
		{ EIO, ERR_IO },
		{ 9999, ERR_IO },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(err_from_errno(cases[i].num), cases[i].e);
}

static void
faults_are_cut_not_overrun(void **state)
{
	struct fault f;
	char longer[1000];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	fault_set(&f, longer, "%s", longer);
	assert_int_equal(strlen(f.where), sizeof(f.where) - 1);
	assert_int_equal(strlen(f.what), sizeof(f.what) - 1);
	fault_set(&f, "/a/b", "expected %s", "x");
	assert_string_equal(f.where, "/a/b");
	assert_string_equal(f.what, "expected x");
	fault_set(NULL, "", "nobody cares");
}

static void
call_events_have_distinct_names(void **state)
{
	(void)state;
	for (int i = 0; i < CALL_EVENT_COUNT; i++) {
		assert_non_null(call_event_names[i]);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(call_event_names[i], call_event_names[k]);
	}
	assert_null(call_event_names[CALL_EVENT_COUNT]);
	assert_string_equal(call_event_names[CALL_EVENT_LOST], "lost");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_its_words),
		cmocka_unit_test(unknown_names_are_refused),
		cmocka_unit_test(errno_becomes_ours),
		cmocka_unit_test(faults_are_cut_not_overrun),
		cmocka_unit_test(call_events_have_distinct_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
