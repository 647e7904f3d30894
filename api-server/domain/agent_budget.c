#include "api-server/domain/agent_budget.h"

#include "common/context.h"
#include "common/str.h"

/* Names of one class with what each costs, in the order in which they would go. */
struct names {
	enum context_class class;
	json_t *list; /* [{name, bytes}] */
	size_t bytes; /* of all */
	bool failed;
};

static bool
has(const struct names *n, const char *name)
{
	for (size_t i = 0; i < json_array_size(n->list); i++) {
		const json_t *entry = json_array_get(n->list, i);

		if (str_eq(json_string_value(json_object_get(entry, "name")), name))
			return true;
	}
	return false;
}

static void
add(struct names *n, const char *name)
{
	size_t cost = context_name_cost(n->class, name);

	if (n->failed || !*name || has(n, name))
		return;
	if (json_array_append_new(
		    n->list, json_pack("{s:s,s:I}", "name", name, "bytes", (json_int_t)cost)) != 0)
		n->failed = true;
	n->bytes += cost;
}

static void
names_init(struct names *n, enum context_class class)
{
	*n = (struct names){ .class = class, .list = json_array() };
	n->failed = !n->list;
}

/* What functions may leave in the conversation, in the order of the file. */
static void
add_reference(struct names *n, const struct agentdef *a)
{
	for (size_t i = 0; i < a->function_count; i++) {
		const struct agent_function *fn = &a->functions[i];

		for (size_t k = 0; k < fn->reference_var_count; k++)
			add(n, fn->reference_vars[k].name);
		for (size_t k = 0; k < fn->variable_count; k++)
			add(n, fn->variables[k].name);
	}
}

/* As an outcome is made: configured ones first, then the parameters. */
static void
add_transfer(struct names *n, const struct agent_function *fn)
{
	json_t *properties = json_object_get(fn->parameters, "properties"), *schema;
	const char *name;

	for (size_t i = 0; i < fn->transfer_variable_count; i++)
		add(n, fn->transfer_variables[i].name);
	json_object_foreach(properties, name, schema) add(n, name);
}

/* One way in which a call goes back; steals nothing. NULL: no memory. */
static json_t *
return_json(const struct agent_function *fn, const struct names *reference,
	    struct context_input *in)
{
	bool is_system = fn->type == FN_SYSTEM_TRANSFER;
	struct names transfer;
	json_t *out = NULL;
	int64_t taken;

	names_init(&transfer, CONTEXT_TRANSFER);
	if (is_system && !transfer.failed)
		add_transfer(&transfer, fn);
	in->transfer_type = is_system ? "SYSTEM" : "AGENT";
	taken = (int64_t)(context_fixed_cost(in) + transfer.bytes);
	if (!transfer.failed)
		out = json_pack("{s:s,s:s,s:O,s:I,s:I,s:I}", "function", fn->name, "transferType",
				in->transfer_type, "transferVariables", transfer.list, "fixedBytes",
				(json_int_t)context_fixed_cost(in), "roomForAllValues",
				(json_int_t)(CONTEXT_BUDGET - taken - (int64_t)reference->bytes),
				"roomForTransferValues", (json_int_t)(CONTEXT_BUDGET - taken));
	json_decref(transfer.list);
	return out;
}

json_t *
agent_budget_json(const struct agentdef *a, const char *conversation, const char *uri)
{
	struct context_input in = { .conversation = conversation, .uri = uri };
	json_t *returns = json_array(), *out = NULL;
	struct names reference;
	bool ok = returns != NULL;

	names_init(&reference, CONTEXT_REFERENCE);
	if (!reference.failed)
		add_reference(&reference, a);
	ok = ok && !reference.failed;
	for (size_t i = 0; ok && i < a->function_count; i++) {
		const struct agent_function *fn = &a->functions[i];

		if (fn->type == FN_SYSTEM_TRANSFER || fn->type == FN_AGENT_TRANSFER)
			ok = json_array_append_new(returns, return_json(fn, &reference, &in)) == 0;
	}
	if (ok)
		out = json_pack("{s:s,s:i,s:s,s:O,s:O}", "agent", a->name, "budget", CONTEXT_BUDGET,
				"conversationId", conversation, "referenceVariables",
				reference.list, "functions", returns);
	json_decref(reference.list);
	json_decref(returns);
	return out;
}
