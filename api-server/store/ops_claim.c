#include "api-server/store/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/jfield.h"
#include "common/str.h"

/* What a claim found: the row and who holds it. */
struct found {
	struct transfer *t; /* NULL: no such row */
	char instance[ID_TOKEN_SIZE];
};

static enum err
find_one(struct q q, struct found *out)
{
	enum err e = ERR_NOT_FOUND;

	if (q_row(q)) {
		out->t = read_transfer(q, out->instance);
		e = out->t ? ERR_OK : ERR_NOMEM;
	}
	q_end(q);
	return e;
}

static enum err
find_by_id(struct db *db, const char *account, const char *id, struct found *out)
{
	struct q q = q_use(db, ST_TRANSFER_FIND);

	q_text(q, ":account", account);
	q_text(q, ":id", id);
	return find_one(q, out);
}

static enum err
find_by_claim(struct db *db, const struct msg_claim *m, struct found *out)
{
	struct q q = q_use(db, ST_TRANSFER_OF_CLAIM);

	q_text(q, ":call", m->call);
	q_text(q, ":token", m->token);
	return find_one(q, out);
}

static bool
is_gone(const struct store_transfer_claim *c, const char *instance)
{
	for (const char *const *i = c->gone_instances; i && *i; i++)
		if (str_eq(*i, instance))
			return true;
	return false;
}

static bool
take_over(struct db *db, const struct store_transfer_claim *c, const char *id)
{
	const struct msg_claim *m = c->claim;
	struct q q = q_use(db, ST_TRANSFER_TAKE_OVER);

	q_text(q, ":account", m->account);
	q_text(q, ":id", id);
	q_text(q, ":call", m->call);
	q_text(q, ":token", m->token);
	q_text(q, ":worker", c->worker);
	q_text(q, ":instance", c->instance);
	q_text(q, ":sip_call_id", m->sip_call_id);
	q_text(q, ":from_tag", m->from_tag);
	return q_do(q) > 0;
}

static bool
is_same_call(const struct transfer *t, const struct msg_claim *m)
{
	return str_eq(t->sip_call_id, m->sip_call_id) && str_eq(t->from_tag, m->from_tag);
}

/* A row that could not simply be claimed: why not, or after all. */
static enum err
claim_held(struct db *db, const struct store_transfer_claim *c, const struct found *f)
{
	const struct transfer *t = f->t;
	const struct msg_claim *m = c->claim;

	switch (transfer_status_at(t, c->now_ms)) {
	case TRANSFER_ONGOING:
		break;
	case TRANSFER_ACTIVE:
		return ERR_BUSY; /* another transfer of the conversation is ONGOING */
	case TRANSFER_COMPLETED:
	case TRANSFER_EXPIRED:
	case TRANSFER_STATUS_COUNT:
	default:
		return ERR_GONE;
	}
	if (str_eq(t->call, m->call) && str_eq(t->token, m->token))
		return ERR_OK; /* the same claim again */
	if (!is_same_call(t, m) || t->received_at || str_eq(f->instance, c->instance))
		return ERR_BUSY;
	if (!is_gone(c, f->instance))
		return ERR_RETRY;
	return take_over(db, c, t->id) ? ERR_OK : ERR_BUSY;
}

static enum err
claim_by_id(struct db *db, const struct store_transfer_claim *c, const char *id)
{
	struct found f = { 0 };
	enum err e = find_by_id(db, c->claim->account, id, &f);

	if (e == ERR_OK)
		e = claim_held(db, c, &f);
	transfer_destroy(f.t);
	return e;
}

static enum err
claim_posted(struct db *db, const struct store_transfer_claim *c)
{
	const struct msg_claim *m = c->claim;
	struct q q = q_use(db, ST_TRANSFER_CLAIM);

	q_text(q, ":account", m->account);
	q_text(q, ":id", m->transfer);
	q_text(q, ":call", m->call);
	q_text(q, ":token", m->token);
	q_text(q, ":worker", c->worker);
	q_text(q, ":instance", c->instance);
	q_text(q, ":sip_call_id", m->sip_call_id);
	q_text(q, ":from_tag", m->from_tag);
	q_int(q, ":now", c->now_ms);
	if (q_do(q))
		return ERR_OK;
	return claim_by_id(db, c, m->transfer);
}

/* --- header mode: the transfer is made by its claim --- */

/* Call-ID;From-tag, or its SHA-256 in hex where that is too long for an id. */
static void
second_id(const struct msg_claim *m, char out[ID_MAX])
{
	char both[2 * ID_MAX];

	str_print(both, sizeof(both), "%s;%s", m->sip_call_id, m->from_tag);
	if (!str_copy(out, ID_MAX, both))
		id_digest(out, both);
}

static bool
is_conversation_busy(struct db *db, const char *account, const char *conversation)
{
	struct q q = q_use(db, ST_CONVERSATION_BUSY);
	bool busy;

	q_text(q, ":account", account);
	q_text(q, ":conversation", conversation);
	busy = q_row(q);
	q_end(q);
	return busy;
}

static struct transfer *
new_from_claim(const struct store_transfer_claim *c, const char *id)
{
	const struct msg_claim *m = c->claim;
	struct transfer *t = transfer_create();

	if (!t)
		return NULL;
	t->header_mode = true;
	t->status = TRANSFER_ONGOING;
	t->created_at = c->now_ms;
	t->expires_at = c->expires_at;
	t->has_input_context = m->task || json_object_size(m->variables) > 0;
	str_copy(t->call, sizeof(t->call), m->call);
	str_copy(t->token, sizeof(t->token), m->token);
	str_copy(t->worker, sizeof(t->worker), c->worker);
	str_copy(t->sip_call_id, sizeof(t->sip_call_id), m->sip_call_id);
	str_copy(t->from_tag, sizeof(t->from_tag), m->from_tag);
	t->account = strdup(m->account);
	t->id = strdup(id);
	t->conversation = strdup(m->conversation ? m->conversation : m->sip_call_id);
	t->task = m->task ? strdup(m->task) : NULL;
	t->variables = m->variables ? json_text(m->variables) : NULL;
	if (t->account && t->id && t->conversation && !m->task == !t->task &&
	    !m->variables == !t->variables)
		return t;
	transfer_destroy(t);
	return NULL;
}

static enum err
insert_made(struct db *db, const struct store_transfer_claim *c, const char *id)
{
	struct transfer *t = new_from_claim(c, id);
	struct q q;
	enum err e;

	if (!t)
		return ERR_NOMEM;
	q = q_use(db, ST_TRANSFER_INSERT);
	bind_transfer(q, t, c->instance);
	e = q_do(q) ? ERR_OK : ERR_CONFLICT;
	transfer_destroy(t);
	return e;
}

/* The id is free: ERR_NOT_FOUND; it is this very call's: as claim_held(); else ERR_CONFLICT. */
static enum err
look_at_id(struct db *db, const struct store_transfer_claim *c, const char *id)
{
	struct found f = { 0 };
	enum err e = find_by_id(db, c->claim->account, id, &f);

	if (e == ERR_OK)
		e = f.t->header_mode && is_same_call(f.t, c->claim) ? claim_held(db, c, &f)
								    : ERR_CONFLICT;
	transfer_destroy(f.t);
	return e;
}

static enum err
claim_made(struct db *db, const struct store_transfer_claim *c)
{
	const struct msg_claim *m = c->claim;
	char second[ID_MAX];
	const char *id = m->sip_call_id;
	enum err e;

	if (!*id)
		return ERR_INVALID;
	e = look_at_id(db, c, id);
	if (e == ERR_CONFLICT) {
		second_id(m, second);
		id = second;
		e = look_at_id(db, c, id);
	}
	if (e != ERR_NOT_FOUND)
		return e == ERR_CONFLICT ? ERR_BUSY : e;
	if (is_conversation_busy(db, m->account,
				 m->conversation ? m->conversation : m->sip_call_id))
		return ERR_BUSY;
	return insert_made(db, c, id);
}

static enum err
read_snapshot(struct db *db, struct store_transfer_claim *c)
{
	struct q q = q_use(db, ST_CONVERSATION_FIND);
	enum err e = ERR_OK;

	q_text(q, ":account", c->transfer->account);
	q_text(q, ":conversation", c->transfer->conversation);
	if (q_row(q)) {
		const char *state = q_col_text(q, 0);

		c->snapshot = state ? strdup(state) : NULL;
		e = c->snapshot ? ERR_OK : ERR_NOMEM;
	}
	q_end(q);
	return e;
}

enum err
op_transfer_claim(struct db *db, struct store_req *r)
{
	struct store_transfer_claim *c = container_of(r, struct store_transfer_claim, req);
	struct found f = { 0 };
	enum err e = c->claim->transfer ? claim_posted(db, c) : claim_made(db, c);

	if (e != ERR_OK || db_failed(db))
		return e;
	e = find_by_claim(db, c->claim, &f);
	if (e != ERR_OK)
		return e == ERR_NOT_FOUND ? ERR_INTERNAL : e;
	c->transfer = f.t;
	e = read_snapshot(db, c);
	if (e != ERR_OK)
		discard_claim(r);
	return e;
}

void
discard_claim(struct store_req *r)
{
	struct store_transfer_claim *c = container_of(r, struct store_transfer_claim, req);

	transfer_destroy(c->transfer);
	free(c->snapshot);
	c->transfer = NULL;
	c->snapshot = NULL;
}
