/* First line: the return URI.  Rest: JSON { c: conversation, t: transfer variables, r: reference
 * variables }.  What is made keeps the budget, both forms say the same, and nothing in them can
 * end a header or the brackets. */
#include <stdlib.h>
#include <string.h>

#include "common/context.h"
#include "common/jfield.h"
#include "common/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_header(const struct context_header *h)
{
	assert(str_starts(h->name, "X-GA-") && !str_has_control(h->value));
	for (const char *p = h->name; *p; p++)
		assert(uri_is_token_char(*p));
}

/* NAME=VALUE at *p decodes to the header line, but for what its name cannot hold. */
static const char *
check_same(const char *p, const struct context_header *h)
{
	const char *end = p + strcspn(p, "&>"), *value = h->value;

	while (*p != '=') {
		assert(p < end && uri_decode(&p, end) >= 0x20);
	}
	for (p++; p < end; value++)
		assert(uri_decode(&p, end) == (unsigned char)*value);
	assert(*value == '\0');
	return end;
}

static void
check_refer_to(const struct context *c, const char *uri)
{
	size_t len = strlen(uri), total = strlen(c->refer_to);
	const char *p = c->refer_to + 1 + len;
	struct uri u;

	assert(c->refer_to[0] == '<' && c->refer_to[total - 1] == '>');
	assert(memcmp(c->refer_to + 1, uri, len) == 0);
	assert(!strpbrk(c->refer_to + 1, "<> \"") || strpbrk(c->refer_to + 1, "<> \"")[1] == '\0');
	assert(!str_has_control(c->refer_to));
	if (str_starts_nocase(uri, "tel:")) {
		assert(total == len + 2);
		return;
	}
	for (size_t i = 0; i < c->header_count; i++) {
		p += *p == '?' || *p == '&';
		p = check_same(p, &c->headers[i]);
	}
	assert(str_eq(p, ">"));
	assert(uri_split(c->refer_to + 1, &u) && u.headers);
	assert(c->used == (size_t)(p - u.headers));
}

static void
check(const struct context_input *in, const struct context *c)
{
	size_t fixed = context_fixed_cost(in);
	const json_t *kept = json_object_get(c->report, "kept");

	assert(c->used <= CONTEXT_BUDGET || c->used == fixed);
	assert(c->header_count >= 2 && json_array_size(kept) == c->header_count - 2);
	for (size_t i = 0; i < c->header_count; i++)
		check_header(&c->headers[i]);
	if (in->uri)
		check_refer_to(c, in->uri);
	else
		assert(!c->refer_to);
	for (size_t i = 0; i < json_array_size(kept); i++)
		fixed += (size_t)json_integer_value(
			json_object_get(json_array_get(kept, i), "bytes"));
	assert(fixed == c->used);
}

static void
make(const char *uri, const json_t *j)
{
	const char *conversation = json_string_value(json_object_get(j, "c"));
	const struct context_input in = {
		.conversation = conversation ? conversation : "",
		.transfer_type = "SYSTEM",
		.transfer_variables = json_object_get(j, "t"),
		.reference_variables = json_object_get(j, "r"),
		.uri = *uri ? uri : NULL,
	};
	struct fault f = { .what = "" };
	struct context c;
	enum err e = context_make(&in, &c, &f);

	assert(e == ERR_OK || (e == ERR_INVALID && f.what[0]));
	if (e == ERR_OK)
		check(&in, &c);
	context_finish(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *end = size ? memchr(text, '\n', size) : NULL;
	struct fault f = { .what = "" };
	json_t *j = NULL;
	char *uri;

	if (!end || memchr(text, '\0', size))
		return 0;
	if (json_parse(end + 1, size - (size_t)(end + 1 - text), &j, &f) != ERR_OK)
		return 0;
	uri = strndup(text, (size_t)(end - text));
	make(uri, j);
	free(uri);
	json_decref(j);
	return 0;
}
