#include "api-server/store/internal.h"

#include <string.h>

#include "common/clock.h"

/* Indexes into CALL_COLUMNS, as a client sees them. */
static const struct column {
	const char *name; /* NULL: not shown */
	enum { TEXT, NUMBER, TIME } kind;
} columns[] = {
	/* clang-format off */
	{ NULL,           NUMBER },
	{ "id",           TEXT },
	{ "account",      TEXT },
	{ "transfer",     TEXT },
	{ "conversation", TEXT },
	{ "worker",       TEXT },
	{ "state",        TEXT },
	{ "mode",         TEXT },
	{ "startedAt",    TIME },
	{ "answeredAt",   TIME },
	{ "endedAt",      TIME },
	{ "status",       NUMBER },
	{ "cause",        TEXT },
	{ "from",         TEXT },
	{ "to",           TEXT },
	{ "source",       TEXT },
	{ "transport",    TEXT },
	{ "callId",       TEXT },
	{ "codec",        TEXT },
	{ "outcome",      TEXT },
	{ "returnType",   TEXT },
	{ "returnState",  TEXT },
	{ "endedBy",      TEXT },
	/* clang-format on */
};

static json_t *
column_json(struct q q, int col)
{
	char text[CLOCK_TEXT_SIZE];

	switch (columns[col].kind) {
	case TEXT:
		return json_string(q_col_text(q, col));
	case TIME:
		return json_string(clock_format_ms(q_col_int(q, col), text));
	case NUMBER:
	default:
		return json_integer(q_col_int(q, col));
	}
}

static bool
is_column_known(struct q q, int col)
{
	return columns[col].kind == TEXT ? q_col_text(q, col) != NULL : q_col_int(q, col) != 0;
}

/* New reference, NULL: no memory. */
static json_t *
read_call(struct q q)
{
	json_t *call = json_object();

	for (int col = 0; call && col < (int)ARRAY_LEN(columns); col++) {
		if (!columns[col].name || !is_column_known(q, col))
			continue;
		if (json_object_set_new(call, columns[col].name, column_json(q, col)) != 0) {
			json_decref(call);
			return NULL;
		}
	}
	return call;
}

enum err
op_call_list(struct db *db, struct store_req *r)
{
	struct store_call_list *l = container_of(r, struct store_call_list, req);
	enum statement s = l->refused   ? ST_CALL_LIST_REFUSED
			   : l->account ? ST_CALL_LIST_ACCOUNT
					: ST_CALL_LIST_ALL;
	struct q q = q_use(db, s);
	enum err e = ERR_OK;

	l->calls = json_array();
	if (s != ST_CALL_LIST_ALL)
		q_text(q, ":account", l->account);
	q_int(q, ":before", l->before_ms ? l->before_ms : INT64_MAX);
	q_int(q, ":limit", l->limit);
	while (e == ERR_OK && q_row(q))
		if (json_array_append_new(l->calls, read_call(q)) != 0)
			e = ERR_NOMEM;
	q_end(q);
	if (e != ERR_OK)
		discard_call_list(r);
	return e;
}

void
discard_call_list(struct store_req *r)
{
	struct store_call_list *l = container_of(r, struct store_call_list, req);

	json_decref(l->calls);
	l->calls = NULL;
}

/* As a client sees it.  New reference, NULL: no memory. */
static json_t *
show_entry(const json_t *stored)
{
	const json_t *at = json_object_get(stored, "at");
	const json_t *seq = json_object_get(stored, "seq");
	char text[CLOCK_TEXT_SIZE];
	json_t *j = json_pack(
		"{s:s, s:O, s:O}", "at", clock_format_ms(json_integer_value(at), text), "type",
		json_object_get(stored, "type"), "info", json_object_get(stored, "info"));

	if (j && seq && json_object_set(j, "seq", (json_t *)(uintptr_t)seq) != 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

/* In the order of seq also where a report came late; an entry without one is the last. */
static enum err
timeline_add(json_t *timeline, json_t *entry)
{
	json_int_t seq = json_integer_value(json_object_get(entry, "seq"));
	size_t at = json_array_size(timeline);

	while (seq > 0 && at > 0) {
		const json_t *before = json_array_get(timeline, at - 1);

		if (json_integer_value(json_object_get(before, "seq")) < seq)
			break;
		at--;
	}
	return json_array_insert_new(timeline, at, entry) == 0 ? ERR_OK : ERR_NOMEM;
}

static enum err
read_entries(struct q q, json_t *timeline)
{
	const char *text = q_col_text(q, 0);
	json_t *entries = text ? json_loads(text, 0, NULL) : NULL;
	enum err e = entries ? ERR_OK : ERR_NOMEM;
	size_t i;
	json_t *j;

	json_array_foreach(entries, i, j)
	{
		if (e == ERR_OK)
			e = timeline_add(timeline, show_entry(j));
	}
	json_decref(entries);
	return e;
}

static enum err
read_timeline(struct db *db, int64_t n, json_t *call)
{
	json_t *timeline = json_array();
	struct q q = q_use(db, ST_CALL_TIMELINE);
	enum err e = ERR_OK;

	q_int(q, ":n", n);
	while (e == ERR_OK && q_row(q))
		e = read_entries(q, timeline);
	q_end(q);
	if (json_object_set_new(call, "timeline", timeline) != 0)
		e = ERR_NOMEM;
	return e;
}

enum err
op_call_get(struct db *db, struct store_req *r)
{
	struct store_call_get *g = container_of(r, struct store_call_get, req);
	struct q q = q_use(db, ST_CALL_READ);
	enum err e = ERR_NOT_FOUND;
	int64_t n = 0;

	q_text(q, ":account", g->account);
	q_text(q, ":id", g->id);
	if (q_row(q)) {
		n = q_col_int(q, 0);
		g->call = read_call(q);
		e = g->call ? ERR_OK : ERR_NOMEM;
	}
	q_end(q);
	if (e == ERR_OK)
		e = read_timeline(db, n, g->call);
	if (e != ERR_OK)
		discard_call_get(r);
	return e;
}

void
discard_call_get(struct store_req *r)
{
	struct store_call_get *g = container_of(r, struct store_call_get, req);

	json_decref(g->call);
	g->call = NULL;
}
