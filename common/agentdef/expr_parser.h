/* expr_parser.h - between the two halves of the parser: operators (expr_parse.c) and what they
 * stand between (expr_primary.c).  Each returns the node it made, NO_NODE with the fault set. */
#ifndef COMMON_AGENTDEF_EXPR_PARSER_H
#define COMMON_AGENTDEF_EXPR_PARSER_H

#include "common/agentdef/expr_internal.h"

#define NODES_MAX (NO_NODE - 1)

struct parser {
	struct program *p;
	struct lexer *l;
	unsigned depth;
};

uint16_t parse_condition(struct parser *ps); /* a whole expression */
uint16_t parse_chain(struct parser *ps);     /* a value and what follows it */

uint16_t parser_fail(struct parser *ps, const char *what);
uint16_t parser_expected(struct parser *ps, const char *what); /* says what stands there instead */
uint16_t parser_node(struct parser *ps, enum node_op op);
/* Appends an operand to parent; *last is the one before it. */
void parser_operand(struct parser *ps, uint16_t parent, uint16_t *last, uint16_t child);
/* Takes the token if it is this one. */
bool parser_accept_op(struct parser *ps, const char *op);
bool parser_accept_word(struct parser *ps, const char *word);

#endif
