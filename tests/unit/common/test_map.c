#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"
#include "tests/fakes/oom.h"

#define MANY 5000

static int values[MANY];

static void
key_of(int i, char out[16])
{
	(void)str_print(out, 16, "key-%d", i);
}

static void
holds_many(void **state)
{
	struct map *m = map_create();
	char key[16];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		key_of(i, key);
		assert_true(map_put(m, key, &values[i]));
		memset(key, '?', sizeof(key)); /* keys are copied */
	}
	assert_int_equal(map_count(m), MANY);
	for (int i = 0; i < MANY; i++) {
		key_of(i, key);
		assert_ptr_equal(map_find(m, key), &values[i]);
	}
	assert_null(map_find(m, "key-5000"));
	assert_null(map_find(m, ""));
	for (int i = 0; i < MANY; i += 2) {
		key_of(i, key);
		assert_ptr_equal(map_remove(m, key), &values[i]);
		assert_null(map_remove(m, key));
	}
	for (int i = 0; i < MANY; i++) {
		key_of(i, key);
		assert_ptr_equal(map_find(m, key), i % 2 ? &values[i] : NULL);
	}
	assert_int_equal(map_count(m), MANY / 2);
	map_destroy(m);
	map_destroy(NULL);
}

static void
replaces(void **state)
{
	struct map *m = map_create();

	(void)state;
	assert_true(map_put(m, "a", &values[0]));
	assert_true(map_put(m, "a", &values[1]));
	assert_int_equal(map_count(m), 1);
	assert_ptr_equal(map_find(m, "a"), &values[1]);
	assert_true(map_put(m, "", &values[2]));
	assert_ptr_equal(map_remove(m, ""), &values[2]);
	map_destroy(m);
}

struct visit {
	struct map *m;
	int seen, stop_at;
	bool remove;
};

static bool
visit_one(const char *key, void *value, void *arg)
{
	struct visit *v = arg;
	char copy[16];

	v->seen++;
	(void)str_copy(copy, sizeof(copy), key);
	if (v->remove)
		assert_ptr_equal(map_remove(v->m, copy), value);
	return v->seen != v->stop_at;
}

static void
visits_and_removes(void **state)
{
	struct visit v = { .m = map_create() };
	char key[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		key_of(i, key);
		assert_true(map_put(v.m, key, &values[i]));
	}
	map_each(v.m, visit_one, &v);
	assert_int_equal(v.seen, 100);
	v = (struct visit){ .m = v.m, .stop_at = 7 };
	map_each(v.m, visit_one, &v);
	assert_int_equal(v.seen, 7);
	v = (struct visit){ .m = v.m, .remove = true };
	map_each(v.m, visit_one, &v);
	assert_int_equal(v.seen, 100);
	assert_int_equal(map_count(v.m), 0);
	map_destroy(v.m);
}

static bool
fill(void *arg)
{
	struct map *m = map_create();
	bool ok = m != NULL;
	char key[16];

	(void)arg;
	for (int i = 0; ok && i < 40; i++) {
		key_of(i, key);
		ok = map_put(m, key, &values[i]);
		/* A failed put changes nothing. */
		if (!ok && (map_find(m, key) || map_count(m) != (size_t)i))
			abort();
	}
	map_destroy(m);
	return ok;
}

static void
survives_lack_of_memory(void **state)
{
	(void)state;
	assert_true(oom_run(fill, NULL) > 40);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_many),
		cmocka_unit_test(replaces),
		cmocka_unit_test(visits_and_removes),
		cmocka_unit_test(survives_lack_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
