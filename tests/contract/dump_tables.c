/* Prints the tables of the control link as JSON, and a sample of every message, for test_ipc.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/call_event.h"
#include "common/msg.h"

static const char *const kinds[] = {
	[J_STR] = "str",   [J_TEXT] = "text", [J_INT] = "int", [J_BOOL] = "bool",
	[J_ENUM] = "enum", [J_JSON] = "json", [J_ANY] = "any",
};

static json_t *
names_of(const char *const *names)
{
	json_t *out = json_array();

	for (; names && *names; names++)
		json_array_append_new(out, json_string(*names));
	return out;
}

static json_t *
fields_of(const struct jfield *f)
{
	json_t *out = json_array();

	for (; f->name; f++)
		json_array_append_new(
			out, json_pack("{s:s,s:s,s:b,s:I,s:I,s:I,s:o}", "name", f->name, "type",
				       kinds[f->type], "required", f->required, "size",
				       (json_int_t)f->size, "min", (json_int_t)f->min, "max",
				       (json_int_t)f->max, "names", names_of(f->names)));
	return out;
}

/* The tables do not tell lists from objects; the schemas do. */
static bool
is_list(const char *name)
{
	static const char *const lists[] = { "addresses", "calls", "lost", "events" };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		if (strcmp(name, lists[i]) == 0)
			return true;
	}
	return false;
}

/* A struct with every member filled, so that every member is written. */
static void
fill(const struct jfield *f, void *obj, const char *wire)
{
	for (; f->name; f++) {
		char *at = (char *)obj + f->offset;
		bool list = is_list(f->name);

		if (f->type == J_STR)
			memcpy(at, wire, 3);
		else if (f->type == J_TEXT)
			*(char **)(void *)at = strdup(wire);
		else if (f->type == J_INT)
			*(int64_t *)(void *)at = f->max;
		else if (f->type == J_BOOL)
			*(bool *)(void *)at = true;
		else if (f->type == J_JSON)
			*(json_t **)(void *)at = list ? json_array() : json_object();
	}
}

static json_t *
samples_of(enum msg_type t)
{
	const struct msg_info *info = &msg_table[t];
	void *body = calloc(1, info->body_size), *reply = calloc(1, info->reply_size);
	json_t *out = json_array();

	fill(info->body, body, info->wire);
	fill(info->reply, reply, info->wire);
	if (info->kind == MSG_EVENT) {
		json_array_append_new(out, msg_event(t, body));
	} else {
		json_array_append_new(out, msg_request(t, "r-1", body));
		json_array_append_new(out, msg_reply(t, "r-1", ERR_OK, reply));
		json_array_append_new(out, msg_reply(t, "r-1", ERR_BUSY, NULL));
	}
	msg_finish_body(t, body);
	msg_finish_reply(t, reply);
	free(body);
	free(reply);
	return out;
}

static json_t *
types(void)
{
	json_t *out = json_object();

	for (int t = 0; t < MSG_TYPE_COUNT; t++) {
		const struct msg_info *info = &msg_table[t];

		json_object_set_new(out, info->wire,
				    json_pack("{s:s,s:s,s:o,s:o,s:o}", "direction",
					      info->dir == MSG_UP ? "up" : "down", "kind",
					      info->kind == MSG_REQUEST ? "request" : "event",
					      "body", fields_of(info->body), "reply",
					      fields_of(info->reply), "samples",
					      samples_of((enum msg_type)t)));
	}
	return out;
}

static json_t *
errors(void)
{
	json_t *out = json_array();

	for (int e = 0; e < ERR_COUNT; e++)
		json_array_append_new(out, json_string(err_name((enum err)e)));
	return out;
}

int
main(void)
{
	json_t *all = json_pack("{s:o,s:o,s:o}", "types", types(), "errors", errors(), "events",
				names_of(call_event_names));
	char *text = json_text(all);

	puts(text);
	free(text);
	json_decref(all);
	return 0;
}
