/* `functions` of an agent's file. */
#include "common/agentdef/agentdef_read.h"

#include <stdlib.h>

static const char *const type_names[] = {
	[FN_SYSTEM_TRANSFER] = "system_transfer",
	[FN_AGENT_TRANSFER] = "agent_transfer",
	[FN_HTTP] = "http",
	[FN_MOCK] = "mock",
	[FN_SET_VARIABLE] = "set_variable",
	[FN_RECITE] = "recite",
	NULL,
};

static bool
read_type(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	if (!read_choice(r, k, n, at))
		return false;
	return *(enum function_type *)at != FN_HTTP ||
	       areader_fail(r, n, k->name,
			    "http is not available in this version; a mock can stand in");
}

static bool
read_value(struct areader *r, const struct ynode *n, void *item)
{
	static const struct akey keys[] = {
		{ "name", read_name, offsetof(struct agent_value, name), true, NULL },
		{ "value", read_expression, offsetof(struct agent_value, value), true, NULL },
	};

	return read_map(r, n, "a variable", keys, ARRAY_LEN(keys), item);
}

/* Two of one name: the second would silently win. */
static bool
names_differ(struct areader *r, const struct akey *k, const struct ynode *n)
{
	for (size_t i = 0; i < n->count; i++) {
		const struct ynode *a = yaml_get(n->items[i], "name");

		for (size_t j = 0; j < i; j++) {
			const struct ynode *b = yaml_get(n->items[j], "name");

			if (a && b && str_eq(a->text, b->text))
				return areader_fail(r, a, k->name, "\"%.60s\" stands here twice",
						    a->text);
		}
	}
	return true;
}

static bool
read_values(struct areader *r, const struct akey *k, const struct ynode *n,
	    struct agent_value **items, size_t *count)
{
	struct alist l = { 0 };
	bool good = read_list(r, k, n, sizeof(struct agent_value), read_value, &l);

	*items = l.items;
	*count = l.count;
	return good && names_differ(r, k, n);
}

static bool
read_transfer_variables(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	struct agent_function *fn = at;

	return read_values(r, k, n, &fn->transfer_variables, &fn->transfer_variable_count);
}

static bool
read_variables(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	struct agent_function *fn = at;

	return read_values(r, k, n, &fn->variables, &fn->variable_count);
}

static bool
read_refvar(struct areader *r, const struct ynode *n, void *item)
{
	static const struct akey keys[] = {
		{ "name", read_name, offsetof(struct agent_refvar, name), true, NULL },
		{ "response_keypath", read_keypath, offsetof(struct agent_refvar, keypath), true,
		  NULL },
		{ "transform", read_expression, offsetof(struct agent_refvar, transform), false,
		  NULL },
	};

	return read_map(r, n, "a reference variable", keys, ARRAY_LEN(keys), item);
}

static bool
read_refvars(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	struct agent_function *fn = at;
	struct alist l = { 0 };
	bool good = read_list(r, k, n, sizeof(struct agent_refvar), read_refvar, &l);

	fn->reference_vars = l.items;
	fn->reference_var_count = l.count;
	return good;
}

/* clang-format off */
#define F(m) offsetof(struct agent_function, m)
static const struct akey function_keys[] = {
	{ "name",               read_token,     F(name),           true,  NULL },
	{ "type",               read_type,      F(type),           true,  type_names },
	{ "description",        read_text,      F(description),    false, NULL },
	{ "message_before",     read_template,  F(message_before), false, NULL },
	{ "parameters",         read_schema,    F(parameters),     false, NULL },
	{ "transfer_variables", read_transfer_variables, 0,        false, NULL },
	{ "reference_vars",     read_refvars,   0,                 false, NULL },
	{ "response",           read_json,      F(response),       false, NULL },
	{ "delay",              read_duration,  F(delay_ms),       false, NULL },
	{ "variables",          read_variables, 0,                 false, NULL },
	{ "text",               read_template,  F(text),           false, NULL },
};

/* A key that only one kind of function has. */
static const struct {
	const char *key;
	enum function_type type;
	bool required;
} owned[] = {
	{ "transfer_variables", FN_SYSTEM_TRANSFER, false },
	{ "response",           FN_MOCK,            false },
	{ "delay",              FN_MOCK,            false },
	{ "variables",          FN_SET_VARIABLE,    true },
	{ "text",               FN_RECITE,          true },
};
/* clang-format on */

static bool
keys_fit_type(struct areader *r, const struct ynode *n, const struct agent_function *fn)
{
	const struct ynode *refvars = yaml_get(n, "reference_vars");

	for (size_t i = 0; i < ARRAY_LEN(owned); i++) {
		const struct ynode *value = yaml_get(n, owned[i].key);

		if (value && owned[i].type != fn->type)
			return areader_fail(r, value, owned[i].key,
					    "a function of type %s has no such key; %s has",
					    type_names[fn->type], type_names[owned[i].type]);
		if (!value && owned[i].required && owned[i].type == fn->type)
			return areader_fail(r, n, owned[i].key,
					    "missing; a %s function must have it",
					    type_names[fn->type]);
	}
	if (refvars && (fn->type == FN_SYSTEM_TRANSFER || fn->type == FN_AGENT_TRANSFER))
		return areader_fail(r, refvars, "reference_vars",
				    "a function that ends the call has no response to keep");
	return true;
}

static bool
read_function(struct areader *r, const struct ynode *n, void *item)
{
	struct agent_function *fn = item;

	fn->line = n->line;
	return read_map(r, n, "a function", function_keys, ARRAY_LEN(function_keys), fn) &&
	       keys_fit_type(r, n, fn);
}

bool
read_functions(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	struct agentdef *a = at;
	struct alist l = { 0 };
	bool good = read_list(r, k, n, sizeof(struct agent_function), read_function, &l);

	a->functions = l.items;
	a->function_count = l.count;
	return good && names_differ(r, k, n);
}

static void
values_free(struct agent_value *v, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(v[i].name);
		expr_destroy(v[i].value);
	}
	free(v);
}

void
function_finish(struct agent_function *fn)
{
	free(fn->name);
	free(fn->description);
	tmpl_destroy(fn->message_before);
	json_decref(fn->parameters);
	values_free(fn->transfer_variables, fn->transfer_variable_count);
	for (size_t i = 0; i < fn->reference_var_count; i++) {
		free(fn->reference_vars[i].name);
		free(fn->reference_vars[i].keypath);
		expr_destroy(fn->reference_vars[i].transform);
	}
	free(fn->reference_vars);
	json_decref(fn->response);
	values_free(fn->variables, fn->variable_count);
	tmpl_destroy(fn->text);
}
