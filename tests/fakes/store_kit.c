#include "tests/fakes/store_kit.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/str.h"
#include "tests/fakes/tmpdir.h"

char kit_dir[64], kit_path[128];
struct loop *kit_loop;
struct store *kit_store;
struct config kit_cfg;
int kit_done;

void
kit_open(void)
{
	struct fault f = { .where = "" };

	kit_cfg.store.sqlite_path = kit_path;
	kit_store = store_open(&kit_cfg, kit_loop, &f);
	if (!kit_store)
		fprintf(stderr, "store_open: %s: %s\n", f.where, f.what);
	assert_non_null(kit_store);
}

void
kit_close(void)
{
	store_close(kit_store);
	kit_store = NULL;
}

int
kit_setup(void **state)
{
	(void)state;
	log_init("test");
	log_set_level(LOG_ERR);
	assert_true(id_init());
	tmpdir_make(kit_dir, sizeof(kit_dir));
	snprintf(kit_path, sizeof(kit_path), "%s/data/handback.db", kit_dir);
	kit_loop = loop_create();
	assert_non_null(kit_loop);
	kit_open();
	return 0;
}

int
kit_teardown(void **state)
{
	(void)state;
	kit_close();
	loop_destroy(kit_loop);
	tmpdir_remove(kit_dir);
	return 0;
}

void
kit_on_done(struct store_req *r)
{
	(void)r;
	kit_done++;
}

/* Steps the loop until n answers came since kit_done was 0. */
void
kit_wait(int n)
{
	int64_t deadline = clock_mono_ms() + 20000;

	while (kit_done < n && clock_mono_ms() < deadline)
		loop_step(kit_loop, 100);
	assert_true(kit_done >= n);
}

enum err
kit_run(struct store_req *r, enum store_op op)
{
	enum err e;

	r->op = op;
	r->done = kit_on_done;
	kit_done = 0;
	e = store_submit(kit_store, r);
	if (e != ERR_OK)
		return e;
	kit_wait(1);
	return r->err;
}

struct transfer *
kit_transfer(const char *id, const char *conversation)
{
	struct transfer *t = transfer_create();

	assert_non_null(t);
	t->account = strdup("demo");
	t->id = strdup(id);
	t->conversation = strdup(conversation);
	t->created_at = 1000;
	t->expires_at = 61000;
	return t;
}

enum err
kit_create(const char *id, const char *conversation)
{
	struct transfer *t = kit_transfer(id, conversation);
	struct store_transfer_create c = { .transfer = t };
	enum err e = kit_run(&c.req, STORE_TRANSFER_CREATE);

	transfer_destroy(t);
	return e;
}

/* The caller's to destroy; NULL: not found. */
struct transfer *
kit_get(const char *id)
{
	struct store_transfer_get g = { .account = "demo", .id = id };
	enum err e = kit_run(&g.req, STORE_TRANSFER_GET);

	assert_true(e == ERR_OK || e == ERR_NOT_FOUND);
	assert_true((e == ERR_OK) == (g.transfer != NULL));
	return g.transfer;
}

void
kit_assert_status(const char *id, const char *status)
{
	struct transfer *t = kit_get(id);

	assert_string_equal(t ? transfer_status_names[t->status] : "none", status);
	transfer_destroy(t);
}

enum err
kit_claim_full(const struct kit_claim *k, struct store_transfer_claim *out)
{
	struct msg_claim m = { .transfer = (char *)(uintptr_t)k->id,
			       .conversation = (char *)(uintptr_t)k->conversation };
	enum err e;

	str_copy(m.call, sizeof(m.call), k->call);
	str_copy(m.token, sizeof(m.token), k->token);
	str_copy(m.account, sizeof(m.account), "demo");
	str_copy(m.sip_call_id, sizeof(m.sip_call_id), k->sip_call);
	str_copy(m.from_tag, sizeof(m.from_tag), k->tag ? k->tag : "tag");
	*out = (struct store_transfer_claim){ .claim = &m,
					      .worker = "w1",
					      .instance = k->instance ? k->instance : "i1",
					      .now_ms = k->now ? k->now : 2000,
					      .expires_at = 62000,
					      .gone_instances = k->gone };
	e = kit_run(&out->req, STORE_TRANSFER_CLAIM);
	out->claim = NULL;
	return e;
}

enum err
kit_claim(const struct kit_claim *k)
{
	struct store_transfer_claim c;
	enum err e = kit_claim_full(k, &c);

	assert_true((e == ERR_OK) == (c.transfer != NULL));
	transfer_destroy(c.transfer);
	free(c.snapshot);
	return e;
}

enum err
kit_release(const char *call, const char *token, int64_t now)
{
	struct store_transfer_release r = { .now_ms = now };

	str_copy(r.call, sizeof(r.call), call);
	str_copy(r.token, sizeof(r.token), token);
	return kit_run(&r.req, STORE_TRANSFER_RELEASE);
}

enum err
kit_complete(const char *call, const char *token, const char *output, int64_t at)
{
	struct store_transfer_complete c = { .output = (char *)(uintptr_t)output, .at_ms = at };

	str_copy(c.call, sizeof(c.call), call);
	str_copy(c.token, sizeof(c.token), token);
	return kit_run(&c.req, STORE_TRANSFER_COMPLETE);
}

/* Entries as JSON text. */
enum err
kit_report(const char *instance, const char *events)
{
	json_t *j = json_loads(events, 0, NULL);
	struct store_call_report r = { .worker = "w1", .instance = instance, .events = j };
	enum err e;

	assert_non_null(j);
	e = kit_run(&r.req, STORE_CALL_REPORT);
	json_decref(j);
	return e;
}

enum err
kit_answered(const char *call, const char *instance, int64_t at)
{
	char text[512];

	snprintf(
		text, sizeof(text),
		"[{\"call\":\"%s\",\"seq\":1,\"at\":%lld,\"type\":\"invite\",\"info\":{\"account\":"
		"\"demo\"}},{\"call\":\"%s\",\"seq\":2,\"at\":%lld,\"type\":\"answered\",\"info\":{"
		"\"codec\":\"PCMU\"}}]",
		call, (long long)at, call, (long long)at);
	return kit_report(instance, text);
}

int64_t
kit_reap(const char *instance, const char *const *except)
{
	struct store_worker_reap r = {
		.instance = instance, .except = except, .reason = "killed", .now_ms = 5000
	};

	assert_int_equal(kit_run(&r.req, STORE_WORKER_REAP), ERR_OK);
	return r.count;
}

void
kit_assert_sound(void)
{
	static const char *const checks[] = { "PRAGMA integrity_check",
					      "PRAGMA foreign_key_check" };
	sqlite3 *h;

	assert_int_equal(sqlite3_open(kit_path, &h), SQLITE_OK);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		sqlite3_stmt *st;

		assert_int_equal(sqlite3_prepare_v2(h, checks[i], -1, &st, NULL), SQLITE_OK);
		while (sqlite3_step(st) == SQLITE_ROW)
			assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
		sqlite3_finalize(st);
	}
	sqlite3_close(h);
}
