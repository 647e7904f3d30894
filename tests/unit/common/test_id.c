#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/secret.h"
#include "tests/fakes/oom.h"

static void
ids_have_their_form(void **state)
{
	char uuid[ID_UUID_SIZE], token[ID_TOKEN_SIZE], hex[9];

	(void)state;
	assert_true(id_init());
	assert_true(id_init());
	for (int i = 0; i < 100; i++) {
		assert_int_equal(strlen(id_uuid(uuid)), 36);
		assert_int_equal(uuid[14], '4');
		assert_non_null(strchr("89ab", uuid[19]));
		assert_true(uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' &&
			    uuid[23] == '-');
		assert_int_equal(strspn(uuid, "0123456789abcdef-"), 36);
		assert_int_equal(strspn(id_token(token), "0123456789abcdef"), 32);
		assert_int_equal(token[32], '\0');
	}
	assert_string_equal(id_hex(hex, "\x00\x7f\xff\x1a", 4), "007fff1a");
	assert_string_equal(id_hex(hex, "", 0), "");
}

static void
ids_do_not_repeat(void **state)
{
	static char seen[500][ID_TOKEN_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
		id_token(seen[i]);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(seen[i], seen[k]);
	}
}

static void
secrets_compare(void **state)
{
	char text[] = "wipe";
	struct secret s = { 0 };

	(void)state;
	assert_false(secret_equal(&s, "", 0));
	assert_true(secret_set(&s, "pass", 4));
	assert_string_equal(s.text, "pass");
	assert_true(secret_equal(&s, "pass", 4));
	assert_false(secret_equal(&s, "pasS", 4));
	assert_false(secret_equal(&s, "passw", 5));
	assert_false(secret_equal(&s, "pas", 3));
	assert_false(secret_equal(&s, NULL, 4));
	assert_false(secret_equal(NULL, "pass", 4));
	assert_true(secret_set(&s, "", 0));
	assert_true(secret_equal(&s, "", 0));
	secret_wipe(text, 3);
	assert_memory_equal(text, "\0\0\0e", 4);
	secret_finish(&s);
	assert_null(s.text);
	secret_finish(&s);
}

static bool
set_twice(void *arg)
{
	struct secret s = { 0 };
	bool ok = secret_set(&s, "one", 3) && secret_set(&s, "three", 5);

	(void)arg;
	secret_finish(&s);
	return ok;
}

static void
secrets_survive_lack_of_memory(void **state)
{
	struct secret s = { 0 };

	(void)state;
	assert_true(oom_run(set_twice, NULL) >= 2);
	assert_true(secret_set(&s, "old", 3));
	oom_fail(1, false);
	assert_false(secret_set(&s, "new", 3));
	assert_true(oom_stop());
	assert_string_equal(s.text, "old");
	secret_finish(&s);
}

static void
clocks_run(void **state)
{
	int64_t a = clock_mono_ns(), b = clock_mono_ns();
	int64_t ms = clock_mono_ms();

	(void)state;
	assert_true(b >= a);
	assert_true(ms >= b / 1000000);
	assert_true(llabs(clock_wall_ms() / 1000 - (int64_t)time(NULL)) <= 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_have_their_form),
		cmocka_unit_test(ids_do_not_repeat),
		cmocka_unit_test(secrets_compare),
		cmocka_unit_test(secrets_survive_lack_of_memory),
		cmocka_unit_test(clocks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
