/* API keys: who is let in, and as whom. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "api-server/http/auth.h"
#include "common/id.h"

static char one[] = "one", two[] = "two", id_a[] = "id-a", id_b[] = "id-b", ops[] = "ops";
static char old_text[] = "old-secret", new_text[] = "new-secret", b_text[] = "b-secret",
	    ops_text[] = "ops-secret", empty[] = "";

#define SECRET(t)                                 \
	{                                         \
		.text = (t), .len = sizeof(t) - 1 \
	}

static struct api_key keys_one[] = {
	{ .id = id_a, .secret = SECRET(old_text) },
	{ .id = id_a, .secret = SECRET(new_text) },
};
static struct api_key keys_two[] = {
	{ .id = id_b, .secret = SECRET(b_text) },
	{ .id = empty, .secret = SECRET(empty) },
};
static struct account accounts[] = {
	{ .name = one, .api_keys = keys_one, .api_key_count = 2 },
	{ .name = two, .api_keys = keys_two, .api_key_count = 2 },
};
static struct operator_key operators[] = { { .id = ops, .secret = SECRET(ops_text) } };

static struct config cfg = {
	.accounts = accounts,
	.account_count = 2,
	.operators = operators,
	.operator_count = 1,
};

static void
test_keys(void **state)
{
	struct auth *a = auth_create(&cfg);
	struct auth_key *old, *new;

	(void)state;
	assert_non_null(a);
	old = auth_check(a, "id-a", "old-secret");
	new = auth_check(a, "id-a", "new-secret");
	assert_non_null(old);
	assert_non_null(new);
	assert_string_equal(old->account, "one");
	assert_ptr_equal(old->bucket_of, new->bucket_of);
	assert_string_equal(auth_check(a, "id-b", "b-secret")->account, "two");
	assert_true(auth_check(a, "ops", "ops-secret")->operator_key);
	assert_false(old->operator_key);
	auth_destroy(a);
}

static void
test_wrong(void **state)
{
	struct auth *a = auth_create(&cfg);

	(void)state;
	assert_null(auth_check(a, "id-a", "b-secret"));
	assert_null(auth_check(a, "id-a", "old-secre"));
	assert_null(auth_check(a, "id-a", "old-secret "));
	assert_null(auth_check(a, "id-a", ""));
	assert_null(auth_check(a, "ID-A", "old-secret"));
	assert_null(auth_check(a, "nobody", "old-secret"));
	assert_null(auth_check(a, NULL, "old-secret"));
	assert_null(auth_check(a, "id-a", NULL));
	assert_null(auth_check(a, NULL, NULL));
	assert_null(auth_check(a, "", "")); /* even where a configuration says so */
	auth_destroy(a);
}

static void
test_basic(void **state)
{
	struct auth *a = auth_create(&cfg);
	char longer[1000] = "Basic ";

	(void)state;
	assert_true(auth_check_basic(a, "Basic b3BzOm9wcy1zZWNyZXQ=")->operator_key);
	assert_true(auth_check_basic(a, "basic b3BzOm9wcy1zZWNyZXQ=")->operator_key);
	assert_null(auth_check_basic(a, "Basic b3BzOm9wcy1zZWNyZXR4"));     /* …x */
	assert_null(auth_check_basic(a, "Basic b3Bz"));                     /* no colon */
	assert_null(auth_check_basic(a, "Basic b3BzOm9wcy1zZWNyZXQAeA==")); /* NUL within */
	assert_null(auth_check_basic(a, "Basic ???"));
	assert_null(auth_check_basic(a, "Bearer b3BzOm9wcy1zZWNyZXQ="));
	assert_null(auth_check_basic(a, "Basic "));
	assert_null(auth_check_basic(a, NULL));
	memset(longer + 6, 'A', sizeof(longer) - 7);
	assert_null(auth_check_basic(a, longer));
	auth_destroy(a);
}

static void
test_empty(void **state)
{
	static const struct config none = { 0 };
	struct auth *a = auth_create(&none);

	(void)state;
	assert_non_null(a);
	assert_null(auth_check(a, "id-a", "old-secret"));
	auth_destroy(a);
	auth_destroy(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_empty),
	};

	return id_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
