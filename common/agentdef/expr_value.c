/* What values are and how they compare; nothing here looks at a program. */
#include "common/agentdef/expr_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Counted like jansson's own null: never. */
json_t value_undefined = { JSON_NULL, (size_t)-1 };

const char *
value_kind(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "a map";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "true or false";
	case JSON_NULL:
		break;
	}
	return "none";
}

bool
expr_truth(const json_t *v)
{
	if (!v)
		return false;
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return json_object_size(v) > 0;
	case JSON_ARRAY:
		return json_array_size(v) > 0;
	case JSON_STRING:
		return json_string_length(v) > 0;
	case JSON_INTEGER:
		return json_integer_value(v) != 0;
	case JSON_REAL:
		return json_real_value(v) != 0;
	case JSON_TRUE:
		return true;
	case JSON_FALSE:
	case JSON_NULL:
		break;
	}
	return false;
}

bool
value_number(const json_t *v, double *out)
{
	if (json_is_boolean(v))
		*out = json_is_true(v);
	else if (json_is_number(v))
		*out = json_number_value(v);
	else
		return false;
	return true;
}

static int
order_strings(const json_t *a, const json_t *b)
{
	size_t la = json_string_length(a), lb = json_string_length(b);
	int d = memcmp(json_string_value(a), json_string_value(b), la < lb ? la : lb);

	return d ? (d > 0) - (d < 0) : (la > lb) - (la < lb);
}

bool
value_order(const json_t *a, const json_t *b, int *out)
{
	double x, y;

	if (json_is_string(a) && json_is_string(b)) {
		*out = order_strings(a, b);
		return true;
	}
	/* Beyond 2^53 doubles would call different integers equal. */
	if (json_is_integer(a) && json_is_integer(b)) {
		json_int_t i = json_integer_value(a), k = json_integer_value(b);

		*out = (i > k) - (i < k);
		return true;
	}
	if (!value_number(a, &x) || !value_number(b, &y))
		return false;
	*out = (x > y) - (x < y);
	return true;
}

static bool
equal_arrays(struct eval *e, const json_t *a, const json_t *b, unsigned depth)
{
	size_t count = json_array_size(a);

	if (count != json_array_size(b))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!value_equal(e, json_array_get(a, i), json_array_get(b, i), depth))
			return false;
	return true;
}

static bool
equal_objects(struct eval *e, const json_t *a, const json_t *b, unsigned depth)
{
	json_t *mine = (json_t *)(uintptr_t)a;
	const char *key;
	json_t *value;

	if (json_object_size(a) != json_object_size(b))
		return false;
	json_object_foreach(mine, key, value)
	{
		const json_t *other = json_object_get(b, key);

		if (!other || !value_equal(e, value, other, depth))
			return false;
	}
	return true;
}

bool
value_equal(struct eval *e, const json_t *a, const json_t *b, unsigned depth)
{
	int order;

	if (!eval_step(e))
		return false;
	if (depth == 0) {
		eval_fail(e, "the values are nested too deeply to be compared");
		return false;
	}
	if (json_is_array(a) && json_is_array(b))
		return equal_arrays(e, a, b, depth - 1);
	if (json_is_object(a) && json_is_object(b))
		return equal_objects(e, a, b, depth - 1);
	if (json_is_null(a) || json_is_null(b))
		return json_is_null(a) && json_is_null(b);
	return value_order(a, b, &order) && order == 0;
}

/* --- copies --- */

static json_t *
copy_array(struct eval *e, const json_t *v, unsigned depth)
{
	json_t *out = json_array();

	for (size_t i = 0; out && i < json_array_size(v); i++) {
		json_t *item = value_copy(e, json_array_get(v, i), depth);

		if (!item || json_array_append_new(out, item) != 0) {
			json_decref(out);
			out = NULL;
		}
	}
	return out;
}

static json_t *
copy_object(struct eval *e, const json_t *v, unsigned depth)
{
	json_t *out = json_object(), *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)v, key, value)
	{
		json_t *item = out ? value_copy(e, value, depth) : NULL;

		if (!item || json_object_set_new(out, key, item) != 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

json_t *
value_copy(struct eval *e, const json_t *v, unsigned depth)
{
	if (!eval_step(e))
		return NULL;
	if (depth == 0)
		return eval_fail(e, "the value is nested too deeply");
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return eval_checked(e, copy_object(e, v, depth - 1));
	case JSON_ARRAY:
		return eval_checked(e, copy_array(e, v, depth - 1));
	case JSON_STRING:
		return eval_checked(
			e, json_stringn_nocheck(json_string_value(v), json_string_length(v)));
	case JSON_INTEGER:
		return eval_checked(e, json_integer(json_integer_value(v)));
	case JSON_REAL:
		return eval_checked(e, json_real(json_real_value(v)));
	case JSON_TRUE:
		return json_true();
	case JSON_FALSE:
		return json_false();
	case JSON_NULL:
		break;
	}
	return json_null();
}

/* --- text --- */

/* The shortest that reads back the same. */
static void
write_real(double d, struct buf *out)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		str_print(text, sizeof(text), "%.*g", digits, d);
		if (strtod(text, NULL) == d)
			break;
	}
	buf_add_str(out, text);
	if (!strpbrk(text, ".en"))
		buf_add_str(out, ".0");
}

static int
on_dump(const char *data, size_t len, void *arg)
{
	struct buf *out = arg;

	buf_add(out, data, len);
	return out->failed ? -1 : 0;
}

void
value_write(const json_t *v, struct buf *out)
{
	if (json_is_null(v))
		return;
	if (json_is_string(v))
		buf_add(out, json_string_value(v), json_string_length(v));
	else if (json_is_real(v))
		write_real(json_real_value(v), out);
	else if (json_dump_callback(v, on_dump, out,
				    JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) != 0)
		out->failed = true;
}

/* More than a template's: a variable may be as large as its keeper lets it be. */
#define VALUE_TEXT_MAX (4u << 20)

char *
expr_value_text(const json_t *v)
{
	struct buf out;
	char *text;

	if (!v || json_is_null(v))
		return NULL;
	buf_init(&out, VALUE_TEXT_MAX);
	value_write(v, &out);
	text = buf_take(&out);
	buf_finish(&out);
	return text;
}

size_t
utf8_count(const char *s, size_t len)
{
	size_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += ((unsigned char)s[i] & 0xc0) != 0x80;
	return count;
}
