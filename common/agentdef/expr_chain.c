/* What follows a value: .name, [index], .get(), |filter, is test. */
#include "common/agentdef/expr_internal.h"

#include <string.h>

static json_t *
or_undefined(json_t *v)
{
	return json_incref(v ? v : &value_undefined);
}

static json_t *
at_index(const json_t *list, json_int_t i)
{
	size_t count = json_array_size(list);

	if (i < 0)
		i += (json_int_t)count;
	return i >= 0 && (size_t)i < count ? json_array_get(list, (size_t)i) : NULL;
}

/* One part of a dotted path: a key, or a place in a list. Borrowed, NULL: none. */
static json_t *
at_part(const json_t *v, const char *part)
{
	int64_t i;

	if (json_is_object(v))
		return json_object_get(v, part);
	if (json_is_array(v) && str_to_int64(part, 0, INT32_MAX, &i))
		return at_index(v, i);
	return NULL;
}

/* The key as it stands goes before the path that it may be. */
static json_t *
at_path(const json_t *v, const char *path)
{
	json_t *found = json_object_get(v, path);
	char part[256];

	if (found)
		return found;
	while (v && *path) {
		size_t len = strcspn(path, ".");

		if (len >= sizeof(part))
			return NULL;
		memcpy(part, path, len);
		part[len] = '\0';
		v = found = at_part(v, part);
		path += len + (path[len] == '.');
	}
	return found;
}

static json_t *
link_index(struct eval *e, const struct node *n, const json_t *v)
{
	json_t *key = eval_node(e, n->first), *out = NULL;

	if (!key)
		return NULL;
	if (json_is_array(v) && json_is_integer(key))
		out = at_index(v, json_integer_value(key));
	else if (json_is_string(key))
		out = json_object_get(v, json_string_value(key));
	json_decref(key);
	return or_undefined(out);
}

static json_t *
link_get(struct eval *e, const struct node *n, const json_t *v)
{
	json_t *key, *out;

	if (!json_is_object(v) && !json_is_null(v))
		return eval_fail(e, ".get() wants a map, not %s", value_kind(v));
	key = eval_node(e, n->first);
	if (!key)
		return NULL;
	out = json_is_string(key) ? at_path(v, json_string_value(key)) : NULL;
	json_decref(key);
	if (out)
		return json_incref(out);
	return n->count > 1 ? eval_node(e, e->p->nodes[n->first].next) : json_null();
}

static json_t *
link_filter(struct eval *e, const struct node *n, json_t *v)
{
	json_t *args[FILTER_ARGS_MAX] = { NULL }, *out = NULL;
	size_t count = 0;

	for (uint16_t c = n->first; c != NO_NODE && count < FILTER_ARGS_MAX;
	     c = e->p->nodes[c].next) {
		args[count] = eval_node(e, c);
		if (!args[count])
			break;
		count++;
	}
	if (e->err == ERR_OK)
		out = eval_checked(e, n->filter->fn(e, v, args));
	while (count > 0)
		json_decref(args[--count]);
	return out;
}

static json_t *
apply_link(struct eval *e, const struct node *n, json_t *v)
{
	if (n->op == N_ATTRIBUTE)
		return or_undefined(json_object_get(v, n->name));
	if (n->op == N_INDEX)
		return link_index(e, n, v);
	if (n->op == N_GET)
		return link_get(e, n, v);
	if (n->op == N_FILTER)
		return link_filter(e, n, v);
	assert(n->op == N_TEST);
	return json_boolean(n->test->fn(v) != n->negated);
}

json_t *
eval_chain(struct eval *e, const struct node *n)
{
	json_t *v = eval_node(e, n->first);

	for (uint16_t next = e->p->nodes[n->first].next; v && next != NO_NODE;
	     next = e->p->nodes[next].next) {
		json_t *out = eval_step(e) ? apply_link(e, &e->p->nodes[next], v) : NULL;

		json_decref(v);
		v = out;
	}
	return v;
}
