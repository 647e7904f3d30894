/* expr_internal.h - between the files of expr.h: compiled form, values, evaluation state.
 *
 * A program is one array of nodes; operands are linked by index, left to right, so that a long
 * chain of operators is a list and recursion is bounded by EXPR_DEPTH_MAX alone. */
#ifndef COMMON_AGENTDEF_EXPR_INTERNAL_H
#define COMMON_AGENTDEF_EXPR_INTERNAL_H

#include "common/agentdef/expr.h"
#include "common/str.h"

/* --- tokens --- */

enum token_kind { T_END, T_NAME, T_STRING, T_INT, T_REAL, T_OP, T_BAD };

struct lexer {
	const char *text; /* the whole, for columns in messages */
	const char *at;   /* behind the token */
	struct fault *f;
	/* The token: */
	enum token_kind kind;
	const char *start;
	size_t len;
	char op[3];   /* "==", "(" */
	char *string; /* T_STRING, owned */
	int64_t integer;
	double real;
};

/* text must stay and ends with NUL; reading starts at `at`. */
void lexer_init(struct lexer *l, const char *text, const char *at, struct fault *f);
void lexer_finish(struct lexer *l);
void lexer_next(struct lexer *l);                            /* T_BAD: f is set */
bool lexer_is(const struct lexer *l, const char *op);        /* punctuation */
bool lexer_is_word(const struct lexer *l, const char *word); /* name or keyword */
/* "column 7: …" or "line 2, column 7: …"; always false. */
PRINTF(3, 4) bool lexer_fail(struct lexer *l, const char *at, const char *fmt, ...);

/* --- compiled form --- */

enum node_op {
	N_LITERAL,   /* value */
	N_ROOT,      /* name: a member of the context */
	N_LIST,      /* operands */
	N_MAP,       /* operands: key, value, key, value … */
	N_OR,        /* operands */
	N_AND,       /* operands */
	N_NOT,       /* operand */
	N_NEGATE,    /* operand */
	N_IF,        /* operands: condition, then, else (or none) */
	N_ARITH,     /* operands: the first, then N_RELATION nodes with R_ADD … */
	N_COMPARE,   /* operands: the first, then N_RELATION nodes */
	N_RELATION,  /* operand: the right side */
	N_CHAIN,     /* operands: the base, then the links below */
	N_ATTRIBUTE, /* .name */
	N_INDEX,     /* [operand] */
	N_GET,       /* .get(operand, default) */
	N_FILTER,    /* |name(operands) */
	N_TEST,      /* is name */
};

enum relation {
	R_EQ,
	R_NE,
	R_LT,
	R_LE,
	R_GT,
	R_GE,
	R_IN,
	R_NOT_IN,
	R_ADD,
	R_SUB,
	R_MUL,
	R_DIV,
	R_FLOOR,
	R_MOD,
	R_JOIN,
};

#define NO_NODE UINT16_MAX

struct node {
	enum node_op op;
	uint16_t first, next; /* operands, and the next operand of the parent */
	uint16_t count;       /* of operands */
	enum relation relation;
	bool negated; /* N_TEST: is not */
	char *name;
	json_t *value;
	const struct filter *filter;
	const struct test *test;
};

struct program {
	struct node *nodes;
	uint16_t count, cap;
};

void program_finish(struct program *p);
/* Compiles one expression from the lexer's next token on, leaving the token behind it as current.
 * NO_NODE: f is set. */
uint16_t program_add(struct program *p, struct lexer *l);

/* --- evaluation --- */

struct eval {
	const struct program *p;
	const json_t *context;
	unsigned steps;
	enum err err; /* of the first failure */
	struct fault *f;
};

/* New reference; NULL: e->err and e->f are set. */
json_t *eval_node(struct eval *e, uint16_t n);
bool eval_step(struct eval *e); /* false once too much was done */
PRINTF(2, 3) json_t *eval_fail(struct eval *e, const char *fmt, ...); /* always NULL */
json_t *eval_checked(struct eval *e, json_t *v); /* NULL becomes "out of memory" */
/* What b holds, as a value; b is finished. */
json_t *eval_text(struct eval *e, struct buf *b);
json_t *eval_chain(struct eval *e, const struct node *n);
json_t *eval_arith(struct eval *e, enum relation op, const json_t *a, const json_t *b);

/* --- values --- */

#define VALUE_DEPTH_MAX (2 * EXPR_DEPTH_MAX) /* a context nests what came in its own levels */

/* What an unknown name or key is: a null that `is defined` can tell from none. */
extern json_t value_undefined;
const char *value_kind(const json_t *v);         /* "a string", "none" */
bool value_number(const json_t *v, double *out); /* also true and false */
/* -1, 0, 1; false: these two have no order. */
bool value_order(const json_t *a, const json_t *b, int *out);
bool value_equal(struct eval *e, const json_t *a, const json_t *b, unsigned depth);
/* A copy that shares nothing with v; at most EXPR_STEPS_MAX values, VALUE_DEPTH_MAX deep. */
json_t *value_copy(struct eval *e, const json_t *v, unsigned depth);
/* As a template writes it: "" for none, text as it is, else JSON. */
void value_write(const json_t *v, struct buf *out);
size_t utf8_count(const char *s, size_t len); /* code points */

struct filter {
	const char *name;
	unsigned min, max; /* arguments besides the value */
	/* v and args are borrowed, args that were not given are NULL; new reference or NULL. */
	json_t *(*fn)(struct eval *e, json_t *v, json_t *const *args);
};
#define FILTER_ARGS_MAX 2
const struct filter *filter_find(const char *name); /* NULL: none */

struct test {
	const char *name;
	bool (*fn)(const json_t *v);
};
const struct test *test_find(const char *name);

#endif
