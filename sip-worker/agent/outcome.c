/* What goes back with the call: maps of strings (DESIGN.md 7). */
#include "sip-worker/agent/talk.h"

#include <stdlib.h>

#include "common/str.h"

const char *const outcome_type_names[] = { "SYSTEM", "AGENT", NULL };

void
outcome_finish(struct outcome *o)
{
	json_decref(o->reference_vars);
	json_decref(o->transfer_vars);
	o->reference_vars = o->transfer_vars = NULL;
}

/* Null drops the key. */
static void
set_text(json_t *map, const char *name, const json_t *value)
{
	char *text = value ? expr_value_text(value) : NULL;

	if (text)
		json_object_set_new(map, name, json_string(text));
	free(text);
}

json_t *
outcome_reference_vars(struct talk *t)
{
	json_t *map = json_object(), *value;
	const char *name;

	json_object_foreach(t->vars, name, value) set_text(map, name, value);
	return map;
}

static bool
is_configured(const struct agent_function *fn, const char *name)
{
	for (size_t i = 0; i < fn->transfer_variable_count; i++) {
		if (str_eq(fn->transfer_variables[i].name, name))
			return true;
	}
	return false;
}

json_t *
outcome_transfer_vars(struct talk *t, const struct agent_function *fn, const json_t *context,
		      const json_t *args)
{
	json_t *map = json_object(), *schema;
	const char *name;

	for (size_t i = 0; i < fn->transfer_variable_count; i++) {
		const struct agent_value *v = &fn->transfer_variables[i];
		struct fault f = { 0 };
		json_t *value = NULL;

		if (expr_eval(v->value, context, &value, &f) != ERR_OK) {
			talk_note(t, "Transfer variable %s was dropped: %s", v->name, f.what);
			continue;
		}
		set_text(map, v->name, value);
		json_decref(value);
	}
	json_object_foreach(json_object_get(fn->parameters, "properties"), name, schema)
	{
		if (!is_configured(fn, name))
			set_text(map, name, json_object_get(args, name));
	}
	return map;
}
