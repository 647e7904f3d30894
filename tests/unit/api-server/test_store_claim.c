/* Exactly one call ever gets a transfer, whoever races; and what a worker's death leaves. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/str.h"
#include "tests/fakes/store_kit.h"

static const char *const gone_i1[] = { "i1", NULL };

static const struct kit_claim first = { .id = "a", .call = "k1", .token = "t1", .sip_call = "s1" };
/* The same SIP call, come to another worker. */
static const struct kit_claim failover = {
	.id = "a", .call = "k2", .token = "t2", .sip_call = "s1", .instance = "i2"
};

static void
test_claim_twice_is_once(void **state)
{
	struct kit_claim other = { .id = "a", .call = "k2", .token = "t2", .sip_call = "s2" };
	struct kit_claim other_tag = first;
	struct store_transfer_claim c;

	(void)state;
	assert_int_equal(kit_claim(&first), ERR_NOT_FOUND);
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_claim_full(&first, &c), ERR_OK);
	assert_int_equal(c.transfer->status, TRANSFER_ONGOING);
	assert_string_equal(c.transfer->call, "k1");
	assert_string_equal(c.transfer->token, "t1");
	assert_string_equal(c.transfer->worker, "w1");
	assert_string_equal(c.transfer->sip_call_id, "s1");
	assert_string_equal(c.transfer->from_tag, "tag");
	transfer_destroy(c.transfer);
	assert_int_equal(kit_claim(&first), ERR_OK); /* repeated: the same answer */
	assert_int_equal(kit_claim(&other), ERR_BUSY);
	other_tag.call = "k3";
	other_tag.token = "t3";
	other_tag.tag = "another";
	assert_int_equal(kit_claim(&other_tag), ERR_BUSY);
	kit_assert_status("a", "ONGOING");
}

static void
test_claim_by_the_clock(void **state)
{
	struct kit_claim late = first;

	(void)state;
	late.now = 61000;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_claim(&late), ERR_GONE); /* whatever the sweep did */
	kit_assert_status("a", "ACTIVE");
	late.now = 60999;
	assert_int_equal(kit_claim(&late), ERR_OK);
}

static void
test_completed_is_gone(void **state)
{
	(void)state;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_claim(&first), ERR_OK);
	assert_int_equal(kit_complete("k1", "t1", NULL, 3000), ERR_OK);
	assert_int_equal(kit_claim(&first), ERR_GONE);
	assert_int_equal(kit_claim(&failover), ERR_GONE);
}

static void
test_conversation_is_held_once(void **state)
{
	struct kit_claim second = { .id = "b", .call = "k2", .token = "t2", .sip_call = "s2" };
	struct kit_claim made = {
		.call = "k3", .token = "t3", .sip_call = "s3", .conversation = "c"
	};

	(void)state;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_create("b", "c"), ERR_OK);
	assert_int_equal(kit_claim(&first), ERR_OK);
	assert_int_equal(kit_claim(&second), ERR_BUSY);
	assert_int_equal(kit_claim(&made), ERR_BUSY);
	kit_assert_status("b", "ACTIVE");
	assert_null(kit_get("s3"));
	assert_int_equal(kit_complete("k1", "t1", NULL, 3000), ERR_OK);
	assert_int_equal(kit_claim(&second), ERR_OK);
	assert_int_equal(kit_claim(&made), ERR_BUSY);
}

static void
test_64_calls_race(void **state)
{
	struct store_transfer_claim c[64];
	struct msg_claim m[64];
	int won = 0;

	(void)state;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	kit_done = 0;
	for (int i = 0; i < 64; i++) {
		m[i] = (struct msg_claim){ .account = "demo",
					   .transfer = (char *)(uintptr_t) "a",
					   .from_tag = "tag" };
		id_token(m[i].call);
		id_token(m[i].token);
		id_token(m[i].sip_call_id);
		c[i] = (struct store_transfer_claim){
			.req = { .op = STORE_TRANSFER_CLAIM, .done = kit_on_done },
			.claim = &m[i],
			.worker = "w",
			.instance = "i",
			.now_ms = 2000,
		};
		assert_int_equal(store_submit(kit_store, &c[i].req), ERR_OK);
	}
	kit_wait(64);
	for (int i = 0; i < 64; i++) {
		assert_true(c[i].req.err == ERR_OK || c[i].req.err == ERR_BUSY);
		won += c[i].req.err == ERR_OK;
		transfer_destroy(c[i].transfer);
	}
	assert_int_equal(won, 1);
}

static void
test_failover(void **state)
{
	struct kit_claim taken = failover, same_instance = failover;

	(void)state;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_claim(&first), ERR_OK);
	assert_int_equal(kit_claim(&failover), ERR_RETRY); /* its holder may live */
	same_instance.instance = "i1";
	assert_int_equal(kit_claim(&same_instance), ERR_BUSY);
	taken.gone = gone_i1;
	assert_int_equal(kit_claim(&taken), ERR_OK);
	assert_int_equal(kit_claim(&taken), ERR_OK);
	/* What the first holder still says is not heard. */
	assert_int_equal(kit_complete("k1", "t1", "{}", 3000), ERR_NOT_FOUND);
	assert_int_equal(kit_release("k1", "t1", 3000), ERR_OK);
	kit_assert_status("a", "ONGOING");
	assert_int_equal(kit_complete("k2", "t2", "{}", 3000), ERR_OK);
}

static void
test_no_take_over_after_the_answer(void **state)
{
	struct kit_claim taken = failover;

	(void)state;
	taken.gone = gone_i1;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_claim(&first), ERR_OK);
	assert_int_equal(kit_answered("k1", "i1", 2500), ERR_OK);
	assert_int_equal(kit_claim(&taken), ERR_BUSY);
}

/* --- header mode --- */

static void
test_made_by_the_call(void **state)
{
	struct kit_claim k = { .call = "k1", .token = "t1", .sip_call = "s1@host" };
	struct transfer *t;

	(void)state;
	assert_int_equal(kit_claim(&k), ERR_OK);
	assert_int_equal(kit_claim(&k), ERR_OK);
	t = kit_get("s1@host");
	assert_int_equal(t->status, TRANSFER_ONGOING);
	assert_true(t->header_mode);
	assert_false(t->has_sip);
	assert_string_equal(t->conversation, "s1@host");
	assert_int_equal(t->created_at, 2000);
	assert_int_equal(t->return_type, -1);
	transfer_destroy(t);
	assert_int_equal(kit_release("k1", "t1", 3000), ERR_OK);
	assert_null(kit_get("s1@host")); /* no call, no transfer */
	assert_int_equal(kit_claim(&k), ERR_OK);
	assert_int_equal(kit_complete("k1", "t1", "{}", 3000), ERR_OK);
	assert_int_equal(kit_claim(&k), ERR_GONE);
}

static void
test_made_id_is_taken(void **state)
{
	struct kit_claim k = { .call = "k1", .token = "t1", .sip_call = "s1" };
	struct kit_claim again = k, foreign = k;

	(void)state;
	assert_int_equal(kit_create("s1", "c"), ERR_OK);
	assert_int_equal(kit_claim(&k), ERR_OK);
	kit_assert_status("s1", "ACTIVE"); /* a client's transfer of that name */
	kit_assert_status("s1;tag", "ONGOING");
	assert_int_equal(kit_claim(&k), ERR_OK);
	again.call = "k2";
	again.token = "t2";
	again.instance = "i2";
	assert_int_equal(kit_claim(&again), ERR_RETRY);
	again.gone = gone_i1;
	assert_int_equal(kit_claim(&again), ERR_OK);
	assert_int_equal(kit_create("s1;other", "d"), ERR_OK);
	foreign.call = "k3";
	foreign.token = "t3";
	foreign.tag = "other";
	foreign.conversation = "e";
	assert_int_equal(kit_claim(&foreign), ERR_BUSY);
}

static void
test_made_id_is_long(void **state)
{
	char long_id[257], tag[257];
	struct kit_claim k = { .call = "k1", .token = "t1", .sip_call = long_id, .tag = tag };
	struct store_transfer_claim c;

	(void)state;
	memset(long_id, 'a', 256);
	long_id[256] = '\0';
	memset(tag, 'b', 256);
	tag[256] = '\0';
	assert_int_equal(kit_create(long_id, "c"), ERR_OK);
	assert_int_equal(kit_claim_full(&k, &c), ERR_OK);
	assert_int_equal(strlen(c.transfer->id), 64);
	assert_int_equal(strspn(c.transfer->id, "0123456789abcdef"), 64);
	transfer_destroy(c.transfer);
	assert_int_equal(kit_claim(&k), ERR_OK);
}

static void
test_made_without_a_call_id(void **state)
{
	struct kit_claim k = { .call = "k1", .token = "t1", .sip_call = "" };

	(void)state;
	assert_int_equal(kit_claim(&k), ERR_INVALID);
}

static void
test_made_keeps_what_came(void **state)
{
	struct msg_claim m = { .call = "k1",
			       .token = "t1",
			       .account = "demo",
			       .sip_call_id = "s1",
			       .from_tag = "tag",
			       .conversation = (char *)(uintptr_t) "conv",
			       .task = (char *)(uintptr_t) "call_routing" };
	struct store_transfer_claim c = {
		.claim = &m, .worker = "w1", .instance = "i1", .now_ms = 2000, .expires_at = 3000
	};

	(void)state;
	m.variables = json_pack("{s:s}", "customerId", "42");
	assert_int_equal(kit_run(&c.req, STORE_TRANSFER_CLAIM), ERR_OK);
	assert_string_equal(c.transfer->conversation, "conv");
	assert_string_equal(c.transfer->task, "call_routing");
	assert_string_equal(c.transfer->variables, "{\"customerId\":\"42\"}");
	assert_true(c.transfer->has_input_context);
	transfer_destroy(c.transfer);
	json_decref(m.variables);
}

/* --- workers that die, workers that come back --- */

static json_t *
timeline_of(const char *call)
{
	struct store_call_get g = { .id = call };
	json_t *timeline;

	assert_int_equal(kit_run(&g.req, STORE_CALL_GET), ERR_OK);
	timeline = json_incref(json_object_get(g.call, "timeline"));
	assert_string_equal(json_string_value(json_object_get(g.call, "state")), "lost");
	json_decref(g.call);
	return timeline;
}

static void
assert_lost(const char *call)
{
	json_t *timeline = timeline_of(call);
	const json_t *last = json_array_get(timeline, json_array_size(timeline) - 1);

	assert_string_equal(json_string_value(json_object_get(last, "type")), "lost");
	assert_null(json_object_get(last, "seq"));
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(last, "info"), "reason")),
		"killed");
	json_decref(timeline);
}

static void
test_reap(void **state)
{
	struct kit_claim b = { .id = "b", .call = "kb", .token = "tb", .sip_call = "sb" };
	struct kit_claim made = { .call = "km", .token = "tm", .sip_call = "sm" };
	struct kit_claim other = {
		.id = "o", .call = "ko", .token = "to", .sip_call = "so", .instance = "i2"
	};
	struct transfer *t;

	(void)state;
	assert_int_equal(kit_create("a", "ca"), ERR_OK);
	assert_int_equal(kit_create("b", "cb"), ERR_OK);
	assert_int_equal(kit_create("o", "co"), ERR_OK);
	assert_int_equal(kit_claim(&first), ERR_OK);
	assert_int_equal(kit_claim(&b), ERR_OK);
	assert_int_equal(kit_claim(&made), ERR_OK);
	assert_int_equal(kit_claim(&other), ERR_OK);
	assert_int_equal(kit_answered("k1", "i1", 2500), ERR_OK);
	assert_int_equal(kit_reap("i1", NULL), 3);
	t = kit_get("a"); /* answered: it is over */
	assert_int_equal(t->status, TRANSFER_COMPLETED);
	assert_int_equal(t->completed_at, 5000);
	assert_int_equal(t->received_at, 2500);
	assert_null(t->output);
	transfer_destroy(t);
	kit_assert_status("b", "ACTIVE"); /* never answered: as if it had not been claimed */
	assert_null(kit_get("sm"));
	kit_assert_status("o", "ONGOING");
	assert_lost("k1");
	assert_lost("kb");
	assert_lost("km");
	assert_int_equal(kit_reap("i1", NULL), 0);
}

static void
test_a_reaped_one_is_filled_in_once(void **state)
{
	struct transfer *t;

	(void)state;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_claim(&first), ERR_OK);
	assert_int_equal(kit_answered("k1", "i1", 2500), ERR_OK);
	assert_int_equal(kit_reap("i1", NULL), 1);
	assert_int_equal(kit_complete("k1", "wrong", "{\"x\":1}", 4000), ERR_NOT_FOUND);
	assert_int_equal(kit_complete("k1", "t1", NULL, 4000), ERR_OK);
	assert_int_equal(kit_complete("k1", "t1", "{\"x\":1}", 4000), ERR_OK);
	assert_int_equal(kit_complete("k1", "t1", "{\"x\":2}", 4500), ERR_OK);
	t = kit_get("a");
	assert_string_equal(t->output, "{\"x\":1}");
	assert_int_equal(t->completed_at, 4000);
	transfer_destroy(t);
}

static void
test_reap_all_but(void **state)
{
	static const char *const except[] = { "i2", NULL };
	struct kit_claim other = {
		.id = "o", .call = "ko", .token = "to", .sip_call = "so", .instance = "i2"
	};
	struct kit_claim third = {
		.id = "p", .call = "kp", .token = "tp", .sip_call = "sp", .instance = "i3"
	};

	(void)state;
	assert_int_equal(kit_create("a", "ca"), ERR_OK);
	assert_int_equal(kit_create("o", "co"), ERR_OK);
	assert_int_equal(kit_create("p", "cp"), ERR_OK);
	assert_int_equal(kit_claim(&first), ERR_OK);
	assert_int_equal(kit_claim(&other), ERR_OK);
	assert_int_equal(kit_claim(&third), ERR_OK);
	assert_int_equal(kit_reap(NULL, except), 2);
	kit_assert_status("a", "ACTIVE");
	kit_assert_status("o", "ONGOING");
	kit_assert_status("p", "ACTIVE");
	assert_int_equal(kit_reap(NULL, NULL), 1);
	kit_assert_status("o", "ACTIVE");
}

static void
assert_resync(const char *calls, const char *lost)
{
	json_t *j = json_loads(calls, 0, NULL), *expected = json_loads(lost, 0, NULL);
	struct store_worker_resync r = { .instance = "i1", .calls = j, .now_ms = 5000 };

	assert_true(j && expected);
	assert_int_equal(kit_run(&r.req, STORE_WORKER_RESYNC), ERR_OK);
	assert_true(json_equal(r.lost, expected));
	json_decref(r.lost);
	json_decref(expected);
	json_decref(j);
}

static void
test_resync(void **state)
{
	struct kit_claim b = { .id = "b", .call = "kb", .token = "tb", .sip_call = "sb" };
	struct kit_claim c = { .id = "c", .call = "kc", .token = "tc", .sip_call = "sc" };

	(void)state;
	assert_resync("[]", "[]");
	assert_int_equal(kit_create("a", "ca"), ERR_OK);
	assert_int_equal(kit_create("b", "cb"), ERR_OK);
	assert_int_equal(kit_create("c", "cc"), ERR_OK);
	assert_int_equal(kit_claim(&first), ERR_OK);
	assert_int_equal(kit_claim(&b), ERR_OK);
	assert_int_equal(kit_claim(&c), ERR_OK);
	assert_int_equal(kit_complete("kc", "tc", "{}", 4000), ERR_OK);
	/* b is not known to the worker; c is completed but its call goes on; d was never claimed;
	 * e has no token yet; a foreign token is no claim; garbage is passed over. */
	assert_resync("[{\"call\":\"k1\",\"token\":\"t1\"},{\"call\":\"kc\",\"token\":\"tc\"},"
		      "{\"call\":\"kd\",\"token\":\"td\"},{\"call\":\"ke\",\"token\":\"\"},"
		      "{\"call\":\"kb\",\"token\":\"x\"},7,{}]",
		      "[\"kd\",\"kb\"]");
	kit_assert_status("a", "ONGOING");
	kit_assert_status("b", "ACTIVE");
	kit_assert_status("c", "COMPLETED");
}

static void
test_resync_after_a_reap(void **state)
{
	(void)state;
	assert_int_equal(kit_create("a", "ca"), ERR_OK);
	assert_int_equal(kit_claim(&first), ERR_OK);
	assert_int_equal(kit_answered("k1", "i1", 2500), ERR_OK);
	assert_int_equal(kit_reap("i1", NULL), 1);
	assert_resync("[{\"call\":\"k1\",\"token\":\"t1\"}]", "[\"k1\"]");
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_claim_twice_is_once),
		T(test_claim_by_the_clock),
		T(test_completed_is_gone),
		T(test_conversation_is_held_once),
		T(test_64_calls_race),
		T(test_failover),
		T(test_no_take_over_after_the_answer),
		T(test_made_by_the_call),
		T(test_made_id_is_taken),
		T(test_made_id_is_long),
		T(test_made_without_a_call_id),
		T(test_made_keeps_what_came),
		T(test_reap),
		T(test_a_reaped_one_is_filled_in_once),
		T(test_reap_all_but),
		T(test_resync),
		T(test_resync_after_a_reap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
