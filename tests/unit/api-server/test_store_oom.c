/* Each allocation of each operation failing in turn: an error, no leak, and the connection works
 * on.  Run on this thread, where allocations can be made to fail. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api-server/store/internal.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/str.h"
#include "tests/fakes/oom.h"
#include "tests/fakes/store_kit.h"

static struct db *db;

static int
setup(void **state)
{
	struct fault f;

	kit_setup(state);
	kit_close(); /* it made the file */
	db = db_open(kit_path, DB_WRITER, &f);
	assert_non_null(db);
	return 0;
}

static int
teardown(void **state)
{
	db_close(db);
	db = NULL;
	return kit_teardown(state);
}

/* As the store's thread does it, and undone at the end so that it can be done again. */
static bool
attempt(struct store_req *r, enum store_op op)
{
	const struct op_info *info = &store_ops[op];
	enum err failure = ERR_OK;

	if (!db_begin(db))
		return false;
	if (info->parts)
		db_part_begin(db);
	r->err = info->run(db, r);
	failure = info->parts ? db_part_end(db, r->err == ERR_OK) : db_err(db);
	if (r->err == ERR_OK && info->discard)
		info->discard(r);
	db_rollback(db);
	return failure == ERR_OK && r->err == ERR_OK;
}

static struct transfer *subject;
static json_t *events, *listed;
static struct msg_claim claim_made, claim_posted;

static bool
do_create(void *arg)
{
	struct store_transfer_create c = { .transfer = subject };

	(void)arg;
	return attempt(&c.req, STORE_TRANSFER_CREATE);
}

static bool
do_claim(void *arg)
{
	struct store_transfer_claim c = {
		.claim = arg, .worker = "w", .instance = "i2", .now_ms = 2000, .expires_at = 3000
	};

	return attempt(&c.req, STORE_TRANSFER_CLAIM);
}

static bool
do_complete(void *arg)
{
	struct store_transfer_complete c = {
		.call = "k1", .token = "t1", .at_ms = 3000, .output = (char *)(uintptr_t) "{}"
	};

	(void)arg;
	return attempt(&c.req, STORE_TRANSFER_COMPLETE);
}

static bool
do_release(void *arg)
{
	struct store_transfer_release r = { .call = "k1", .token = "t1", .now_ms = 3000 };

	(void)arg;
	return attempt(&r.req, STORE_TRANSFER_RELEASE);
}

static bool
do_save(void *arg)
{
	struct store_conversation_save s = {
		.call = "k1", .token = "t1", .now_ms = 3000, .state = (char *)(uintptr_t) "{}"
	};

	(void)arg;
	return attempt(&s.req, STORE_CONVERSATION_SAVE);
}

static bool
do_report(void *arg)
{
	struct store_call_report r = { .worker = "w", .instance = "i1", .events = events };

	(void)arg;
	return attempt(&r.req, STORE_CALL_REPORT);
}

static bool
do_reap(void *arg)
{
	struct store_worker_reap r = { .reason = "x", .now_ms = 3000 };

	(void)arg;
	return attempt(&r.req, STORE_WORKER_REAP);
}

static bool
do_resync(void *arg)
{
	struct store_worker_resync r = { .instance = "i1", .calls = listed, .now_ms = 3000 };

	(void)arg;
	return attempt(&r.req, STORE_WORKER_RESYNC);
}

static bool
do_sweep(void *arg)
{
	struct store_transfer_expire x = { .now_ms = 1 << 20 };
	struct store_purge p = { .before_ms = 1 << 20 };
	struct store_check c = { .req = { .err = ERR_OK } };

	(void)arg;
	return attempt(&x.req, STORE_TRANSFER_EXPIRE) && attempt(&p.req, STORE_PURGE) &&
	       attempt(&c.req, STORE_CHECK);
}

static bool
prepare(void *arg)
{
	struct store_transfer_create c = { .transfer = subject };
	struct store_transfer_claim k = {
		.claim = &claim_posted, .worker = "w", .instance = "i1", .now_ms = 2000
	};
	bool ok;

	(void)arg;
	ok = db_begin(db) && store_ops[STORE_TRANSFER_CREATE].run(db, &c.req) == ERR_OK &&
	     store_ops[STORE_TRANSFER_CLAIM].run(db, &k.req) == ERR_OK && db_commit(db);
	transfer_destroy(k.transfer);
	free(k.snapshot);
	return ok;
}

static void
test_writes(void **state)
{
	(void)state;
	subject = kit_transfer("a", "c");
	subject->variables = strdup("{}");
	claim_posted = (struct msg_claim){ .call = "k1",
					   .token = "t1",
					   .account = "demo",
					   .transfer = (char *)(uintptr_t) "a",
					   .sip_call_id = "s1",
					   .from_tag = "tag" };
	claim_made = (struct msg_claim){ .call = "k2",
					 .token = "t2",
					 .account = "demo",
					 .sip_call_id = "s2",
					 .from_tag = "tag" };
	claim_made.variables = json_pack("{s:s}", "a", "b");
	events = json_loads("[{\"call\":\"k1\",\"seq\":1,\"at\":1,\"type\":\"invite\",\"info\":"
			    "{\"account\":\"demo\",\"from\":\"sip:x\"}},{\"call\":\"k1\",\"seq\":2,"
			    "\"at\":1,\"type\":\"answered\",\"info\":{\"codec\":\"PCMU\"}}]",
			    0, NULL);
	listed = json_loads("[{\"call\":\"k9\",\"token\":\"t9\"},{\"call\":\"k8\"}]", 0, NULL);
	assert_true(oom_run(do_create, NULL) > 0);
	assert_true(prepare(NULL));
	assert_true(oom_run(do_claim, &claim_posted) > 0);
	assert_true(oom_run(do_claim, &claim_made) > 0);
	assert_true(oom_run(do_complete, NULL) >= 0);
	assert_true(oom_run(do_release, NULL) >= 0);
	assert_true(oom_run(do_save, NULL) >= 0);
	assert_true(oom_run(do_report, NULL) > 0);
	assert_true(oom_run(do_reap, NULL) > 0);
	assert_true(oom_run(do_resync, NULL) > 0);
	assert_true(oom_run(do_sweep, NULL) >= 0);
	json_decref(claim_made.variables);
	json_decref(events);
	json_decref(listed);
	transfer_destroy(subject);
}

static bool
do_get(void *arg)
{
	struct store_transfer_get g = { .account = "demo", .id = "a" };

	(void)arg;
	return attempt(&g.req, STORE_TRANSFER_GET);
}

static bool
do_call_get(void *arg)
{
	struct store_call_get g = { .id = "k1" };

	(void)arg;
	return attempt(&g.req, STORE_CALL_GET);
}

static bool
do_call_list(void *arg)
{
	struct store_call_list l = { .limit = 10 };

	(void)arg;
	return attempt(&l.req, STORE_CALL_LIST);
}

static void
test_reads(void **state)
{
	struct fault f;

	(void)state;
	kit_open();
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_answered("k1", "i1", 2500), ERR_OK);
	db_close(db);
	db = db_open(kit_path, DB_READER, &f);
	assert_non_null(db);
	assert_true(oom_run(do_get, NULL) > 0);
	assert_true(oom_run(do_call_get, NULL) > 0);
	assert_true(oom_run(do_call_list, NULL) > 0);
}

static bool
do_open(void *arg)
{
	struct fault f;
	struct db *one = db_open(kit_path, *(enum db_role *)arg, &f);

	db_close(one);
	return one != NULL;
}

static void
test_opening(void **state)
{
	enum db_role role = DB_WRITER;

	(void)state;
	assert_true(oom_run(do_open, &role) > 0);
	role = DB_READER;
	assert_true(oom_run(do_open, &role) > 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(test_writes), T(test_reads), T(test_opening) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
