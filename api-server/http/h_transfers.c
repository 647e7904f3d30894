#include "api-server/http/internal.h"

#include <string.h>

#include "common/clock.h"
#include "common/log.h"

/* --- POST /generativeagent/v1/call-transfers --- */

static void
on_created(struct request *r)
{
	enum err e = r->store.req.err;
	const struct transfer *t = r->transfer;

	if (e != ERR_OK) {
		reply_error(r, e, NULL);
		return;
	}
	hub_note_expiry(r->http->hub, t->expires_at);
	log_info("http", "transfer-created", "req=%s account=%s transfer=%s", r->id, t->account,
		 log_quote(t->id));
	reply_json(r, transfer_json(t, false, clock_wall_ms()));
}

/* The body, and what it may hold in clear, goes as soon as it is read. */
static void
forget_body(struct request *r)
{
	json_decref(r->json);
	r->json = NULL;
	if (r->body.data)
		explicit_bzero(r->body.data, r->body.len);
}

void
h_transfer_create(struct request *r)
{
	const struct account *account = request_account(r);
	struct transfer_auth auth = { 0 };
	struct fault f = { 0 };
	enum err e;

	if (!account)
		return;
	e = transfer_read(r->json, account, &r->transfer, &auth, &f);
	forget_body(r);
	if (e == ERR_OK)
		transfer_begin(r->transfer, clock_wall_ms(),
			       r->http->cfg->transfers.expire_after_ms);
	if (e == ERR_OK && auth.username.text)
		e = seal_auth(r->http->seal, &auth, r->transfer);
	secret_finish(&auth.username);
	secret_finish(&auth.password);
	if (e != ERR_OK) {
		reply_error(r, e, &f);
		return;
	}
	r->store.create.transfer = r->transfer;
	request_wait(r, STORE_TRANSFER_CREATE, on_created);
}

/* --- GET /generativeagent/v1/call-transfers/{id} --- */

static void
on_got(struct request *r)
{
	enum err e = r->store.req.err;

	r->transfer = r->store.get.transfer;
	if (e == ERR_OK)
		reply_json(r, transfer_json(r->transfer, true, clock_wall_ms()));
	else
		reply_error(r, e, NULL);
}

void
h_transfer_get(struct request *r)
{
	if (!query_account(r))
		return;
	if (!r->account[0]) {
		reply_error(
			r, ERR_INVALID,
			&(struct fault){ .what = "An operator names the account: ?account=NAME" });
		return;
	}
	r->store.get.account = r->account;
	r->store.get.id = r->match.param;
	request_wait(r, STORE_TRANSFER_GET, on_got);
}
