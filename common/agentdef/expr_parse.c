/* Recursive descent, loosest operator first, as Jinja binds them. */
#include "common/agentdef/expr_parser.h"

#include <stdlib.h>
#include <string.h>

static uint16_t parse_not(struct parser *ps);
static uint16_t parse_arith(struct parser *ps, unsigned level);

void
program_finish(struct program *p)
{
	for (size_t i = 0; i < p->count; i++) {
		free(p->nodes[i].name);
		json_decref(p->nodes[i].value);
	}
	free(p->nodes);
	*p = (struct program){ 0 };
}

uint16_t
parser_fail(struct parser *ps, const char *what)
{
	if (ps->l->kind != T_BAD)
		lexer_fail(ps->l, ps->l->start, "%s", what);
	return NO_NODE;
}

/* What stands there instead of what was expected. */
uint16_t
parser_expected(struct parser *ps, const char *what)
{
	struct lexer *l = ps->l;
	int len = l->len > 40 ? 40 : (int)l->len;

	if (l->kind == T_END)
		lexer_fail(l, l->start, "expected %s, but the text ends", what);
	else if (l->kind != T_BAD)
		lexer_fail(l, l->start, "expected %s, not '%.*s'", what, len, l->start);
	return NO_NODE;
}

uint16_t
parser_node(struct parser *ps, enum node_op op)
{
	struct program *p = ps->p;

	if (p->count == p->cap) {
		size_t cap = p->cap ? (size_t)p->cap * 2 : 8;
		struct node *nodes;

		if (cap > NODES_MAX)
			cap = NODES_MAX;
		if (p->count == cap)
			return parser_fail(ps, "the expression is too long");
		nodes = realloc(p->nodes, cap * sizeof(*nodes));
		if (!nodes)
			return parser_fail(ps, "out of memory");
		p->nodes = nodes;
		p->cap = (uint16_t)cap;
	}
	p->nodes[p->count] = (struct node){ .op = op, .first = NO_NODE, .next = NO_NODE };
	return p->count++;
}

/* Appends an operand; *last is the one before it. */
void
parser_operand(struct parser *ps, uint16_t parent, uint16_t *last, uint16_t child)
{
	struct node *nodes = ps->p->nodes;

	if (*last == NO_NODE)
		nodes[parent].first = child;
	else
		nodes[*last].next = child;
	nodes[parent].count++;
	*last = child;
}

bool
parser_accept_op(struct parser *ps, const char *op)
{
	if (!lexer_is(ps->l, op))
		return false;
	lexer_next(ps->l);
	return true;
}

bool
parser_accept_word(struct parser *ps, const char *word)
{
	if (!lexer_is_word(ps->l, word))
		return false;
	lexer_next(ps->l);
	return true;
}

static bool
enter(struct parser *ps)
{
	if (++ps->depth <= EXPR_DEPTH_MAX)
		return true;
	parser_fail(ps, "nested too deeply");
	return false;
}

/* --- operators --- */

static uint16_t
parse_prefix(struct parser *ps, enum node_op op, uint16_t (*parse)(struct parser *))
{
	uint16_t n, last = NO_NODE, child;

	if (!enter(ps))
		return NO_NODE;
	lexer_next(ps->l);
	n = parser_node(ps, op);
	child = n == NO_NODE ? NO_NODE : parse(ps);
	ps->depth--;
	if (child == NO_NODE)
		return NO_NODE;
	parser_operand(ps, n, &last, child);
	return n;
}

static uint16_t
parse_unary(struct parser *ps)
{
	return lexer_is(ps->l, "-") ? parse_prefix(ps, N_NEGATE, parse_unary) : parse_chain(ps);
}

/* The right side of an operator. */
static uint16_t
parse_relation(struct parser *ps, enum relation relation, unsigned level)
{
	uint16_t n = parser_node(ps, N_RELATION), last = NO_NODE, child;

	child = n == NO_NODE ? NO_NODE : parse_arith(ps, level);
	if (child == NO_NODE)
		return NO_NODE;
	ps->p->nodes[n].relation = relation;
	parser_operand(ps, n, &last, child);
	return n;
}

/* a op b op c …: `one` is what parse_relation() made of the next. */
static uint16_t
join(struct parser *ps, enum node_op op, uint16_t first, uint16_t *joined, uint16_t *last,
     uint16_t one)
{
	if (*joined == NO_NODE && one != NO_NODE) {
		*joined = parser_node(ps, op);
		if (*joined != NO_NODE)
			parser_operand(ps, *joined, last, first);
	}
	if (*joined == NO_NODE || one == NO_NODE)
		return NO_NODE;
	parser_operand(ps, *joined, last, one);
	return *joined;
}

/* clang-format off */
/* Loosest first, as Jinja has it. */
static const struct {
	const char *text;
	enum relation relation;
	unsigned level;
} arith_ops[] = {
	{ "+",  R_ADD,   0 },
	{ "-",  R_SUB,   0 },
	{ "~",  R_JOIN,  1 },
	{ "*",  R_MUL,   2 },
	{ "/",  R_DIV,   2 },
	{ "//", R_FLOOR, 2 },
	{ "%",  R_MOD,   2 },
};
/* clang-format on */
#define ARITH_LEVELS 3

static bool
accept_arith(struct parser *ps, unsigned level, enum relation *out)
{
	const struct lexer *l = ps->l;

	/* The end of a template's tag, not an operator. */
	if ((lexer_is(l, "-") && (str_starts(l->at, "}}") || str_starts(l->at, "%}"))) ||
	    (lexer_is(l, "%") && *l->at == '}'))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(arith_ops); i++)
		if (arith_ops[i].level == level && parser_accept_op(ps, arith_ops[i].text)) {
			*out = arith_ops[i].relation;
			return true;
		}
	return false;
}

static uint16_t
parse_arith(struct parser *ps, unsigned level)
{
	uint16_t first, n = NO_NODE, last = NO_NODE;
	enum relation relation;

	if (level == ARITH_LEVELS)
		return parse_unary(ps);
	first = parse_arith(ps, level + 1);
	while (first != NO_NODE && accept_arith(ps, level, &relation)) {
		uint16_t one = parse_relation(ps, relation, level + 1);

		if (join(ps, N_ARITH, first, &n, &last, one) == NO_NODE)
			return NO_NODE;
	}
	return n == NO_NODE ? first : n;
}

static bool
accept_relation(struct parser *ps, enum relation *out)
{
	static const char *const ops[] = { [R_EQ] = "==", [R_NE] = "!=", [R_LT] = "<",
					   [R_LE] = "<=", [R_GT] = ">",  [R_GE] = ">=" };

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (parser_accept_op(ps, ops[i])) {
			*out = (enum relation)i;
			return true;
		}
	if (parser_accept_word(ps, "in")) {
		*out = R_IN;
		return true;
	}
	if (!parser_accept_word(ps, "not"))
		return false;
	*out = R_NOT_IN;
	if (parser_accept_word(ps, "in"))
		return true;
	parser_expected(ps, "'in' behind 'not'");
	return false;
}

static uint16_t
parse_compare(struct parser *ps)
{
	uint16_t first = parse_arith(ps, 0), n = NO_NODE, last = NO_NODE;
	enum relation relation;

	while (first != NO_NODE && accept_relation(ps, &relation)) {
		uint16_t one = parse_relation(ps, relation, 0);

		if (join(ps, N_COMPARE, first, &n, &last, one) == NO_NODE)
			return NO_NODE;
	}
	if (ps->l->kind == T_BAD)
		return NO_NODE;
	return n == NO_NODE ? first : n;
}

static uint16_t
parse_not(struct parser *ps)
{
	return lexer_is_word(ps->l, "not") ? parse_prefix(ps, N_NOT, parse_not) : parse_compare(ps);
}

static uint16_t
parse_joined(struct parser *ps, enum node_op op, const char *word,
	     uint16_t (*parse)(struct parser *))
{
	uint16_t first = parse(ps), n, last = NO_NODE;

	if (first == NO_NODE || !lexer_is_word(ps->l, word))
		return first;
	n = parser_node(ps, op);
	if (n == NO_NODE)
		return NO_NODE;
	parser_operand(ps, n, &last, first);
	while (parser_accept_word(ps, word)) {
		uint16_t one = parse(ps);

		if (one == NO_NODE)
			return NO_NODE;
		parser_operand(ps, n, &last, one);
	}
	return n;
}

static uint16_t
parse_and(struct parser *ps)
{
	return parse_joined(ps, N_AND, "and", parse_not);
}

static uint16_t
parse_or(struct parser *ps)
{
	return parse_joined(ps, N_OR, "or", parse_and);
}

/* then [if condition [else condition]] */
static uint16_t
parse_choice(struct parser *ps)
{
	uint16_t then = parse_or(ps), n, last = NO_NODE, one;

	if (then == NO_NODE || !parser_accept_word(ps, "if"))
		return then;
	n = parser_node(ps, N_IF);
	one = n == NO_NODE ? NO_NODE : parse_or(ps);
	if (one == NO_NODE)
		return NO_NODE;
	parser_operand(ps, n, &last, one);
	parser_operand(ps, n, &last, then);
	if (!parser_accept_word(ps, "else"))
		return n;
	one = parse_condition(ps);
	if (one == NO_NODE)
		return NO_NODE;
	parser_operand(ps, n, &last, one);
	return n;
}

uint16_t
parse_condition(struct parser *ps)
{
	uint16_t n;

	if (!enter(ps))
		return NO_NODE;
	n = parse_choice(ps);
	ps->depth--;
	return ps->l->kind == T_BAD ? NO_NODE : n;
}

uint16_t
program_add(struct program *p, struct lexer *l)
{
	struct parser ps = { .p = p, .l = l };

	lexer_next(l);
	return parse_condition(&ps);
}
