#include "api-server/store/internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/call_event.h"
#include "common/clock.h"
#include "common/jfield.h"
#include "common/log.h"
#include "common/str.h"

#define AT_END_MS INT64_C(253402300800000) /* the year 10000 */

/* One entry of a report, checked. Borrowed from the report. */
struct entry {
	const char *call;
	int64_t seq, at;
	enum call_event type;
	const char *info; /* JSON object text */
	size_t info_len;
};

/* While a report is worked through. */
struct report {
	struct db *db;
	const struct store_call_report *req;
	const char *call; /* the call that n belongs to */
	int64_t n;        /* 0: not this worker's */
	unsigned ignored, refused;
};

/* --- the projection: what an entry does to its call's row --- */

static const struct projection {
	enum call_event type;
	enum statement statement;
	bool at, info; /* which of these the statement takes, beside :n */
} projections[] = {
	/* clang-format off */
	{ CALL_EVENT_REFUSED,  ST_CALL_REFUSED,  true,  true },
	{ CALL_EVENT_CLAIMED,  ST_CALL_CLAIMED,  false, true },
	{ CALL_EVENT_ANSWERED, ST_CALL_ANSWERED, true,  true },
	{ CALL_EVENT_OUTCOME,  ST_CALL_OUTCOME,  false, true },
	{ CALL_EVENT_RETURN,   ST_CALL_RETURN,   false, true },
	{ CALL_EVENT_BYE,      ST_CALL_BYE,      false, true },
	{ CALL_EVENT_ENDED,    ST_CALL_ENDED,    true,  true },
	/* clang-format on */
};

static void
project(struct report *p, const struct entry *e)
{
	for (size_t i = 0; i < ARRAY_LEN(projections); i++) {
		const struct projection *j = &projections[i];
		struct q q;

		if (j->type != e->type)
			continue;
		q = q_use(p->db, j->statement);
		q_int(q, ":n", p->n);
		if (j->at)
			q_int(q, ":at", e->at);
		if (j->info)
			q_text_n(q, ":info", e->info, e->info_len);
		q_do(q);
		return;
	}
}

static void
note_answered(struct report *p, const struct entry *e)
{
	struct q q = q_use(p->db, ST_TRANSFER_ANSWERED);
	int64_t now = clock_wall_ms();

	q_text(q, ":call", e->call);
	q_text(q, ":instance", p->req->instance);
	q_int(q, ":at", e->at < now ? e->at : now);
	q_do(q);
}

/* --- one entry --- */

static bool
find_event(const char *name, enum call_event *out)
{
	for (int i = 0; i < CALL_EVENT_COUNT; i++)
		if (str_eq(name, call_event_names[i])) {
			*out = (enum call_event)i;
			return true;
		}
	return false;
}

static bool
read_entry(const json_t *j, struct entry *e)
{
	const json_t *seq = json_object_get(j, "seq"), *at = json_object_get(j, "at");
	size_t len = json_string_length(json_object_get(j, "call"));

	e->call = json_string_value(json_object_get(j, "call"));
	e->seq = json_integer_value(seq);
	e->at = json_integer_value(at);
	return e->call && len > 0 && len < ID_TOKEN_SIZE && json_is_integer(seq) && e->seq > 0 &&
	       e->seq < LOST_SEQ && json_is_integer(at) && e->at > 0 && e->at < AT_END_MS &&
	       find_event(json_string_value(json_object_get(j, "type")), &e->type) &&
	       e->type != CALL_EVENT_LOST;
}

static void
make_call(struct report *p, const struct entry *e)
{
	struct q q = q_use(p->db, ST_CALL_MAKE);

	q_text(q, ":call", e->call);
	q_text(q, ":worker", p->req->worker);
	q_text(q, ":instance", p->req->instance);
	q_int(q, ":at", e->at);
	q_text_n(q, ":info", e->info, e->info_len);
	if (q_do(q))
		p->call = NULL;
}

static void
find_call(struct report *p, const char *call)
{
	struct q q;

	if (str_eq(p->call, call) && p->call)
		return;
	q = q_use(p->db, ST_CALL_FIND);
	q_text(q, ":call", call);
	q_text(q, ":instance", p->req->instance);
	p->n = q_row(q) ? q_col_int(q, 0) : 0;
	p->call = call;
	q_end(q);
}

static bool
insert_entry(struct report *p, const struct entry *e)
{
	struct q q = q_use(p->db, ST_CALL_EVENT_INSERT);

	q_int(q, ":n", p->n);
	q_int(q, ":seq", e->seq);
	q_int(q, ":at", e->at);
	q_text(q, ":type", call_event_names[e->type]);
	q_text_n(q, ":info", e->info, e->info_len);
	return q_do(q) > 0;
}

static void
apply(struct report *p, const struct entry *e)
{
	if (e->type == CALL_EVENT_INVITE || e->type == CALL_EVENT_REFUSED)
		make_call(p, e);
	find_call(p, e->call);
	if (!p->n) {
		p->ignored++; /* no INVITE came before it, or it is another worker's call */
		return;
	}
	if (!insert_entry(p, e))
		return;
	project(p, e);
	p->refused += e->type == CALL_EVENT_REFUSED;
	if (e->type == CALL_EVENT_ANSWERED)
		note_answered(p, e);
}

static enum err
apply_json(struct report *p, const json_t *j)
{
	static const char dropped[] = "{\"dropped\":\"too large\"}";
	const json_t *info = json_object_get(j, "info");
	struct entry e = { .info = "{}", .info_len = 2 };
	char *text = NULL;

	if (!read_entry(j, &e)) {
		p->ignored++;
		return ERR_OK;
	}
	if (json_is_object(info)) {
		text = json_text(info);
		if (!text)
			return ERR_NOMEM;
		e.info = text;
		e.info_len = strlen(text);
		if (e.info_len > EVENT_INFO_MAX) {
			e.info = dropped;
			e.info_len = sizeof(dropped) - 1;
		}
	}
	apply(p, &e);
	free(text);
	return ERR_OK;
}

enum err
op_call_report(struct db *db, struct store_req *r)
{
	static struct log_limit limit;
	static unsigned refused_since_trim; /* the store thread's own */
	struct store_call_report *c = container_of(r, struct store_call_report, req);
	struct report p = { .db = db, .req = c };
	size_t i;
	json_t *j;

	json_array_foreach(c->events, i, j)
	{
		enum err e = apply_json(&p, j);

		if (e != ERR_OK)
			return e;
	}
	if (p.ignored && log_allowed(&limit, 1))
		log_warn("store", "entries_ignored", "worker=%s count=%u", log_quote(c->worker),
			 p.ignored);
	refused_since_trim += p.refused;
	if (refused_since_trim >= REFUSED_SLACK / 2) {
		refused_since_trim = 0;
		trim_refused(db);
	}
	return ERR_OK;
}

/* --- reading --- */

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

static json_t *
read_entry_row(struct q q)
{
	char text[CLOCK_TEXT_SIZE];
	int64_t seq = q_col_int(q, 0);
	const char *info = q_col_text(q, 3);
	json_t *j = json_pack("{s:s, s:s, s:o}", "at", clock_format_ms(q_col_int(q, 1), text),
			      "type", q_col_text(q, 2), "info",
			      info ? json_loads(info, JSON_DECODE_ANY, NULL) : NULL);

	if (j && seq != LOST_SEQ && json_object_set_new(j, "seq", json_integer(seq)) != 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

static enum err
read_timeline(struct db *db, int64_t n, json_t *call)
{
	json_t *timeline = json_array();
	struct q q = q_use(db, ST_CALL_TIMELINE);
	enum err e = ERR_OK;

	q_int(q, ":n", n);
	while (e == ERR_OK && q_row(q))
		if (json_array_append_new(timeline, read_entry_row(q)) != 0)
			e = ERR_NOMEM;
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
