#include "common/agentdef/expr_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
lexer_init(struct lexer *l, const char *text, const char *at, struct fault *f)
{
	*l = (struct lexer){ .text = text, .at = at, .start = at, .f = f };
}

void
lexer_finish(struct lexer *l)
{
	free(l->string);
	l->string = NULL;
}

bool
lexer_fail(struct lexer *l, const char *at, const char *fmt, ...)
{
	char what[200];
	size_t line = 1, column = 1;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	for (const char *p = l->text; p < at; p++) {
		column = *p == '\n' ? 1 : column + (((unsigned char)*p & 0xc0) != 0x80);
		line += *p == '\n';
	}
	l->kind = T_BAD;
	if (!l->f)
		return false;
	if (line == 1)
		str_print(l->f->what, sizeof(l->f->what), "column %zu: %s", column, what);
	else
		str_print(l->f->what, sizeof(l->f->what), "line %zu, column %zu: %s", line, column,
			  what);
	return false;
}

/* isalnum() and its kin ask the locale. */
static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

static void
read_number(struct lexer *l)
{
	char text[64];
	bool real = false;
	size_t len = 0;

	while (is_digit(l->at[len]))
		len++;
	if (l->at[len] == '.' && is_digit(l->at[len + 1])) {
		real = true;
		len++;
		while (is_digit(l->at[len]))
			len++;
	}
	if (len >= sizeof(text) || is_name(l->at[len])) {
		lexer_fail(l, l->start, "not a number");
		return;
	}
	memcpy(text, l->at, len);
	text[len] = '\0';
	l->at += len;
	l->kind = real ? T_REAL : T_INT;
	if (real)
		l->real = strtod(text, NULL);
	else if (!str_to_int64(text, 0, INT64_MAX, &l->integer))
		lexer_fail(l, l->start, "the number is too large");
}

/* What stands for the escape behind the backslash; '\0': none. */
static char
escaped(char c)
{
	static const char from[] = "nrt\\'\"";
	static const char to[] = "\n\r\t\\'\"";
	const char *p = c ? strchr(from, c) : NULL;

	return p ? to[p - from] : '\0';
}

static void
read_string(struct lexer *l)
{
	char quote = *l->at++;
	struct buf out;

	buf_init(&out, EXPR_TEXT_MAX);
	l->kind = T_STRING;
	while (*l->at && *l->at != quote && l->kind == T_STRING) {
		char c = *l->at++;

		if (c == '\\') {
			c = escaped(*l->at);
			if (!c)
				lexer_fail(l, l->at - 1, "expected n, r, t, \\, ' or \" behind \\");
			else
				l->at++;
		}
		buf_add(&out, &c, 1);
	}
	if (l->kind == T_STRING && !*l->at)
		lexer_fail(l, l->start, "the string has no end");
	if (l->kind == T_STRING) {
		l->at++;
		l->string = buf_take(&out);
		if (!l->string)
			lexer_fail(l, l->start, "the string is too long");
	}
	buf_finish(&out);
}

static void
bad_character(struct lexer *l)
{
	if (*l->at == '=')
		lexer_fail(l, l->at, "'=' alone: == compares");
	else if (*l->at > ' ' && *l->at < 0x7f)
		lexer_fail(l, l->at, "'%c' is not part of an expression", *l->at);
	else
		lexer_fail(l, l->at, "this character is not part of an expression");
}

static void
read_op(struct lexer *l)
{
	static const char *const ops[] = { "==", "!=", "<=", ">=", "//", "<", ">", "(",
					   ")",  "[",  "]",  "{",  "}",  ".", ",", ":",
					   "|",  "+",  "-",  "*",  "/",  "%", "~" };

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (str_starts(l->at, ops[i])) {
			l->kind = T_OP;
			str_copy(l->op, sizeof(l->op), ops[i]);
			l->at += strlen(ops[i]);
			return;
		}
	bad_character(l);
}

void
lexer_next(struct lexer *l)
{
	lexer_finish(l);
	if (l->kind == T_BAD)
		return;
	l->at += strspn(l->at, " \t\r\n");
	l->start = l->at;
	if (*l->at == '\0') {
		l->kind = T_END;
	} else if (is_digit(*l->at)) {
		read_number(l);
	} else if (is_name(*l->at)) {
		while (is_name(*l->at))
			l->at++;
		l->kind = T_NAME;
	} else if (*l->at == '\'' || *l->at == '"') {
		read_string(l);
	} else {
		read_op(l);
	}
	l->len = (size_t)(l->at - l->start);
}

bool
lexer_is(const struct lexer *l, const char *op)
{
	return l->kind == T_OP && strcmp(l->op, op) == 0;
}

bool
lexer_is_word(const struct lexer *l, const char *word)
{
	return l->kind == T_NAME && strlen(word) == l->len && memcmp(l->start, word, l->len) == 0;
}
