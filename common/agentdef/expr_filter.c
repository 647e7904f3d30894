/* Filters and tests: one row each. */
#include "common/agentdef/expr_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static json_t *
wants(struct eval *e, const char *what, const json_t *v)
{
	return eval_fail(e, "the filter wants %s, not %s", what, value_kind(v));
}

/* --- any value --- */

static json_t *
f_default(struct eval *e, json_t *v, json_t *const *args)
{
	bool falsy_too = args[1] && expr_truth(args[1]);

	(void)e;
	/* A key that is not there is none here: both take the default. */
	if (json_is_null(v) || (falsy_too && !expr_truth(v)))
		return json_incref(args[0]);
	return json_incref(v);
}

static json_t *
f_string(struct eval *e, json_t *v, json_t *const *args)
{
	struct buf b;

	(void)args;
	buf_init(&b, TMPL_OUT_MAX);
	value_write(v, &b);
	return eval_text(e, &b);
}

static json_t *
f_tojson(struct eval *e, json_t *v, json_t *const *args)
{
	size_t size = json_dumpb(v, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
	char *text;
	json_t *out;

	(void)args;
	if (size > TMPL_OUT_MAX)
		return eval_fail(e, "the text is longer than %u bytes", TMPL_OUT_MAX);
	text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	out = eval_checked(e, text ? json_string(text) : NULL);
	free(text);
	return out;
}

/* --- numbers --- */

static json_t *
from_real(struct eval *e, double d)
{
	/* The bounds as doubles: 2^63 itself does not fit. */
	if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0))
		return eval_fail(e, "the number is too large");
	return json_integer((json_int_t)d);
}

/* The text as a number; *whole: it has neither point nor exponent. */
static bool
text_number(const json_t *v, double *out, bool *whole)
{
	const char *s = json_string_value(v);
	char *end;

	s += strspn(s, " \t\r\n");
	if (strspn(s, "+-0123456789.eE") == 0 || !strpbrk(s, "0123456789"))
		return false;
	if (s[strspn(s, "+-0123456789.eE \t\r\n")] != '\0')
		return false; /* strtod() would take hexadecimal, "inf" and "nan" */
	*whole = !strpbrk(s, ".eE");
	*out = strtod(s, &end);
	return end[strspn(end, " \t\r\n")] == '\0' && isfinite(*out);
}

static json_t *
f_int(struct eval *e, json_t *v, json_t *const *args)
{
	bool whole;
	double d;

	if (json_is_integer(v))
		return json_incref(v);
	if (json_is_string(v)) {
		const char *s = json_string_value(v);
		int64_t i;

		if (str_to_int64(s, INT64_MIN, INT64_MAX, &i))
			return json_integer(i);
		if (text_number(v, &d, &whole))
			return from_real(e, d);
	} else if (value_number(v, &d)) {
		return from_real(e, d);
	}
	return args[0] ? json_incref(args[0]) : json_integer(0);
}

static json_t *
f_float(struct eval *e, json_t *v, json_t *const *args)
{
	bool whole;
	double d;

	(void)e;
	if (value_number(v, &d) || (json_is_string(v) && text_number(v, &d, &whole)))
		return json_real(d);
	return args[0] ? json_incref(args[0]) : json_real(0);
}

static json_t *
f_abs(struct eval *e, json_t *v, json_t *const *args)
{
	double d;

	(void)args;
	if (json_is_integer(v) && json_integer_value(v) >= 0)
		return json_incref(v);
	if (json_is_integer(v) && json_integer_value(v) != INT64_MIN)
		return json_integer(-json_integer_value(v));
	if (json_is_real(v) && value_number(v, &d))
		return json_real(fabs(d));
	return wants(e, "a number", v);
}

static json_t *
f_round(struct eval *e, json_t *v, json_t *const *args)
{
	json_int_t places = args[0] ? json_integer_value(args[0]) : 0;
	double d, scale;

	if (!value_number(v, &d))
		return wants(e, "a number", v);
	if ((args[0] && !json_is_integer(args[0])) || places < 0 || places > 15)
		return eval_fail(e, "round wants 0 to 15 places");
	scale = pow(10, (double)places);
	if (fabs(d) > 1e15 / scale)
		return json_real(d);
	return json_real(round(d * scale) / scale);
}

/* --- text; letters are those of ASCII --- */

static char
to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static char
to_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

enum letters { LOWER, UPPER, CAPITAL, TITLE };

static json_t *
recase(struct eval *e, const json_t *v, enum letters how)
{
	bool start = true; /* of the text, for TITLE of a word */
	struct buf b;

	buf_init(&b, TMPL_OUT_MAX);
	value_write(v, &b);
	for (size_t i = 0; !b.failed && i < b.len; i++) {
		char c = b.data[i];
		bool big = how == UPPER || (how >= CAPITAL && start);

		b.data[i] = big ? to_upper(c) : to_lower(c);
		start = how == TITLE && (c == ' ' || c == '-' || c == '\t' || c == '\n');
	}
	return eval_text(e, &b);
}

static json_t *
f_lower(struct eval *e, json_t *v, json_t *const *args)
{
	(void)args;
	return recase(e, v, LOWER);
}

static json_t *
f_upper(struct eval *e, json_t *v, json_t *const *args)
{
	(void)args;
	return recase(e, v, UPPER);
}

static json_t *
f_capitalize(struct eval *e, json_t *v, json_t *const *args)
{
	(void)args;
	return recase(e, v, CAPITAL);
}

static json_t *
f_title(struct eval *e, json_t *v, json_t *const *args)
{
	(void)args;
	return recase(e, v, TITLE);
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static json_t *
f_trim(struct eval *e, json_t *v, json_t *const *args)
{
	json_t *text = f_string(e, v, args), *out;
	size_t from = 0, to;
	const char *s;

	if (!text)
		return NULL;
	s = json_string_value(text);
	to = json_string_length(text);
	while (from < to && is_blank(s[from]))
		from++;
	while (to > from && is_blank(s[to - 1]))
		to--;
	out = json_stringn_nocheck(s + from, to - from);
	json_decref(text);
	return out;
}

static json_t *
f_replace(struct eval *e, json_t *v, json_t *const *args)
{
	const char *s, *end, *old, *new, *found;
	size_t old_len;
	struct buf b;

	if (!json_is_string(v) || !json_is_string(args[0]) || !json_is_string(args[1]))
		return eval_fail(e, "replace wants three strings");
	s = json_string_value(v);
	end = s + json_string_length(v);
	old = json_string_value(args[0]);
	old_len = json_string_length(args[0]);
	new = json_string_value(args[1]);
	buf_init(&b, TMPL_OUT_MAX);
	while (old_len > 0 && !b.failed && (found = memmem(s, (size_t)(end - s), old, old_len))) {
		buf_add(&b, s, (size_t)(found - s));
		buf_add(&b, new, json_string_length(args[1]));
		s = found + old_len;
	}
	buf_add(&b, s, (size_t)(end - s));
	return eval_text(e, &b);
}

/* --- lists, and text as a list of characters --- */

static json_t *
f_length(struct eval *e, json_t *v, json_t *const *args)
{
	(void)args;
	if (json_is_string(v))
		return json_integer(
			(json_int_t)utf8_count(json_string_value(v), json_string_length(v)));
	if (json_is_array(v))
		return json_integer((json_int_t)json_array_size(v));
	if (json_is_object(v))
		return json_integer((json_int_t)json_object_size(v));
	return v == &value_undefined ? json_integer(0) : wants(e, "a string, list or map", v);
}

static json_t *
one_of(struct eval *e, json_t *v, bool last)
{
	size_t count = json_array_size(v), len = json_string_length(v), from = 0, to = 1;
	const char *s = json_string_value(v);

	if (json_is_array(v))
		return json_incref(count ? json_array_get(v, last ? count - 1 : 0)
					 : &value_undefined);
	if (!s)
		return json_is_null(v) ? json_incref(&value_undefined)
				       : wants(e, "a string or list", v);
	if (len == 0)
		return json_incref(&value_undefined);
	if (last) {
		for (from = len - 1; from > 0 && ((unsigned char)s[from] & 0xc0) == 0x80;)
			from--;
		to = len;
	} else {
		while (to < len && ((unsigned char)s[to] & 0xc0) == 0x80)
			to++;
	}
	return json_stringn_nocheck(s + from, to - from);
}

static json_t *
f_first(struct eval *e, json_t *v, json_t *const *args)
{
	(void)args;
	return one_of(e, v, false);
}

static json_t *
f_last(struct eval *e, json_t *v, json_t *const *args)
{
	(void)args;
	return one_of(e, v, true);
}

static json_t *
f_join(struct eval *e, json_t *v, json_t *const *args)
{
	struct buf b;

	if (!json_is_array(v))
		return wants(e, "a list", v);
	buf_init(&b, TMPL_OUT_MAX);
	for (size_t i = 0; i < json_array_size(v) && !b.failed && eval_step(e); i++) {
		if (i > 0 && args[0])
			value_write(args[0], &b);
		value_write(json_array_get(v, i), &b);
	}
	if (e->err == ERR_OK)
		return eval_text(e, &b);
	buf_finish(&b);
	return NULL;
}

/* clang-format off */
static const struct filter filters[] = {
	{ "abs",        0, 0, f_abs },
	{ "capitalize", 0, 0, f_capitalize },
	{ "count",      0, 0, f_length },
	{ "d",          1, 2, f_default },
	{ "default",    1, 2, f_default },
	{ "first",      0, 0, f_first },
	{ "float",      0, 1, f_float },
	{ "int",        0, 1, f_int },
	{ "join",       0, 1, f_join },
	{ "last",       0, 0, f_last },
	{ "length",     0, 0, f_length },
	{ "lower",      0, 0, f_lower },
	{ "replace",    2, 2, f_replace },
	{ "round",      0, 1, f_round },
	{ "string",     0, 0, f_string },
	{ "title",      0, 0, f_title },
	{ "tojson",     0, 0, f_tojson },
	{ "trim",       0, 0, f_trim },
	{ "upper",      0, 0, f_upper },
};
/* clang-format on */

const struct filter *
filter_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(filters); i++)
		if (strcmp(filters[i].name, name) == 0)
			return &filters[i];
	return NULL;
}
