/* What a conversation knows, as templates and expressions see it; bounded in number and size. */
#include "sip-worker/agent/talk.h"

#include <string.h>

#include "common/clock.h"

#define VARS_MAX       256         /* names in one map */
#define VARS_BYTES_MAX (64 * 1024) /* of one value, as JSON text */
#define VARS_TOTAL_MAX (256 * 1024)

static json_t *
object_of(const json_t *j)
{
	json_t *copy = json_is_object(j) ? json_deep_copy(j) : json_object();

	return copy;
}

bool
vars_init(struct talk *t, const json_t *input, const json_t *call)
{
	t->vars = json_object();
	t->input_vars = object_of(input);
	t->responses = json_object();
	t->transcript = json_array();
	t->context = json_pack("{s:o,s:o,s:o,s:o,s:s,s:b,s:s}", "vars", t->vars, "input_vars",
			       t->input_vars, "function_responses", t->responses, "call",
			       object_of(call), "channel_type", "voice", "resumed", 0,
			       "current_datetime", "");
	return t->context && t->transcript;
}

static size_t
json_size(const json_t *j)
{
	return json_dumpb(j, NULL, 0, JSON_ENCODE_ANY | JSON_COMPACT);
}

void
vars_set(struct talk *t, json_t *map, const char *name, json_t *value)
{
	size_t size = value ? json_size(value) : 0;
	json_t *old = json_object_get(map, name);

	if (!value) {
		talk_note(t, "Variable %s was lost: out of memory.", name);
		return;
	}
	if (json_equal(old, value)) {
		json_decref(value);
		return;
	}
	if (size > VARS_BYTES_MAX || (!old && json_object_size(map) >= VARS_MAX) ||
	    json_size(map) + size > VARS_TOTAL_MAX) {
		talk_note(t, "Variable %s was dropped: too large or too many.", name);
		json_decref(value);
		return;
	}
	if (json_object_set_new(map, name, value) != 0)
		talk_note(t, "Variable %s was dropped: its name is not UTF-8.", name);
	t->dirty = true;
}

const json_t *
talk_context(struct talk *t)
{
	char now[CLOCK_TEXT_SIZE];

	json_object_set_new(t->context, "current_datetime",
			    json_string(clock_format_s(clock_wall_ms(), now)));
	json_object_set_new(t->context, "resumed", json_boolean(t->resumed));
	return t->context;
}
