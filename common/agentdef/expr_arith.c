/* + - * / // % and ~ */
#include "common/agentdef/expr_internal.h"

#include <math.h>

static json_t *
join_texts(struct eval *e, const json_t *a, const json_t *b)
{
	struct buf out;

	buf_init(&out, TMPL_OUT_MAX);
	value_write(a, &out);
	value_write(b, &out);
	return eval_text(e, &out);
}

/* false: it does not fit. */
static bool
on_integers(enum relation op, json_int_t a, json_int_t b, json_int_t *out)
{
	if (op == R_ADD)
		return !__builtin_add_overflow(a, b, out);
	if (op == R_SUB)
		return !__builtin_sub_overflow(a, b, out);
	if (op == R_MUL)
		return !__builtin_mul_overflow(a, b, out);
	if (b == -1) /* the smallest has no opposite */
		return op == R_MOD ? (*out = 0, true)
				   : !__builtin_sub_overflow((json_int_t)0, a, out);
	/* Downwards, as Python does it; C goes towards zero. */
	if (op == R_FLOOR)
		*out = a / b - (a % b != 0 && (a < 0) != (b < 0));
	else
		*out = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
	return true;
}

static double
on_reals(enum relation op, double a, double b)
{
	if (op == R_ADD)
		return a + b;
	if (op == R_SUB)
		return a - b;
	if (op == R_MUL)
		return a * b;
	if (op == R_DIV)
		return a / b;
	return op == R_FLOOR ? floor(a / b) : a - b * floor(a / b);
}

static json_t *
on_numbers(struct eval *e, enum relation op, const json_t *a, const json_t *b)
{
	json_int_t i;
	double x, y;

	if (!value_number(a, &x) || !value_number(b, &y))
		return eval_fail(e, "cannot calculate with %s and %s", value_kind(a),
				 value_kind(b));
	if (y == 0 && (op == R_DIV || op == R_FLOOR || op == R_MOD))
		return eval_fail(e, "division by zero");
	if (!json_is_real(a) && !json_is_real(b) && op != R_DIV) {
		json_int_t m = json_is_integer(a) ? json_integer_value(a) : (json_int_t)x;
		json_int_t n = json_is_integer(b) ? json_integer_value(b) : (json_int_t)y;

		return on_integers(op, m, n, &i) ? eval_checked(e, json_integer(i))
						 : eval_fail(e, "the number is too large");
	}
	x = on_reals(op, x, y);
	if (!isfinite(x))
		return eval_fail(e, "the number is too large");
	return eval_checked(e, json_real(x));
}

json_t *
eval_arith(struct eval *e, enum relation op, const json_t *a, const json_t *b)
{
	if (!eval_step(e))
		return NULL;
	if (op == R_JOIN || (op == R_ADD && json_is_string(a) && json_is_string(b)))
		return join_texts(e, a, b);
	return on_numbers(e, op, a, b);
}
