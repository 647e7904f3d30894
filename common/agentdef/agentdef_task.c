/* `tasks` of an agent's file; functions and the names of all tasks are known by then. */
#include "common/agentdef/agentdef_read.h"

#include <stdlib.h>

#define SILENCE_DEFAULT_MS 8000
#define TIMES_DEFAULT      2

/* --- actions --- */

static bool
task_has(const struct agent_task *t, const struct agent_function *fn)
{
	for (size_t i = 0; i < t->function_count; i++)
		if (t->functions[i].function == fn)
			return true;
	return false;
}

/* A function's name; it must be among the task's. */
static const struct agent_function *
find_function(struct areader *r, const char *key, const struct ynode *n)
{
	const struct agent_function *fn = n->kind == Y_SCALAR ? agentdef_function(r->def, n->text)
							      : NULL;

	if (n->kind != Y_SCALAR)
		areader_fail(r, n, key, "expected a function's name");
	else if (!fn)
		areader_fail(r, n, key, "there is no function \"%.60s\"", n->text);
	else if (r->task && !task_has(r->task, fn))
		areader_fail(r, n, key,
			     "\"%.60s\" is not under the functions of the task \"%.60s\"", n->text,
			     r->task->name);
	else
		return fn;
	return NULL;
}

static bool
read_call(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	const struct agent_function *fn = find_function(r, k->name, n);

	*(const struct agent_function **)at = fn;
	return fn;
}

static bool
read_target(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	const struct agent_task *t = n->kind == Y_SCALAR ? agentdef_task(r->def, n->text) : NULL;

	*(const struct agent_task **)at = t;
	if (n->kind != Y_SCALAR)
		return areader_fail(r, n, k->name, "expected a task's name");
	return t || areader_fail(r, n, k->name, "there is no task \"%.60s\"", n->text);
}

static bool
read_with(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	struct agent_action *a = at;
	struct fault f = { 0 };

	if (n->kind != Y_MAP)
		return areader_fail(r, n, k->name, "expected a map of arguments");
	if (!read_json(r, k, n, &a->with))
		return false;
	a->with_tmpl = tmpl_json_compile(a->with, &f);
	return a->with_tmpl || areader_fail(r, n, k->name, "%s", f.what);
}

/* clang-format off */
#define ACTION_KEYS(s)                                                                     \
	{ "call",   read_call,   offsetof(s, action) + offsetof(struct agent_action, call),   false, NULL }, \
	{ "with",   read_with,   offsetof(s, action),                                         false, NULL }, \
	{ "task",   read_target, offsetof(s, action) + offsetof(struct agent_action, task),   false, NULL }, \
	{ "hangup", read_bool,   offsetof(s, action) + offsetof(struct agent_action, hangup), false, NULL }
/* clang-format on */

/* must: there is no way without. */
static bool
check_action(struct areader *r, const struct ynode *n, const struct agent_action *a, bool must)
{
	int count = (a->call != NULL) + (a->task != NULL) + a->hangup;
	const struct ynode *with = yaml_get(n, "with");
	struct fault f = { 0 };

	if (count > 1)
		return areader_fail(r, n, NULL,
				    "expected one of call, task and hangup, not several");
	if (must && count == 0)
		return areader_fail(r, n, NULL, "expected call, task or hangup: true");
	if (!with)
		return true;
	if (!a->call)
		return areader_fail(r, with, "with", "expected only beside call");
	if (check_static_args(a->call, a->with, &f) == ERR_OK)
		return true;
	return areader_fail(r, with, "with", "%s%s%s", f.where, f.where[0] ? ": " : "", f.what);
}

static void
action_finish(struct agent_action *a)
{
	json_decref(a->with);
	tmpl_json_destroy(a->with_tmpl);
}

/* --- intents --- */

static bool
read_phrase(struct areader *r, const struct ynode *n, void *item)
{
	static const struct akey key = { "phrases", NULL, 0, false, NULL };

	return read_name(r, &key, n, item);
}

static bool
read_phrases(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	struct agent_intent *in = at;
	struct alist l = { 0 };
	bool good = read_list(r, k, n, sizeof(char *), read_phrase, &l);

	in->phrases = l.items;
	in->phrase_count = l.count;
	return good;
}

static bool
read_intent(struct areader *r, const struct ynode *n, void *item)
{
	static const struct akey keys[] = {
		{ "phrases", read_phrases, 0, false, NULL },
		{ "dtmf", read_dtmf, offsetof(struct agent_intent, dtmf), false, NULL },
		ACTION_KEYS(struct agent_intent),
	};
	struct agent_intent *in = item;

	in->line = n->line;
	if (!read_map(r, n, "an intent", keys, ARRAY_LEN(keys), in) ||
	    !check_action(r, n, &in->action, true))
		return false;
	return in->phrase_count > 0 || in->dtmf ||
	       areader_fail(r, n, NULL, "expected phrases or dtmf: nothing leads to this intent");
}

static bool
keys_differ(struct areader *r, const struct ynode *n, const struct agent_task *t)
{
	for (size_t i = 0; i < t->intent_count; i++)
		for (size_t j = 0; t->intents[i].dtmf && j < i; j++)
			if (str_eq(t->intents[i].dtmf, t->intents[j].dtmf))
				return areader_fail(r, yaml_get(n->items[i], "dtmf"), "dtmf",
						    "\"%s\" is taken by the intent in line %d",
						    t->intents[i].dtmf, t->intents[j].line);
	return true;
}

static bool
read_intents(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	struct agent_task *t = at;
	struct alist l = { 0 };
	bool good = read_list(r, k, n, sizeof(struct agent_intent), read_intent, &l);

	t->intents = l.items;
	t->intent_count = l.count;
	return good && keys_differ(r, n, t);
}

/* --- on_silence, on_no_match --- */

static bool
read_reprompt(struct areader *r, const struct ynode *n, const struct akey *keys, size_t count,
	      struct agent_reprompt *p)
{
	p->present = true;
	p->times = -1;
	if (!read_map(r, n, keys[0].name, keys + 1, count - 1, p) ||
	    !check_action(r, n, &p->action, false))
		return false;
	if (p->times > 0 && !p->say)
		return areader_fail(r, yaml_get(n, "times"), "times", "expected only beside say");
	if (p->times < 0)
		p->times = p->say ? TIMES_DEFAULT : 0;
	return true;
}

static bool
read_silence(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	static const struct akey keys[] = {
		{ "on_silence", NULL, 0, false, NULL },
		{ "after", read_duration, offsetof(struct agent_reprompt, after_ms), false, NULL },
		{ "say", read_template, offsetof(struct agent_reprompt, say), false, NULL },
		{ "times", read_times, offsetof(struct agent_reprompt, times), false, NULL },
		ACTION_KEYS(struct agent_reprompt),
	};
	struct agent_reprompt *p = at;

	(void)k;
	p->after_ms = SILENCE_DEFAULT_MS;
	if (!read_reprompt(r, n, keys, ARRAY_LEN(keys), p))
		return false;
	return p->after_ms >= 100 ||
	       areader_fail(r, yaml_get(n, "after"), "after", "expected at least 100ms");
}

static bool
read_no_match(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	static const struct akey keys[] = {
		{ "on_no_match", NULL, 0, false, NULL },
		{ "say", read_template, offsetof(struct agent_reprompt, say), false, NULL },
		{ "times", read_times, offsetof(struct agent_reprompt, times), false, NULL },
		ACTION_KEYS(struct agent_reprompt),
	};

	(void)k;
	return read_reprompt(r, n, keys, ARRAY_LEN(keys), at);
}

/* --- tasks --- */

static bool
read_offer(struct areader *r, const struct ynode *n, void *item)
{
	static const struct akey keys[] = {
		{ "name", read_call, offsetof(struct agent_task_function, function), true, NULL },
		{ "conditions", read_expression, offsetof(struct agent_task_function, conditions),
		  false, NULL },
	};

	return read_map(r, n, "a task's function", keys, ARRAY_LEN(keys), item);
}

static bool
read_offers(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	struct agent_task *t = at;
	struct alist l = { 0 };
	bool good;

	r->task = NULL; /* any function of the agent */
	good = read_list(r, k, n, sizeof(struct agent_task_function), read_offer, &l);
	r->task = t;
	t->functions = l.items;
	t->function_count = l.count;
	for (size_t i = 1; good && i < t->function_count; i++)
		for (size_t j = 0; j < i; j++)
			if (t->functions[i].function == t->functions[j].function)
				return areader_fail(r, n->items[i], k->name,
						    "\"%.60s\" stands here twice",
						    t->functions[i].function->name);
	return good;
}

static bool
read_entry(struct areader *r, const struct ynode *n, void *item)
{
	const struct agent_function *fn = find_function(r, "on_entry", n);

	*(const struct agent_function **)item = fn;
	return fn;
}

static bool
read_on_entry(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	struct agent_task *t = at;
	struct alist l = { 0 };
	bool good = read_list(r, k, n, sizeof(struct agent_function *), read_entry, &l);

	t->on_entry = l.items;
	t->on_entry_count = l.count;
	return good;
}

/* The name was read before, since tasks name each other. */
static bool
known_name(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	(void)r;
	(void)k;
	(void)n;
	(void)at;
	return true;
}

/* clang-format off */
#define T(m) offsetof(struct agent_task, m)
static const struct akey task_keys[] = {
	{ "name",                 known_name,    T(name),                 true,  NULL },
	{ "selector_description", read_text,     T(selector_description), false, NULL },
	{ "instructions",         read_text,     T(instructions),         false, NULL },
	{ "message",              read_template, T(message),              false, NULL },
	{ "resume_message",       read_template, T(resume_message),       false, NULL },
	{ "functions",            read_offers,   0,                       false, NULL },
	{ "on_entry",             read_on_entry, 0,                       false, NULL },
	{ "intents",              read_intents,  0,                       false, NULL },
	{ "on_silence",           read_silence,  T(on_silence),           false, NULL },
	{ "on_no_match",          read_no_match, T(on_no_match),          false, NULL },
};
/* clang-format on */

static bool
read_task_name(struct areader *r, const struct ynode *n, struct agent_task *t)
{
	static const struct akey key = { "name", read_name, 0, true, NULL };
	const struct ynode *name = n->kind == Y_MAP ? yaml_get(n, "name") : NULL;

	t->line = n->line;
	if (n->kind != Y_MAP)
		return areader_fail(r, n, NULL, "expected a task: a map with keys");
	if (!name)
		return areader_fail(r, n, "name", "missing; a task must have it");
	if (agentdef_task(r->def, name->text))
		return areader_fail(r, name, "name", "another task is called \"%.60s\" too",
				    name->text);
	return read_name(r, &key, name, &t->name);
}

bool
read_tasks(struct areader *r, const struct akey *k, const struct ynode *n, void *at)
{
	struct agentdef *a = at;

	if (n->kind != Y_SEQ || n->count == 0 || n->count > LIST_MAX)
		return areader_fail(r, n, k->name, "expected a list of 1 to %d tasks", LIST_MAX);
	a->tasks = calloc(n->count, sizeof(*a->tasks));
	if (!a->tasks)
		return areader_fail(r, n, k->name, "out of memory");
	while (a->task_count < n->count) {
		if (!read_task_name(r, n->items[a->task_count], &a->tasks[a->task_count]))
			return false;
		a->task_count++;
	}
	for (size_t i = 0; i < a->task_count; i++) {
		r->task = &a->tasks[i];
		if (!read_map(r, n->items[i], "a task", task_keys, ARRAY_LEN(task_keys),
			      &a->tasks[i]))
			return false;
	}
	return true;
}

static void
reprompt_finish(struct agent_reprompt *p)
{
	tmpl_destroy(p->say);
	action_finish(&p->action);
}

static void
intent_finish(struct agent_intent *in)
{
	for (size_t i = 0; i < in->phrase_count; i++)
		free(in->phrases[i]);
	free(in->phrases);
	free(in->dtmf);
	action_finish(&in->action);
}

void
task_finish(struct agent_task *t)
{
	free(t->name);
	free(t->selector_description);
	free(t->instructions);
	tmpl_destroy(t->message);
	tmpl_destroy(t->resume_message);
	for (size_t i = 0; i < t->function_count; i++)
		expr_destroy(t->functions[i].conditions);
	free(t->functions);
	free(t->on_entry);
	for (size_t i = 0; i < t->intent_count; i++)
		intent_finish(&t->intents[i]);
	free(t->intents);
	reprompt_finish(&t->on_silence);
	reprompt_finish(&t->on_no_match);
}
