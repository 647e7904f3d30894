#include "common/agentdef/agentdef.h"

#include <stdlib.h>
#include <string.h>

#include "common/agentdef/agentdef_read.h"

#define DURATION_DEFAULT_MS (30 * 60 * 1000)

static const char *const brain_names[] = {
	[BRAIN_RULES] = "rules",
	[BRAIN_ECHO] = "echo",
	[BRAIN_CHAT] = "chat",
	[BRAIN_REALTIME] = "realtime",
	[BRAIN_MEDIA_STREAM] = "media_stream",
	NULL,
};

static bool
read_brain(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	enum agent_brain *b = at;

	if (!read_choice(r, k, n, at))
		return false;
	return *b == BRAIN_RULES || *b == BRAIN_ECHO ||
	       areader_fail(r, n, k->name,
			    "%s is not available in this version; expected rules or echo",
			    brain_names[*b]);
}

static bool
read_speech(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	static const char *const tts[] = { "flite", NULL };
	static const char *const stt[] = { "pocketsphinx", NULL };
	static const char *const voices[] = { "slt", "rms", "awb", "kal", NULL };
	static const struct akey keys[] = {
		{ "tts", read_word, offsetof(struct agentdef, tts), false, tts },
		{ "voice", read_word, offsetof(struct agentdef, voice), false, voices },
		{ "stt", read_word, offsetof(struct agentdef, stt), false, stt },
		{ "language", read_token, offsetof(struct agentdef, language), false, NULL },
	};

	return read_map(r, n, k->name, keys, ARRAY_LEN(keys), at);
}

static bool
read_limits(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	static const struct akey keys[] = {
		{ "max_duration", read_duration, offsetof(struct agentdef, max_duration_ms), false,
		  NULL },
	};
	struct agentdef *a = at;

	if (!read_map(r, n, k->name, keys, ARRAY_LEN(keys), at))
		return false;
	return a->max_duration_ms >= 1000 ||
	       areader_fail(r, yaml_get(n, "max_duration"), "max_duration", "expected at least 1s");
}

static bool
read_default_task(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	const struct agent_task *t = n->kind == Y_SCALAR ? agentdef_task(r->def, n->text) : NULL;

	*(const struct agent_task **)at = t;
	return t || areader_fail(r, n, k->name, "there is no task \"%.60s\"",
				 n->kind == Y_SCALAR ? n->text : "");
}

/* clang-format off */
#define A(m) offsetof(struct agentdef, m)
/* In this order: tasks name functions, the default names a task. */
static const struct akey agent_keys[] = {
	{ "name",         read_token,        A(name),         true,  NULL },
	{ "brain",        read_brain,        A(brain),        false, brain_names },
	{ "speech",       read_speech,       0,               false, NULL },
	{ "limits",       read_limits,       0,               false, NULL },
	{ "functions",    read_functions,    0,               false, NULL },
	{ "tasks",        read_tasks,        0,               true,  NULL },
	{ "default_task", read_default_task, A(default_task), true,  NULL },
};
/* clang-format on */

/* What the file left out. */
static bool
set_defaults(struct agentdef *a)
{
	const struct {
		char **at;
		const char *value;
	} texts[] = { { &a->tts, "flite" },
		      { &a->voice, "slt" },
		      { &a->stt, "pocketsphinx" },
		      { &a->language, "en-US" } };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (!*texts[i].at)
			*texts[i].at = strdup(texts[i].value);
		if (!*texts[i].at)
			return false;
	}
	return true;
}

static bool
fill(struct agentdef *a, const struct ynode *root, const char *name, struct fault *f)
{
	struct areader r = { .name = name, .f = f, .def = a };

	a->max_duration_ms = DURATION_DEFAULT_MS;
	a->file = strdup(name);
	if (!a->file)
		return areader_fail(&r, root, NULL, "out of memory");
	if (!read_map(&r, root, "an agent", agent_keys, ARRAY_LEN(agent_keys), a))
		return false;
	return set_defaults(a) || areader_fail(&r, root, NULL, "out of memory");
}

struct agentdef *
agentdef_parse(const char *text, size_t len, const char *name, struct fault *f)
{
	struct fault spare = { 0 }; /* yaml_parse() wants one */
	struct ynode *root = yaml_parse(text, len, name, false, f ? f : &spare);
	struct agentdef *a;
	bool good;

	if (!root)
		return NULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		fault_set(f, name, "out of memory");
	good = a && fill(a, root, name, f);
	yaml_destroy(root);
	if (good)
		return a;
	agentdef_destroy(a);
	return NULL;
}

void
agentdef_destroy(struct agentdef *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->task_count; i++)
		task_finish(&a->tasks[i]);
	free(a->tasks);
	for (size_t i = 0; i < a->function_count; i++)
		function_finish(&a->functions[i]);
	free(a->functions);
	free(a->name);
	free(a->file);
	free(a->tts);
	free(a->voice);
	free(a->stt);
	free(a->language);
	free(a);
}

const struct agent_task *
agentdef_task(const struct agentdef *a, const char *name)
{
	for (size_t i = 0; name && i < a->task_count; i++)
		if (str_eq(a->tasks[i].name, name))
			return &a->tasks[i];
	return NULL;
}

const struct agent_function *
agentdef_function(const struct agentdef *a, const char *name)
{
	for (size_t i = 0; name && i < a->function_count; i++)
		if (str_eq(a->functions[i].name, name))
			return &a->functions[i];
	return NULL;
}

bool
agentdef_allows(const struct agent_task *task, const struct agent_function *function,
		const json_t *context)
{
	for (size_t i = 0; i < task->function_count; i++) {
		const struct agent_task_function *offer = &task->functions[i];
		json_t *v = NULL;
		bool yes;

		if (offer->function != function)
			continue;
		if (!offer->conditions)
			return true;
		/* A condition that fails is not met. */
		if (expr_eval(offer->conditions, context, &v, NULL) != ERR_OK)
			return false;
		yes = expr_truth(v);
		json_decref(v);
		return yes;
	}
	return false;
}
