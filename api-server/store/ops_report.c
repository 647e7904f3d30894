/* What workers report of their calls.  The entries of one call in one report are one row of its
 * timeline and one change of the call's own row, which is what its entries say. */
#include <stdlib.h>
#include <string.h>

#include "api-server/store/call_change.h"
#include "api-server/store/internal.h"
#include "common/clock.h"
#include "common/log.h"

/* While a report is worked through. */
struct report {
	struct db *db;
	const struct store_call_report *req;
	int64_t n, last; /* of the call under way: its row, 0: none; its highest seq */
	unsigned ignored, refused;
};

/* --- the rows --- */

/* The row of a call that nobody spoke of before: all at once.  n stays 0 if there is one. */
static void
make_row(struct report *p, const char *call, const struct change *c)
{
	struct q q = q_use(p->db, ST_CALL_MAKE);

	q_text(q, ":call", call);
	q_text(q, ":worker", p->req->worker);
	q_text(q, ":instance", p->req->instance);
	change_bind(q, c, c->last);
	p->n = q_row(q) ? q_col_int(q, 0) : 0;
	q_end(q);
}

static void
find_row(struct report *p, const char *call)
{
	struct q q = q_use(p->db, ST_CALL_FIND);

	q_text(q, ":call", call);
	q_text(q, ":instance", p->req->instance);
	p->n = p->last = 0;
	if (q_row(q)) {
		p->n = q_col_int(q, 0);
		p->last = q_col_int(q, 1);
	}
	q_end(q);
}

static void
change_row(struct report *p, const struct change *c)
{
	struct q q = q_use(p->db, ST_CALL_CHANGE);

	q_int(q, ":n", p->n);
	change_bind(q, c, c->last > p->last ? c->last : p->last);
	q_do(q);
}

static void
insert_entries(struct report *p, const struct change *c)
{
	struct q q = q_use(p->db, ST_CALL_EVENT_INSERT);

	q_int(q, ":n", p->n);
	q_int(q, ":seq", c->first);
	q_int(q, ":last", c->last);
	q_text_n(q, ":entries", c->entries.data, c->entries.len);
	q_do(q);
}

static void
note_answered(struct report *p, const char *call, int64_t at)
{
	struct q q = q_use(p->db, ST_TRANSFER_ANSWERED);
	int64_t now = clock_wall_ms();

	q_text(q, ":call", call);
	q_text(q, ":instance", p->req->instance);
	q_int(q, ":at", at < now ? at : now);
	q_do(q);
}

/* Was it written before?  Asked for entries that come after later ones, which is rare. */
static bool
is_written(struct report *p, int64_t seq)
{
	struct q q = q_use(p->db, ST_CALL_EVENT_COVERED);
	bool found;

	q_int(q, ":n", p->n);
	q_int(q, ":seq", seq);
	found = q_row(q);
	q_end(q);
	return found;
}

/* --- one call of a report --- */

static bool
is_new(struct report *p, const struct change *c, const struct entry *e)
{
	if (c->first && e->seq <= c->last)
		return false;
	return e->seq > p->last || !is_written(p, e->seq);
}

static void
gather(struct report *p, struct change *c, const struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_new(p, c, &entries[i]))
			change_add(c, &entries[i]);
}

static enum err
apply_change(struct report *p, struct change *c, const char *call)
{
	if (!c->first)
		return ERR_OK; /* all of it was written before */
	change_seal(c);
	if (c->err == ERR_OK && p->n)
		change_row(p, c);
	else if (c->err == ERR_OK)
		make_row(p, call, c);
	if (c->err == ERR_OK && p->n) {
		insert_entries(p, c);
		p->refused += c->refused;
		if (c->answered_at)
			note_answered(p, call, c->answered_at);
	}
	return c->err;
}

static bool
has_beginning(const struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (entries[i].type == CALL_EVENT_INVITE || entries[i].type == CALL_EVENT_REFUSED)
			return true;
	return false;
}

/* A call whose first entry is here has no row yet, but for a repetition or a claim reaped before
 * anything was told; then it is changed as every other. */
static enum err
apply_call(struct report *p, const struct entry *entries, size_t count)
{
	bool fresh = has_beginning(entries, count);
	enum err e = ERR_OK;

	p->n = p->last = 0;
	if (!fresh)
		find_row(p, entries->call);
	for (int turn = 0; turn < 2 && e == ERR_OK && (fresh || p->n); turn++) {
		struct change c;
		bool made = fresh && turn == 0;

		change_init(&c);
		gather(p, &c, entries, count);
		e = apply_change(p, &c, entries->call);
		change_finish(&c);
		if (!made || p->n)
			break;
		find_row(p, entries->call);
		fresh = false;
	}
	if (!p->n)
		p->ignored += (unsigned)count; /* no INVITE came before, or another worker's call */
	return e;
}

/* --- a report --- */

static int
by_call(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = strcmp(x->call, y->call);

	return order ? order : (x->seq > y->seq) - (x->seq < y->seq);
}

static size_t
read_entries(struct report *p, struct entry *out)
{
	size_t count = 0, i;
	json_t *j;

	json_array_foreach(p->req->events, i, j)
	{
		if (entry_read(j, &out[count]))
			count++;
		else
			p->ignored++;
	}
	qsort(out, count, sizeof(*out), by_call);
	return count;
}

static enum err
apply_all(struct report *p, const struct entry *entries, size_t count)
{
	enum err e = ERR_OK;

	for (size_t i = 0, n; e == ERR_OK && i < count && !db_failed(p->db); i += n) {
		for (n = 1; i + n < count && str_eq(entries[i].call, entries[i + n].call);)
			n++;
		e = apply_call(p, &entries[i], n);
	}
	return e;
}

enum err
op_call_report(struct db *db, struct store_req *r)
{
	static struct log_limit limit;
	static unsigned refused_since_trim; /* the store thread's own */
	struct store_call_report *c = container_of(r, struct store_call_report, req);
	struct report p = { .db = db, .req = c };
	struct entry *entries = calloc(json_array_size(c->events) + 1, sizeof(*entries));
	enum err e;

	if (!entries)
		return ERR_NOMEM;
	e = apply_all(&p, entries, read_entries(&p, entries));
	free(entries);
	if (e != ERR_OK)
		return e;
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
