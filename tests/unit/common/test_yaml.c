#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/jfield.h"
#include "common/str.h"
#include "common/yaml.h"
#include "tests/fakes/oom.h"

/* The tree as JSON text, or "where: what". */
static const char *
read_as(const char *text, char out[1024])
{
	struct fault f = { 0 };
	struct ynode *n = yaml_parse(text, strlen(text), "f", true, &f);
	json_t *j = n ? yaml_to_json(n) : NULL;
	char *s = j ? json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

	if (s)
		str_copy(out, 1024, s);
	else
		str_print(out, 1024, "%s: %s", f.where, f.what);
	free(s);
	json_decref(j);
	yaml_destroy(n);
	return out;
}

static void
test_values(void **state)
{
	/* clang-format off */
	static const struct { const char *yaml, *json; } cases[] = {
		{ "", "{}" },
		{ "# nothing\n", "{}" },
		{ "a: 1\nb: [x, 'y', \"z\", 2.5, ~, true, '1']", "{\"a\":1,\"b\":[\"x\",\"y\",\"z\",2.5,null,true,\"1\"]}" },
		{ "a: {b: {c: d}}", "{\"a\":{\"b\":{\"c\":\"d\"}}}" },
		{ "a: |\n  one\n  two\n", "{\"a\":\"one\\ntwo\\n\"}" },
		{ "a: ${HB_SET}", "{\"a\":\"value\"}" },
		{ "a: \"x${HB_SET}y\"", "{\"a\":\"xvaluey\"}" },
		{ "a: ${HB_UNSET:-5}", "{\"a\":5}" },
		{ "a: \"${HB_UNSET:-}\"", "{\"a\":\"\"}" },
		{ "a: $$x$", "{\"a\":\"$x$\"}" },
		{ "a: 1e3", "{\"a\":1000.0}" },
		{ "a: 0123", "{\"a\":123}" },
		{ "a: 99999999999999999999", "{\"a\":1e20}" },
		{ "a: 1.2.3", "{\"a\":\"1.2.3\"}" },
	};
	/* clang-format on */
	char out[1024];

	(void)state;
	setenv("HB_SET", "value", 1);
	unsetenv("HB_UNSET");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(read_as(cases[i].yaml, out), cases[i].json);
}

static void
test_mistakes(void **state)
{
	/* clang-format off */
	static const struct { const char *yaml, *where, *what; } cases[] = {
		{ "a: 1\na: 2", "f:2", "the key \"a\" stands here twice" },
		{ "a: &x 1\nb: *x", "f:1", "anchors and tags are not supported" },
		{ "a: !!str 1", "f:1", "anchors and tags are not supported" },
		{ "a: 1\n<<: {b: 1}", "f:2", "merge keys are not supported" },
		{ "a: [1, 2", "f:2", "did not find expected ',' or ']', while parsing a flow sequence (begun in line 1)" },
		{ "a: ${HB_UNSET}", "f:1", "${HB_UNSET} is not set in the environment and has no default" },
		{ "\n\na: ${", "f:3", "${ without }" },
		{ "a: 1\n---\nb: 2", "f:2", "one document to a file" },
		{ "? [a, b]\n: 1", "f:1", "a key must be plain text" },
	};
	/* clang-format on */

	(void)state;
	unsetenv("HB_UNSET");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fault f = { 0 };

		assert_null(yaml_parse(cases[i].yaml, strlen(cases[i].yaml), "f", true, &f));
		assert_string_equal(f.where, cases[i].where);
		assert_string_equal(f.what, cases[i].what);
	}
}

static void
test_limits(void **state)
{
	char deep[256] = { 0 }, out[1024];
	struct fault f = { 0 };

	(void)state;
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	read_as(deep, out);
	assert_string_equal(out, "f:1: nested too deeply");
	assert_null(yaml_parse("a: \"x\0y\"", 9, "f", false, &f));
}

static bool
parse_once(void *arg)
{
	static const char text[] = "a: { b: [ 1, two, \"${HB_SET}\" ] }\nc: d\n";
	struct fault f = { 0 };
	struct ynode *n = yaml_parse(text, sizeof(text) - 1, "f", true, &f);

	(void)arg;
	if (!n)
		return false;
	yaml_destroy(n);
	return true;
}

static void
test_out_of_memory(void **state)
{
	(void)state;
	setenv("HB_SET", "value", 1);
	assert_true(oom_run(parse_once, NULL) > 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
