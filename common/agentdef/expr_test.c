/* What may stand behind `is`. */
#include "common/agentdef/expr_internal.h"

#include <string.h>

/* clang-format off */
static bool t_none(const json_t *v) { return json_is_null(v); }
static bool t_defined(const json_t *v) { return v != &value_undefined; }
static bool t_undefined(const json_t *v) { return v == &value_undefined; }
static bool t_true(const json_t *v) { return json_is_true(v); }
static bool t_false(const json_t *v) { return json_is_false(v); }
static bool t_boolean(const json_t *v) { return json_is_boolean(v); }
static bool t_string(const json_t *v) { return json_is_string(v); }
static bool t_number(const json_t *v) { return json_is_number(v); }
static bool t_integer(const json_t *v) { return json_is_integer(v); }
static bool t_float(const json_t *v) { return json_is_real(v); }
static bool t_mapping(const json_t *v) { return json_is_object(v); }
static bool t_sequence(const json_t *v) { return json_is_array(v) || json_is_string(v); }

static const struct test tests[] = {
	{ "boolean",   t_boolean },
	{ "defined",   t_defined },
	{ "false",     t_false },
	{ "float",     t_float },
	{ "integer",   t_integer },
	{ "mapping",   t_mapping },
	{ "none",      t_none },
	{ "None",      t_none },
	{ "number",    t_number },
	{ "sequence",  t_sequence },
	{ "string",    t_string },
	{ "true",      t_true },
	{ "undefined", t_undefined },
};
/* clang-format on */

const struct test *
test_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		if (strcmp(tests[i].name, name) == 0)
			return &tests[i];
	return NULL;
}
