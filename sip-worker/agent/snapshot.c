/* The state a reconnection starts from, and the transcript in it. */
#include "sip-worker/agent/talk.h"

#include "common/str.h"

#define TRANSCRIPT_ENTRIES 200
#define TRANSCRIPT_BYTES   (32 * 1024)
#define ENTRY_BYTES        1024
#define SNAPSHOT_VERSION   1

static size_t
entry_size(const json_t *entry)
{
	return json_string_length(json_object_get(entry, "text")) + 32;
}

static void
trim(struct talk *t)
{
	while (json_array_size(t->transcript) > TRANSCRIPT_ENTRIES ||
	       t->transcript_bytes > TRANSCRIPT_BYTES) {
		t->transcript_bytes -= entry_size(json_array_get(t->transcript, 0));
		json_array_remove(t->transcript, 0);
	}
}

void
transcript_add(struct talk *t, const char *who, const char *text, bool cut)
{
	json_t *entry = json_pack("{s:s,s:o}", "who", who, "text", emit_text(text, ENTRY_BYTES));

	if (!entry)
		return;
	if (cut)
		json_object_set_new(entry, "cut", json_true());
	t->transcript_bytes += entry_size(entry);
	json_array_append_new(t->transcript, entry);
	trim(t);
	t->dirty = true;
}

const json_t *
talk_transcript(const struct talk *t)
{
	return t->transcript;
}

json_t *
snapshot_take(const struct talk *t)
{
	json_t *responses = json_deep_copy(t->responses);
	json_t *s = json_pack("{s:i,s:s,s:s,s:o,s:o,s:o,s:o}", "v", SNAPSHOT_VERSION, "agent",
			      t->def->name, "task", t->task ? t->task->name : "", "vars",
			      json_deep_copy(t->vars), "input_vars", json_deep_copy(t->input_vars),
			      "function_responses", responses, "transcript",
			      json_deep_copy(t->transcript));

	return s;
}

static void
restore_map(struct talk *t, json_t *map, json_t *from, bool keep_new)
{
	const char *name;
	json_t *value;

	json_object_foreach(from, name, value)
	{
		if (!keep_new || !json_object_get(map, name))
			vars_set(t, map, name, json_deep_copy(value));
	}
}

static void
restore_transcript(struct talk *t, const json_t *from)
{
	json_t *entry;
	size_t i;

	json_array_foreach(from, i, entry)
	{
		const char *who = json_string_value(json_object_get(entry, "who"));
		const char *text = json_string_value(json_object_get(entry, "text"));

		if (who && text && (str_eq(who, "agent") || str_eq(who, "caller")))
			transcript_add(t, who, text, json_is_true(json_object_get(entry, "cut")));
	}
}

void
snapshot_restore(struct talk *t)
{
	json_t *s = t->snapshot;
	const char *task = json_string_value(json_object_get(s, "task"));

	t->snapshot = NULL;
	if (json_is_object(s)) {
		t->resumed = true;
		if (!t->task && task)
			t->task = agentdef_task(t->def, task);
		restore_map(t, t->vars, json_object_get(s, "vars"), false);
		restore_map(t, t->input_vars, json_object_get(s, "input_vars"), true);
		restore_map(t, t->responses, json_object_get(s, "function_responses"), false);
		restore_transcript(t, json_object_get(s, "transcript"));
	}
	json_decref(s);
	t->dirty = false;
}
