/* Templates: a flat list of steps with forward jumps only, so that rendering ends. */
#include "common/agentdef/expr_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/agentdef/tmpl_internal.h"

#define TEXT_MAX  TMPL_OUT_MAX
#define STEPS_MAX 4096
#define NO_STEP   UINT16_MAX
#define OPEN_IFS  EXPR_DEPTH_MAX

enum step_op {
	S_TEXT,   /* writes text */
	S_VALUE,  /* writes the expression */
	S_UNLESS, /* goes to `to` when the expression is false */
	S_GO,     /* goes to `to` */
};

struct step {
	enum step_op op;
	uint16_t expr, to;
	char *text;
	size_t len;
};

struct tmpl {
	struct program p;
	struct step *steps;
	uint16_t count, cap;
};

/* An {% if %} that is not closed yet. */
struct open_if {
	uint16_t unless; /* its S_UNLESS waits for the next branch; NO_STEP: behind else */
	uint16_t ends;   /* S_GOs that wait for endif, chained by `to` */
	const char *at;
};

struct compiler {
	struct tmpl *t;
	struct lexer l; /* of the tag being read; `text` and `f` for messages */
	const char *at;
	bool trim; /* the tag before ended in -%} */
	struct open_if open[OPEN_IFS];
	size_t open_count;
};

void
tmpl_destroy(struct tmpl *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->steps[i].text);
	free(t->steps);
	program_finish(&t->p);
	free(t);
}

static bool
complain(struct compiler *c, const char *at, const char *what)
{
	return c->l.kind == T_BAD ? false : lexer_fail(&c->l, at, "%s", what);
}

static struct step *
step_new(struct compiler *c, enum step_op op)
{
	struct tmpl *t = c->t;

	if (t->count == t->cap) {
		size_t cap = t->cap ? (size_t)t->cap * 2 : 4;
		struct step *steps = cap <= STEPS_MAX ? realloc(t->steps, cap * sizeof(*steps))
						      : NULL;

		if (!steps) {
			complain(c, c->at,
				 cap > STEPS_MAX ? "the template has too many parts"
						 : "out of memory");
			return NULL;
		}
		t->steps = steps;
		t->cap = (uint16_t)cap;
	}
	t->steps[t->count] = (struct step){ .op = op, .expr = NO_NODE, .to = NO_STEP };
	return &t->steps[t->count++];
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Text before a tag (or the end); trimmed where the tags beside it say so. */
static bool
add_text(struct compiler *c, const char *from, const char *to, bool trim_end)
{
	struct step *s;

	while (c->trim && from < to && is_blank(*from))
		from++;
	while (trim_end && to > from && is_blank(to[-1]))
		to--;
	if (from == to)
		return true;
	s = step_new(c, S_TEXT);
	if (!s)
		return false;
	s->len = (size_t)(to - from);
	s->text = strndup(from, s->len);
	return s->text || complain(c, from, "out of memory");
}

/* The tag's closing; the lexer's token is the first behind its expression. */
static bool
close_tag(struct compiler *c, const char *close)
{
	struct lexer *l = &c->l;
	const char *at = l->start;

	if (l->kind == T_BAD)
		return false;
	c->trim = *at == '-';
	at += c->trim;
	if (l->kind == T_END || strncmp(at, close, 2) != 0)
		return lexer_fail(l, l->start, "expected %s", close);
	c->at = at + 2;
	return true;
}

static bool
read_value(struct compiler *c)
{
	uint16_t n = program_add(&c->t->p, &c->l);
	struct step *s = n == NO_NODE ? NULL : step_new(c, S_VALUE);

	if (!s)
		return false;
	s->expr = n;
	return close_tag(c, "}}");
}

/* --- {% if %} --- */

static bool
add_condition(struct compiler *c, struct open_if *open)
{
	uint16_t n = program_add(&c->t->p, &c->l);
	struct step *s = n == NO_NODE ? NULL : step_new(c, S_UNLESS);

	if (!s)
		return false;
	s->expr = n;
	open->unless = (uint16_t)(c->t->count - 1);
	return true;
}

static bool
read_if(struct compiler *c)
{
	struct open_if *open = &c->open[c->open_count];

	if (c->open_count == OPEN_IFS)
		return complain(c, c->l.start, "nested too deeply");
	*open = (struct open_if){ .unless = NO_STEP, .ends = NO_STEP, .at = c->l.start };
	c->open_count++;
	return add_condition(c, open);
}

/* Ends the branch before: what it did goes to endif, its condition comes here. */
static bool
next_branch(struct compiler *c, struct open_if *open)
{
	struct step *go;

	if (open->unless == NO_STEP)
		return complain(c, c->l.start, "there is an else before this");
	go = step_new(c, S_GO);
	if (!go)
		return false;
	go->to = open->ends;
	open->ends = (uint16_t)(c->t->count - 1);
	c->t->steps[open->unless].to = c->t->count;
	open->unless = NO_STEP;
	return true;
}

static bool
read_elif(struct compiler *c)
{
	struct open_if *open = &c->open[c->open_count - 1];

	return next_branch(c, open) && add_condition(c, open);
}

static bool
read_else(struct compiler *c)
{
	if (!next_branch(c, &c->open[c->open_count - 1]))
		return false;
	lexer_next(&c->l);
	return true;
}

static bool
read_endif(struct compiler *c)
{
	struct open_if *open = &c->open[--c->open_count];
	struct step *steps = c->t->steps;

	if (open->unless != NO_STEP)
		steps[open->unless].to = c->t->count;
	for (uint16_t at = open->ends; at != NO_STEP;) {
		uint16_t next = steps[at].to;

		steps[at].to = c->t->count;
		at = next;
	}
	lexer_next(&c->l);
	return true;
}

static bool
read_statement(struct compiler *c)
{
	static const struct {
		const char *word;
		bool inside; /* only within an if */
		bool (*read)(struct compiler *c);
	} statements[] = {
		{ "if", false, read_if },
		{ "elif", true, read_elif },
		{ "else", true, read_else },
		{ "endif", true, read_endif },
	};
	struct lexer *l = &c->l;

	lexer_next(l);
	for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
		if (!lexer_is_word(l, statements[i].word))
			continue;
		if (statements[i].inside && c->open_count == 0)
			return lexer_fail(l, l->start, "%s without if", statements[i].word);
		return statements[i].read(c) && close_tag(c, "%}");
	}
	if (l->kind == T_BAD)
		return false;
	return lexer_fail(l, l->start, "'%.*s' is not known here: if, elif, else and endif are",
			  l->len > 40 ? 40 : (int)l->len, l->start);
}

static bool
read_comment(struct compiler *c)
{
	const char *end = strstr(c->l.at, "#}");

	if (!end)
		return complain(c, c->l.start, "the comment has no end");
	c->trim = end > c->l.at && end[-1] == '-';
	c->at = end + 2;
	return true;
}

/* The next "{{", "{%" or "{#", or the end. */
static const char *
find_tag(const char *at, const char *end)
{
	for (; at + 1 < end; at++)
		if (at[0] == '{' && (at[1] == '{' || at[1] == '%' || at[1] == '#'))
			return at;
	return end;
}

static bool
compile(struct compiler *c, const char *text)
{
	const char *end = text + strlen(text);

	/* As Jinja does: the newline that ends a file is not part of it. */
	if (end > text && end[-1] == '\n')
		end--;
	while (c->at < end) {
		const char *tag = find_tag(c->at, end);
		bool trims = tag < end && tag[2] == '-', good;

		if (!add_text(c, c->at, tag, trims))
			return false;
		c->at = tag;
		if (tag == end)
			break;
		lexer_init(&c->l, text, tag + 2 + trims, c->l.f);
		c->l.start = tag;
		good = tag[1] == '{'   ? read_value(c)
		       : tag[1] == '%' ? read_statement(c)
				       : read_comment(c);
		lexer_finish(&c->l);
		if (!good)
			return false;
	}
	if (c->open_count > 0)
		return lexer_fail(&c->l, c->open[c->open_count - 1].at, "the if has no endif");
	return true;
}

struct tmpl *
tmpl_compile(const char *text, struct fault *f)
{
	struct compiler c = { .t = calloc(1, sizeof(struct tmpl)), .at = text };
	bool good;

	lexer_init(&c.l, text, text, f);
	if (!c.t)
		good = lexer_fail(&c.l, text, "out of memory");
	else if (strnlen(text, TEXT_MAX + 1) > TEXT_MAX)
		good = lexer_fail(&c.l, text, "a template has at most %u bytes", TEXT_MAX);
	else if (!str_is_utf8(text, strlen(text)))
		good = lexer_fail(&c.l, text, "the text is not UTF-8");
	else
		good = compile(&c, text);
	if (good)
		return c.t;
	tmpl_destroy(c.t);
	return NULL;
}

/* --- rendering --- */

/* An expression; NULL: e says why. */
static json_t *
value_of(const struct tmpl *t, const struct step *s, struct eval *e)
{
	e->p = &t->p;
	return eval_node(e, s->expr);
}

static bool
render_step(const struct tmpl *t, uint16_t *at, struct eval *e, struct buf *out)
{
	const struct step *s = &t->steps[(*at)++];
	json_t *v;

	if (!eval_step(e))
		return false;
	if (s->op == S_TEXT)
		buf_add(out, s->text, s->len);
	if (s->op == S_GO)
		*at = s->to;
	if (s->op == S_TEXT || s->op == S_GO)
		return true;
	v = value_of(t, s, e);
	if (!v)
		return false;
	if (s->op == S_VALUE)
		value_write(v, out);
	else if (!expr_truth(v))
		*at = s->to;
	json_decref(v);
	return true;
}

char *
tmpl_render_in(const struct tmpl *t, struct eval *e)
{
	struct buf out;
	char *text = NULL;
	uint16_t at = 0;

	buf_init(&out, TMPL_OUT_MAX);
	while (at < t->count && !out.failed && render_step(t, &at, e, &out))
		;
	if (e->err == ERR_OK)
		text = buf_take(&out);
	if (!text)
		eval_fail(e, "the text is longer than %u bytes, or memory is short", TMPL_OUT_MAX);
	buf_finish(&out);
	return text;
}

char *
tmpl_render(const struct tmpl *t, const json_t *context, struct fault *f)
{
	struct eval e = { .context = context, .f = f };

	return tmpl_render_in(t, &e);
}

bool
tmpl_is_value(const struct tmpl *t)
{
	return t->count == 1 && t->steps[0].op == S_VALUE;
}

json_t *
tmpl_value_in(const struct tmpl *t, struct eval *e)
{
	json_t *v = value_of(t, &t->steps[0], e), *copy;

	if (!v)
		return NULL;
	copy = value_copy(e, v, VALUE_DEPTH_MAX);
	json_decref(v);
	return copy;
}
