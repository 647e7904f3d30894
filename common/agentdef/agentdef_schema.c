/* The part of JSON Schema that parameters use: type, required, enum, properties, items,
 * additionalProperties: false.  Other words are kept for a language model and not judged. */
#include "common/agentdef/agentdef_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA_DEPTH_MAX 16

struct type_name {
	const char *name, *text;
};

/* clang-format off */
static const struct type_name types[] = {
	{ "string", "a string" }, { "number", "a number" }, { "integer", "a whole number" },
	{ "boolean", "true or false" }, { "object", "an object" }, { "array", "a list" },
	{ "null", "null" },
};
/* clang-format on */

static const struct type_name *
find_type(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq(types[i].name, name))
			return &types[i];
	return NULL;
}

/* --- is the schema one? --- */

struct schema_check {
	char *what;
	size_t size;
};

PRINTF(2, 3)
static bool
wrong(const struct schema_check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(c->what, c->size, fmt, ap);
	va_end(ap);
	return false;
}

static bool
good_type(const struct schema_check *c, const json_t *type)
{
	if (!type || (json_is_string(type) && find_type(json_string_value(type))))
		return true;
	if (!json_is_array(type) || json_array_size(type) == 0)
		return wrong(c, "type: expected string, number, integer, boolean, object, array "
				"or null");
	for (size_t i = 0; i < json_array_size(type); i++) {
		const json_t *one = json_array_get(type, i);

		if (!json_is_string(one) || !good_type(c, one))
			return wrong(c, "type: expected names of types in the list");
	}
	return true;
}

static bool
good_required(const struct schema_check *c, const json_t *required, const json_t *properties)
{
	if (required && !json_is_array(required))
		return wrong(c, "required: expected a list of names");
	for (size_t i = 0; i < json_array_size(required); i++) {
		const char *name = json_string_value(json_array_get(required, i));

		if (!name)
			return wrong(c, "required: expected a list of names");
		if (!json_object_get(properties, name))
			return wrong(c, "required: \"%.60s\" is not among the properties", name);
	}
	return true;
}

static bool
good_schema(const struct schema_check *c, const json_t *schema, unsigned depth)
{
	json_t *properties = json_object_get(schema, "properties"), *one;
	const json_t *list = json_object_get(schema, "enum");
	const json_t *items = json_object_get(schema, "items");
	const json_t *more = json_object_get(schema, "additionalProperties");
	const char *name;

	if (depth == 0)
		return wrong(c, "nested too deeply");
	if (!json_is_object(schema))
		return wrong(c, "expected a schema: an object with type, properties, …");
	if (properties && !json_is_object(properties))
		return wrong(c, "properties: expected an object of schemas");
	if (list && (!json_is_array(list) || json_array_size(list) == 0))
		return wrong(c, "enum: expected a list of values");
	if (more && !json_is_boolean(more) && !json_is_object(more))
		return wrong(c, "additionalProperties: expected true, false or a schema");
	json_object_foreach(properties, name,
			    one) if (!good_schema(c, one, depth - 1)) return false;
	return good_type(c, json_object_get(schema, "type")) &&
	       good_required(c, json_object_get(schema, "required"), properties) &&
	       (!items || good_schema(c, items, depth - 1));
}

bool
schema_is_good(const json_t *schema, char *what, size_t size)
{
	struct schema_check c = { what, size };
	const char *type = json_string_value(json_object_get(schema, "type"));

	if (!good_schema(&c, schema, SCHEMA_DEPTH_MAX))
		return false;
	return str_eq(type, "object") || wrong(&c, "type: expected object");
}

/* --- do the arguments follow it? --- */

struct check {
	bool is_static; /* strings with {{ or {% may become anything */
	struct fault *f;
	char path[128];
};

static bool
is_type(const json_t *v, const char *type)
{
	switch (json_typeof(v)) {
	case JSON_STRING:
		return str_eq(type, "string");
	case JSON_INTEGER:
		return str_eq(type, "integer") || str_eq(type, "number");
	case JSON_REAL:
		return str_eq(type, "number");
	case JSON_TRUE:
	case JSON_FALSE:
		return str_eq(type, "boolean");
	case JSON_OBJECT:
		return str_eq(type, "object");
	case JSON_ARRAY:
		return str_eq(type, "array");
	case JSON_NULL:
		break;
	}
	return str_eq(type, "null");
}

static bool
fits_type(const json_t *v, const json_t *type)
{
	if (!type)
		return true;
	if (json_is_string(type))
		return is_type(v, json_string_value(type));
	for (size_t i = 0; i < json_array_size(type); i++)
		if (is_type(v, json_string_value(json_array_get(type, i))))
			return true;
	return false;
}

static bool
fits_enum(const json_t *v, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(v, json_array_get(list, i)))
			return true;
	return !list;
}

/* "high, normal" */
static const char *
list_text(const json_t *list, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < json_array_size(list) && len < size; i++) {
		char *text = expr_value_text(json_array_get(list, i));
		int n = snprintf(out + len, size - len, "%s%s", i ? ", " : "",
				 text ? text : "null");

		len += n > 0 ? (size_t)n : 0;
		free(text);
	}
	return out;
}

static enum err fits(struct check *c, const json_t *v, const json_t *schema, unsigned depth);

static enum err
bad(struct check *c, const char *what, const char *detail)
{
	fault_set(c->f, c->path, "%s%s", what, detail);
	return ERR_INVALID;
}

/* One level down, under `name`. */
static enum err
fits_at(struct check *c, const char *name, const json_t *v, const json_t *schema, unsigned depth)
{
	size_t len = strlen(c->path);
	enum err e;

	str_print(c->path + len, sizeof(c->path) - len, "/%s", name);
	e = fits(c, v, schema, depth);
	c->path[len] = '\0';
	return e;
}

static enum err
fits_object(struct check *c, const json_t *v, const json_t *schema, unsigned depth)
{
	const json_t *required = json_object_get(schema, "required");
	const json_t *properties = json_object_get(schema, "properties");
	bool closed = json_is_false(json_object_get(schema, "additionalProperties"));
	const char *name;
	json_t *value;

	for (size_t i = 0; i < json_array_size(required); i++) {
		name = json_string_value(json_array_get(required, i));
		if (!json_object_get(v, name))
			return bad(c, "missing: ", name);
	}
	json_object_foreach((json_t *)(uintptr_t)v, name, value)
	{
		const json_t *one = json_object_get(properties, name);
		enum err e = one ? fits_at(c, name, value, one, depth - 1) : ERR_OK;

		if (e != ERR_OK)
			return e;
		if (!one && closed)
			return bad(c, "not a parameter: ", name);
	}
	return ERR_OK;
}

static enum err
fits_array(struct check *c, const json_t *v, const json_t *schema, unsigned depth)
{
	const json_t *items = json_object_get(schema, "items");
	enum err e = ERR_OK;
	char index[24];

	for (size_t i = 0; items && e == ERR_OK && i < json_array_size(v); i++) {
		str_print(index, sizeof(index), "%zu", i);
		e = fits_at(c, index, json_array_get(v, i), items, depth - 1);
	}
	return e;
}

static bool
is_open(const struct check *c, const json_t *v)
{
	const char *s = c->is_static ? json_string_value(v) : NULL;

	return s && (strstr(s, "{{") || strstr(s, "{%") || strstr(s, "{#"));
}

static enum err
fits(struct check *c, const json_t *v, const json_t *schema, unsigned depth)
{
	const json_t *type = json_object_get(schema, "type");
	const json_t *list = json_object_get(schema, "enum");
	char text[200];

	if (depth == 0)
		return bad(c, "nested too deeply", "");
	if (is_open(c, v))
		return ERR_OK;
	if (!fits_type(v, type))
		return bad(c, "expected ",
			   json_is_string(type) ? find_type(json_string_value(type))->text
						: list_text(type, text, sizeof(text)));
	if (!fits_enum(v, list))
		return bad(c, "expected one of: ", list_text(list, text, sizeof(text)));
	if (json_is_object(v))
		return fits_object(c, v, schema, depth);
	return json_is_array(v) ? fits_array(c, v, schema, depth) : ERR_OK;
}

static enum err
check(const struct agent_function *fn, const json_t *args, bool is_static, struct fault *f)
{
	struct check c = { .is_static = is_static, .f = f };

	if (args && !json_is_object(args))
		return bad(&c, "expected an object of arguments", "");
	if (!fn->parameters)
		return ERR_OK;
	if (args)
		return fits(&c, args, fn->parameters, SCHEMA_DEPTH_MAX + 1);
	if (json_array_size(json_object_get(fn->parameters, "required")) > 0)
		return bad(&c, "missing: ",
			   json_string_value(
				   json_array_get(json_object_get(fn->parameters, "required"), 0)));
	return ERR_OK;
}

enum err
agentdef_check_args(const struct agent_function *fn, const json_t *args, struct fault *f)
{
	return check(fn, args, false, f);
}

enum err
check_static_args(const struct agent_function *fn, const json_t *with, struct fault *f)
{
	return check(fn, with, true, f);
}
