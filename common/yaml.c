#include "common/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/str.h"

#define DEPTH_MAX  32
#define NODES_MAX  100000
#define SCALAR_MAX (1u << 20)

struct reader {
	yaml_parser_t parser;
	const char *name;
	bool env;
	size_t nodes;
	struct fault *f;
};

static void
complain(struct reader *r, size_t line, const char *what)
{
	char where[sizeof(r->f->where)];

	ignore_err(str_print(where, sizeof(where), "%s:%zu", r->name, line) ? ERR_OK : ERR_INVALID);
	fault_set(r->f, where, "%s", what);
}

void
yaml_destroy(struct ynode *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->count; i++) {
		yaml_destroy(n->items[i]);
		if (n->keys)
			yaml_destroy(n->keys[i]);
	}
	if (n->text)
		explicit_bzero(n->text, strlen(n->text)); /* it may have been a password */
	free(n->text);
	free(n->items);
	free(n->keys);
	free(n);
}

static struct ynode *
node_new(struct reader *r, enum ynode_kind kind, size_t line)
{
	struct ynode *n = ++r->nodes <= NODES_MAX ? calloc(1, sizeof(*n)) : NULL;

	if (!n) {
		complain(r, line, r->nodes > NODES_MAX ? "too many values" : "out of memory");
		return NULL;
	}
	n->kind = kind;
	n->line = (int)line;
	return n;
}

/* --- ${NAME}, ${NAME:-default}, $$ --- */

/* Appends the value of the reference that starts behind "${"; the position behind "}", or NULL. */
static const char *
expand_one(struct reader *r, size_t line, const char *at, struct buf *out)
{
	const char *end = strchr(at, '}'), *value, *fallback = NULL;
	char name[128], what[256];
	size_t len;

	if (!end) {
		complain(r, line, "${ without }");
		return NULL;
	}
	len = (size_t)(end - at);
	for (size_t i = 0; i + 1 < len && !fallback; i++)
		if (at[i] == ':' && at[i + 1] == '-') {
			fallback = at + i + 2;
			len = i;
		}
	if (len == 0 || len >= sizeof(name)) {
		complain(r, line, "expected ${NAME} or ${NAME:-default}");
		return NULL;
	}
	memcpy(name, at, len);
	name[len] = '\0';
	value = getenv(name);
	if (value && *value)
		buf_add_str(out, value);
	else if (fallback)
		buf_add(out, fallback, (size_t)(end - fallback));
	else if (value)
		return end + 1;
	else {
		ignore_err(str_print(what, sizeof(what),
				     "${%s} is not set in the environment and has no default", name)
				   ? ERR_OK
				   : ERR_INVALID);
		complain(r, line, what);
		return NULL;
	}
	return end + 1;
}

static char *
expand(struct reader *r, size_t line, const char *text)
{
	struct buf out;
	char *result;

	buf_init(&out, SCALAR_MAX);
	while (text && *text) {
		if (text[0] == '$' && text[1] == '$') {
			buf_add_str(&out, "$");
			text += 2;
		} else if (text[0] == '$' && text[1] == '{') {
			text = expand_one(r, line, text + 2, &out);
		} else {
			buf_add(&out, text++, 1);
		}
	}
	if (!text) {
		buf_finish(&out);
		return NULL;
	}
	if (out.len == 0)
		buf_add(&out, "", 0);
	result = out.data ? buf_take(&out) : strdup("");
	if (!result)
		complain(r, line, "out of memory");
	buf_finish(&out);
	return result;
}

/* --- events to nodes --- */

static struct ynode *read_node(struct reader *r, yaml_event_t *e, int depth);

static bool
next_event(struct reader *r, yaml_event_t *e)
{
	const yaml_parser_t *p = &r->parser;
	char what[256];

	if (yaml_parser_parse(&r->parser, e))
		return true;
	if (p->context)
		ignore_err(str_print(what, sizeof(what), "%s, %s (begun in line %zu)", p->problem,
				     p->context, p->context_mark.line + 1)
				   ? ERR_OK
				   : ERR_INVALID);
	complain(r, p->problem_mark.line + 1,
		 p->context   ? what
		 : p->problem ? p->problem
			      : "not YAML");
	return false;
}

static struct ynode *
read_scalar(struct reader *r, const yaml_event_t *e)
{
	size_t line = e->start_mark.line + 1, len = e->data.scalar.length;
	const char *value = (const char *)e->data.scalar.value;
	struct ynode *n;

	if (strlen(value) != len) {
		complain(r, line, "a NUL byte is in the text");
		return NULL;
	}
	if (e->data.scalar.anchor || e->data.scalar.tag) {
		complain(r, line, "anchors and tags are not supported");
		return NULL;
	}
	n = node_new(r, Y_SCALAR, line);
	if (!n)
		return NULL;
	n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	n->text = r->env ? expand(r, line, value) : strdup(value);
	if (n->text)
		return n;
	yaml_destroy(n);
	return NULL;
}

static bool
push(struct reader *r, struct ynode *n, struct ynode *key, struct ynode *item)
{
	if ((n->count & (n->count + 1)) == 0) { /* 0, 1, 3, 7 … are full */
		size_t cap = (n->count + 1) * 2;
		struct ynode **items = realloc(n->items, cap * sizeof(*items));
		struct ynode **keys;

		if (items)
			n->items = items;
		keys = items && key ? realloc(n->keys, cap * sizeof(*keys)) : NULL;
		if (keys)
			n->keys = keys;
		if (!items || (key && !keys)) {
			complain(r, (size_t)item->line, "out of memory");
			return false;
		}
	}
	if (key)
		n->keys[n->count] = key;
	n->items[n->count++] = item;
	return true;
}

static struct ynode *
read_child(struct reader *r, int depth, yaml_event_type_t end, bool *ended)
{
	yaml_event_t e;
	struct ynode *n = NULL;

	*ended = false;
	if (!next_event(r, &e))
		return NULL;
	if (e.type == end)
		*ended = true;
	else
		n = read_node(r, &e, depth + 1);
	yaml_event_delete(&e);
	return n;
}

static struct ynode *
read_seq(struct reader *r, size_t line, int depth)
{
	struct ynode *n = node_new(r, Y_SEQ, line);
	bool ended = false;

	while (n) {
		struct ynode *item = read_child(r, depth, YAML_SEQUENCE_END_EVENT, &ended);

		if (ended)
			return n;
		if (!item || !push(r, n, NULL, item)) {
			yaml_destroy(item);
			break;
		}
	}
	yaml_destroy(n);
	return NULL;
}

static bool
good_key(struct reader *r, const struct ynode *map, const struct ynode *key)
{
	char what[256];

	if (key->kind != Y_SCALAR) {
		complain(r, (size_t)key->line, "a key must be plain text");
		return false;
	}
	if (str_eq(key->text, "<<")) {
		complain(r, (size_t)key->line, "merge keys are not supported");
		return false;
	}
	if (!yaml_get(map, key->text))
		return true;
	ignore_err(str_print(what, sizeof(what), "the key \"%.200s\" stands here twice", key->text)
			   ? ERR_OK
			   : ERR_INVALID);
	complain(r, (size_t)key->line, what);
	return false;
}

static struct ynode *
read_map(struct reader *r, size_t line, int depth)
{
	struct ynode *n = node_new(r, Y_MAP, line);
	bool ended = false;

	while (n) {
		struct ynode *key = read_child(r, depth, YAML_MAPPING_END_EVENT, &ended), *item;

		if (ended)
			return n;
		if (!key || !good_key(r, n, key)) {
			yaml_destroy(key);
			break;
		}
		item = read_child(r, depth, YAML_NO_EVENT, &ended);
		if (!item || !push(r, n, key, item)) {
			yaml_destroy(key);
			yaml_destroy(item);
			break;
		}
	}
	yaml_destroy(n);
	return NULL;
}

static struct ynode *
read_node(struct reader *r, yaml_event_t *e, int depth)
{
	size_t line = e->start_mark.line + 1;

	if (depth > DEPTH_MAX) {
		complain(r, line, "nested too deeply");
		return NULL;
	}
	if (e->type == YAML_SCALAR_EVENT)
		return read_scalar(r, e);
	if (e->type == YAML_SEQUENCE_START_EVENT && !e->data.sequence_start.anchor &&
	    !e->data.sequence_start.tag)
		return read_seq(r, line, depth);
	if (e->type == YAML_MAPPING_START_EVENT && !e->data.mapping_start.anchor &&
	    !e->data.mapping_start.tag)
		return read_map(r, line, depth);
	complain(r, line, "anchors, aliases and tags are not supported");
	return NULL;
}

/* Skips to the document; an empty one is an empty map. */
static struct ynode *
read_document(struct reader *r)
{
	struct ynode *root = NULL;
	yaml_event_t e;
	bool done = false;

	while (!done && !r->f->what[0] && next_event(r, &e)) {
		if (e.type == YAML_STREAM_END_EVENT)
			done = true;
		else if (root && e.type != YAML_DOCUMENT_END_EVENT)
			complain(r, e.start_mark.line + 1, "one document to a file");
		else if (e.type != YAML_STREAM_START_EVENT && e.type != YAML_DOCUMENT_START_EVENT &&
			 e.type != YAML_DOCUMENT_END_EVENT)
			root = read_node(r, &e, 0);
		yaml_event_delete(&e);
	}
	if (done && !root)
		root = node_new(r, Y_MAP, 1);
	if (done && root)
		return root;
	yaml_destroy(root);
	return NULL;
}

struct ynode *
yaml_parse(const char *text, size_t len, const char *name, bool env, struct fault *f)
{
	struct fault local = { 0 };
	struct reader r = { .name = name, .env = env, .f = &local };
	struct ynode *root;

	if (!yaml_parser_initialize(&r.parser)) {
		fault_set(f, name, "out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	root = read_document(&r);
	yaml_parser_delete(&r.parser);
	if (!root && f)
		*f = local;
	if (!root && f && !f->what[0])
		fault_set(f, name, "out of memory");
	return root;
}

struct ynode *
yaml_get(const struct ynode *map, const char *key)
{
	if (!map || map->kind != Y_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (str_eq(map->keys[i]->text, key))
			return map->items[i];
	return NULL;
}

/* --- YAML's core schema --- */

static json_t *
plain_to_json(const char *s)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
	static const char *const truths[] = { "true", "True", "TRUE" };
	static const char *const lies[] = { "false", "False", "FALSE" };
	int64_t n;
	char *end;
	double d;

	for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
		if (str_eq(s, nulls[i]))
			return json_null();
	for (size_t i = 0; i < ARRAY_LEN(truths); i++)
		if (str_eq(s, truths[i]))
			return json_true();
	for (size_t i = 0; i < ARRAY_LEN(lies); i++)
		if (str_eq(s, lies[i]))
			return json_false();
	if (str_to_int64(s, INT64_MIN, INT64_MAX, &n))
		return json_integer(n);
	if (strspn(s, "0123456789+-.eE") == strlen(s) && strpbrk(s, "0123456789")) {
		d = strtod(s, &end);
		if (*end == '\0' && d - d == 0) /* finite */
			return json_real(d);
	}
	return json_string(s);
}

json_t *
yaml_to_json(const struct ynode *n)
{
	json_t *out;

	if (n->kind == Y_SCALAR)
		return n->quoted ? json_string(n->text) : plain_to_json(n->text);
	out = n->kind == Y_SEQ ? json_array() : json_object();
	for (size_t i = 0; out && i < n->count; i++) {
		json_t *item = yaml_to_json(n->items[i]);
		int rc = !item              ? -1
			 : n->kind == Y_SEQ ? json_array_append_new(out, item)
					    : json_object_set_new(out, n->keys[i]->text, item);

		if (rc != 0) {
			json_decref(out);
			out = NULL;
		}
	}
	return out;
}
