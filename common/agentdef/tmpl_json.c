/* JSON whose strings are templates: a tree of the same form. */
#include "common/agentdef/tmpl_internal.h"

#include <stdlib.h>
#include <string.h>

struct tmpl_json {
	struct tmpl *text; /* a string */
	json_t *value;     /* a number, true, false, null; or the container's kind */
	char **keys;       /* object */
	struct tmpl_json **items;
	size_t count;
};

void
tmpl_json_destroy(struct tmpl_json *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++) {
		if (t->keys)
			free(t->keys[i]);
		tmpl_json_destroy(t->items[i]);
	}
	free(t->keys);
	free(t->items);
	tmpl_destroy(t->text);
	json_decref(t->value);
	free(t);
}

static struct tmpl_json *compile(const json_t *value, unsigned depth, struct fault *f);

static bool
say(struct fault *f, const char *what)
{
	if (f)
		str_copy(f->what, sizeof(f->what), what);
	return false;
}

static bool
compile_array(struct tmpl_json *t, const json_t *value, unsigned depth, struct fault *f)
{
	size_t count = json_array_size(value);

	t->items = calloc(count + 1, sizeof(struct tmpl_json *));
	if (!t->items)
		return say(f, "out of memory");
	for (; t->count < count; t->count++) {
		t->items[t->count] = compile(json_array_get(value, t->count), depth, f);
		if (!t->items[t->count])
			return false;
	}
	return true;
}

static bool
compile_object(struct tmpl_json *t, const json_t *value, unsigned depth, struct fault *f)
{
	size_t count = json_object_size(value);
	const char *key;
	json_t *item;

	t->items = calloc(count + 1, sizeof(struct tmpl_json *));
	t->keys = calloc(count + 1, sizeof(char *));
	if (!t->items || !t->keys)
		return say(f, "out of memory");
	json_object_foreach((json_t *)(uintptr_t)value, key, item)
	{
		struct tmpl_json *child = compile(item, depth, f);

		if (!child)
			return false;
		t->items[t->count] = child;
		t->keys[t->count] = strdup(key);
		if (!t->keys[t->count++])
			return say(f, "out of memory");
	}
	return true;
}

static bool
compile_into(struct tmpl_json *t, const json_t *value, unsigned depth, struct fault *f)
{
	if (depth == 0)
		return say(f, "nested too deeply");
	if (json_is_string(value)) {
		t->text = tmpl_compile(json_string_value(value), f);
		return t->text;
	}
	if (json_is_array(value)) {
		t->value = json_array();
		return t->value ? compile_array(t, value, depth - 1, f) : say(f, "out of memory");
	}
	if (json_is_object(value)) {
		t->value = json_object();
		return t->value ? compile_object(t, value, depth - 1, f) : say(f, "out of memory");
	}
	t->value = json_deep_copy(value);
	return t->value || say(f, "out of memory");
}

static struct tmpl_json *
compile(const json_t *value, unsigned depth, struct fault *f)
{
	struct tmpl_json *t = calloc(1, sizeof(*t));

	if (!t)
		say(f, "out of memory");
	else if (compile_into(t, value, depth, f))
		return t;
	tmpl_json_destroy(t);
	return NULL;
}

struct tmpl_json *
tmpl_json_compile(const json_t *value, struct fault *f)
{
	return compile(value, EXPR_DEPTH_MAX, f);
}

/* --- rendering --- */

static json_t *render(const struct tmpl_json *t, struct eval *e);

static json_t *
render_text(const struct tmpl *t, struct eval *e)
{
	char *text;
	json_t *v;

	if (tmpl_is_value(t))
		return tmpl_value_in(t, e);
	text = tmpl_render_in(t, e);
	if (!text)
		return NULL;
	v = eval_checked(e, json_string(text));
	free(text);
	return v;
}

static json_t *
render_items(const struct tmpl_json *t, struct eval *e)
{
	json_t *out = eval_checked(e, t->keys ? json_object() : json_array());

	for (size_t i = 0; out && i < t->count; i++) {
		json_t *item = render(t->items[i], e);
		int rc = !item     ? -1
			 : t->keys ? json_object_set_new(out, t->keys[i], item)
				   : json_array_append_new(out, item);

		if (rc != 0) {
			json_decref(out);
			out = eval_checked(e, NULL);
		}
	}
	return out;
}

static json_t *
render(const struct tmpl_json *t, struct eval *e)
{
	if (!eval_step(e))
		return NULL;
	if (t->text)
		return render_text(t->text, e);
	return t->items ? render_items(t, e) : value_copy(e, t->value, 1);
}

enum err
tmpl_json_render(const struct tmpl_json *t, const json_t *context, json_t **out, struct fault *f)
{
	struct eval e = { .context = context, .f = f };
	json_t *v = render(t, &e);

	if (!v)
		return e.err;
	*out = v;
	return ERR_OK;
}
