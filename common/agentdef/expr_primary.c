/* Values, and what follows them: .name [index] .get() |filter is test. */
#include "common/agentdef/expr_parser.h"

#include <string.h>

static uint16_t
literal(struct parser *ps, json_t *value)
{
	uint16_t n = value ? parser_node(ps, N_LITERAL) : parser_fail(ps, "out of memory");

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
		return parser_fail(ps, "out of memory");
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
			return parser_expected(ps, "a value");
	return named(ps, parser_node(ps, N_ROOT));
}

/* Operands up to `close`, which is taken; at most max. */
static bool
parse_operands(struct parser *ps, uint16_t parent, uint16_t last, const char *close, unsigned max)
{
	while (!parser_accept_op(ps, close)) {
		uint16_t child;

		if (ps->p->nodes[parent].count > 0 && !parser_accept_op(ps, ",")) {
			parser_expected(ps, close[0] == ']' ? "',' or ']'" : "',' or ')'");
			return false;
		}
		if (ps->p->nodes[parent].count > 0 && parser_accept_op(ps, close))
			return true;
		if (ps->p->nodes[parent].count >= max) {
			parser_fail(ps, "too many arguments");
			return false;
		}
		child = parse_condition(ps);
		if (child == NO_NODE)
			return false;
		parser_operand(ps, parent, &last, child);
	}
	return true;
}

static uint16_t
parse_list(struct parser *ps)
{
	uint16_t n = parser_node(ps, N_LIST);

	lexer_next(ps->l);
	return n != NO_NODE && parse_operands(ps, n, NO_NODE, "]", NODES_MAX) ? n : NO_NODE;
}

static uint16_t
parse_map(struct parser *ps)
{
	uint16_t n = parser_node(ps, N_MAP), last = NO_NODE;

	lexer_next(ps->l);
	while (n != NO_NODE && !parser_accept_op(ps, "}")) {
		uint16_t key, value;

		if (last != NO_NODE && !parser_accept_op(ps, ","))
			return parser_expected(ps, "',' or '}'");
		if (last != NO_NODE && parser_accept_op(ps, "}"))
			return n;
		key = parse_condition(ps);
		if (key == NO_NODE)
			return NO_NODE;
		parser_operand(ps, n, &last, key);
		if (!parser_accept_op(ps, ":"))
			return parser_expected(ps, "':'");
		value = parse_condition(ps);
		if (value == NO_NODE)
			return NO_NODE;
		parser_operand(ps, n, &last, value);
	}
	return n;
}

static uint16_t
parse_group(struct parser *ps)
{
	uint16_t n;

	lexer_next(ps->l);
	n = parse_condition(ps);
	if (n != NO_NODE && !parser_accept_op(ps, ")"))
		return parser_expected(ps, "')'");
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
	return parser_expected(ps, "a value");
}

/* --- what follows a primary --- */

static uint16_t
parse_member(struct parser *ps)
{
	struct lexer *l = ps->l;
	uint16_t n;

	lexer_next(l);
	if (l->kind != T_NAME)
		return parser_expected(ps, "a name behind '.'");
	n = named(ps, parser_node(ps, N_ATTRIBUTE));
	if (n == NO_NODE || !lexer_is(l, "("))
		return n;
	if (strcmp(ps->p->nodes[n].name, "get") != 0)
		return parser_fail(ps, "only .get() can be called; filters do the rest: x|upper");
	lexer_next(l);
	ps->p->nodes[n].op = N_GET;
	if (!parse_operands(ps, n, NO_NODE, ")", 2))
		return NO_NODE;
	return ps->p->nodes[n].count > 0 ? n : parser_fail(ps, ".get() wants a name");
}

static uint16_t
parse_index(struct parser *ps)
{
	uint16_t n = parser_node(ps, N_INDEX), last = NO_NODE, child;

	lexer_next(ps->l);
	child = n == NO_NODE ? NO_NODE : parse_condition(ps);
	if (child == NO_NODE)
		return NO_NODE;
	parser_operand(ps, n, &last, child);
	return parser_accept_op(ps, "]") ? n : parser_expected(ps, "']'");
}

static uint16_t
parse_filter(struct parser *ps)
{
	struct lexer *l = ps->l;
	const struct filter *filter;
	const char *at;
	uint16_t n;

	lexer_next(l);
	if (l->kind != T_NAME)
		return parser_expected(ps, "a filter's name");
	at = l->start;
	n = named(ps, parser_node(ps, N_FILTER));
	if (n == NO_NODE)
		return NO_NODE;
	filter = ps->p->nodes[n].filter = filter_find(ps->p->nodes[n].name);
	if (!filter) {
		lexer_fail(l, at, "there is no filter '%.60s'", ps->p->nodes[n].name);
		return NO_NODE;
	}
	if (parser_accept_op(ps, "(") && !parse_operands(ps, n, NO_NODE, ")", filter->max))
		return NO_NODE;
	return ps->p->nodes[n].count >= filter->min
		       ? n
		       : parser_fail(ps, "the filter wants an argument");
}

static uint16_t
parse_test(struct parser *ps)
{
	struct lexer *l = ps->l;
	const char *at;
	bool negated;
	uint16_t n;

	lexer_next(l);
	negated = parser_accept_word(ps, "not");
	if (l->kind != T_NAME)
		return parser_expected(ps, "the name of a test behind 'is'");
	at = l->start;
	n = named(ps, parser_node(ps, N_TEST));
	if (n == NO_NODE)
		return NO_NODE;
	ps->p->nodes[n].negated = negated;
	ps->p->nodes[n].test = test_find(ps->p->nodes[n].name);
	if (ps->p->nodes[n].test)
		return n;
	lexer_fail(l, at, "there is no test '%.60s'", ps->p->nodes[n].name);
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

uint16_t
parse_chain(struct parser *ps)
{
	uint16_t base = parse_primary(ps), n, last = NO_NODE;
	uint16_t (*parse)(struct parser *) = link_parser(ps->l);

	if (base == NO_NODE || !parse)
		return base;
	n = parser_node(ps, N_CHAIN);
	if (n == NO_NODE)
		return NO_NODE;
	parser_operand(ps, n, &last, base);
	for (; parse; parse = link_parser(ps->l)) {
		uint16_t one = parse(ps);

		if (one == NO_NODE)
			return NO_NODE;
		parser_operand(ps, n, &last, one);
	}
	if (lexer_is(ps->l, "("))
		return parser_fail(ps, "only .get() can be called");
	return n;
}
