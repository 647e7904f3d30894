/* Calls as their timelines tell them. */
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

#define ENTRY(call, seq, type, info)                                                   \
	"{\"call\":\"" call "\",\"seq\":" #seq ",\"at\":1000" #seq ",\"type\":\"" type \
	"\",\"info\":" info "}"
#define INVITE(call)                                                                          \
	ENTRY(call, 1, "invite",                                                              \
	      "{\"account\":\"demo\",\"transfer\":\"a\",\"from\":\"sip:f\",\"to\":\"sip:t\"," \
	      "\"source\":\"127.0.0.1:5060\",\"transport\":\"udp\",\"call_id\":\"s1\","       \
	      "\"mode\":\"api\"}")

/* The caller's reference; NULL: not found. */
static json_t *
get_call(const char *account, const char *id)
{
	struct store_call_get g = { .account = account, .id = id };

	return kit_run(&g.req, STORE_CALL_GET) == ERR_OK ? g.call : NULL;
}

static void
assert_field(const json_t *call, const char *name, const char *value)
{
	const char *is = json_string_value(json_object_get(call, name));

	if (!value)
		assert_null(is);
	else
		assert_string_equal(is ? is : "none", value);
}

static size_t
timeline_size(const char *id)
{
	json_t *call = get_call(NULL, id);
	size_t n = json_array_size(json_object_get(call, "timeline"));

	json_decref(call);
	return n;
}

static void
test_a_whole_call(void **state)
{
	json_t *call;
	const json_t *timeline;

	(void)state;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_claim(&(struct kit_claim){
				 .id = "a", .call = "k1", .token = "t1", .sip_call = "s1" }),
			 ERR_OK);
	assert_int_equal(
		kit_report("i1", "[" INVITE("k1") "," ENTRY(
					 "k1", 2, "claimed",
					 "{\"transfer\":\"a\",\"conversation\":\"c\"}") "]"),
		ERR_OK);
	call = get_call("demo", "k1");
	assert_field(call, "state", "ringing");
	assert_field(call, "conversation", "c");
	assert_field(call, "answeredAt", NULL);
	json_decref(call);
	assert_int_equal(
		kit_report(
			"i1",
			"[" ENTRY("k1", 3, "answered", "{\"codec\":\"PCMU\"}") "," ENTRY("k1", 4, "outcome", "{\"transferType\":\"SYSTEM\"}") "," ENTRY(
				"k1", 5, "return",
				"{\"type\":\"REFER\",\"state\":\"done\"}") "," ENTRY("k1", 6, "bye",
										     "{\"by\":"
										     "\"caller\""
										     "}") "," ENTRY("k1",
												    7,
												    "ended",
												    "{\"cause\":\"bye\",\"duration_ms\":9}") "]"),
		ERR_OK);
	call = get_call("demo", "k1");
	assert_field(call, "id", "k1");
	assert_field(call, "account", "demo");
	assert_field(call, "transfer", "a");
	assert_field(call, "worker", "w1");
	assert_field(call, "state", "ended");
	assert_field(call, "mode", "api");
	assert_field(call, "startedAt", "1970-01-01T00:00:10.001Z");
	assert_field(call, "answeredAt", "1970-01-01T00:00:10.003Z");
	assert_field(call, "endedAt", "1970-01-01T00:00:10.007Z");
	assert_field(call, "cause", "bye");
	assert_field(call, "from", "sip:f");
	assert_field(call, "to", "sip:t");
	assert_field(call, "source", "127.0.0.1:5060");
	assert_field(call, "transport", "udp");
	assert_field(call, "callId", "s1");
	assert_field(call, "codec", "PCMU");
	assert_field(call, "outcome", "SYSTEM");
	assert_field(call, "returnType", "REFER");
	assert_field(call, "returnState", "done");
	assert_field(call, "endedBy", "caller");
	timeline = json_object_get(call, "timeline");
	assert_int_equal(json_array_size(timeline), 7);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(
			json_integer_value(json_object_get(json_array_get(timeline, i), "seq")),
			i + 1);
	assert_field(json_array_get(timeline, 2), "type", "answered");
	assert_field(json_array_get(timeline, 2), "at", "1970-01-01T00:00:10.003Z");
	assert_field(json_object_get(json_array_get(timeline, 2), "info"), "codec", "PCMU");
	json_decref(call);
	struct transfer *t = kit_get("a");
	assert_int_equal(t->received_at, 10003);
	transfer_destroy(t);
}

static void
test_entries_count_once(void **state)
{
	json_t *call;

	(void)state;
	assert_int_equal(kit_report("i1", "[" INVITE("k1") "]"), ERR_OK);
	assert_int_equal(kit_report("i1", "[" INVITE("k1") "," ENTRY("k1", 2, "note", "{}") "]"),
			 ERR_OK);
	assert_int_equal(kit_report("i1", "[" ENTRY("k1", 2, "ended", "{}") "]"), ERR_OK);
	assert_int_equal(timeline_size("k1"), 2);
	call = get_call(NULL, "k1");
	assert_field(call, "state", "ringing"); /* what was not written moves nothing */
	json_decref(call);
}

/* Seq of the timeline's entries in their order, each one digit. */
static const char *
seqs(const char *id, char out[32])
{
	json_t *call = get_call(NULL, id), *timeline = json_object_get(call, "timeline"), *j;
	size_t i;

	json_array_foreach(timeline, i, j)
		out[i] = (char)('0' + json_integer_value(json_object_get(j, "seq")));
	out[json_array_size(timeline)] = '\0';
	json_decref(call);
	return out;
}

static void
test_reports_overlap_and_overtake(void **state)
{
	char order[32];

	(void)state;
	assert_int_equal(
		kit_report("i1", "[" ENTRY("k2", 2, "note", "{}") "," INVITE("k1") "," INVITE(
					 "k2") "," ENTRY("k1", 2, "note", "{}") "]"),
		ERR_OK);
	assert_string_equal(seqs("k1", order), "12");
	assert_string_equal(seqs("k2", order), "12");
	/* The one with 3 and 4 is late; its repetition meets what is there on both sides. */
	assert_int_equal(kit_report("i1", "[" ENTRY("k1", 5, "note",
						    "{}") "," ENTRY("k1", 6, "ended", "{}") "]"),
			 ERR_OK);
	assert_int_equal(kit_report("i1", "[" ENTRY("k1", 3, "note", "{}") "]"), ERR_OK);
	assert_int_equal(
		kit_report(
			"i1",
			"[" ENTRY("k1", 2, "note", "{}") "," ENTRY("k1", 3, "note", "{}") "," ENTRY(
				"k1", 4, "note", "{}") "," ENTRY("k1", 5, "note",
								 "{}") "," ENTRY("k1", 7, "note",
										 "{}") "]"),
		ERR_OK);
	assert_int_equal(kit_report("i1", "[" ENTRY("k1", 4, "note", "{}") "]"), ERR_OK);
	assert_string_equal(seqs("k1", order), "1234567");
}

static void
test_another_workers_call_is_not_touched(void **state)
{
	(void)state;
	assert_int_equal(kit_report("i1", "[" INVITE("k1") "]"), ERR_OK);
	assert_int_equal(kit_report("i2", "[" INVITE("k1") "," ENTRY("k1", 2, "ended", "{}") "]"),
			 ERR_OK);
	assert_int_equal(timeline_size("k1"), 1);
	/* The rest of such a report counts. */
	assert_int_equal(kit_report("i2", "[" ENTRY("k1", 2, "ended", "{}") "," INVITE("k2") "]"),
			 ERR_OK);
	assert_int_equal(timeline_size("k2"), 1);
	/* An answer sets the time of the transfer that this instance claimed, of no other. */
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_claim(&(struct kit_claim){
				 .id = "a", .call = "k1", .token = "t1", .sip_call = "s1" }),
			 ERR_OK);
	assert_int_equal(kit_answered("k1", "i2", 2500), ERR_OK);
	struct transfer *t = kit_get("a");
	assert_int_equal(t->received_at, 0);
	transfer_destroy(t);
}

static void
test_malformed_entries_are_passed_over(void **state)
{
	/* clang-format off */
	static const char *const reports[] = {
		"[]",
		"{}",
		"[7, null, [], \"x\", {}]",
		"[{\"call\":7,\"seq\":1,\"at\":1,\"type\":\"invite\"}]",
		"[{\"call\":\"\",\"seq\":1,\"at\":1,\"type\":\"invite\"}]",
		"[{\"call\":\"123456789012345678901234567890123\",\"seq\":1,\"at\":1,\"type\":\"invite\"}]",
		"[{\"call\":\"k9\",\"seq\":0,\"at\":1,\"type\":\"invite\"}]",
		"[{\"call\":\"k9\",\"seq\":-1,\"at\":1,\"type\":\"invite\"}]",
		"[{\"call\":\"k9\",\"seq\":2147483647,\"at\":1,\"type\":\"invite\"}]",
		"[{\"call\":\"k9\",\"seq\":1.5,\"at\":1,\"type\":\"invite\"}]",
		"[{\"call\":\"k9\",\"seq\":1,\"at\":0,\"type\":\"invite\"}]",
		"[{\"call\":\"k9\",\"seq\":1,\"at\":253402300800000,\"type\":\"invite\"}]",
		"[{\"call\":\"k9\",\"seq\":1,\"at\":\"now\",\"type\":\"invite\"}]",
		"[{\"call\":\"k9\",\"seq\":1,\"at\":1,\"type\":\"lost\"}]",
		"[{\"call\":\"k9\",\"seq\":1,\"at\":1,\"type\":\"unheard_of\"}]",
		"[{\"call\":\"k9\",\"seq\":1,\"at\":1}]",
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reports); i++)
		assert_int_equal(kit_report("i1", reports[i]), ERR_OK);
	assert_null(get_call(NULL, "k9"));
	/* Info of unexpected types: shown in the timeline, as text in the row. */
	assert_int_equal(
		kit_report("i1",
			   "[{\"call\":\"k9\",\"seq\":1,\"at\":1,\"type\":\"invite\",\"info\":"
			   "{\"account\":7,\"from\":{\"a\":[1]},\"to\":null,\"mode\":true}},"
			   "{\"call\":\"k9\",\"seq\":2,\"at\":1,\"type\":\"refused\",\"info\":"
			   "{\"status\":\"x\",\"reason\":[]}},"
			   "{\"call\":\"k9\",\"seq\":3,\"at\":1,\"type\":\"dtmf\",\"info\":[1]}]"),
		ERR_OK);
	json_t *call = get_call(NULL, "k9");
	assert_field(call, "account", "7");
	assert_field(call, "from", "{\"a\":[1]}");
	assert_field(call, "to", NULL);
	assert_field(call, "state", "refused");
	assert_int_equal(json_array_size(json_object_get(call, "timeline")), 3);
	json_decref(call);
}

static void
test_large_info_is_bounded(void **state)
{
	enum { LARGE = 200 * 1024, SAID = 5000 };
	char *text = malloc(LARGE + 1);
	json_t *events, *call;
	const json_t *timeline;
	struct store_call_report r = { .worker = "w1", .instance = "i1" };

	(void)state;
	assert_non_null(text);
	memset(text, 'x', LARGE);
	text[LARGE] = '\0';
	events = json_pack("[{s:s,s:i,s:i,s:s,s:{s:s%}},{s:s,s:i,s:i,s:s,s:{s:s}}]", "call", "k1",
			   "seq", 1, "at", 1, "type", "invite", "info", "from", text, (size_t)SAID,
			   "call", "k1", "seq", 2, "at", 1, "type", "said", "info", "text", text);
	assert_non_null(events);
	free(text);
	r.events = events;
	assert_int_equal(kit_run(&r.req, STORE_CALL_REPORT), ERR_OK);
	json_decref(events);
	call = get_call(NULL, "k1");
	assert_int_equal(json_string_length(json_object_get(call, "from")), 1024);
	timeline = json_object_get(call, "timeline");
	assert_field(json_object_get(json_array_get(timeline, 1), "info"), "dropped", "too large");
	json_decref(call);
}

static void
test_answer_after_completion(void **state)
{
	struct transfer *t;

	(void)state;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_claim(&(struct kit_claim){
				 .id = "a", .call = "k1", .token = "t1", .sip_call = "s1" }),
			 ERR_OK);
	assert_int_equal(kit_complete("k1", "t1", NULL, 3000), ERR_OK);
	assert_int_equal(kit_answered("k1", "i1", 2500),
			 ERR_OK); /* the report was the slower one */
	t = kit_get("a");
	assert_int_equal(t->status, TRANSFER_COMPLETED);
	assert_int_equal(t->received_at, 2500);
	transfer_destroy(t);
}

static void
test_lost_stays_lost(void **state)
{
	json_t *call;

	(void)state;
	assert_int_equal(kit_report("i1", "[" INVITE("k1") "]"), ERR_OK);
	assert_int_equal(kit_reap("i1", NULL), 0); /* no claim, and yet a call */
	call = get_call(NULL, "k1");
	assert_field(call, "state", "lost");
	assert_field(call, "cause", "killed");
	json_decref(call);
	/* What the worker had spooled still belongs to the timeline, before the loss. */
	assert_int_equal(kit_report("i1", "[" ENTRY("k1", 2, "ended", "{}") "]"), ERR_OK);
	call = get_call(NULL, "k1");
	assert_field(call, "state", "lost");
	assert_int_equal(json_array_size(json_object_get(call, "timeline")), 3);
	assert_field(json_array_get(json_object_get(call, "timeline"), 2), "type", "lost");
	json_decref(call);
}

static void
test_a_reaped_claim_learns_of_its_call(void **state)
{
	json_t *call;

	(void)state;
	assert_int_equal(kit_create("a", "c"), ERR_OK);
	assert_int_equal(kit_claim(&(struct kit_claim){
				 .id = "a", .call = "k1", .token = "t1", .sip_call = "s1" }),
			 ERR_OK);
	assert_int_equal(kit_reap("i1", NULL), 1);
	call = get_call("demo", "k1");
	assert_field(call, "state", "lost");
	assert_field(call, "from", NULL);
	assert_field(call, "callId", "s1");
	json_decref(call);
	/* The spooled beginning comes afterwards; another instance's does not count. */
	assert_int_equal(kit_report("i2", "[" INVITE("k1") "]"), ERR_OK);
	assert_int_equal(kit_report("i1", "[" INVITE("k1") "]"), ERR_OK);
	call = get_call("demo", "k1");
	assert_field(call, "state", "lost");
	assert_field(call, "from", "sip:f");
	assert_int_equal(json_array_size(json_object_get(call, "timeline")), 2);
	json_decref(call);
}

static size_t
list(const char *account, int64_t before, int limit, bool refused, char *ids, size_t size)
{
	struct store_call_list l = {
		.account = account, .before_ms = before, .limit = limit, .refused = refused
	};
	size_t i, n;
	json_t *j;

	ids[0] = '\0';
	assert_int_equal(kit_run(&l.req, STORE_CALL_LIST), ERR_OK);
	n = json_array_size(l.calls);
	json_array_foreach(l.calls, i, j)
	{
		size_t at = strlen(ids);

		snprintf(ids + at, size - at, "%s ", json_string_value(json_object_get(j, "id")));
	}
	json_decref(l.calls);
	return n;
}

static void
report_simple(const char *call, const char *type, int64_t at, const char *account)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "[{\"call\":\"%s\",\"seq\":1,\"at\":%lld,\"type\":\"%s\",\"info\":{%s%s%s"
		 "\"status\":404,\"reason\":\"unknown transfer\"}}]",
		 call, (long long)at, type, account ? "\"account\":\"" : "", account ? account : "",
		 account ? "\"," : "");
	assert_int_equal(kit_report("i1", text), ERR_OK);
}

static void
test_lists(void **state)
{
	char ids[256];
	json_t *call;

	(void)state;
	report_simple("k1", "invite", 100, "demo");
	report_simple("k2", "refused", 200, "demo");
	report_simple("k3", "invite", 300, "other");
	report_simple("k4", "refused", 400, NULL);
	list(NULL, 0, 10, false, ids, sizeof(ids));
	assert_string_equal(ids, "k4 k3 k2 k1 ");
	list(NULL, 0, 2, false, ids, sizeof(ids));
	assert_string_equal(ids, "k4 k3 ");
	list(NULL, 300, 10, false, ids, sizeof(ids));
	assert_string_equal(ids, "k2 k1 ");
	list("demo", 0, 10, false, ids, sizeof(ids));
	assert_string_equal(ids, "k2 k1 ");
	list("nobody", 0, 10, false, ids, sizeof(ids));
	assert_string_equal(ids, "");
	list(NULL, 0, 10, true, ids, sizeof(ids));
	assert_string_equal(ids, "k4 k2 ");
	list("demo", 0, 10, true, ids, sizeof(ids));
	assert_string_equal(ids, "k2 ");
	assert_null(get_call("other", "k1"));
	assert_null(get_call("demo", "k4"));
	call = get_call(NULL, "k4");
	assert_field(call, "account", NULL);
	assert_field(call, "cause", "unknown transfer");
	assert_int_equal(json_integer_value(json_object_get(call, "status")), 404);
	json_decref(call);
}

static void
purge(int64_t before, bool more)
{
	struct store_purge p = { .before_ms = before };

	assert_int_equal(kit_run(&p.req, STORE_PURGE), ERR_OK);
	assert_int_equal(p.more, more);
}

static void
test_purge_takes_timelines_along(void **state)
{
	char ids[256], id[32];

	(void)state;
	report_simple("k1", "invite", 50, "demo"); /* open: stays */
	for (int i = 0; i < 60; i++) {
		snprintf(id, sizeof(id), "r%d", i);
		report_simple(id, "refused", 100, "demo");
	}
	report_simple("k2", "refused", 200, "demo");
	purge(200, true);
	purge(200, false);
	list(NULL, 0, 100, false, ids, sizeof(ids));
	assert_string_equal(ids, "k2 k1 ");
	assert_int_equal(timeline_size("k2"), 1);
}

static void
test_refused_are_bounded(void **state)
{
	enum { BATCH = 500 };
	struct store_call_list l = { .limit = 20000, .refused = true };
	char *text = malloc(BATCH * 128);

	(void)state;
	assert_non_null(text);
	for (int b = 0; b < 23; b++) {
		size_t n = 1;

		text[0] = '[';
		for (int i = 0; i < BATCH; i++)
			n += (size_t)snprintf(text + n, 128,
					      "%s{\"call\":\"r%d\",\"seq\":1,\"at\":%d,\"type\":"
					      "\"refused\",\"info\":{}}",
					      i ? "," : "", b * BATCH + i, 1 + b * BATCH + i);
		text[n] = ']';
		text[n + 1] = '\0';
		assert_int_equal(kit_report("i1", text), ERR_OK);
	}
	free(text);
	assert_int_equal(kit_run(&l.req, STORE_CALL_LIST), ERR_OK);
	assert_int_equal(json_array_size(l.calls), 10000);
	assert_field(json_array_get(l.calls, 0), "id", "r11499");
	json_decref(l.calls);
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_whole_call),
		T(test_entries_count_once),
		T(test_reports_overlap_and_overtake),
		T(test_another_workers_call_is_not_touched),
		T(test_malformed_entries_are_passed_over),
		T(test_large_info_is_bounded),
		T(test_answer_after_completion),
		T(test_lost_stays_lost),
		T(test_a_reaped_claim_learns_of_its_call),
		T(test_lists),
		T(test_purge_takes_timelines_along),
		T(test_refused_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
