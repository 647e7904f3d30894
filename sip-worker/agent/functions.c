/* The kinds of functions: one row each.  A call runs at once or after a delay; its result is
 * delivered to the brain by talk_settle(), never from inside talk_call(). */
#include "sip-worker/agent/talk.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

#define EVENT_JSON_MAX 8192 /* bytes of arguments or result in a timeline entry */

struct call {
	struct list link;
	struct talk *talk;
	uint32_t id;
	const struct agent_function *fn;
	json_t *args, *response;
	bool done;
	enum err err;
	struct fault fault;
	struct loop_timer delay;
};

static void
call_destroy(struct call *c)
{
	loop_timer_cancel(c->talk->home->loop, &c->delay);
	list_remove(&c->link);
	json_decref(c->args);
	json_decref(c->response);
	free(c);
}

/* --- timeline --- */

static json_t *
bounded(json_t *j)
{
	size_t size = j ? json_dumpb(j, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) : 0;

	if (size > EVENT_JSON_MAX)
		return json_sprintf("(%zu bytes)", size);
	return j ? json_deep_copy(j) : json_null();
}

static void
report(struct call *c)
{
	json_t *info = json_pack("{s:s,s:o,s:o}", "name", c->fn->name, "arguments",
				 bounded(c->args), "result", bounded(c->response));

	if (info && c->err != ERR_OK)
		json_object_set_new(info, "error", emit_text(c->fault.what, sizeof(c->fault.what)));
	emit_event(c->talk, CALL_EVENT_FUNCTION, info);
}

/* --- reference variables --- */

static json_t *
at_keypath(json_t *j, const char *path)
{
	char part[128];

	while (j && *path) {
		size_t len = strcspn(path, ".");
		int64_t index;

		if (len >= sizeof(part))
			return NULL;
		memcpy(part, path, len);
		part[len] = 0;
		if (json_is_array(j))
			j = str_to_int64(part, 0, 1 << 20, &index)
				    ? json_array_get(j, (size_t)index)
				    : NULL;
		else
			j = json_object_get(j, part);
		path += len + (path[len] == '.');
	}
	return j;
}

/* context has `val` for the time of this. */
static void
set_refvar(struct talk *t, const struct agent_refvar *r, json_t *val, json_t *context)
{
	struct fault f = { 0 };
	json_t *out = NULL;

	if (!r->transform) {
		vars_set(t, t->vars, r->name, json_deep_copy(val));
		return;
	}
	json_object_set(context, "val", val);
	if (expr_eval(r->transform, context, &out, &f) == ERR_OK)
		vars_set(t, t->vars, r->name, out);
	else
		talk_note(t, "Reference variable %s was left as it was: %s", r->name, f.what);
	json_object_del(context, "val");
}

/* The roots with `params` beside them: a copy, so that no later template sees them. */
static json_t *
context_with(struct talk *t, json_t *args)
{
	json_t *context = json_copy((json_t *)(uintptr_t)talk_context(t));

	if (context)
		json_object_set(context, "params", args);
	return context;
}

static void
complete(struct call *c)
{
	struct talk *t = c->talk;
	json_t *context = context_with(t, c->args);

	c->done = true;
	if (c->err == ERR_OK) {
		vars_set(t, t->responses, c->fn->name, json_deep_copy(c->response));
		for (size_t i = 0; context && i < c->fn->reference_var_count; i++) {
			const struct agent_refvar *r = &c->fn->reference_vars[i];
			json_t *val = at_keypath(c->response, r->keypath);

			if (val)
				set_refvar(t, r, val, context);
		}
	}
	json_decref(context);
	report(c);
}

static void
fail(struct call *c, enum err e)
{
	c->err = e;
	if (!c->fault.what[0])
		fault_set(&c->fault, "", "%s", err_text(e));
	json_decref(c->response);
	c->response = NULL;
	complete(c);
}

/* --- the kinds --- */

static void
run_system_transfer(struct call *c, json_t *context)
{
	struct talk *t = c->talk;
	json_t *vars = outcome_transfer_vars(t, c->fn, context, c->args);

	report(c);
	talk_freeze(t, OUTCOME_SYSTEM, "function");
	outcome_finish(&t->outcome);
	t->outcome.reference_vars = outcome_reference_vars(t);
	t->outcome.transfer_vars = vars;
	call_destroy(c);
}

static void
run_agent_transfer(struct call *c, json_t *context)
{
	(void)context;
	report(c);
	talk_end(c->talk, OUTCOME_AGENT, "function");
	call_destroy(c);
}

static void
run_http(struct call *c, json_t *context)
{
	(void)context;
	fail(c, ERR_UNSUPPORTED); /* refused when the definition is read */
}

static void
on_mock_delay(struct loop_timer *timer)
{
	struct call *c = container_of(timer, struct call, delay);

	complete(c);
	talk_settle(c->talk);
}

static void
run_mock(struct call *c, json_t *context)
{
	(void)context;
	c->response = c->fn->response ? json_deep_copy(c->fn->response) : json_object();
	if (!c->response)
		fail(c, ERR_NOMEM);
	else if (c->fn->delay_ms <= 0)
		complete(c);
	else if (!loop_timer_set(c->talk->home->loop, &c->delay, c->fn->delay_ms, on_mock_delay))
		fail(c, ERR_NOMEM);
}

static void
run_set_variable(struct call *c, json_t *context)
{
	struct talk *t = c->talk;

	c->response = json_object();
	for (size_t i = 0; i < c->fn->variable_count; i++) {
		const struct agent_value *v = &c->fn->variables[i];
		struct fault f = { 0 };
		json_t *value = NULL;

		if (expr_eval(v->value, context, &value, &f) != ERR_OK) {
			talk_note(t, "Variable %s was left as it was: %s", v->name, f.what);
			continue;
		}
		json_object_set(c->response, v->name, value);
		vars_set(t, t->vars, v->name, value);
	}
	complete(c);
}

static void
run_recite(struct call *c, json_t *context)
{
	char *text = tmpl_render(c->fn->text, context, &c->fault);

	if (!text) {
		fail(c, ERR_UNPROCESSABLE);
		return;
	}
	talk_say(c->talk, text, 0);
	c->response = json_pack("{s:s}", "text", text);
	free(text);
	complete(c);
}

/* clang-format off */
static void (*const kinds[])(struct call *c, json_t *context) = {
	[FN_SYSTEM_TRANSFER] = run_system_transfer,
	[FN_AGENT_TRANSFER]  = run_agent_transfer,
	[FN_HTTP]            = run_http,
	[FN_MOCK]            = run_mock,
	[FN_SET_VARIABLE]    = run_set_variable,
	[FN_RECITE]          = run_recite,
};
/* clang-format on */

/* --- calls --- */

static void
say_before(struct call *c, const json_t *context)
{
	struct fault f = { 0 };
	char *text;

	if (!c->fn->message_before)
		return;
	text = tmpl_render(c->fn->message_before, context, &f);
	if (text)
		talk_say(c->talk, text, SAY_FIRM);
	else
		talk_note(c->talk, "A message could not be written: %s", f.what);
	free(text);
}

static void
run(struct call *c)
{
	struct talk *t = c->talk;
	json_t *context = context_with(t, c->args);

	if (!context) {
		fail(c, ERR_NOMEM);
		return;
	}
	say_before(c, context);
	if (talk_is_live(t)) /* the message may have been one too many */
		kinds[c->fn->type](c, context);
	else
		call_destroy(c);
	json_decref(context);
}

uint32_t
talk_call(struct talk *t, const struct agent_function *fn, json_t *args)
{
	struct call *c = NULL;
	uint32_t id;
	enum err e;

	if (talk_is_live(t) && ++t->turn_calls > TALK_CALLS_MAX)
		talk_fail(t, "More than %d function calls in one turn.", TALK_CALLS_MAX);
	if (talk_is_live(t)) {
		c = calloc(1, sizeof(*c));
		args = args ? args : json_object();
		if (!c || !args)
			talk_fail(t, "Out of memory.");
	}
	if (!c || !talk_is_live(t)) {
		json_decref(args);
		free(c);
		return 0;
	}
	c->talk = t;
	c->fn = fn;
	c->args = args;
	c->id = id = ++t->next_call;
	list_append(&t->calls, &c->link);
	e = agentdef_check_args(fn, args, &c->fault);
	if (e != ERR_OK)
		fail(c, e);
	else
		run(c);
	return talk_is_live(t) ? id : 0;
}

bool
fn_deliver(struct talk *t)
{
	list_each(it, &t->calls)
	{
		struct call *c = container_of(it, struct call, link);
		struct call_result r;

		if (!c->done)
			continue;
		r = (struct call_result){ .call = c->id,
					  .function = c->fn,
					  .err = c->err,
					  .error = c->fault.what,
					  .response = c->response };
		list_remove(&c->link);
		if (t->brain->called && talk_is_live(t))
			t->brain->called(t->brain_state, &r);
		call_destroy(c);
		return true;
	}
	return false;
}

void
fn_drop_all(struct talk *t)
{
	while (!list_empty(&t->calls))
		call_destroy(container_of(t->calls.next, struct call, link));
}
