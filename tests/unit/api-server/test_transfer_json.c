/* What the answers to a client and to a worker show of a transfer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api-server/domain/transfer.h"
#include "common/jfield.h"

static struct config cfg = { .transfers = { .expire_after_ms = 60000 } };
static struct account plain;

static int
setup(void **state)
{
	(void)state;
	plain = (struct account){ .name = (char *)(uintptr_t) "demo" };
	plain.returns.uri = (char *)(uintptr_t) "";
	return 0;
}

/* Body text with ' for ". */
static json_t *
body_of(const char *text)
{
	char *copy = strdup(text);
	json_t *j;

	assert_non_null(copy);
	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	j = json_loads(copy, JSON_DECODE_ANY, NULL);
	if (!j)
		fprintf(stderr, "not JSON: %s\n", text);
	assert_non_null(j);
	free(copy);
	return j;
}

#define HEAD "{'id':'i','externalConversationId':'c','type':'SIP'"

static struct transfer *
assert_read(const char *text)
{
	struct transfer *t = NULL;
	struct fault f;
	json_t *body = body_of(text);

	assert_int_equal(transfer_read(body, &plain, &t, NULL, &f), ERR_OK);
	transfer_begin(t, 1000, cfg.transfers.expire_after_ms);
	json_decref(body);
	return t;
}

static void
assert_json(const struct transfer *t, bool full, int64_t now, const char *expected)
{
	json_t *j = transfer_json(t, full, now), *e = body_of(expected);
	char *text = json_text(j);

	assert_non_null(j);
	if (!json_equal(j, e))
		fprintf(stderr, "%s\n", text);
	assert_true(json_equal(j, e));
	free(text);
	json_decref(j);
	json_decref(e);
}

static void
test_answers(void **state)
{
	struct transfer *t = assert_read(
		HEAD ",'sip':{'returnURI':'sip:u@h','returnTransferType':'INVITE',"
		     "'returnInviteAuthentication':{'username':'us','password':'pw'}},"
		     "'inputContext':{'taskName':'Welcome','inputVariables':{'n':'J'}}}");

	(void)state;
	t->created_at = 1736946360999;
	t->expires_at = t->created_at + 60000;
	assert_json(t, false, t->created_at,
		    "{'id':'i','externalConversationId':'c','status':'ACTIVE','type':'SIP',"
		    "'createdAt':'2025-01-15T13:06:00Z','sip':{'returnURI':'sip:u@h',"
		    "'returnTransferType':'INVITE'},'inputContext':{'taskName':'Welcome',"
		    "'inputVariables':{'n':'J'}}}");
	t->status = TRANSFER_COMPLETED;
	t->received_at = t->created_at + 30000;
	t->completed_at = t->created_at + 225000;
	t->output = strdup("{\"transferType\":\"SYSTEM\"}");
	assert_json(
		t, true, t->created_at,
		"{'id':'i','externalConversationId':'c','status':'COMPLETED','type':'SIP',"
		"'createdAt':'2025-01-15T13:06:00Z','callReceivedAt':'2025-01-15T13:06:30Z',"
		"'completedAt':'2025-01-15T13:09:45Z','outputContext':{'transferType':'SYSTEM'},"
		"'sip':{'returnURI':'sip:u@h','returnTransferType':'INVITE'},"
		"'inputContext':{'taskName':'Welcome','inputVariables':{'n':'J'}}}");
	transfer_destroy(t);
}

static void
test_answers_show_no_more_than_was_sent(void **state)
{
	struct transfer *t = assert_read(HEAD "}");

	(void)state;
	assert_json(t, true, 61000,
		    "{'id':'i','externalConversationId':'c','status':'EXPIRED','type':'SIP',"
		    "'createdAt':'1970-01-01T00:00:01Z'}");
	transfer_destroy(t);
	t = assert_read(HEAD ",'sip':{'returnUri':'sip:h'},'inputContext':{}}");
	t->status = TRANSFER_ONGOING;
	assert_json(t, true, 61000,
		    "{'id':'i','externalConversationId':'c','status':'ONGOING','type':'SIP',"
		    "'createdAt':'1970-01-01T00:00:01Z','sip':{'returnUri':'sip:h'},'inputContext':"
		    "{}}");
	transfer_destroy(t);
}

static void
test_claim_reply(void **state)
{
	struct transfer *t = assert_read(HEAD ",'inputContext':{'inputVariables':{'n':'J'}}}");
	struct transfer_auth auth = { { 0 }, { 0 } };
	struct msg_claim_reply r;

	(void)state;
	plain.returns.type = RETURN_INVITE;
	plain.returns.uri = (char *)(uintptr_t) "sip:static@h";
	plain.returns.auth_username = (char *)(uintptr_t) "acc";
	assert_true(secret_set(&plain.returns.auth_password, "accpw", 5));
	assert_int_equal(transfer_claim_reply(t, &plain, &auth, "{\"turn\":1}", &r), ERR_OK);
	assert_string_equal(r.transfer, "i");
	assert_string_equal(r.conversation, "c");
	assert_int_equal(r.return_type, RETURN_INVITE);
	assert_string_equal(r.return_uri, "sip:static@h");
	assert_string_equal(r.return_username, "acc");
	assert_string_equal(r.return_password, "accpw");
	assert_null(r.task);
	assert_string_equal(json_string_value(json_object_get(r.variables, "n")), "J");
	assert_int_equal(json_integer_value(json_object_get(r.snapshot, "turn")), 1);
	msg_finish_reply(MSG_CLAIM, &r);

	assert_true(secret_set(&auth.username, "own", 3));
	assert_true(secret_set(&auth.password, "ownpw", 5));
	t->return_uri = strdup("sip:u@h");
	assert_int_equal(transfer_claim_reply(t, &plain, &auth, NULL, &r), ERR_OK);
	assert_string_equal(r.return_uri, "sip:u@h");
	assert_string_equal(r.return_username, "own");
	assert_string_equal(r.return_password, "ownpw");
	assert_null(r.snapshot);
	msg_finish_reply(MSG_CLAIM, &r);
	secret_finish(&auth.username);
	secret_finish(&auth.password);

	t->return_type = RETURN_REFER; /* the account's are for its INVITEs here */
	assert_int_equal(transfer_claim_reply(t, &plain, NULL, NULL, &r), ERR_OK);
	assert_int_equal(r.return_type, RETURN_REFER);
	assert_null(r.return_username);
	msg_finish_reply(MSG_CLAIM, &r);
	transfer_destroy(t);
	secret_finish(&plain.returns.auth_password);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_answers),
		T(test_answers_show_no_more_than_was_sent),
		T(test_claim_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
