/* One value of an agent's file: text to what it means. */
#include "common/agentdef/agentdef_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 128
#define DTMF_MAX       32

bool
areader_fail(struct areader *r, const struct ynode *n, const char *key, const char *fmt, ...)
{
	char where[160], what[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	str_print(where, sizeof(where), "%s:%d", r->name, n->line);
	if (key)
		fault_set(r->f, where, "%s: %s", key, what);
	else
		fault_set(r->f, where, "%s", what);
	return false;
}

static const struct akey *
find_key(const struct akey *keys, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(keys[i].name, name))
			return &keys[i];
	return NULL;
}

static bool
unknown_key(struct areader *r, const struct ynode *key, const char *what, const struct akey *keys,
	    size_t count)
{
	char list[200] = "";
	size_t len = 0;

	for (size_t i = 0; i < count && len < sizeof(list); i++) {
		int n = snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
				 keys[i].name);

		len += n > 0 ? (size_t)n : 0;
	}
	return areader_fail(r, key, NULL, "unknown key \"%.40s\" of %s; expected %s", key->text,
			    what, list);
}

bool
read_map(struct areader *r, const struct ynode *n, const char *what, const struct akey *keys,
	 size_t count, void *base)
{
	if (n->kind != Y_MAP)
		return areader_fail(r, n, NULL, "expected %s: a map with keys", what);
	for (size_t i = 0; i < count; i++) {
		const struct ynode *value = yaml_get(n, keys[i].name);

		if (value && !keys[i].read(r, &keys[i], value, (char *)base + keys[i].offset))
			return false;
	}
	for (size_t i = 0; i < n->count; i++)
		if (!find_key(keys, count, n->keys[i]->text))
			return unknown_key(r, n->keys[i], what, keys, count);
	for (size_t i = 0; i < count; i++)
		if (keys[i].required && !yaml_get(n, keys[i].name))
			return areader_fail(r, n, keys[i].name, "missing; %s must have it", what);
	return true;
}

bool
read_list(struct areader *r, const struct akey *k, const struct ynode *n, size_t size,
	  bool (*read)(struct areader *r, const struct ynode *n, void *item), struct alist *out)
{
	if (n->kind != Y_SEQ)
		return areader_fail(r, n, k->name, "expected a list");
	if (n->count > LIST_MAX)
		return areader_fail(r, n, k->name, "expected at most %d items", LIST_MAX);
	out->items = calloc(n->count + 1, size);
	if (!out->items)
		return areader_fail(r, n, k->name, "out of memory");
	for (; out->count < n->count; out->count++)
		if (!read(r, n->items[out->count], (char *)out->items + out->count * size)) {
			out->count++; /* what it began is freed with the rest */
			return false;
		}
	return true;
}

/* --- text --- */

static const char *
scalar(struct areader *r, const struct akey *k, const struct ynode *n, const char *expected)
{
	if (n->kind == Y_SCALAR)
		return n->text;
	areader_fail(r, n, k->name, "expected %s, not a %s", expected,
		     n->kind == Y_SEQ ? "list" : "map");
	return NULL;
}

static bool
keep(struct areader *r, const struct akey *k, const struct ynode *n, const char *text, char **at)
{
	*at = strdup(text);
	return *at || areader_fail(r, n, k->name, "out of memory");
}

bool
read_text(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	const char *text = scalar(r, k, n, "text");

	return text && keep(r, k, n, text, at);
}

bool
read_name(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	const char *text = scalar(r, k, n, "a name");

	if (!text)
		return false;
	if (!*text || strlen(text) > NAME_MAX_BYTES || str_has_control(text))
		return areader_fail(r, n, k->name,
				    "expected a name of 1 to %d bytes without control characters",
				    NAME_MAX_BYTES);
	return keep(r, k, n, text, at);
}

bool
read_token(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-.";
	const char *text = scalar(r, k, n, "a name");

	if (!text)
		return false;
	if (!*text || strlen(text) > 63 || strspn(text, letters) != strlen(text))
		return areader_fail(
			r, n, k->name,
			"expected 1 to 63 letters, digits, '_', '-' or '.', not \"%.80s\"", text);
	return keep(r, k, n, text, at);
}

static bool
find_choice(struct areader *r, const struct akey *k, const struct ynode *n, size_t *out)
{
	const char *text = scalar(r, k, n, "a word");
	char list[160] = "";
	size_t len = 0;

	if (!text)
		return false;
	for (size_t i = 0; k->names[i]; i++)
		if (str_eq(k->names[i], text)) {
			*out = i;
			return true;
		}
	for (size_t i = 0; k->names[i] && len < sizeof(list); i++) {
		int w = snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
				 k->names[i]);

		len += w > 0 ? (size_t)w : 0;
	}
	return areader_fail(r, n, k->name, "expected one of: %s; not \"%.60s\"", list, text);
}

/* An enum, index into names. */
bool
read_choice(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	size_t i = 0;

	if (!find_choice(r, k, n, &i))
		return false;
	*(unsigned *)at = (unsigned)i;
	return true;
}

/* Text that is one of the names. */
bool
read_word(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	size_t i = 0;

	return find_choice(r, k, n, &i) && keep(r, k, n, k->names[i], at);
}

bool
read_dtmf(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	const char *text = scalar(r, k, n, "keys");

	if (!text)
		return false;
	if (!*text || strlen(text) > DTMF_MAX || strspn(text, "0123456789*#ABCD") != strlen(text))
		return areader_fail(r, n, k->name,
				    "expected 1 to %d keys of 0-9, *, # and A-D, not \"%.40s\"",
				    DTMF_MAX, text);
	return keep(r, k, n, text, at);
}

bool
read_keypath(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	const char *text = scalar(r, k, n, "a path");

	if (!text)
		return false;
	if (str_eq(text, "response"))
		return keep(r, k, n, "", at);
	if (!str_starts(text, "response.") || !text[9] || strstr(text, "..") ||
	    text[strlen(text) - 1] == '.')
		return areader_fail(r, n, k->name,
				    "expected \"response\" or \"response.NAME…\", not \"%.80s\"",
				    text);
	return keep(r, k, n, text + 9, at);
}

/* --- numbers --- */

bool
read_bool(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	bool yes = n->kind == Y_SCALAR && str_eq(n->text, "true");

	if (!yes && (n->kind != Y_SCALAR || !str_eq(n->text, "false")))
		return areader_fail(r, n, k->name, "expected true or false");
	*(bool *)at = yes;
	return true;
}

bool
read_times(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	int64_t v;

	if (n->kind != Y_SCALAR || !str_to_int64(n->text, 0, 100, &v))
		return areader_fail(r, n, k->name, "expected a number from 0 to 100");
	*(int *)at = (int)v;
	return true;
}

#define DURATION_MAX_MS (INT64_C(24) * 3600 * 1000)

bool
read_duration(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	const char *text = scalar(r, k, n, "a duration");
	size_t digits = text ? strspn(text, "0123456789") : 0;
	char number[16];
	int64_t v = 0;

	if (!text)
		return false;
	if (digits > 0 && digits < sizeof(number)) {
		memcpy(number, text, digits);
		number[digits] = '\0';
		for (size_t i = 0; i < ARRAY_LEN(units); i++) {
			if (!str_eq(text + digits, units[i].unit))
				continue;
			if (!str_to_int64(number, 0, DURATION_MAX_MS / units[i].ms, &v))
				break;
			*(int64_t *)at = v * units[i].ms;
			return true;
		}
	}
	return areader_fail(
		r, n, k->name,
		"expected a duration up to 24h, such as 500ms, 8s or 30m; not \"%.40s\"", text);
}

/* --- compiled --- */

bool
read_template(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	const char *text = scalar(r, k, n, "a template");
	struct fault f = { 0 };
	struct tmpl *t = text ? tmpl_compile(text, &f) : NULL;

	*(struct tmpl **)at = t;
	if (text && !t)
		areader_fail(r, n, k->name, "%s", f.what);
	return t;
}

bool
read_expression(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	const char *text = scalar(r, k, n, "an expression");
	struct fault f = { 0 };
	struct expr *x = text ? expr_compile(text, &f) : NULL;

	*(struct expr **)at = x;
	if (text && !x)
		areader_fail(r, n, k->name, "%s", f.what);
	return x;
}

bool
read_json(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	json_t *j = yaml_to_json(n);

	*(json_t **)at = j;
	return j || areader_fail(r, n, k->name, "out of memory");
}

bool
read_schema(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	char what[160];

	if (!read_json(r, k, n, at))
		return false;
	return schema_is_good(*(json_t **)at, what, sizeof(what)) ||
	       areader_fail(r, n, k->name, "%s", what);
}
