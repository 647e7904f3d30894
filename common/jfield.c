#include "common/jfield.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

#define TEXT_MAX (64 << 10)

static const void *
at(const struct jfield *fl, const void *obj)
{
	return (const char *)obj + fl->offset;
}

static void *
at_mut(const struct jfield *fl, void *obj)
{
	return (char *)obj + fl->offset;
}

static bool
is_whole(const json_t *v)
{
	return strlen(json_string_value(v)) == json_string_length(v);
}

/* --- reading: each says NULL, or what was expected instead --- */

static const char *
read_str(const struct jfield *fl, const json_t *v, void *to)
{
	if (!json_is_string(v) || !is_whole(v))
		return "expected a string";
	return str_copy(to, fl->size, json_string_value(v)) ? NULL : "string is too long";
}

static const char *
read_text(const struct jfield *fl, const json_t *v, void *to, enum err *e)
{
	size_t max = fl->max > 0 ? (size_t)fl->max : TEXT_MAX;
	char **text = to;

	if (!json_is_string(v) || !is_whole(v))
		return "expected a string";
	if (json_string_length(v) > max)
		return "string is too long";
	*text = strdup(json_string_value(v));
	if (!*text) {
		*e = ERR_NOMEM;
		return err_text(ERR_NOMEM);
	}
	return NULL;
}

static const char *
read_int(const struct jfield *fl, const json_t *v, void *to)
{
	json_int_t n;

	if (!json_is_integer(v))
		return "expected an integer";
	n = json_integer_value(v);
	if ((fl->min != 0 || fl->max != 0) && (n < fl->min || n > fl->max))
		return "integer is out of range";
	*(int64_t *)to = n;
	return NULL;
}

static const char *
read_enum(const struct jfield *fl, const json_t *v, void *to)
{
	if (!json_is_string(v))
		return "expected a string";
	for (int i = 0; fl->names[i]; i++) {
		if (strcmp(fl->names[i], json_string_value(v)) == 0) {
			*(int *)to = i;
			return NULL;
		}
	}
	return "not one of the values allowed";
}

static const char *
read_field(const struct jfield *fl, json_t *v, void *to, enum err *e)
{
	switch (fl->type) {
	case J_STR:
		return read_str(fl, v, to);
	case J_TEXT:
		return read_text(fl, v, to, e);
	case J_INT:
		return read_int(fl, v, to);
	case J_BOOL:
		if (!json_is_boolean(v))
			return "expected true or false";
		*(bool *)to = json_is_true(v);
		return NULL;
	case J_ENUM:
		return read_enum(fl, v, to);
	case J_JSON:
		if (!json_is_object(v) && !json_is_array(v))
			return "expected an object or an array";
		*(json_t **)to = json_incref(v);
		return NULL;
	case J_ANY:
		*(json_t **)to = json_incref(v);
		return NULL;
	}
	return "unknown field type";
}

enum err
jfield_read(const struct jfield *fields, const json_t *json, const char *base, void *out,
	    struct fault *f)
{
	char where[sizeof(f->where)];

	if (!json_is_object(json)) {
		fault_set(f, *base ? base : "/", "expected an object");
		return ERR_INVALID;
	}
	for (const struct jfield *fl = fields; fl->name; fl++) {
		json_t *v = json_object_get(json, fl->name);
		enum err e = ERR_INVALID;
		const char *wrong;

		if (!v && !fl->required)
			continue;
		wrong = v ? read_field(fl, v, at_mut(fl, out), &e) : "missing";
		if (!wrong)
			continue;
		(void)str_print(where, sizeof(where), "%s/%s", base, fl->name);
		fault_set(f, where, "%s", wrong);
		jfield_finish(fields, out);
		return e;
	}
	return ERR_OK;
}

/* --- writing --- */

/* What a peer put in a header need not be UTF-8, and must not break our link. */
static json_t *
new_string(const char *s, size_t len)
{
	char *copy;
	json_t *j;

	if (str_is_utf8(s, len))
		return json_stringn_nocheck(s, len);
	copy = strndup(s, len);
	if (!copy)
		return NULL;
	for (size_t i = 0; i < len;) {
		size_t n = 1;

		while (n < 4 && n < len - i && !str_is_utf8(copy + i, n))
			n++;
		if (str_is_utf8(copy + i, n))
			i += n;
		else
			copy[i++] = '?';
	}
	j = json_stringn(copy, len);
	free(copy);
	return j;
}

static json_t *
new_value(const struct jfield *fl, const void *from)
{
	const char *s;
	int i;

	switch (fl->type) {
	case J_STR:
		s = from;
		return new_string(s, strnlen(s, fl->size));
	case J_TEXT:
		s = *(char *const *)from;
		return new_string(s, strlen(s));
	case J_INT:
		return json_integer(*(const int64_t *)from);
	case J_BOOL:
		return json_boolean(*(const bool *)from);
	case J_ENUM:
		i = *(const int *)from;
		for (int k = 0; k < i; k++)
			assert(fl->names[k]);
		assert(i >= 0 && fl->names[i]);
		return json_string(fl->names[i]);
	case J_JSON:
	case J_ANY:
		return json_incref(*(json_t *const *)from);
	}
	return NULL;
}

static bool
is_pointer(const struct jfield *fl)
{
	return fl->type == J_TEXT || fl->type == J_JSON || fl->type == J_ANY;
}

json_t *
jfield_write(const struct jfield *fields, const void *in)
{
	json_t *out = json_object();

	if (!out)
		return NULL;
	for (const struct jfield *fl = fields; fl->name; fl++) {
		if (is_pointer(fl) && !*(void *const *)at(fl, in))
			continue;
		if (json_object_set_new_nocheck(out, fl->name, new_value(fl, at(fl, in))) != 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

void
jfield_finish(const struct jfield *fields, void *obj)
{
	for (const struct jfield *fl = fields; fl->name; fl++) {
		void *member = at_mut(fl, obj);

		if (fl->type == J_TEXT) {
			char *text = *(char **)member;

			/* Some are passwords; wiping all costs less than telling them apart. */
			if (text)
				sodium_memzero(text, strlen(text));
			free(text);
			*(char **)member = NULL;
		} else if (fl->type == J_JSON || fl->type == J_ANY) {
			json_decref(*(json_t **)member);
			*(json_t **)member = NULL;
		}
	}
}

/* --- text --- */

bool
json_shallow(const char *text, size_t len, unsigned depth)
{
	unsigned open = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\' && len - i > 5 && memcmp(text + i + 1, "u0000", 5) == 0)
				return false;
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++open > depth)
				return false;
		} else if ((c == ']' || c == '}') && open > 0) {
			open--;
		}
	}
	return true;
}

static enum err
refuse(const json_error_t *je, struct fault *f)
{
	enum json_error_code code = json_error_code(je);
	char where[40], what[JSON_ERROR_TEXT_LENGTH];
	char *near;

	(void)str_print(where, sizeof(where), "%d:%d", je->line, je->column);
	(void)str_copy(what, sizeof(what), je->text);
	/* The text near a mistake may be somebody's password.  A doubled key is worth naming. */
	near = code == json_error_duplicate_key ? NULL : strstr(what, " near '");
	if (near)
		*near = '\0';
	fault_set(f, where, "%s", what);
	return code == json_error_out_of_memory ? ERR_NOMEM : ERR_INVALID;
}

enum err
json_parse_depth(const char *text, size_t len, unsigned depth, json_t **out, struct fault *f)
{
	json_error_t je;
	json_t *j;

	/* Before the parser sees it: it would recurse far deeper, and takes NUL for a blank in
	 * some places. */
	if ((len > 0 && memchr(text, '\0', len)) || !json_shallow(text, len, depth)) {
		fault_set(f, "", "nested deeper than %u, or NUL in it", depth);
		return ERR_INVALID;
	}
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (!j)
		return refuse(&je, f);
	*out = j;
	return ERR_OK;
}

enum err
json_parse(const char *text, size_t len, json_t **out, struct fault *f)
{
	return json_parse_depth(text, len, JSON_DEPTH_MAX, out, f);
}

char *
json_text(const json_t *j)
{
	return json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
}
