#include "api-server/store/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/call_event.h"
#include "common/map.h"
#include "common/str.h"

/* Ids read out of the database before anything is changed under the statement that reads them. */
struct tokens {
	char (*items)[ID_TOKEN_SIZE];
	size_t count, cap;
};

static bool
tokens_add(struct tokens *t, const char *text)
{
	if (t->count == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		void *items = reallocarray(t->items, cap, sizeof(*t->items));

		if (!items)
			return false;
		t->items = items;
		t->cap = cap;
	}
	str_copy(t->items[t->count++], ID_TOKEN_SIZE, text);
	return true;
}

/* instance NULL: the statement takes none. */
static enum err
read_tokens(struct db *db, enum statement s, const char *instance, struct tokens *out)
{
	struct q q = q_use(db, s);
	enum err e = ERR_OK;

	if (instance)
		q_text(q, ":instance", instance);
	while (e == ERR_OK && q_row(q))
		if (!tokens_add(out, q_col_text(q, 0)))
			e = ERR_NOMEM;
	q_end(q);
	return e;
}

static int64_t
give_up(struct db *db, enum statement s, const char *call, const char *instance, int64_t now_ms)
{
	struct q q = q_use(db, s);

	q_text(q, ":call", call);
	q_text(q, ":instance", instance);
	if (s != ST_REAP_MADE)
		q_int(q, ":now", now_ms);
	return q_do(q);
}

static void
end_call_row(struct db *db, enum statement s, const char *call, const struct store_worker_reap *w)
{
	struct q q = q_use(db, s);

	q_text(q, ":call", call);
	q_text(q, ":instance", w->instance);
	q_int(q, ":now", w->now_ms);
	q_text(q, ":reason", w->reason);
	if (s == ST_CALL_LOST_ENTRY) {
		q_int(q, ":seq", LOST_SEQ);
		q_text(q, ":type", call_event_names[CALL_EVENT_LOST]);
	}
	q_do(q);
}

/* The claim of one call of w->instance is given up, and its row says so. */
static int64_t
reap_call(struct db *db, const char *call, const struct store_worker_reap *w)
{
	int64_t count = 0;

	give_up(db, ST_CALL_OF_CLAIM, call, w->instance, w->now_ms);
	end_call_row(db, ST_CALL_LOST_ENTRY, call, w);
	end_call_row(db, ST_CALL_LOST, call, w);
	count += give_up(db, ST_REAP_ANSWERED, call, w->instance, w->now_ms);
	count += give_up(db, ST_REAP_UNANSWERED, call, w->instance, w->now_ms);
	count += give_up(db, ST_REAP_MADE, call, w->instance, w->now_ms);
	return count;
}

/* keep: calls that stand (a map from call ids), NULL: none. */
static enum err
reap_instance(struct db *db, struct store_worker_reap *w, const struct map *keep)
{
	struct tokens calls = { 0 };
	enum err e = read_tokens(db, ST_HELD_TRANSFERS, w->instance, &calls);

	if (e == ERR_OK)
		e = read_tokens(db, ST_OPEN_CALLS, w->instance, &calls);
	for (size_t i = 0; e == ERR_OK && i < calls.count; i++)
		if (!keep || !map_find(keep, calls.items[i]))
			w->count += reap_call(db, calls.items[i], w);
	free(calls.items);
	return e;
}

static bool
is_spared(const struct store_worker_reap *w, const char *instance)
{
	for (const char *const *i = w->except; i && *i; i++)
		if (str_eq(*i, instance))
			return true;
	return false;
}

enum err
op_worker_reap(struct db *db, struct store_req *r)
{
	struct store_worker_reap *w = container_of(r, struct store_worker_reap, req);
	struct store_worker_reap one = *w;
	struct tokens holders = { 0 };
	enum err e;

	w->count = 0;
	if (w->instance)
		return reap_instance(db, w, NULL);
	e = read_tokens(db, ST_HOLDERS, NULL, &holders);
	one.count = 0;
	for (size_t i = 0; e == ERR_OK && i < holders.count; i++) {
		one.instance = holders.items[i];
		if (!is_spared(w, one.instance))
			e = reap_instance(db, &one, NULL);
	}
	w->count = one.count;
	free(holders.items);
	return e;
}

/* --- a worker that came back --- */

static bool
claim_stands(struct db *db, const char *call, const char *token, const char *instance)
{
	struct q q = q_use(db, ST_CLAIM_STANDS);
	bool found;

	q_text(q, ":call", call);
	q_text(q, ":token", token);
	q_text(q, ":instance", instance);
	found = q_row(q);
	q_end(q);
	return found;
}

/* Sorts what the worker lists into what it keeps and what it lost. A call without a token has
 * claimed nothing yet and loses nothing. */
static enum err
sort_listed(struct db *db, struct store_worker_resync *s, struct map *keep)
{
	size_t i;
	json_t *j;

	json_array_foreach(s->calls, i, j)
	{
		const char *call = json_string_value(json_object_get(j, "call"));
		const char *token = json_string_value(json_object_get(j, "token"));

		if (!call)
			continue;
		if (!token || !*token || claim_stands(db, call, token, s->instance)) {
			if (!map_put(keep, call, s))
				return ERR_NOMEM;
		} else if (json_array_append_new(s->lost, json_string(call)) != 0) {
			return ERR_NOMEM;
		}
	}
	return ERR_OK;
}

enum err
op_worker_resync(struct db *db, struct store_req *r)
{
	struct store_worker_resync *s = container_of(r, struct store_worker_resync, req);
	struct store_worker_reap w = { .instance = s->instance,
				       .reason = "the worker does not know the call any more",
				       .now_ms = s->now_ms };
	struct map *keep = map_create();
	enum err e = ERR_NOMEM;

	s->lost = json_array();
	if (keep && s->lost)
		e = sort_listed(db, s, keep);
	if (e == ERR_OK)
		e = reap_instance(db, &w, keep);
	map_destroy(keep);
	if (e != ERR_OK)
		discard_resync(r);
	return e;
}

void
discard_resync(struct store_req *r)
{
	struct store_worker_resync *s = container_of(r, struct store_worker_resync, req);

	json_decref(s->lost);
	s->lost = NULL;
}
