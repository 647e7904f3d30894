#include "api-server/store/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"

/* Indexes into TRANSFER_COLUMNS. */
enum column {
	C_ACCOUNT,
	C_ID,
	C_CONVERSATION,
	C_STATUS,
	C_URI_SPELLING,
	C_RETURN_TYPE,
	C_RETURN_URI,
	C_SEALED_AUTH,
	C_HAS_SIP,
	C_HAS_INPUT_CONTEXT,
	C_HEADER_MODE,
	C_TASK,
	C_VARIABLES,
	C_CREATED_AT,
	C_EXPIRES_AT,
	C_RECEIVED_AT,
	C_COMPLETED_AT,
	C_OUTPUT,
	C_CALL,
	C_TOKEN,
	C_WORKER,
	C_SIP_CALL_ID,
	C_FROM_TAG,
	C_INSTANCE,
};

void
bind_transfer(struct q q, const struct transfer *t, const char *instance)
{
	bool claimed = t->token[0] != '\0';

	q_text(q, ":account", t->account);
	q_text(q, ":id", t->id);
	q_text(q, ":conversation", t->conversation);
	q_text(q, ":status", transfer_status_names[t->status]);
	q_int(q, ":uri_spelling", t->uri_spelling);
	q_int(q, ":return_type", t->return_type);
	q_text(q, ":return_uri", t->return_uri);
	q_blob(q, ":sealed_auth", t->sealed_auth, t->sealed_auth_len);
	q_int(q, ":has_sip", t->has_sip);
	q_int(q, ":has_input_context", t->has_input_context);
	q_int(q, ":header_mode", t->header_mode);
	q_text(q, ":task", t->task);
	q_text(q, ":variables", t->variables);
	q_int(q, ":created_at", t->created_at);
	q_int(q, ":expires_at", t->expires_at);
	q_text(q, ":call", claimed ? t->call : NULL);
	q_text(q, ":token", claimed ? t->token : NULL);
	q_text(q, ":worker", claimed ? t->worker : NULL);
	q_text(q, ":instance", claimed ? instance : NULL);
	q_text(q, ":sip_call_id", claimed ? t->sip_call_id : NULL);
	q_text(q, ":from_tag", claimed ? t->from_tag : NULL);
}

static bool
copy_text(struct q q, int col, char **out)
{
	const char *text = q_col_text(q, col);

	if (!text)
		return !db_failed(q.db);
	*out = strdup(text);
	return *out != NULL;
}

static bool
copy_sealed(struct q q, struct transfer *t)
{
	size_t len;
	const void *data = q_col_blob(q, C_SEALED_AUTH, &len);

	if (!data)
		return true;
	t->sealed_auth = malloc(len);
	if (!t->sealed_auth)
		return false;
	memcpy(t->sealed_auth, data, len);
	t->sealed_auth_len = len;
	return true;
}

static enum transfer_status
read_status(struct q q)
{
	const char *name = q_col_text(q, C_STATUS);

	for (int i = 0; i < TRANSFER_STATUS_COUNT; i++)
		if (str_eq(name, transfer_status_names[i]))
			return (enum transfer_status)i;
	return TRANSFER_EXPIRED; /* no memory for the text; the CHECK allows nothing else */
}

struct transfer *
read_transfer(struct q q, char instance[ID_TOKEN_SIZE])
{
	struct transfer *t = transfer_create();

	if (!t)
		return NULL;
	t->status = read_status(q);
	t->uri_spelling = (enum uri_spelling)q_col_int(q, C_URI_SPELLING);
	t->return_type = (int)q_col_int(q, C_RETURN_TYPE);
	t->has_sip = q_col_int(q, C_HAS_SIP);
	t->has_input_context = q_col_int(q, C_HAS_INPUT_CONTEXT);
	t->header_mode = q_col_int(q, C_HEADER_MODE);
	t->created_at = q_col_int(q, C_CREATED_AT);
	t->expires_at = q_col_int(q, C_EXPIRES_AT);
	t->received_at = q_col_int(q, C_RECEIVED_AT);
	t->completed_at = q_col_int(q, C_COMPLETED_AT);
	str_copy(t->call, sizeof(t->call), q_col_text(q, C_CALL));
	str_copy(t->token, sizeof(t->token), q_col_text(q, C_TOKEN));
	str_copy(t->worker, sizeof(t->worker), q_col_text(q, C_WORKER));
	str_copy(t->sip_call_id, sizeof(t->sip_call_id), q_col_text(q, C_SIP_CALL_ID));
	str_copy(t->from_tag, sizeof(t->from_tag), q_col_text(q, C_FROM_TAG));
	str_copy(instance, ID_TOKEN_SIZE, q_col_text(q, C_INSTANCE));
	if (copy_text(q, C_ACCOUNT, &t->account) && copy_text(q, C_ID, &t->id) &&
	    copy_text(q, C_CONVERSATION, &t->conversation) &&
	    copy_text(q, C_RETURN_URI, &t->return_uri) && copy_text(q, C_TASK, &t->task) &&
	    copy_text(q, C_VARIABLES, &t->variables) && copy_text(q, C_OUTPUT, &t->output) &&
	    copy_sealed(q, t))
		return t;
	transfer_destroy(t);
	return NULL;
}

enum err
op_transfer_create(struct db *db, struct store_req *r)
{
	struct store_transfer_create *c = container_of(r, struct store_transfer_create, req);
	struct q q = q_use(db, ST_TRANSFER_INSERT);

	bind_transfer(q, c->transfer, NULL);
	return q_do(q) ? ERR_OK : ERR_CONFLICT;
}

enum err
op_transfer_get(struct db *db, struct store_req *r)
{
	struct store_transfer_get *g = container_of(r, struct store_transfer_get, req);
	struct q q = q_use(db, ST_TRANSFER_READ);
	char instance[ID_TOKEN_SIZE];
	enum err e = ERR_NOT_FOUND;

	q_text(q, ":account", g->account);
	q_text(q, ":id", g->id);
	if (q_row(q)) {
		g->transfer = read_transfer(q, instance);
		e = g->transfer ? ERR_OK : ERR_NOMEM;
	}
	q_end(q);
	return e;
}

void
discard_transfer_get(struct store_req *r)
{
	struct store_transfer_get *g = container_of(r, struct store_transfer_get, req);

	transfer_destroy(g->transfer);
	g->transfer = NULL;
}

enum err
op_transfer_release(struct db *db, struct store_req *r)
{
	struct store_transfer_release *rel = container_of(r, struct store_transfer_release, req);
	struct q q = q_use(db, ST_TRANSFER_RELEASE);

	q_text(q, ":call", rel->call);
	q_text(q, ":token", rel->token);
	q_int(q, ":now", rel->now_ms);
	if (q_do(q))
		return ERR_OK;
	q = q_use(db, ST_TRANSFER_RELEASE_MADE);
	q_text(q, ":call", rel->call);
	q_text(q, ":token", rel->token);
	q_do(q);
	return ERR_OK;
}

static bool
complete_with(struct db *db, enum statement s, const struct store_transfer_complete *c, int64_t at)
{
	struct q q = q_use(db, s);

	q_text(q, ":call", c->call);
	q_text(q, ":token", c->token);
	q_text(q, ":output", c->output);
	q_int(q, ":at", at);
	return q_do(q) > 0;
}

static bool
claim_exists(struct db *db, const char *call, const char *token)
{
	struct q q = q_use(db, ST_TRANSFER_OF_CLAIM);
	bool found;

	q_text(q, ":call", call);
	q_text(q, ":token", token);
	found = q_row(q);
	q_end(q);
	return found;
}

enum err
op_transfer_complete(struct db *db, struct store_req *r)
{
	struct store_transfer_complete *c = container_of(r, struct store_transfer_complete, req);
	int64_t now = clock_wall_ms();
	int64_t at = c->at_ms > 0 && c->at_ms < now ? c->at_ms : now;

	if (complete_with(db, ST_TRANSFER_COMPLETE, c, at) ||
	    complete_with(db, ST_TRANSFER_COMPLETE_AGAIN, c, at))
		return ERR_OK;
	return claim_exists(db, c->call, c->token) ? ERR_OK : ERR_NOT_FOUND;
}

enum err
op_transfer_expire(struct db *db, struct store_req *r)
{
	struct store_transfer_expire *x = container_of(r, struct store_transfer_expire, req);
	struct q q = q_use(db, ST_TRANSFER_EXPIRE);

	q_int(q, ":now", x->now_ms);
	q_int(q, ":limit", EXPIRE_STEP);
	x->count = q_do(q);
	q = q_use(db, ST_TRANSFER_NEXT_EXPIRY);
	x->next_at = q_row(q) ? q_col_int(q, 0) : 0;
	q_end(q);
	return ERR_OK;
}

enum err
op_conversation_save(struct db *db, struct store_req *r)
{
	struct store_conversation_save *s = container_of(r, struct store_conversation_save, req);
	struct q q = q_use(db, ST_CONVERSATION_SAVE);

	q_text(q, ":call", s->call);
	q_text(q, ":token", s->token);
	q_text(q, ":state", s->state);
	q_int(q, ":hour", s->now_ms / HOUR_MS);
	return q_do(q) ? ERR_OK : ERR_NOT_FOUND;
}

int64_t
trim_refused(struct db *db)
{
	struct q q = q_use(db, ST_CALL_TRIM_REFUSED);

	q_int(q, ":keep", REFUSED_KEEP);
	q_int(q, ":limit", REFUSED_SLACK);
	return q_do(q);
}

static int64_t
purge_step(struct db *db, enum statement s, const char *name, int64_t before, int64_t limit)
{
	struct q q = q_use(db, s);

	q_int(q, name, before);
	q_int(q, ":limit", limit);
	return q_do(q);
}

enum err
op_purge(struct db *db, struct store_req *r)
{
	struct store_purge *p = container_of(r, struct store_purge, req);
	int64_t hour = p->before_ms / HOUR_MS;

	p->more = purge_step(db, ST_TRANSFER_PURGE, ":before", p->before_ms, PURGE_STEP) ==
		  PURGE_STEP;
	p->more |= purge_step(db, ST_CALL_PURGE, ":before", p->before_ms, CALL_PURGE_STEP) ==
		   CALL_PURGE_STEP;
	p->more |= purge_step(db, ST_CONVERSATION_PURGE, ":hour", hour, PURGE_STEP) == PURGE_STEP;
	p->more |= trim_refused(db) == REFUSED_SLACK;
	return ERR_OK;
}

enum err
op_check(struct db *db, struct store_req *r)
{
	struct q q = q_use(db, ST_CHECK);

	(void)r;
	q_int(q, ":now", clock_wall_ms());
	q_do(q);
	return ERR_OK;
}
