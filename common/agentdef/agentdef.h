/* agentdef.h - an agent's definition as read from its YAML file (DESIGN.md 7).
 *
 * Owned by the configuration that loaded it, const afterwards, readable from any thread.
 * Expressions and templates are compiled at load, so every mistake has a file and line. */
#ifndef COMMON_AGENTDEF_AGENTDEF_H
#define COMMON_AGENTDEF_AGENTDEF_H

#include <jansson.h>

#include "common/agentdef/expr.h"
#include "common/base.h"
#include "common/err.h"

enum agent_brain { BRAIN_RULES, BRAIN_ECHO, BRAIN_CHAT, BRAIN_REALTIME, BRAIN_MEDIA_STREAM };

enum function_type {
	FN_SYSTEM_TRANSFER,
	FN_AGENT_TRANSFER,
	FN_HTTP, /* refused at load until it is built */
	FN_MOCK,
	FN_SET_VARIABLE,
	FN_RECITE,
};

/* A named expression: transfer_variables, set_variable's variables. */
struct agent_value {
	char *name;
	struct expr *value;
};

struct agent_refvar {
	char *name;
	char *keypath;          /* without the leading "response."; "" is the response itself */
	struct expr *transform; /* over val; NULL: as it is */
};

struct agent_function {
	char *name;
	enum function_type type;
	char *description;
	struct tmpl *message_before; /* NULL: nothing is said */
	json_t *parameters;          /* JSON Schema (object) or NULL */
	struct agent_value *transfer_variables;
	size_t transfer_variable_count;
	struct agent_refvar *reference_vars;
	size_t reference_var_count;
	json_t *response;              /* mock */
	int64_t delay_ms;              /* mock */
	struct agent_value *variables; /* set_variable */
	size_t variable_count;
	struct tmpl *text; /* recite */
	int line;
};

/* What to do: exactly one of call, task, hangup; or none (then `say` only). */
struct agent_action {
	const struct agent_function *call;
	json_t *with; /* object of arguments; its strings are templates: see with_tmpl */
	struct tmpl_json *with_tmpl; /* `with`, compiled; NULL when with is */
	const struct agent_task *task;
	bool hangup;
};

struct agent_intent {
	char **phrases;
	size_t phrase_count;
	char *dtmf; /* "1", "12"; NULL: none */
	struct agent_action action;
	int line;
};

/* on_silence and on_no_match. */
struct agent_reprompt {
	bool present;
	int64_t after_ms; /* silence only */
	struct tmpl *say;
	int times;                  /* of `say` */
	struct agent_action action; /* afterwards; none: hand back as AGENT */
};

struct agent_task_function {
	const struct agent_function *function;
	struct expr *conditions; /* NULL: always */
};

struct agent_task {
	char *name;
	char *selector_description;
	char *instructions;
	struct tmpl *message, *resume_message; /* NULL: silence */
	struct agent_task_function *functions;
	size_t function_count;
	const struct agent_function **on_entry;
	size_t on_entry_count;
	struct agent_intent *intents;
	size_t intent_count;
	struct agent_reprompt on_silence, on_no_match;
	int line;
};

struct agentdef {
	char *name;
	char *file;
	enum agent_brain brain;
	char *tts, *voice, *stt, *language; /* "flite", "slt", "pocketsphinx", "en-US" */
	const struct agent_task *default_task;
	int64_t max_duration_ms;
	struct agent_task *tasks;
	size_t task_count;
	struct agent_function *functions;
	size_t function_count;
};

/* text is one YAML document; name ("agents/frontdesk.yaml") goes into f->where as "name:line".
 * NULL on error. */
struct agentdef *agentdef_parse(const char *text, size_t len, const char *name, struct fault *f);
void agentdef_destroy(struct agentdef *a);
const struct agent_task *agentdef_task(const struct agentdef *a, const char *name); /* NULL: none */
const struct agent_function *agentdef_function(const struct agentdef *a, const char *name);

/* Is `function` offered in `task` now?  A function not listed in the task is not. */
bool agentdef_allows(const struct agent_task *task, const struct agent_function *function,
		     const json_t *context);

/* Arguments against the function's parameters schema: type, required, enum, and properties'
 * types (string, number, integer, boolean, object, array), nested.  f->where is the path. */
MUST_USE enum err
agentdef_check_args(const struct agent_function *fn, const json_t *args, struct fault *f);

#endif
