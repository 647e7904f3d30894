/* hub_kit.h - a hub with a real store behind it, and scripted workers on real sockets.  Included by
 * test_hub.c alone. */
#ifndef TESTS_UNIT_API_SERVER_HUB_KIT_H
#define TESTS_UNIT_API_SERVER_HUB_KIT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api-server/hub/hub.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/ipc.h"
#include "common/log.h"
#include "common/str.h"
#include "tests/fakes/tmpdir.h"

static char dir[64], socket_path[96], db_path[96], key_path[96];
static struct loop *loop;
static struct config cfg;
static struct account account;
static struct store *store;
static struct seal *seal;
static struct hub *hub;

#define UNTIL(cond)                                      \
	do {                                             \
		int64_t end = clock_mono_ms() + 8000;    \
		while (!(cond) && clock_mono_ms() < end) \
			loop_step(loop, 10);             \
		assert_true(cond);                       \
	} while (0)

/* --- a scripted worker --- */

struct peer {
	struct ipc *ipc;
	bool gone;
	json_t *last; /* the last reply */
	int replies;
	char name[32], instance[ID_TOKEN_SIZE];
};

static void
on_message(struct ipc *c, json_t *msg, void *arg)
{
	struct peer *p = arg;

	(void)c;
	if (!json_object_get(msg, "re"))
		return;
	json_decref(p->last);
	p->last = json_incref(msg);
	p->replies++;
}

static void
on_gone(struct ipc *c, enum err why, void *arg)
{
	struct peer *p = arg;

	(void)why;
	ipc_close(c);
	p->ipc = NULL;
	p->gone = true;
}

static void
peer_open(struct peer *p, const char *name)
{
	static const struct ipc_ops ops = { .message = on_message, .gone = on_gone };
	int fd = ipc_connect(socket_path);

	assert_true(fd >= 0);
	p->gone = false;
	p->ipc = ipc_open(loop, fd, &ops, p);
	assert_non_null(p->ipc);
	str_copy(p->name, sizeof(p->name), name);
	if (!p->instance[0])
		id_token(p->instance);
}

static void
peer_close(struct peer *p)
{
	ipc_close(p->ipc);
	p->ipc = NULL;
	json_decref(p->last);
	p->last = NULL;
}

/* Sends a request and waits for its answer; the error's name, or "gone". */
static const char *
ask(struct peer *p, enum msg_type t, const void *body)
{
	json_t *msg = msg_request(t, "q", body);
	int before = p->replies;

	assert_non_null(msg);
	if (!p->ipc || ipc_send(p->ipc, msg) != ERR_OK) {
		json_decref(msg);
		return "gone";
	}
	json_decref(msg);
	UNTIL(p->replies > before || p->gone);
	return p->gone ? "gone" : json_string_value(json_object_get(p->last, "err"));
}

static const json_t *
reply_field(const struct peer *p, const char *name)
{
	return json_object_get(json_object_get(p->last, "body"), name);
}

static const char *
hello(struct peer *p, const char *live_call, const char *live_token)
{
	struct msg_hello h = { .pid = getpid(), .capacity = 10 };
	const char *e;

	str_copy(h.worker, sizeof(h.worker), p->name);
	str_copy(h.instance, sizeof(h.instance), p->instance);
	h.addresses = json_array();
	h.calls = live_call ? json_pack("[{s:s,s:s}]", "call", live_call, "token", live_token)
			    : json_array();
	e = ask(p, MSG_HELLO, &h);
	json_decref(h.addresses);
	json_decref(h.calls);
	return e;
}

static struct msg_claim claim;

static const char *
ask_claim(struct peer *p, const char *transfer, const char *sip_call)
{
	memset(&claim, 0, sizeof(claim));
	id_token(claim.call);
	id_token(claim.token);
	str_copy(claim.account, sizeof(claim.account), "demo");
	claim.transfer = (char *)(uintptr_t)transfer;
	str_copy(claim.sip_call_id, sizeof(claim.sip_call_id), sip_call);
	str_copy(claim.from_tag, sizeof(claim.from_tag), "tag");
	return ask(p, MSG_CLAIM, &claim);
}

static const char *
ask_complete(struct peer *p, const struct msg_claim *c, const char *type)
{
	struct msg_complete m = { .at = clock_wall_ms() };
	const char *e;

	memcpy(m.call, c->call, sizeof(m.call));
	memcpy(m.token, c->token, sizeof(m.token));
	str_copy(m.reason, sizeof(m.reason), "function");
	m.output = type ? json_pack("{s:s}", "transferType", type) : NULL;
	e = ask(p, MSG_COMPLETE, &m);
	json_decref(m.output);
	return e;
}

/* --- the store, asked directly --- */

static void
on_done(struct store_req *r)
{
	*(bool *)r->arg = true;
}

static void
create_transfer(const char *id, const char *conversation)
{
	struct transfer *t = transfer_create();
	bool done = false;
	struct store_transfer_create r = {
		.req = { .op = STORE_TRANSFER_CREATE, .done = on_done, .arg = &done }
	};

	t->account = strdup("demo");
	t->id = strdup(id);
	t->conversation = strdup(conversation);
	t->status = TRANSFER_ACTIVE;
	t->return_type = -1;
	t->created_at = clock_wall_ms();
	t->expires_at = t->created_at + cfg.transfers.expire_after_ms;
	r.transfer = t;
	assert_int_equal(store_submit(store, &r.req), ERR_OK);
	UNTIL(done);
	assert_int_equal(r.req.err, ERR_OK);
	hub_note_expiry(hub, t->expires_at);
	transfer_destroy(t);
}

static char status_text[256];

/* "COMPLETED {"transferType":"SYSTEM"}" */
static const char *
status_of(const char *id)
{
	bool done = false;
	struct store_transfer_get r = {
		.req = { .op = STORE_TRANSFER_GET, .done = on_done, .arg = &done },
		.account = "demo",
		.id = id
	};

	assert_int_equal(store_submit(store, &r.req), ERR_OK);
	UNTIL(done);
	if (r.req.err != ERR_OK)
		return err_name(r.req.err);
	str_print(status_text, sizeof(status_text), "%s%s%s",
		  transfer_status_names[r.transfer->status], r.transfer->output ? " " : "",
		  r.transfer->output ? r.transfer->output : "");
	transfer_destroy(r.transfer);
	return status_text;
}

static int
setup(void **state)
{
	struct fault f = { 0 };

	(void)state;
	tmpdir_make(dir, sizeof(dir));
	str_print(socket_path, sizeof(socket_path), "%s/control.sock", dir);
	str_print(db_path, sizeof(db_path), "%s/handback.db", dir);
	str_print(key_path, sizeof(key_path), "%s/secret.key", dir);
	memset(&cfg, 0, sizeof(cfg));
	memset(&account, 0, sizeof(account));
	account.name = (char *)(uintptr_t) "demo";
	account.returns.uri = (char *)(uintptr_t) "";
	account.returns.auth_realm = account.returns.auth_username = (char *)(uintptr_t) "";
	cfg.accounts = &account;
	cfg.account_count = 1;
	cfg.control.socket = socket_path;
	cfg.store.sqlite_path = db_path;
	cfg.store.retention_ms = 1000 * 3600;
	cfg.media.port_first = 20000;
	cfg.media.port_last = 20049;
	cfg.transfers.expire_after_ms = 60000;
	loop = loop_create();
	store = store_open(&cfg, loop, &f);
	if (!store)
		fail_msg("%s", f.what);
	seal = seal_open(key_path, &f);
	if (!seal)
		fail_msg("%s", f.what);
	hub = hub_create(loop, &cfg, store, seal, &f);
	if (!hub)
		fail_msg("%s", f.what);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	store_close(store);
	hub_destroy(hub);
	seal_close(seal);
	loop_destroy(loop);
	tmpdir_remove(dir);
	return 0;
}

#endif
