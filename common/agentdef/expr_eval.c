#include "common/agentdef/expr_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *
eval_fail(struct eval *e, const char *fmt, ...)
{
	va_list ap;

	if (e->err != ERR_OK)
		return NULL;
	e->err = ERR_INVALID;
	if (!e->f)
		return NULL;
	va_start(ap, fmt);
	(void)vsnprintf(e->f->what, sizeof(e->f->what), fmt, ap);
	va_end(ap);
	return NULL;
}

json_t *
eval_checked(struct eval *e, json_t *v)
{
	if (v || e->err != ERR_OK)
		return v;
	eval_fail(e, "out of memory");
	e->err = ERR_NOMEM;
	return NULL;
}

json_t *
eval_text(struct eval *e, struct buf *b)
{
	json_t *v = NULL;

	/* A buffer fails by its limit or by memory; it does not say which. */
	if (b->failed)
		eval_fail(e, "the text is longer than %u bytes, or memory is short", TMPL_OUT_MAX);
	else
		v = eval_checked(e, json_stringn_nocheck(b->data, b->len));
	buf_finish(b);
	return v;
}

bool
eval_step(struct eval *e)
{
	if (e->err == ERR_OK && ++e->steps > EXPR_STEPS_MAX)
		eval_fail(e, "more than %d steps", EXPR_STEPS_MAX);
	return e->err == ERR_OK;
}

static const struct node *
node_at(const struct eval *e, uint16_t n)
{
	return &e->p->nodes[n];
}

static uint16_t
next_of(const struct eval *e, uint16_t n)
{
	return e->p->nodes[n].next;
}

/* --- operators --- */

static bool
is_in(struct eval *e, const json_t *item, const json_t *in)
{
	if (json_is_object(in))
		return json_is_string(item) && json_object_get(in, json_string_value(item));
	if (json_is_string(in) && json_is_string(item))
		return memmem(json_string_value(in), json_string_length(in),
			      json_string_value(item), json_string_length(item));
	if (!json_is_array(in)) {
		if (!json_is_null(in)) /* nothing is in none */
			eval_fail(e, "cannot look for %s in %s", value_kind(item), value_kind(in));
		return false;
	}
	for (size_t i = 0; i < json_array_size(in); i++)
		if (value_equal(e, item, json_array_get(in, i), VALUE_DEPTH_MAX))
			return true;
	return false;
}

static bool
holds(struct eval *e, enum relation r, const json_t *a, const json_t *b)
{
	int order;

	if (r == R_EQ || r == R_NE)
		return value_equal(e, a, b, VALUE_DEPTH_MAX) == (r == R_EQ);
	if (r == R_IN || r == R_NOT_IN)
		return is_in(e, a, b) == (r == R_IN);
	if (!value_order(a, b, &order)) {
		eval_fail(e, "%s and %s cannot be compared by size", value_kind(a), value_kind(b));
		return false;
	}
	return r == R_LT ? order < 0 : r == R_LE ? order <= 0 : r == R_GT ? order > 0 : order >= 0;
}

/* a < b < c is a < b and b < c. */
static json_t *
eval_compare(struct eval *e, const struct node *n)
{
	json_t *left = eval_node(e, n->first), *right;
	uint16_t next = next_of(e, n->first);
	bool yes = true;

	for (; left && yes && next != NO_NODE; next = next_of(e, next)) {
		const struct node *r = node_at(e, next);

		right = eval_node(e, r->first);
		yes = right && holds(e, r->relation, left, right);
		json_decref(left);
		left = right;
	}
	json_decref(left);
	return e->err == ERR_OK ? json_boolean(yes) : NULL;
}

static json_t *
eval_arith_chain(struct eval *e, const struct node *n)
{
	json_t *left = eval_node(e, n->first);
	uint16_t next = next_of(e, n->first);

	for (; left && next != NO_NODE; next = next_of(e, next)) {
		const struct node *r = node_at(e, next);
		json_t *right = eval_node(e, r->first);
		json_t *out = right ? eval_arith(e, r->relation, left, right) : NULL;

		json_decref(left);
		json_decref(right);
		left = out;
	}
	return left;
}

/* The first that decides, or the last. */
static json_t *
eval_joined(struct eval *e, const struct node *n, bool deciding)
{
	json_t *v = eval_node(e, n->first);
	uint16_t next = next_of(e, n->first);

	for (; v && next != NO_NODE && expr_truth(v) != deciding; next = next_of(e, next)) {
		json_decref(v);
		v = eval_node(e, next);
	}
	return v;
}

static json_t *
eval_if(struct eval *e, const struct node *n)
{
	json_t *condition = eval_node(e, n->first);
	uint16_t then = next_of(e, n->first), otherwise = next_of(e, then);
	bool yes = condition && expr_truth(condition);

	if (!condition)
		return NULL;
	json_decref(condition);
	if (yes)
		return eval_node(e, then);
	return otherwise == NO_NODE ? json_incref(&value_undefined) : eval_node(e, otherwise);
}

static json_t *
eval_not(struct eval *e, const struct node *n)
{
	json_t *v = eval_node(e, n->first);
	bool truth = v && expr_truth(v);

	if (!v)
		return NULL;
	json_decref(v);
	return json_boolean(!truth);
}

static json_t *
eval_negate(struct eval *e, const struct node *n)
{
	json_t *v = eval_node(e, n->first), *zero = v ? json_integer(0) : NULL, *out = NULL;

	if (v && eval_checked(e, zero))
		out = eval_arith(e, R_SUB, zero, v);
	json_decref(v);
	json_decref(zero);
	return out;
}

static json_t *
eval_list(struct eval *e, const struct node *n)
{
	json_t *out = eval_checked(e, json_array());

	for (uint16_t c = n->first; out && c != NO_NODE; c = next_of(e, c)) {
		json_t *item = eval_node(e, c);

		if (!item || json_array_append_new(out, item) != 0) {
			json_decref(out);
			out = eval_checked(e, NULL);
		}
	}
	return out;
}

static bool
set_member(struct eval *e, json_t *map, const json_t *key, json_t *value)
{
	if (!json_is_string(key)) {
		eval_fail(e, "a map's key must be a string, not %s", value_kind(key));
		return false;
	}
	return json_object_set(map, json_string_value(key), value) == 0;
}

static json_t *
eval_map(struct eval *e, const struct node *n)
{
	json_t *out = eval_checked(e, json_object());
	uint16_t c = n->first;

	while (out && c != NO_NODE) {
		uint16_t at = next_of(e, c);
		json_t *key = eval_node(e, c), *value = key ? eval_node(e, at) : NULL;
		bool set = value && set_member(e, out, key, value);

		json_decref(key);
		json_decref(value);
		if (!set) {
			json_decref(out);
			out = eval_checked(e, NULL);
		}
		c = next_of(e, at);
	}
	return out;
}

json_t *
eval_node(struct eval *e, uint16_t at)
{
	const struct node *n = node_at(e, at);
	json_t *v;

	if (!eval_step(e))
		return NULL;
	switch (n->op) {
	case N_LITERAL:
		/* A copy: compiled values are shared between threads. */
		return value_copy(e, n->value, 1);
	case N_ROOT:
		v = json_object_get(e->context, n->name);
		return json_incref(v ? v : &value_undefined);
	case N_LIST:
		return eval_list(e, n);
	case N_MAP:
		return eval_map(e, n);
	case N_OR:
		return eval_joined(e, n, true);
	case N_AND:
		return eval_joined(e, n, false);
	case N_NOT:
		return eval_not(e, n);
	case N_NEGATE:
		return eval_negate(e, n);
	case N_IF:
		return eval_if(e, n);
	case N_ARITH:
		return eval_arith_chain(e, n);
	case N_COMPARE:
		return eval_compare(e, n);
	case N_CHAIN:
		return eval_chain(e, n);
	case N_RELATION:
	case N_ATTRIBUTE:
	case N_INDEX:
	case N_GET:
	case N_FILTER:
	case N_TEST:
		break;
	}
	assert(!"a link or a relation by itself");
	return NULL;
}
