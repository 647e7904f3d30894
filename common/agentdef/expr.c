#include "common/agentdef/expr_internal.h"

#include <stdlib.h>
#include <string.h>

struct expr {
	struct program p;
	uint16_t root;
};

static bool
compile(struct expr *x, struct lexer *l, const char *text)
{
	if (strnlen(text, EXPR_TEXT_MAX + 1) > EXPR_TEXT_MAX)
		return lexer_fail(l, text, "an expression has at most %d bytes", EXPR_TEXT_MAX);
	if (!str_is_utf8(text, strlen(text)))
		return lexer_fail(l, text, "the text is not UTF-8");
	x->root = program_add(&x->p, l);
	if (x->root == NO_NODE)
		return false;
	if (l->kind != T_END)
		return lexer_fail(l, l->start, "expected an operator, not '%.*s'",
				  l->len > 40 ? 40 : (int)l->len, l->start);
	return true;
}

struct expr *
expr_compile(const char *text, struct fault *f)
{
	struct expr *x = calloc(1, sizeof(*x));
	struct lexer l;
	bool good;

	lexer_init(&l, text, text, f);
	good = x ? compile(x, &l, text) : lexer_fail(&l, text, "out of memory");
	lexer_finish(&l);
	if (good)
		return x;
	expr_destroy(x);
	return NULL;
}

void
expr_destroy(struct expr *x)
{
	if (!x)
		return;
	program_finish(&x->p);
	free(x);
}

enum err
expr_eval(const struct expr *x, const json_t *context, json_t **out, struct fault *f)
{
	struct eval e = { .p = &x->p, .context = context, .f = f };
	json_t *v = eval_node(&e, x->root), *copy;

	if (!v)
		return e.err;
	/* The caller may put it into the very context it came from. */
	e.steps = 0;
	copy = value_copy(&e, v, VALUE_DEPTH_MAX);
	json_decref(v);
	if (!copy)
		return e.err;
	*out = copy;
	return ERR_OK;
}
