/* Any bytes as an agent's file: refused with a place, or read and usable. */
#include <stdlib.h>

#include "common/agentdef/agentdef.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use(const struct agentdef *a)
{
	json_t *context = json_object();

	for (size_t i = 0; i < a->task_count; i++) {
		const struct agent_task *t = &a->tasks[i];

		free(t->message ? tmpl_render(t->message, context, NULL) : NULL);
		for (size_t k = 0; k < t->intent_count; k++) {
			const struct agent_action *act = &t->intents[k].action;
			json_t *args = NULL;

			if (act->with_tmpl &&
			    tmpl_json_render(act->with_tmpl, context, &args, NULL) == ERR_OK)
				ignore_err(agentdef_check_args(act->call, args, NULL));
			json_decref(args);
			if (act->call)
				(void)agentdef_allows(t, act->call, context);
		}
	}
	json_decref(context);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fault f = { 0 };
	struct agentdef *a = agentdef_parse((const char *)data, size, "fuzz.yaml", &f);

	if (a)
		use(a);
	else if (!f.what[0] || !f.where[0])
		abort();
	agentdef_destroy(a);
	return 0;
}
