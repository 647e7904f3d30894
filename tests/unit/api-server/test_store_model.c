/* Random operations, many under way at once, against a model of a few lines: the store answers as
 * if they had come one by one, in the order in which they were submitted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "tests/fakes/store_kit.h"

enum { IDS = 5, INSTANCES = 3, CALLS = 400, BATCH = 24, ROUNDS = 250 };

static const char *const conversations[IDS] = { "c0", "c0", "c1", "c1", "c2" };
static const char *const instances[INSTANCES] = { "i0", "i1", "i2" };
static const char *const outputs[] = { NULL, "{\"x\":1}", "{\"x\":2}" };

/* --- the model --- */

static struct row {
	bool exists, received;
	enum transfer_status status;
	int64_t expires;
	int holder; /* call, -1: none */
	int reaped; /* as the column */
	const char *output;
} rows[IDS];

/* A call belongs to one transfer, one SIP call, one instance: as workers make them. */
static struct call {
	int id, sip, instance;
} calls[CALLS];
static int call_count;
static int64_t now;

static bool
is_busy(int id)
{
	for (int i = 0; i < IDS; i++)
		if (str_eq(conversations[i], conversations[id]) && rows[i].exists &&
		    rows[i].status == TRANSFER_ONGOING)
			return true;
	return false;
}

static enum err
model_create(int id, int64_t expires)
{
	if (rows[id].exists)
		return ERR_CONFLICT;
	rows[id] = (struct row){
		.exists = true, .status = TRANSFER_ACTIVE, .expires = expires, .holder = -1
	};
	return ERR_OK;
}

static enum err
model_claim(int k, int gone)
{
	struct call *c = &calls[k];
	struct row *r = &rows[c->id];
	struct call *h = r->holder >= 0 ? &calls[r->holder] : NULL;

	if (!r->exists)
		return ERR_NOT_FOUND;
	if (r->status == TRANSFER_ACTIVE && r->expires <= now)
		return ERR_GONE;
	if (r->status == TRANSFER_ACTIVE) {
		if (is_busy(c->id))
			return ERR_BUSY;
		r->status = TRANSFER_ONGOING;
		r->holder = k;
		return ERR_OK;
	}
	if (r->status != TRANSFER_ONGOING)
		return ERR_GONE;
	if (r->holder == k)
		return ERR_OK;
	if (h->sip != c->sip || r->received || h->instance == c->instance)
		return ERR_BUSY;
	if (h->instance != gone)
		return ERR_RETRY;
	r->holder = k;
	return ERR_OK;
}

static void
model_unclaim(struct row *r)
{
	r->status = r->expires <= now ? TRANSFER_EXPIRED : TRANSFER_ACTIVE;
	r->holder = -1;
}

static enum err
model_release(int k)
{
	struct row *r = &rows[calls[k].id];

	if (r->exists && r->holder == k && r->status == TRANSFER_ONGOING && !r->received)
		model_unclaim(r);
	return ERR_OK;
}

static enum err
model_complete(int k, const char *output)
{
	struct row *r = &rows[calls[k].id];

	if (!r->exists || r->holder != k)
		return ERR_NOT_FOUND;
	if (r->status == TRANSFER_ONGOING) {
		r->status = TRANSFER_COMPLETED;
		r->output = output;
	} else if (r->reaped < 2 && output && !str_eq(output, r->output)) {
		r->output = output;
		r->reaped = r->reaped ? 2 : 0;
	}
	return ERR_OK;
}

static void
model_answered(int k)
{
	struct row *r = &rows[calls[k].id];

	if (r->exists && r->holder == k)
		r->received = true;
}

static void
model_reap(int instance)
{
	for (int i = 0; i < IDS; i++) {
		struct row *r = &rows[i];

		if (r->status != TRANSFER_ONGOING || r->holder < 0 ||
		    calls[r->holder].instance != instance)
			continue;
		if (r->received) {
			r->status = TRANSFER_COMPLETED;
			r->reaped = 1;
		} else {
			model_unclaim(r);
		}
	}
}

static void
model_expire(void)
{
	for (int i = 0; i < IDS; i++)
		if (rows[i].exists && rows[i].status == TRANSFER_ACTIVE && rows[i].expires <= now)
			rows[i].status = TRANSFER_EXPIRED;
}

/* --- one operation: predicted and submitted --- */

static struct op {
	union {
		struct store_req req;
		struct store_transfer_create create;
		struct store_transfer_claim claim;
		struct store_transfer_release release;
		struct store_transfer_complete complete;
		struct store_transfer_expire expire;
		struct store_call_report report;
		struct store_worker_reap reap;
	} st;
	enum err expected;
	struct transfer *t;
	struct msg_claim msg;
	const char *gone[2];
	json_t *events;
} ops[BATCH];

static unsigned seed;

static int
pick(int below)
{
	seed = seed * 1103515245u + 12345u;
	return (int)((seed >> 16) % (unsigned)below);
}

static int
some_call(void)
{
	if (call_count == 0 || (pick(6) == 0 && call_count < CALLS))
		calls[call_count++] = (struct call){ pick(IDS), pick(2), pick(INSTANCES) };
	return call_count > 8 ? call_count - 1 - pick(8) : pick(call_count);
}

static void
name_call(int k, char call[ID_TOKEN_SIZE], char token[ID_TOKEN_SIZE])
{
	str_print(call, ID_TOKEN_SIZE, "k%d", k);
	str_print(token, ID_TOKEN_SIZE, "t%d", k);
}

static void
make_create(struct op *o)
{
	char id[8];
	int i = pick(IDS);

	str_print(id, sizeof(id), "x%d", i);
	o->t = kit_transfer(id, conversations[i]);
	o->t->created_at = now;
	o->t->expires_at = now + 1 + pick(200);
	o->st.create.transfer = o->t;
	o->expected = model_create(i, o->t->expires_at);
	o->st.req.op = STORE_TRANSFER_CREATE;
}

static void
make_claim(struct op *o)
{
	int k = some_call(), gone = pick(INSTANCES + 2);
	static char ids[IDS][8];

	name_call(k, o->msg.call, o->msg.token);
	str_print(ids[calls[k].id], 8, "x%d", calls[k].id);
	o->msg.transfer = ids[calls[k].id];
	str_copy(o->msg.account, sizeof(o->msg.account), "demo");
	str_print(o->msg.sip_call_id, sizeof(o->msg.sip_call_id), "s%d", calls[k].sip);
	o->gone[0] = gone < INSTANCES ? instances[gone] : NULL;
	o->st.claim = (struct store_transfer_claim){ .claim = &o->msg,
						     .worker = "w",
						     .instance = instances[calls[k].instance],
						     .now_ms = now,
						     .gone_instances = o->gone };
	o->expected = model_claim(k, gone);
	o->st.req.op = STORE_TRANSFER_CLAIM;
}

static void
make_release(struct op *o)
{
	int k = some_call();

	name_call(k, o->st.release.call, o->st.release.token);
	o->st.release.now_ms = now;
	o->expected = model_release(k);
	o->st.req.op = STORE_TRANSFER_RELEASE;
}

static void
make_complete(struct op *o)
{
	int k = some_call();
	const char *output = outputs[pick(3)];

	name_call(k, o->st.complete.call, o->st.complete.token);
	o->st.complete.output = (char *)(uintptr_t)output;
	o->st.complete.at_ms = now;
	o->expected = model_complete(k, output);
	o->st.req.op = STORE_TRANSFER_COMPLETE;
}

static void
make_answered(struct op *o)
{
	int k = some_call();
	char call[ID_TOKEN_SIZE], token[ID_TOKEN_SIZE];

	name_call(k, call, token);
	o->events = json_pack("[{s:s,s:i,s:i,s:s},{s:s,s:i,s:I,s:s}]", "call", call, "seq", 1, "at",
			      1, "type", "invite", "call", call, "seq", 2 + (int)(now % 1000000),
			      "at", (json_int_t)now, "type", "answered");
	o->st.report = (struct store_call_report){ .worker = "w",
						   .instance = instances[calls[k].instance],
						   .events = o->events };
	o->expected = ERR_OK;
	model_answered(k);
	o->st.req.op = STORE_CALL_REPORT;
}

static void
make_reap(struct op *o)
{
	int i = pick(INSTANCES);

	o->st.reap = (struct store_worker_reap){ .instance = instances[i],
						 .reason = "x",
						 .now_ms = now };
	o->expected = ERR_OK;
	model_reap(i);
	o->st.req.op = STORE_WORKER_REAP;
}

static void
make_expire(struct op *o)
{
	o->st.expire.now_ms = now;
	o->expected = ERR_OK;
	model_expire();
	o->st.req.op = STORE_TRANSFER_EXPIRE;
}

static void
make_one(struct op *o)
{
	static void (*const makers[])(struct op *
				      o) = { make_create,   make_claim,    make_claim,
					     make_claim,    make_release,  make_complete,
					     make_answered, make_complete, make_expire };

	*o = (struct op){ .expected = ERR_OK };
	now += pick(4);
	if (pick(16) == 0)
		make_reap(o);
	else
		makers[pick((int)ARRAY_LEN(makers))](o);
	o->st.req.done = kit_on_done;
	assert_int_equal(store_submit(kit_store, &o->st.req), ERR_OK);
}

static void
finish_one(struct op *o)
{
	if (o->st.req.err != o->expected)
		fprintf(stderr, "op %d: %s, expected %s\n", (int)o->st.req.op,
			err_name(o->st.req.err), err_name(o->expected));
	assert_int_equal(o->st.req.err, o->expected);
	if (o->st.req.op == STORE_TRANSFER_CLAIM) {
		transfer_destroy(o->st.claim.transfer);
		free(o->st.claim.snapshot);
	}
	transfer_destroy(o->t);
	json_decref(o->events);
}

static void
assert_as_the_model(int i)
{
	struct row *r = &rows[i];
	struct transfer *t;
	char id[8];

	str_print(id, sizeof(id), "x%d", i);
	t = kit_get(id);
	assert_int_equal(t != NULL, r->exists);
	if (!t)
		return;
	assert_string_equal(transfer_status_names[t->status], transfer_status_names[r->status]);
	assert_int_equal(t->received_at != 0, r->received);
	assert_true(str_eq(t->output, r->output));
	transfer_destroy(t);
}

static void
purge_all(void)
{
	struct store_purge p = { .before_ms = INT64_MAX };

	assert_int_equal(kit_run(&p.req, STORE_PURGE), ERR_OK);
	for (int i = 0; i < IDS; i++)
		if (rows[i].status == TRANSFER_COMPLETED || rows[i].status == TRANSFER_EXPIRED)
			rows[i] = (struct row){ .holder = -1 };
}

static void
run_rounds(void)
{
	for (int round = 0; round < ROUNDS; round++) {
		int n = 1 + pick(BATCH);

		kit_done = 0;
		for (int i = 0; i < n; i++)
			make_one(&ops[i]);
		kit_wait(n);
		for (int i = 0; i < n; i++)
			finish_one(&ops[i]);
		for (int i = 0; i < IDS; i++)
			assert_as_the_model(i);
		if (round % 10 == 9)
			purge_all();
		if (round % 50 == 49) {
			kit_close();
			kit_open();
		}
		if (call_count == CALLS)
			return;
	}
}

static void
test_as_the_model(void **state)
{
	(void)state;
	for (seed = 1; seed <= 12; seed += 1) {
		unsigned start = seed;

		memset(rows, 0, sizeof(rows));
		for (int i = 0; i < IDS; i++)
			rows[i].holder = -1;
		call_count = 0;
		now = 1000;
		run_rounds();
		kit_assert_sound();
		kit_teardown(state);
		kit_setup(state);
		seed = start;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_as_the_model, kit_setup, kit_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
