/* The Jinja subset: what comes out, what is refused and where, and that it always ends. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "common/agentdef/expr.h"
#include "common/jfield.h"
#include "common/str.h"
#include "tests/fakes/oom.h"

static const char context_text[] =
	"{\"vars\":{\"n\":3,\"zero\":0,\"half\":0.5,\"s\":\"abc\",\"empty\":\"\",\"yes\":true,"
	"\"no\":false,\"nil\":null,\"list\":[1,\"b\",[2]],\"none_list\":[],\"a.b\":\"whole\","
	"\"a\":{\"b\":\"path\",\"list\":[{\"k\":\"deep\"}]},\"uni\":\"\\u00e9t\\u00e9\"},"
	"\"input_vars\":{\"customer_info\":{\"current_plan\":\"gold\"},\"age\":\"12\"},"
	"\"function_responses\":{\"fn\":{\"ok\":true}},\"params\":{\"is_subscription\":\"True\"},"
	"\"val\":\"COMPLIANT\",\"channel_type\":\"voice\",\"resumed\":false}";
static json_t *context;

static int
set_up(void **state)
{
	(void)state;
	context = json_loads(context_text, 0, NULL);
	return context ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	json_decref(context);
	return 0;
}

/* The value as JSON, "! what" for a failed evaluation, "? what" for one that does not compile. */
static void
evaluate(const char *text, char *out, size_t size)
{
	struct fault f = { 0 };
	struct expr *x = expr_compile(text, &f);
	json_t *v = NULL;
	char *dump;

	if (!x) {
		str_print(out, size, "? %s", f.what);
		return;
	}
	if (expr_eval(x, context, &v, &f) != ERR_OK) {
		str_print(out, size, "! %s", f.what);
	} else {
		dump = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
		str_copy(out, size, dump);
		free(dump);
	}
	json_decref(v);
	expr_destroy(x);
}

static void
render(const char *text, char *out, size_t size)
{
	struct fault f = { 0 };
	struct tmpl *t = tmpl_compile(text, &f);
	char *s = t ? tmpl_render(t, context, &f) : NULL;

	if (s)
		str_copy(out, size, s);
	else
		str_print(out, size, "%s %s", t ? "!" : "?", f.what);
	free(s);
	tmpl_destroy(t);
}

struct row {
	const char *text, *expected;
};

static void
check(const struct row *rows, size_t count, void (*run)(const char *, char *, size_t))
{
	char got[512];

	for (size_t i = 0; i < count; i++) {
		run(rows[i].text, got, sizeof(got));
		if (strcmp(got, rows[i].expected) != 0)
			fail_msg("%s\n  gives    %s\n  expected %s", rows[i].text, got,
				 rows[i].expected);
	}
}

/* clang-format off */
static const struct row values[] = {
	/* what the contract's documents use */
	{ "vars.get('n')", "3" },
	{ "input_vars.get(\"customer_info.current_plan\")", "\"gold\"" },
	{ "function_responses.get('fn').ok", "true" },
	{ "function_responses.get('other')", "null" },
	{ "val == \"COMPLIANT\"", "true" },
	{ "val is not none and val|length > 0", "true" },
	{ "true if params.get(\"is_subscription\") == \"True\" else false", "true" },
	{ "'A' if vars.n < 2 else 'B'", "\"B\"" },
	{ "not vars.get('callback_done')", "true" },
	{ "channel_type == 'voice' and not resumed", "true" },
	/* literals */
	{ "1", "1" }, { "1.5", "1.5" }, { "-2", "-2" }, { "'it\\'s'", "\"it's\"" }, { "\"a\\n\"", "\"a\\n\"" },
	{ "true", "true" }, { "True", "true" }, { "false", "false" }, { "False", "false" },
	{ "none", "null" }, { "None", "null" },
	{ "[1, 'a', none]", "[1,\"a\",null]" }, { "[]", "[]" }, { "[1,]", "[1]" },
	{ "{'a': 1, 'b': [2]}", "{\"a\":1,\"b\":[2]}" }, { "{}", "{}" },
	/* members */
	{ "vars.a.b", "\"path\"" }, { "vars['a']['b']", "\"path\"" }, { "vars.get('a.b')", "\"whole\"" },
	{ "vars.get('a.list.0.k')", "\"deep\"" }, { "vars.list[0]", "1" }, { "vars.list[-1]", "[2]" },
	{ "vars.list[9]", "null" }, { "vars.list['x']", "null" }, { "vars.nothing.at.all", "null" },
	{ "nothing.get('x')", "null" }, { "vars.get('x', 'else')", "\"else\"" },
	{ "vars.get('nil', 'else')", "null" }, { "vars.get('x', {}).get('y')", "null" },
	{ "'abc'.foo", "null" }, { "vars.get(1)", "null" }, { "vars.get('a..b')", "null" },
	/* comparison */
	{ "1 == 1.0", "true" }, { "1 == true", "true" }, { "1 == '1'", "false" }, { "none == 0", "false" },
	{ "none == nothing", "true" }, { "[1, [2]] == [1, [2]]", "true" }, { "{'a': 1} == {'a': 1.0}", "true" },
	{ "{'a': 1} == {'b': 1}", "false" }, { "'a' != 'b'", "true" }, { "1 < 2 < 3", "true" },
	{ "1 < 3 < 2", "false" }, { "'a' < 'b'", "true" }, { "'ab' > 'a'", "true" }, { "2 >= 2", "true" },
	{ "9007199254740993 == 9007199254740992", "false" },
	{ "'b' in vars.list", "true" }, { "3 not in vars.list", "true" }, { "'bc' in vars.s", "true" },
	{ "'a' in vars.a", "false" }, { "'b' in vars.a", "true" }, { "1 in nothing", "false" },
	/* and, or, not: operands, as Python has it */
	{ "0 or 'x'", "\"x\"" }, { "'a' and 'b'", "\"b\"" }, { "'' and boom.get(1)", "\"\"" },
	{ "none or false or []", "[]" }, { "not not 1", "true" }, { "not 1 == 2", "true" },
	{ "1 or 2 and 0", "1" }, { "(1 or 2) and 0", "0" },
	/* inline if */
	{ "1 if false", "null" }, { "1 if 0 else 2 if 0 else 3", "3" },
	/* tests */
	{ "nothing is none", "true" }, { "nothing is defined", "false" }, { "vars.nil is defined", "true" },
	{ "vars.x is undefined", "true" }, { "1 is number", "true" }, { "1.0 is float", "true" },
	{ "1 is integer", "true" }, { "'a' is string", "true" }, { "true is boolean", "true" },
	{ "true is true", "true" }, { "1 is true", "false" }, { "false is false", "true" },
	{ "vars is mapping", "true" }, { "vars.list is sequence", "true" }, { "1 is not none", "true" },
	/* arithmetic */
	{ "1 + 2 * 3", "7" }, { "(1 + 2) * 3", "9" }, { "7 / 2", "3.5" }, { "7 // -2", "-4" }, { "7 % -2", "-1" },
	{ "-7 // 2", "-4" }, { "7.5 % 2", "1.5" }, { "5 - 3 - 1", "1" }, { "'a' + 'b'", "\"ab\"" },
	{ "'a' ~ 1 ~ none ~ true", "\"a1true\"" }, { "1 ~ 2 + 3", "! cannot calculate with a string and a number" },
	{ "true + 1", "2" }, { "- -3", "3" }, { "1.5 + 1", "2.5" },
	{ "-9223372036854775807 - 1", "-9223372036854775808" },
	/* filters */
	{ "vars.x|default('d')", "\"d\"" }, { "vars.nil|d('d')", "\"d\"" }, { "''|default('d')", "\"\"" },
	{ "''|default('d', true)", "\"d\"" }, { "'AbC'|lower", "\"abc\"" }, { "'aé'|upper", "\"Aé\"" },
	{ "'hELLO you'|capitalize", "\"Hello you\"" }, { "'hELLO you'|title", "\"Hello You\"" },
	{ "'  a b '|trim", "\"a b\"" }, { "input_vars.age|int < 18", "true" }, { "' 7 '|int", "7" },
	{ "'x'|int", "0" }, { "'x'|int(5)", "5" }, { "'3.9'|int", "3" }, { "-3.9|int", "-3" }, { "'0x10'|int", "0" },
	{ "'nan'|float", "0.0" }, { "'1e3'|float", "1000.0" }, { "none|int", "0" }, { "true|int", "1" },
	{ "5|string", "\"5\"" }, { "none|string", "\"\"" }, { "vars.uni|length", "3" }, { "vars.list|count", "3" },
	{ "vars.a|length", "2" }, { "nothing|length", "0" }, { "vars.uni|first", "\"é\"" },
	{ "vars.uni|last", "\"é\"" }, { "vars.list|first", "1" }, { "[]|first", "null" }, { "''|last", "null" },
	{ "[1, 2, 'x']|join(', ')", "\"1, 2, x\"" }, { "[1, 2]|join", "\"12\"" },
	{ "'a-b-c'|replace('-', '')", "\"abc\"" }, { "'aaa'|replace('', 'b')", "\"aaa\"" },
	{ "-3|abs", "-3" }, { "(-3)|abs", "3" }, { "2.567|round(2)", "2.5699999999999998" }, { "2.5|round", "3.0" },
	{ "{'a': [1]}|tojson", "\"{\\\"a\\\":[1]}\"" },
};

static const struct row refusals[] = {
	{ "", "? column 1: expected a value, but the text ends" },
	{ "1 +", "? column 4: expected a value, but the text ends" },
	{ "a b", "? column 3: expected an operator, not 'b'" },
	{ "a = 1", "? column 3: '=' alone: == compares" },
	{ "'abc", "? column 1: the string has no end" },
	{ "'\\q'", "? column 2: expected n, r, t, \\, ' or \" behind \\" },
	{ "a $ b", "? column 3: '$' is not part of an expression" },
	{ "é", "? column 1: this character is not part of an expression" },
	{ "'é' é", "? column 5: this character is not part of an expression" },
	{ "1a", "? column 1: not a number" },
	{ "99999999999999999999", "? column 1: the number is too large" },
	{ "x|nope", "? column 3: there is no filter 'nope'" },
	{ "x is nope", "? column 6: there is no test 'nope'" },
	{ "x.upper()", "? column 8: only .get() can be called; filters do the rest: x|upper" },
	{ "x()", "? column 2: expected an operator, not '('" },
	{ "x.get('a')()", "? column 11: only .get() can be called" },
	{ "vars.get()", "? column 11: .get() wants a name" },
	{ "vars.get('a', 1, 2)", "? column 18: too many arguments" },
	{ "x|default", "? column 10: the filter wants an argument" },
	{ "x|upper(1)", "? column 9: too many arguments" },
	{ "[1 2]", "? column 4: expected ',' or ']', not '2'" },
	{ "{'a' 1}", "? column 6: expected ':', not '1'" },
	{ "(1", "? column 3: expected ')', but the text ends" },
	{ "a not b", "? column 7: expected 'in' behind 'not', not 'b'" },
	{ "if", "? column 1: expected a value, not 'if'" },
	{ "a.1", "? column 3: expected a name behind '.', not '1'" },
	{ "a ==\n  ==", "? line 2, column 3: expected a value, not '=='" },
	{ "\xff", "? column 1: the text is not UTF-8" },
	/* compiled, but the values do not fit */
	{ "none < 1", "! none and a number cannot be compared by size" },
	{ "vars.s < 1", "! a string and a number cannot be compared by size" },
	{ "1 in 2", "! cannot look for a number in a number" },
	{ "'abc'.get('x')", "! .get() wants a map, not a string" },
	{ "1 / 0", "! division by zero" }, { "1 % vars.zero", "! division by zero" }, { "1.5 // 0", "! division by zero" },
	{ "9223372036854775807 + 1", "! the number is too large" },
	{ "(-9223372036854775807 - 1) // -1", "! the number is too large" },
	{ "-(-9223372036854775807 - 1)", "! the number is too large" },
	{ "1e", "? column 1: not a number" }, { "'1e300'|float * 1.0 * '1e300'|float", "! the number is too large" },
	{ "'1e300'|int", "! the number is too large" },
	{ "{1: 2}", "! a map's key must be a string, not a number" },
	{ "1|length", "! the filter wants a string, list or map, not a number" },
	{ "1|join", "! the filter wants a list, not a number" },
	{ "'a' - 1", "! cannot calculate with a string and a number" }, { "1.5|round(16)", "! round wants 0 to 15 places" },
};

static const struct row templates[] = {
	{ "", "" }, { "plain", "plain" }, { "a { b } %} }}", "a { b } %} }}" },
	{ "Hello {{ input_vars.get('name') or 'there' }}.", "Hello there." },
	{ "{{ vars.n }}{{ vars.half }}{{ 2.0 }}{{ 0.1 + 0.2 }}", "30.52.00.30000000000000004" },
	{ "{{ none }}{{ nothing }}{{ vars.empty }}", "" }, { "{{ true }} {{ vars.list }}", "true [1,\"b\",[2]]" },
	{ "{{ {'a': {'b': 1}}}}", "{\"a\":{\"b\":1}}" }, { "{{ '}}' }}", "}}" },
	{ "{% if vars.n == 1 %}one{% elif vars.n == 3 %}three{% else %}else{% endif %}", "three" },
	{ "{% if vars.no %}a{% endif %}b", "b" }, { "{% if 0 %}a{% else %}b{% endif %}", "b" },
	{ "{% if 1 %}{% if 0 %}a{% else %}b{% endif %}c{% endif %}", "bc" },
	{ "{% if 1 %}a{% elif boom / 0 %}b{% endif %}", "a" },
	{ "a {{- 1 -}} b", "a1b" }, { "a\n  {%- if 1 -%}\n x \n{%- endif -%}\n b", "axb" },
	{ "a {# no {{ x #} b {#- c -#} d", "a  bd" },
	{ "{% if 5 % 3 == 2 %}y{% endif %}", "y" }, { "{{ 5 -}} x", "5x" }, { "{{ 5 - 3 -}} x", "2x" },
	{ "line\n", "line" }, { "line\n\n", "line\n" },
	{ "{{", "? column 3: expected a value, but the text ends" }, { "{{ 1", "? column 5: expected }}" },
	{ "{{ 1 %}", "? column 6: expected }}" }, { "{% if 1 }}", "? column 9: expected %}" },
	{ "{% if 1 %}x", "? column 4: the if has no endif" }, { "{% endif %}", "? column 4: endif without if" },
	{ "{% if 1 %}{% else %}{% else %}{% endif %}", "? column 24: there is an else before this" },
	{ "{% if 1 %}{% else %}{% elif 1 %}{% endif %}", "? column 24: there is an else before this" },
	{ "{% for x in y %}", "? column 4: 'for' is not known here: if, elif, else and endif are" },
	{ "{# open", "? column 1: the comment has no end" }, { "a\nb {{ $ }}", "? line 2, column 6: '$' is not part of an expression" },
	{ "a{{ 1 / 0 }}b", "! division by zero" },
};
/* clang-format on */

static void
test_values(void **state)
{
	(void)state;
	check(values, ARRAY_LEN(values), evaluate);
}

static void
test_refusals(void **state)
{
	(void)state;
	check(refusals, ARRAY_LEN(refusals), evaluate);
}

static void
test_templates(void **state)
{
	(void)state;
	check(templates, ARRAY_LEN(templates), render);
}

/* head, then count times `part`, then tail; malloced. */
static char *
repeat(const char *head, const char *part, size_t count, const char *tail)
{
	struct buf b;

	buf_init(&b, 1u << 20);
	buf_add_str(&b, head);
	for (size_t i = 0; i < count; i++)
		buf_add_str(&b, part);
	buf_add_str(&b, tail);
	return buf_take(&b);
}

static void
check_repeat(const char *head, const char *part, size_t count, const char *tail,
	     const char *expected)
{
	char *text = repeat(head, part, count, tail), got[512];

	evaluate(text, got, sizeof(got));
	assert_string_equal(got, expected);
	free(text);
}

static void
test_bounds(void **state)
{
	(void)state;
	/* Chains are long, brackets are not. */
	check_repeat("1", "+1", 2000, "", "2001");
	check_repeat("vars", ".x", 2000, "", "null");
	check_repeat("0", " or 0", 800, " or 7", "7");
	check_repeat("", "(", 31, "1)))))))))))))))))))))))))))))))", "1");
	check_repeat("", "(", 40, "1", "? column 33: nested too deeply");
	check_repeat("", "not ", 40, "1", "? column 125: nested too deeply");
	check_repeat("", "-", 40, "1", "? column 32: nested too deeply");
	check_repeat("", "1 if 1 else ", 40, "1", "? column 385: nested too deeply");
	check_repeat("'", "x", EXPR_TEXT_MAX, "'",
		     "? column 1: an expression has at most 4096 bytes");
	/* Text may double only so often. */
	check_repeat("'a'", "|replace('a','aaaaaaaa')", 100, "",
		     "! the text is longer than 65536 bytes, or memory is short");
}

/* A list of lists, each twice the one before it: small as an expression, vast as a value. */
static void
test_vast_values(void **state)
{
	json_t *v = json_array(), *holder = json_object();
	struct expr *x = expr_compile("vars.v == vars.w", NULL), *y = expr_compile("vars.v", NULL);
	struct fault f = { 0 };
	json_t *out = NULL;

	(void)state;
	json_array_append_new(v, json_integer(1));
	for (int i = 0; i < 20; i++) {
		json_t *two = json_array();

		json_array_append(two, v);
		json_array_append_new(two, v);
		v = two;
	}
	json_object_set_new(holder, "vars", json_pack("{s:O,s:O}", "v", v, "w", v));
	assert_int_equal(expr_eval(x, holder, &out, &f), ERR_INVALID);
	assert_string_equal(f.what, "more than 10000 steps");
	assert_int_equal(expr_eval(y, holder, &out, &f), ERR_INVALID);
	assert_string_equal(f.what, "more than 10000 steps");
	assert_null(out);
	json_decref(v);
	json_decref(holder);
	expr_destroy(x);
	expr_destroy(y);
}

static void
test_template_bounds(void **state)
{
	char *text = repeat("", "{{ 'x'|replace('x','0123456789') }}", 300, ""), got[64];
	char *deep = repeat("", "{% if 1 %}", 33, "");
	struct fault f = { 0 };

	(void)state;
	render(text, got, sizeof(got));
	assert_memory_equal(got, "012345678901", 12);
	free(text);
	text = repeat("", "{{ vars.long }}", 100, "");
	json_object_set_new(json_object_get(context, "vars"), "long", json_sprintf("%01000d", 0));
	render(text, got, sizeof(got));
	assert_memory_equal(got, "! the text is longer", 20);
	json_object_del(json_object_get(context, "vars"), "long");
	free(text);
	assert_null(tmpl_compile(deep, &f));
	assert_string_equal(f.what, "column 324: nested too deeply");
	free(deep);
	text = repeat("", "x", TMPL_OUT_MAX + 1, "");
	assert_null(tmpl_compile(text, &f));
	assert_string_equal(f.what, "column 1: a template has at most 65536 bytes");
	free(text);
}

/* What comes out shares nothing with the context: it may be put into it. */
static void
test_result_is_apart(void **state)
{
	struct expr *x = expr_compile("vars", NULL);
	json_t *vars = json_object_get(context, "vars"), *out = NULL;

	(void)state;
	assert_int_equal(expr_eval(x, context, &out, NULL), ERR_OK);
	assert_true(json_equal(out, vars));
	assert_ptr_not_equal(out, vars);
	assert_ptr_not_equal(json_object_get(out, "list"), json_object_get(vars, "list"));
	json_decref(out);
	expr_destroy(x);
}

static void
test_value_text(void **state)
{
	static const struct row rows[] = {
		{ "\"a b\"", "a b" },  { "1250.5", "1250.5" },
		{ "2.0", "2.0" },      { "0.1", "0.1" },
		{ "true", "true" },    { "-7", "-7" },
		{ "\"\"", "" },        { "[1,{\"a\":null}]", "[1,{\"a\":null}]" },
		{ "1e300", "1e+300" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *v = json_loads(rows[i].text, JSON_DECODE_ANY, NULL);
		char *text = expr_value_text(v);

		assert_string_equal(text, rows[i].expected);
		free(text);
		json_decref(v);
	}
	assert_null(expr_value_text(json_null()));
	assert_null(expr_value_text(NULL));
	assert_false(expr_truth(NULL));
}

static void
test_json(void **state)
{
	json_t *in = json_loads(
		"{\"n\":\"{{ vars.n }}\",\"t\":\"n={{ vars.n }}\",\"plain\":\"x\",\"z\":"
		"null,\"gone\":\"{{ nothing }}\",\"l\":[1,\"{{ vars.list }}\",{}],\"e\":\"\"}",
		0, NULL);
	json_t *expected = json_loads(
		"{\"n\":3,\"t\":\"n=3\",\"plain\":\"x\",\"z\":null,\"gone\":null,\"l\":"
		"[1,[1,\"b\",[2]],{}],\"e\":\"\"}",
		0, NULL);
	struct fault f = { 0 };
	struct tmpl_json *t = tmpl_json_compile(in, &f);
	json_t *out = NULL;

	(void)state;
	assert_non_null(t);
	assert_int_equal(tmpl_json_render(t, context, &out, &f), ERR_OK);
	assert_true(json_equal(out, expected));
	json_decref(out);
	json_decref(in);
	json_decref(expected);
	tmpl_json_destroy(t);
	in = json_pack("[s]", "{{ 1 / 0 }}");
	t = tmpl_json_compile(in, &f);
	assert_int_equal(tmpl_json_render(t, context, &out, &f), ERR_INVALID);
	assert_string_equal(f.what, "division by zero");
	tmpl_json_destroy(t);
	json_decref(in);
	in = json_pack("{s:[s]}", "a", "{{");
	assert_null(tmpl_json_compile(in, &f));
	assert_string_equal(f.what, "column 3: expected a value, but the text ends");
	json_decref(in);
	tmpl_json_destroy(NULL);
}

static bool
work(void *arg)
{
	static const char text[] =
		"{{ ['a', {'k': vars.list}]|join('-')|upper ~ (vars.get('x', 'y')|replace('y', "
		"'z')) }}"
		"{% if vars.n + 1 > 3 and 'b' in vars.list %}{{ vars.a|tojson|trim }}{% endif %}";
	const struct tmpl_json *with = arg;
	struct tmpl *t = tmpl_compile(text, NULL);
	struct expr *x = expr_compile("[-vars.n, vars.list[0] if vars.yes else {'a': not 1}]",
				      NULL);
	char *s = t ? tmpl_render(t, context, NULL) : NULL, *value = NULL;
	json_t *v = NULL, *rendered = NULL;
	bool good = s && x && expr_eval(x, context, &v, NULL) == ERR_OK &&
		    (value = expr_value_text(v)) &&
		    tmpl_json_render(with, context, &rendered, NULL) == ERR_OK;

	free(s);
	free(value);
	json_decref(v);
	json_decref(rendered);
	tmpl_destroy(t);
	expr_destroy(x);
	return good;
}

static bool
compile_json(void *arg)
{
	struct tmpl_json *t = tmpl_json_compile(arg, NULL);

	tmpl_json_destroy(t);
	return t;
}

static void
test_no_memory(void **state)
{
	json_t *with = json_pack("{s:s,s:[s,i]}", "n", "{{ vars.a }}", "l", "x{{ vars.n }}", 1);
	struct tmpl_json *t = tmpl_json_compile(with, NULL);

	(void)state;
	assert_true(oom_run(work, t) > 50);
	assert_true(oom_run(compile_json, with) > 10);
	tmpl_json_destroy(t);
	json_decref(with);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_vast_values),
		cmocka_unit_test(test_template_bounds),
		cmocka_unit_test(test_result_is_apart),
		cmocka_unit_test(test_value_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
