/* Transfers in the store: creation, expiry, completion, release, purge, conversations. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/str.h"
#include "tests/fakes/store_kit.h"

static const char out1[] = "{\"transferType\":\"SYSTEM\"}";
static const char out2[] = "{\"transferType\":\"AGENT\"}";

static void
test_create_and_get(void **state)
{
	struct transfer *t = kit_transfer("a", "c"), *back;
	struct store_transfer_create c = { .transfer = t };

	(void)state;
	t->uri_spelling = RETURN_URI_UPPER;
	t->return_type = RETURN_INVITE;
	t->return_uri = strdup("sip:u@h;x=1");
	t->sealed_auth = malloc(3);
	memcpy(t->sealed_auth, "\0\1\2", 3);
	t->sealed_auth_len = 3;
	t->has_sip = t->has_input_context = true;
	t->task = strdup("Welcome");
	t->variables = strdup("{\"name\":\"J\"}");
	assert_int_equal(kit_run(&c.req, STORE_TRANSFER_CREATE), ERR_OK);
	back = kit_get("a");
	assert_non_null(back);
	assert_string_equal(back->account, "demo");
	assert_string_equal(back->id, "a");
	assert_string_equal(back->conversation, "c");
	assert_int_equal(back->status, TRANSFER_ACTIVE);
	assert_int_equal(back->uri_spelling, RETURN_URI_UPPER);
	assert_int_equal(back->return_type, RETURN_INVITE);
	assert_string_equal(back->return_uri, "sip:u@h;x=1");
	assert_int_equal(back->sealed_auth_len, 3);
	assert_memory_equal(back->sealed_auth, "\0\1\2", 3);
	assert_true(back->has_sip && back->has_input_context && !back->header_mode);
	assert_string_equal(back->task, "Welcome");
	assert_string_equal(back->variables, "{\"name\":\"J\"}");
	assert_int_equal(back->created_at, 1000);
	assert_int_equal(back->expires_at, 61000);
	assert_int_equal(back->received_at, 0);
	assert_int_equal(back->completed_at, 0);
	assert_null(back->output);
	assert_string_equal(back->token, "");
	transfer_destroy(back);
	transfer_destroy(t);
}

static void
test_ids_are_per_account(void **state)
{
	struct transfer *t = kit_transfer("a", "c");
	struct store_transfer_create c = { .transfer = t };

	(void)state;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_create("a", "other"), ERR_CONFLICT);
	free(t->account);
	t->account = strdup("second");
	assert_int_equal(kit_run(&c.req, STORE_TRANSFER_CREATE), ERR_OK);
	transfer_destroy(t);
	assert_null(kit_get("b"));
}

static void
test_exactly_one_of_64(void **state)
{
	struct transfer *t = kit_transfer("a", "c");
	struct store_transfer_create c[64];
	int created = 0;

	(void)state;
	kit_done = 0;
	for (int i = 0; i < 64; i++) {
		c[i] = (struct store_transfer_create){
			.req = { .op = STORE_TRANSFER_CREATE, .done = kit_on_done }, .transfer = t
		};
		assert_int_equal(store_submit(kit_store, &c[i].req), ERR_OK);
	}
	kit_wait(64);
	for (int i = 0; i < 64; i++) {
		assert_true(c[i].req.err == ERR_OK || c[i].req.err == ERR_CONFLICT);
		created += c[i].req.err == ERR_OK;
	}
	assert_int_equal(created, 1);
	transfer_destroy(t);
}

static void
test_expire(void **state)
{
	struct store_transfer_expire x = { .now_ms = 60999 };
	struct transfer *t;

	(void)state;
	assert_int_equal(kit_run(&x.req, STORE_TRANSFER_EXPIRE), ERR_OK);
	assert_int_equal(x.next_at, 0);
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_run(&x.req, STORE_TRANSFER_EXPIRE), ERR_OK);
	assert_int_equal(x.count, 0);
	assert_int_equal(x.next_at, 61000);
	x.now_ms = 61000;
	assert_int_equal(kit_run(&x.req, STORE_TRANSFER_EXPIRE), ERR_OK);
	assert_int_equal(x.count, 1);
	assert_int_equal(x.next_at, 0);
	t = kit_get("a");
	assert_int_equal(t->status, TRANSFER_EXPIRED);
	assert_int_equal(t->completed_at, 0);
	transfer_destroy(t);
}

static void
claim_a(void)
{
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_claim(&(struct kit_claim){
				 .id = "a", .call = "k1", .token = "t1", .sip_call = "s1" }),
			 ERR_OK);
}

static void
assert_output(const char *id, const char *output, int64_t completed_at)
{
	struct transfer *t = kit_get(id);

	assert_int_equal(t->status, TRANSFER_COMPLETED);
	if (output)
		assert_string_equal(t->output, output);
	else
		assert_null(t->output);
	assert_int_equal(t->completed_at, completed_at);
	transfer_destroy(t);
}

static void
test_complete(void **state)
{
	(void)state;
	claim_a();
	assert_int_equal(kit_complete("k1", "wrong", out1, 3000), ERR_NOT_FOUND);
	assert_int_equal(kit_complete("wrong", "t1", out1, 3000), ERR_NOT_FOUND);
	kit_assert_status("a", "ONGOING");
	assert_int_equal(kit_complete("k1", "t1", out1, 3000), ERR_OK);
	assert_output("a", out1, 3000);
	/* The same again changes nothing, not even the time. */
	assert_int_equal(kit_complete("k1", "t1", out1, 4000), ERR_OK);
	assert_output("a", out1, 3000);
	/* A hang-up leaves the last outcome, another hand-back replaces it. */
	assert_int_equal(kit_complete("k1", "t1", NULL, 4500), ERR_OK);
	assert_output("a", out1, 3000);
	assert_int_equal(kit_complete("k1", "t1", out2, 5000), ERR_OK);
	assert_output("a", out2, 5000);
	assert_int_equal(kit_release("k1", "t1", 6000), ERR_OK);
	assert_output("a", out2, 5000);
}

static void
test_complete_without_output(void **state)
{
	(void)state;
	claim_a();
	assert_int_equal(kit_complete("k1", "t1", NULL, 500), ERR_OK);
	assert_output("a", NULL, 1000); /* not before it was created */
	assert_int_equal(kit_complete("k1", "t1", NULL, 4000), ERR_OK);
	assert_output("a", NULL, 1000);
}

static void
test_completion_is_not_in_the_future(void **state)
{
	int64_t now = clock_wall_ms();
	struct transfer *t;

	(void)state;
	claim_a();
	assert_int_equal(kit_complete("k1", "t1", out1, INT64_MAX), ERR_OK);
	t = kit_get("a");
	assert_true(t->completed_at >= now && t->completed_at <= clock_wall_ms());
	transfer_destroy(t);
}

static void
test_credentials_go_with_the_transfer(void **state)
{
	struct transfer *t = kit_transfer("a", "c");
	struct store_transfer_create c = { .transfer = t };

	(void)state;
	t->sealed_auth = strdup("sealed");
	t->sealed_auth_len = 6;
	assert_int_equal(kit_run(&c.req, STORE_TRANSFER_CREATE), ERR_OK);
	transfer_destroy(t);
	assert_int_equal(kit_claim(&(struct kit_claim){
				 .id = "a", .call = "k1", .token = "t1", .sip_call = "s1" }),
			 ERR_OK);
	assert_int_equal(kit_complete("k1", "t1", NULL, 3000), ERR_OK);
	t = kit_get("a");
	assert_null(t->sealed_auth);
	transfer_destroy(t);
}

static void
test_release(void **state)
{
	struct transfer *t;

	(void)state;
	claim_a();
	assert_int_equal(kit_release("k1", "wrong", 3000), ERR_OK);
	kit_assert_status("a", "ONGOING");
	assert_int_equal(kit_release("k1", "t1", 3000), ERR_OK);
	t = kit_get("a");
	assert_int_equal(t->status, TRANSFER_ACTIVE);
	assert_string_equal(t->token, "");
	assert_string_equal(t->worker, "");
	transfer_destroy(t);
	assert_int_equal(kit_complete("k1", "t1", out1, 4000), ERR_NOT_FOUND);
	assert_int_equal(kit_claim(&(struct kit_claim){
				 .id = "a", .call = "k2", .token = "t2", .sip_call = "s2" }),
			 ERR_OK);
	assert_int_equal(kit_release("k2", "t2", 61000), ERR_OK);
	kit_assert_status("a", "EXPIRED");
}

static void
test_release_after_the_answer_is_none(void **state)
{
	(void)state;
	claim_a();
	assert_int_equal(kit_answered("k1", "i1", 2500), ERR_OK);
	assert_int_equal(kit_release("k1", "t1", 3000), ERR_OK);
	kit_assert_status("a", "ONGOING");
}

static bool
purge_once(int64_t before)
{
	struct store_purge p = { .before_ms = before };

	assert_int_equal(kit_run(&p.req, STORE_PURGE), ERR_OK);
	return p.more;
}

static void
test_purge(void **state)
{
	char id[16];
	struct store_transfer_expire x = { .now_ms = 70000 };

	(void)state;
	for (int i = 0; i < 450; i++) {
		snprintf(id, sizeof(id), "x%d", i);
		assert_int_equal(kit_create(id, id), ERR_OK);
	}
	claim_a();
	assert_int_equal(kit_claim(&(struct kit_claim){
				 .id = "x0", .call = "k2", .token = "t2", .sip_call = "s2" }),
			 ERR_OK);
	assert_int_equal(kit_complete("k1", "t1", out1, 90000), ERR_OK);
	assert_int_equal(kit_run(&x.req, STORE_TRANSFER_EXPIRE), ERR_OK);
	assert_int_equal(x.count, 449);
	assert_true(purge_once(61001));
	assert_true(purge_once(61001));
	assert_false(purge_once(61001));
	kit_assert_status("x7", "none");
	kit_assert_status("x0", "ONGOING"); /* however old */
	kit_assert_status("a", "COMPLETED");
	assert_false(purge_once(90001));
	kit_assert_status("a", "none");
}

static enum err
save(const char *call, const char *token, const char *text)
{
	struct store_conversation_save s = { .state = (char *)(uintptr_t)text, .now_ms = 4000 };

	str_copy(s.call, sizeof(s.call), call);
	str_copy(s.token, sizeof(s.token), token);
	return kit_run(&s.req, STORE_CONVERSATION_SAVE);
}

static void
assert_snapshot(const struct kit_claim *k, const char *snapshot)
{
	struct store_transfer_claim c;

	assert_int_equal(kit_claim_full(k, &c), ERR_OK);
	if (snapshot)
		assert_string_equal(c.snapshot, snapshot);
	else
		assert_null(c.snapshot);
	transfer_destroy(c.transfer);
	free(c.snapshot);
}

static void
test_conversation(void **state)
{
	struct kit_claim first = { .id = "a", .call = "k1", .token = "t1", .sip_call = "s1" };
	struct kit_claim second = { .id = "b", .call = "k2", .token = "t2", .sip_call = "s2" };

	(void)state;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_create("b", "c"), ERR_OK);
	assert_snapshot(&first, NULL);
	assert_int_equal(save("k1", "wrong", "{}"), ERR_NOT_FOUND);
	assert_int_equal(save("k1", "t1", "{\"turn\":1}"), ERR_OK);
	assert_int_equal(save("k1", "t1", "{\"turn\":2}"), ERR_OK);
	assert_int_equal(kit_complete("k1", "t1", out1, 3000), ERR_OK);
	assert_int_equal(save("k1", "t1", "{\"turn\":3}"), ERR_OK); /* the transcript of a return */
	assert_snapshot(&second, "{\"turn\":3}");
	/* The conversation is the second call's now. */
	assert_int_equal(save("k1", "t1", "{\"turn\":4}"), ERR_NOT_FOUND);
	assert_int_equal(save("k2", "t2", "{\"turn\":5}"), ERR_OK);
	assert_snapshot(&second, "{\"turn\":5}");
	assert_false(purge_once(3600 * 1000));
	assert_snapshot(&second, NULL);
}

static void
test_check_and_stats(void **state)
{
	struct store_check c = { .req = { .err = ERR_BUSY } };
	struct store_stats st;

	(void)state;
	assert_int_equal(kit_run(&c.req, STORE_CHECK), ERR_OK);
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	kit_assert_status("a", "ACTIVE");
	store_stats(kit_store, &st);
	assert_int_equal(st.commits, 2);
	assert_int_equal(st.writes, 2);
	assert_int_equal(st.reads, 1);
	assert_int_equal(st.failures, 0);
	assert_int_equal(st.queued, 0);
}

static void
test_queue_is_bounded(void **state)
{
	enum { MANY = 9000 };
	struct store_check *c = calloc(MANY, sizeof(*c));
	int taken = 0;

	(void)state;
	kit_done = 0;
	for (int i = 0; i < MANY; i++) {
		enum err e;

		c[i].req = (struct store_req){ .op = STORE_CHECK, .done = kit_on_done };
		e = store_submit(kit_store, &c[i].req);
		assert_true(e == ERR_OK || e == ERR_BUSY);
		taken += e == ERR_OK;
	}
	assert_int_equal(taken, 8192);
	kit_wait(taken);
	assert_int_equal(kit_run(&c[0].req, STORE_CHECK), ERR_OK);
	free(c);
}

static void
test_close_finishes_what_was_submitted(void **state)
{
	struct transfer *t[100];
	struct store_transfer_create c[100];
	char id[16];

	(void)state;
	kit_done = 0;
	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "x%d", i);
		t[i] = kit_transfer(id, id);
		c[i] = (struct store_transfer_create){ .req = { .op = STORE_TRANSFER_CREATE,
								.done = kit_on_done },
						       .transfer = t[i] };
		assert_int_equal(store_submit(kit_store, &c[i].req), ERR_OK);
	}
	kit_close();
	assert_int_equal(kit_done, 100);
	kit_open();
	for (int i = 0; i < 100; i++) {
		assert_int_equal(c[i].req.err, ERR_OK);
		kit_assert_status(t[i]->id, "ACTIVE");
		transfer_destroy(t[i]);
	}
}

static void
test_files_are_private(void **state)
{
	struct stat st;
	char path[160];

	(void)state;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(stat(kit_path, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
	snprintf(path, sizeof(path), "%s-wal", kit_path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_create_and_get),
		T(test_ids_are_per_account),
		T(test_exactly_one_of_64),
		T(test_expire),
		T(test_complete),
		T(test_complete_without_output),
		T(test_completion_is_not_in_the_future),
		T(test_credentials_go_with_the_transfer),
		T(test_release),
		T(test_release_after_the_answer_is_none),
		T(test_purge),
		T(test_conversation),
		T(test_check_and_stats),
		T(test_queue_is_bounded),
		T(test_close_finishes_what_was_submitted),
		T(test_files_are_private),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
