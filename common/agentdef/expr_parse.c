/* Recursive descent, loosest operator first, as Jinja binds them. */
#include "common/agentdef/expr_internal.h"

#include <stdlib.h>
#include <string.h>

#define NODES_MAX (NO_NODE - 1)

struct parser {
	struct program *p;
	struct lexer *l;
	unsigned depth;
};

static uint16_t parse_condition(struct parser *ps);
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

static uint16_t
fail(struct parser *ps, const char *what)
{
	if (ps->l->kind != T_BAD)
		lexer_fail(ps->l, ps->l->start, "%s", what);
	return NO_NODE;
}

/* What stands there instead of what was expected. */
static uint16_t
expected(struct parser *ps, const char *what)
{
	struct lexer *l = ps->l;
	int len = l->len > 40 ? 40 : (int)l->len;

	if (l->kind == T_END)
		lexer_fail(l, l->start, "expected %s, but the text ends", what);
	else if (l->kind != T_BAD)
		lexer_fail(l, l->start, "expected %s, not '%.*s'", what, len, l->start);
	return NO_NODE;
}

static uint16_t
node_new(struct parser *ps, enum node_op op)
{
	struct program *p = ps->p;

	if (p->count == p->cap) {
		size_t cap = p->cap ? (size_t)p->cap * 2 : 8;
		struct node *nodes;

		if (cap > NODES_MAX)
			cap = NODES_MAX;
		if (p->count == cap)
			return fail(ps, "the expression is too long");
		nodes = realloc(p->nodes, cap * sizeof(*nodes));
		if (!nodes)
			return fail(ps, "out of memory");
		p->nodes = nodes;
		p->cap = (uint16_t)cap;
	}
	p->nodes[p->count] = (struct node){ .op = op, .first = NO_NODE, .next = NO_NODE };
	return p->count++;
}

/* Appends an operand; *last is the one before it. */
static void
operand_add(struct parser *ps, uint16_t parent, uint16_t *last, uint16_t child)
{
	struct node *nodes = ps->p->nodes;

	if (*last == NO_NODE)
		nodes[parent].first = child;
	else
		nodes[*last].next = child;
	nodes[parent].count++;
	*last = child;
}

static bool
accept_op(struct parser *ps, const char *op)
{
	if (!lexer_is(ps->l, op))
		return false;
	lexer_next(ps->l);
	return true;
}

static bool
accept_word(struct parser *ps, const char *word)
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
	fail(ps, "nested too deeply");
	return false;
}

/* --- primaries --- */

static uint16_t
literal(struct parser *ps, json_t *value)
{
	uint16_t n = value ? node_new(ps, N_LITERAL) : fail(ps, "out of memory");

	if (n == NO_NODE)
		json_decref(value);
	else
		ps->p->nodes[n].value = value;
	if (n != NO_NODE)
		lexer_next(ps->l);
	return n;
}

/* The current name token becomes the node's. */
static uint16_t
named(struct parser *ps, uint16_t n)
{
	char *name;

	if (n == NO_NODE)
		return NO_NODE;
	name = strndup(ps->l->start, ps->l->len);
	if (!name)
		return fail(ps, "out of memory");
	ps->p->nodes[n].name = name;
	lexer_next(ps->l);
	return n;
}

static uint16_t
parse_name(struct parser *ps)
{
	static const char *const keywords[] = { "and", "or", "not", "in", "is", "if", "else" };
	struct lexer *l = ps->l;

	if (lexer_is_word(l, "true") || lexer_is_word(l, "True"))
		return literal(ps, json_true());
	if (lexer_is_word(l, "false") || lexer_is_word(l, "False"))
		return literal(ps, json_false());
	if (lexer_is_word(l, "none") || lexer_is_word(l, "None"))
		return literal(ps, json_null());
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
		if (lexer_is_word(l, keywords[i]))
			return expected(ps, "a value");
	return named(ps, node_new(ps, N_ROOT));
}

/* Operands up to `close`, which is taken; at most max. */
static bool
parse_operands(struct parser *ps, uint16_t parent, uint16_t last, const char *close, unsigned max)
{
	while (!accept_op(ps, close)) {
		uint16_t child;

		if (ps->p->nodes[parent].count > 0 && !accept_op(ps, ",")) {
			expected(ps, close[0] == ']' ? "',' or ']'" : "',' or ')'");
			return false;
		}
		if (ps->p->nodes[parent].count > 0 && accept_op(ps, close))
			return true;
		if (ps->p->nodes[parent].count >= max) {
			fail(ps, "too many arguments");
			return false;
		}
		child = parse_condition(ps);
		if (child == NO_NODE)
			return false;
		operand_add(ps, parent, &last, child);
	}
	return true;
}

static uint16_t
parse_list(struct parser *ps)
{
	uint16_t n = node_new(ps, N_LIST);

	lexer_next(ps->l);
	return n != NO_NODE && parse_operands(ps, n, NO_NODE, "]", NODES_MAX) ? n : NO_NODE;
}

static uint16_t
parse_map(struct parser *ps)
{
	uint16_t n = node_new(ps, N_MAP), last = NO_NODE;

	lexer_next(ps->l);
	while (n != NO_NODE && !accept_op(ps, "}")) {
		uint16_t key, value;

		if (last != NO_NODE && !accept_op(ps, ","))
			return expected(ps, "',' or '}'");
		if (last != NO_NODE && accept_op(ps, "}"))
			return n;
		key = parse_condition(ps);
		if (key == NO_NODE)
			return NO_NODE;
		operand_add(ps, n, &last, key);
		if (!accept_op(ps, ":"))
			return expected(ps, "':'");
		value = parse_condition(ps);
		if (value == NO_NODE)
			return NO_NODE;
		operand_add(ps, n, &last, value);
	}
	return n;
}

static uint16_t
parse_group(struct parser *ps)
{
	uint16_t n;

	lexer_next(ps->l);
	n = parse_condition(ps);
	if (n != NO_NODE && !accept_op(ps, ")"))
		return expected(ps, "')'");
	return n;
}

static uint16_t
parse_primary(struct parser *ps)
{
	switch (ps->l->kind) {
	case T_NAME:
		return parse_name(ps);
	case T_STRING:
		return literal(ps, json_string(ps->l->string));
	case T_INT:
		return literal(ps, json_integer(ps->l->integer));
	case T_REAL:
		return literal(ps, json_real(ps->l->real));
	case T_OP:
	case T_END:
	case T_BAD:
		break;
	}
	if (lexer_is(ps->l, "("))
		return parse_group(ps);
	if (lexer_is(ps->l, "["))
		return parse_list(ps);
	if (lexer_is(ps->l, "{"))
		return parse_map(ps);
	return expected(ps, "a value");
}

/* --- what follows a primary --- */

static uint16_t
parse_member(struct parser *ps)
{
	struct lexer *l = ps->l;
	uint16_t n;

	lexer_next(l);
	if (l->kind != T_NAME)
		return expected(ps, "a name behind '.'");
	n = named(ps, node_new(ps, N_ATTRIBUTE));
	if (n == NO_NODE || !lexer_is(l, "("))
		return n;
	if (strcmp(ps->p->nodes[n].name, "get") != 0)
		return fail(ps, "only .get() can be called; filters do the rest: x|upper");
	lexer_next(l);
	ps->p->nodes[n].op = N_GET;
	if (!parse_operands(ps, n, NO_NODE, ")", 2))
		return NO_NODE;
	return ps->p->nodes[n].count > 0 ? n : fail(ps, ".get() wants a name");
}

static uint16_t
parse_index(struct parser *ps)
{
	uint16_t n = node_new(ps, N_INDEX), last = NO_NODE, child;

	lexer_next(ps->l);
	child = n == NO_NODE ? NO_NODE : parse_condition(ps);
	if (child == NO_NODE)
		return NO_NODE;
	operand_add(ps, n, &last, child);
	return accept_op(ps, "]") ? n : expected(ps, "']'");
}

static uint16_t
parse_filter(struct parser *ps)
{
	struct lexer *l = ps->l;
	const struct filter *filter;
	uint16_t n;

	lexer_next(l);
	if (l->kind != T_NAME)
		return expected(ps, "a filter's name");
	n = named(ps, node_new(ps, N_FILTER));
	if (n == NO_NODE)
		return NO_NODE;
	filter = ps->p->nodes[n].filter = filter_find(ps->p->nodes[n].name);
	if (!filter) {
		lexer_fail(l, l->start, "there is no filter '%.60s'", ps->p->nodes[n].name);
		return NO_NODE;
	}
	if (accept_op(ps, "(") && !parse_operands(ps, n, NO_NODE, ")", filter->max))
		return NO_NODE;
	return ps->p->nodes[n].count >= filter->min ? n : fail(ps, "the filter wants an argument");
}

static uint16_t
parse_test(struct parser *ps)
{
	struct lexer *l = ps->l;
	bool negated;
	uint16_t n;

	lexer_next(l);
	negated = accept_word(ps, "not");
	if (l->kind != T_NAME)
		return expected(ps, "the name of a test behind 'is'");
	n = named(ps, node_new(ps, N_TEST));
	if (n == NO_NODE)
		return NO_NODE;
	ps->p->nodes[n].negated = negated;
	ps->p->nodes[n].test = test_find(ps->p->nodes[n].name);
	if (ps->p->nodes[n].test)
		return n;
	lexer_fail(l, l->start, "there is no test '%.60s'", ps->p->nodes[n].name);
	return NO_NODE;
}

static uint16_t (*link_parser(const struct lexer *l))(struct parser *ps)
{
	if (lexer_is(l, "."))
		return parse_member;
	if (lexer_is(l, "["))
		return parse_index;
	if (lexer_is(l, "|"))
		return parse_filter;
	if (lexer_is_word(l, "is"))
		return parse_test;
	return NULL;
}

static uint16_t
parse_chain(struct parser *ps)
{
	uint16_t base = parse_primary(ps), n, last = NO_NODE;
	uint16_t (*parse)(struct parser *) = link_parser(ps->l);

	if (base == NO_NODE || !parse)
		return base;
	n = node_new(ps, N_CHAIN);
	if (n == NO_NODE)
		return NO_NODE;
	operand_add(ps, n, &last, base);
	for (; parse; parse = link_parser(ps->l)) {
		uint16_t one = parse(ps);

		if (one == NO_NODE)
			return NO_NODE;
		operand_add(ps, n, &last, one);
	}
	if (lexer_is(ps->l, "("))
		return fail(ps, "only .get() can be called");
	return n;
}

/* --- operators --- */

static uint16_t
parse_prefix(struct parser *ps, enum node_op op, uint16_t (*parse)(struct parser *))
{
	uint16_t n, last = NO_NODE, child;

	if (!enter(ps))
		return NO_NODE;
	lexer_next(ps->l);
	n = node_new(ps, op);
	child = n == NO_NODE ? NO_NODE : parse(ps);
	ps->depth--;
	if (child == NO_NODE)
		return NO_NODE;
	operand_add(ps, n, &last, child);
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
	uint16_t n = node_new(ps, N_RELATION), last = NO_NODE, child;

	child = n == NO_NODE ? NO_NODE : parse_arith(ps, level);
	if (child == NO_NODE)
		return NO_NODE;
	ps->p->nodes[n].relation = relation;
	operand_add(ps, n, &last, child);
	return n;
}

/* a op b op c …: `one` is what parse_relation() made of the next. */
static uint16_t
join(struct parser *ps, enum node_op op, uint16_t first, uint16_t *joined, uint16_t *last,
     uint16_t one)
{
	if (*joined == NO_NODE && one != NO_NODE) {
		*joined = node_new(ps, op);
		if (*joined != NO_NODE)
			operand_add(ps, *joined, last, first);
	}
	if (*joined == NO_NODE || one == NO_NODE)
		return NO_NODE;
	operand_add(ps, *joined, last, one);
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
		if (arith_ops[i].level == level && accept_op(ps, arith_ops[i].text)) {
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
		if (accept_op(ps, ops[i])) {
			*out = (enum relation)i;
			return true;
		}
	if (accept_word(ps, "in")) {
		*out = R_IN;
		return true;
	}
	if (!accept_word(ps, "not"))
		return false;
	*out = R_NOT_IN;
	if (accept_word(ps, "in"))
		return true;
	expected(ps, "'in' behind 'not'");
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
	n = node_new(ps, op);
	if (n == NO_NODE)
		return NO_NODE;
	operand_add(ps, n, &last, first);
	while (accept_word(ps, word)) {
		uint16_t one = parse(ps);

		if (one == NO_NODE)
			return NO_NODE;
		operand_add(ps, n, &last, one);
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

	if (then == NO_NODE || !accept_word(ps, "if"))
		return then;
	n = node_new(ps, N_IF);
	one = n == NO_NODE ? NO_NODE : parse_or(ps);
	if (one == NO_NODE)
		return NO_NODE;
	operand_add(ps, n, &last, one);
	operand_add(ps, n, &last, then);
	if (!accept_word(ps, "else"))
		return n;
	one = parse_condition(ps);
	if (one == NO_NODE)
		return NO_NODE;
	operand_add(ps, n, &last, one);
	return n;
}

static uint16_t
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
