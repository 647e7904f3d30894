/* Any text as expression, template and JSON template: it ends, within its bounds. */
#include <stdlib.h>
#include <string.h>

#include "common/agentdef/expr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char context_text[] =
	"{\"vars\":{\"n\":3,\"r\":0.5,\"s\":\"a\\u00e9c\",\"t\":true,\"z\":null,\"l\":[1,\"b\",[2]]"
	",\"o\":"
	"{\"k\":{\"m\":[{\"x\":1}]}}},\"input_vars\":{\"a\":\"12\"},\"val\":\"x\",\"params\":{}}";

static void
evaluate(const char *text, const json_t *context)
{
	struct fault f = { 0 };
	struct expr *x = expr_compile(text, &f);
	json_t *v = NULL;

	if (!x && !f.what[0])
		abort();
	if (x && expr_eval(x, context, &v, &f) == ERR_OK) {
		char *s = expr_value_text(v);

		(void)expr_truth(v);
		free(s);
	}
	json_decref(v);
	expr_destroy(x);
}

static void
render(const char *text, const json_t *context)
{
	struct fault f = { 0 };
	struct tmpl *t = tmpl_compile(text, &f);
	char *s = t ? tmpl_render(t, context, &f) : NULL;

	if ((!s && !f.what[0]) || (s && strlen(s) > TMPL_OUT_MAX))
		abort();
	free(s);
	tmpl_destroy(t);
}

static void
render_json(const char *text, const json_t *context)
{
	json_t *in = json_pack("{s:[s+,i]}", "k", text, "", 1), *out = NULL;
	struct tmpl_json *t = in ? tmpl_json_compile(in, NULL) : NULL;

	if (t && tmpl_json_render(t, context, &out, NULL) == ERR_OK && !out)
		abort();
	json_decref(in);
	json_decref(out);
	tmpl_json_destroy(t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *context = json_loads(context_text, 0, NULL);
	char *text = strndup((const char *)data, size);

	if (context && text) {
		evaluate(text, context);
		render(text, context);
		render_json(text, context);
	}
	json_decref(context);
	free(text);
	return 0;
}
