#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/msg.h"
#include "common/str.h"
#include "tests/fakes/oom.h"

static json_t *
json_of(const char *text)
{
	json_error_t je;
	json_t *j = json_loads(text, JSON_DECODE_ANY, &je);

	assert_non_null(j);
	return j;
}

static void
the_catalogue_is_whole(void **state)
{
	(void)state;
	for (int i = 0; i < MSG_TYPE_COUNT; i++) {
		enum msg_type t;

		assert_non_null(msg_table[i].wire);
		assert_non_null(msg_table[i].body);
		assert_non_null(msg_table[i].reply);
		assert_true(msg_type_find(msg_table[i].wire, &t));
		assert_int_equal(t, i);
		for (const struct jfield *f = msg_table[i].body; f->name; f++)
			assert_true(f->offset + f->size <= msg_table[i].body_size);
		for (const struct jfield *f = msg_table[i].reply; f->name; f++)
			assert_true(f->offset + f->size <= msg_table[i].reply_size);
	}
	assert_false(msg_type_find("nope", &(enum msg_type){ MSG_BYE }));
	assert_false(msg_type_find(NULL, &(enum msg_type){ MSG_BYE }));
}

static void
return_types_are_those_of_the_configuration(void **state)
{
	const struct jfield *f = msg_table[MSG_CLAIM].reply;

	(void)state;
	while (strcmp(f->name, "return_type") != 0)
		f++;
	for (int i = RETURN_BYE; i <= RETURN_INVITE; i++)
		assert_string_equal(f->names[i], return_type_names[i]);
	assert_null(f->names[RETURN_INVITE + 1]);
	assert_null(return_type_names[RETURN_INVITE + 1]);
}

static void
a_request_round_trip(void **state)
{
	struct msg_claim c = {
		.call = "c1", .token = "t1", .account = "demo", .sip_call_id = "id@h"
	};
	struct msg_claim back = { 0 };
	struct msg_head h;
	json_t *msg;
	char *text;

	(void)state;
	c.transfer = strdup("T-1");
	c.variables = json_pack("{s:s}", "name", "Ann");
	msg = msg_request(MSG_CLAIM, "r-18", &c);
	text = json_text(msg);
	assert_string_equal(text, "{\"v\":1,\"t\":\"transfer.claim\",\"id\":\"r-18\",\"body\":{"
				  "\"call\":\"c1\",\"token\":\"t1\",\"account\":\"demo\","
				  "\"transfer\":\"T-1\",\"sip_call_id\":\"id@h\",\"from_tag\":\"\","
				  "\"variables\":{\"name\":\"Ann\"}}}");
	free(text);
	msg_finish_body(MSG_CLAIM, &c);
	assert_int_equal(msg_open(msg, MSG_UP, &h, NULL), ERR_OK);
	assert_false(h.is_reply);
	assert_int_equal(h.type, MSG_CLAIM);
	assert_string_equal(h.id, "r-18");
	assert_int_equal(msg_read_body(h.type, h.body, &back, NULL), ERR_OK);
	assert_string_equal(back.transfer, "T-1");
	assert_null(back.task);
	msg_finish_body(h.type, &back);
	json_decref(msg);
}

static void
a_reply_round_trip(void **state)
{
	struct msg_claim_reply r = { .transfer = "T",
				     .conversation = "C",
				     .return_type = RETURN_REFER };
	struct msg_claim_reply back = { 0 };
	struct msg_head h;
	json_t *msg;

	(void)state;
	msg = msg_reply(MSG_CLAIM, "r-18", ERR_OK, &r);
	assert_int_equal(msg_open(msg, MSG_DOWN, &h, NULL), ERR_OK);
	assert_true(h.is_reply);
	assert_string_equal(h.id, "r-18");
	assert_int_equal(h.err, ERR_OK);
	assert_int_equal(msg_read_reply(MSG_CLAIM, h.body, &back, NULL), ERR_OK);
	assert_int_equal(back.return_type, RETURN_REFER);
	assert_string_equal(json_string_value(json_object_get(h.body, "return_type")), "REFER");
	msg_finish_reply(MSG_CLAIM, &back);
	json_decref(msg);
	msg = msg_reply(MSG_CLAIM, "r-19", ERR_GONE, NULL);
	assert_int_equal(msg_open(msg, MSG_DOWN, &h, NULL), ERR_OK);
	assert_int_equal(h.err, ERR_GONE);
	json_decref(msg);
}

static void
an_event_round_trip(void **state)
{
	struct msg_bye b = { .reason = "shutting down" };
	struct msg_head h;
	json_t *msg = msg_event(MSG_BYE, &b);

	(void)state;
	assert_int_equal(msg_open(msg, MSG_DOWN, &h, NULL), ERR_OK);
	assert_int_equal(h.type, MSG_BYE);
	assert_null(h.id);
	json_decref(msg);
}

static void
envelopes_are_checked(void **state)
{
	static const struct {
		const char *text, *where; /* NULL: fine, coming up */
	} cases[] = {
		{ "{\"v\":1,\"t\":\"heartbeat\",\"body\":{}}", NULL },
		{ "{\"v\":1,\"t\":\"hello\",\"id\":\"1\",\"body\":{},\"later\":1}", NULL },
		{ "{\"v\":1,\"re\":\"1\",\"err\":\"OK\"}", NULL },
		{ "{\"v\":1,\"re\":\"1\",\"err\":\"OK\",\"body\":{}}", NULL },
		{ "[]", "" },
		{ "{}", "/v" },
		{ "{\"v\":2,\"t\":\"heartbeat\",\"body\":{}}", "/v" },
		{ "{\"v\":1.0,\"t\":\"heartbeat\",\"body\":{}}", "/v" },
		{ "{\"v\":1}", "/t" },
		{ "{\"v\":1,\"t\":7,\"body\":{}}", "/t" },
		{ "{\"v\":1,\"t\":\"nope\",\"body\":{}}", "/t" },
		{ "{\"v\":1,\"t\":\"bye\",\"body\":{}}", "/t" }, /* goes down only */
		{ "{\"v\":1,\"t\":\"heartbeat\"}", "/body" },
		{ "{\"v\":1,\"t\":\"heartbeat\",\"body\":[]}", "/body" },
		{ "{\"v\":1,\"t\":\"heartbeat\",\"id\":\"1\",\"body\":{}}", "/id" },
		{ "{\"v\":1,\"t\":\"hello\",\"body\":{}}", "/id" },
		{ "{\"v\":1,\"t\":\"hello\",\"id\":\"\",\"body\":{}}", "/id" },
		{ "{\"v\":1,\"t\":\"hello\",\"id\":1,\"body\":{}}", "/id" },
		{ "{\"v\":1,\"re\":\"\",\"err\":\"OK\"}", "/re" },
		{ "{\"v\":1,\"re\":null,\"err\":\"OK\"}", "/re" },
		{ "{\"v\":1,\"re\":\"1\",\"t\":\"hello\",\"err\":\"OK\"}", "/re" },
		{ "{\"v\":1,\"re\":\"1\"}", "/err" },
		{ "{\"v\":1,\"re\":\"1\",\"err\":\"NICE\"}", "/err" },
		{ "{\"v\":1,\"re\":\"1\",\"err\":0}", "/err" },
		{ "{\"v\":1,\"re\":\"1\",\"err\":\"OK\",\"body\":1}", "/body" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *j = json_of(cases[i].text);
		struct msg_head h;
		struct fault f;
		enum err e = msg_open(j, MSG_UP, &h, &f);

		assert_int_equal(e, cases[i].where ? ERR_PROTOCOL : ERR_OK);
		if (e != ERR_OK)
			assert_string_equal(f.where, cases[i].where);
		json_decref(j);
	}
	assert_int_equal(msg_open(NULL, MSG_UP, &(struct msg_head){ 0 }, NULL), ERR_PROTOCOL);
}

static void
bodies_are_checked_by_name(void **state)
{
	static const struct {
		enum msg_type t;
		const char *text, *where;
	} cases[] = {
		{ MSG_BYE, "{}", "/body/reason" },
		{ MSG_HELLO, "{\"worker\":\"w\",\"instance\":\"i\",\"pid\":-1}", "/body/pid" },
		{ MSG_COMPLETE, "{\"call\":\"c\",\"token\":\"t\",\"output\":1}", "/body/output" },
		{ MSG_REPORT, "{\"events\":\"x\"}", "/body/events" },
		{ MSG_CLAIM, "{\"call\":\"123456789012345678901234567890123\"}", "/body/call" },
	};
	union {
		struct msg_hello hello;
		struct msg_claim claim;
		struct msg_complete complete;
		struct msg_report report;
		struct msg_bye bye;
	} out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *j = json_of(cases[i].text);
		struct fault f;

		memset(&out, 0, sizeof(out));
		assert_int_equal(msg_read_body(cases[i].t, j, &out, &f), ERR_PROTOCOL);
		assert_string_equal(f.where, cases[i].where);
		json_decref(j);
	}
	assert_int_equal(msg_read_reply(MSG_HELLO, NULL, &(struct msg_hello_reply){ 0 }, NULL),
			 ERR_PROTOCOL);
}

static bool
whole_way(void *arg)
{
	struct msg_claim c = { .call = "c", .token = "t", .account = "a", .sip_call_id = "\xff" };
	struct msg_claim back = { 0 };
	char task[] = "task";
	struct msg_head h;
	json_t *msg, *reply = NULL;
	bool ok = false;

	(void)arg;
	c.task = task;
	msg = msg_request(MSG_CLAIM, "r", &c);
	if (msg && msg_open(msg, MSG_UP, &h, NULL) == ERR_OK &&
	    msg_read_body(h.type, h.body, &back, NULL) == ERR_OK) {
		reply = msg_reply(MSG_CLAIM, h.id, ERR_BUSY, NULL);
		ok = reply != NULL;
		msg_finish_body(h.type, &back);
	}
	json_decref(msg);
	json_decref(reply);
	return ok;
}

static void
survives_lack_of_memory(void **state)
{
	(void)state;
	assert_true(oom_run(whole_way, NULL) > 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_catalogue_is_whole),
		cmocka_unit_test(return_types_are_those_of_the_configuration),
		cmocka_unit_test(a_request_round_trip),
		cmocka_unit_test(a_reply_round_trip),
		cmocka_unit_test(an_event_round_trip),
		cmocka_unit_test(envelopes_are_checked),
		cmocka_unit_test(bodies_are_checked_by_name),
		cmocka_unit_test(survives_lack_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
