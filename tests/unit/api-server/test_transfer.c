/* The rules of a transfer: what a POST may say, and which status follows which. */
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
#include "common/str.h"
#include "tests/fakes/oom.h"

static struct config cfg = { .transfers = { .expire_after_ms = 60000 } };
static struct agent_task tasks[] = { { .name = (char *)(uintptr_t) "call_routing" },
				     { .name = (char *)(uintptr_t) "Welcome" } };
static struct agentdef agent = { .tasks = tasks, .task_count = 2 };
static struct account plain;

static int
setup(void **state)
{
	(void)state;
	plain = (struct account){ .name = (char *)(uintptr_t) "demo", .agent_def = &agent };
	plain.returns.type = RETURN_BYE;
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

static enum err
read_text(const char *text, struct transfer **t, struct transfer_auth *auth, struct fault *f)
{
	json_t *body = body_of(text);
	enum err e = transfer_read(body, &plain, t, auth, f);

	if (e == ERR_OK)
		transfer_begin(*t, 1000, cfg.transfers.expire_after_ms);

	json_decref(body);
	return e;
}

static void
assert_refused(const char *text, enum err expected, const char *where)
{
	struct transfer *t = NULL;
	struct transfer_auth auth = { { 0 }, { 0 } };
	struct fault f = { .where = "" };
	enum err e = read_text(text, &t, &auth, &f);

	if (e != expected || !str_eq(f.where, where))
		fprintf(stderr, "%s: %s at %s (%s)\n", text, err_name(e), f.where, f.what);
	assert_int_equal(e, expected);
	assert_string_equal(f.where, where);
	assert_true(f.what[0] != '\0');
	assert_null(t);
	assert_null(auth.username.text);
	assert_null(auth.password.text);
}

static struct transfer *
assert_read(const char *text)
{
	struct transfer *t = NULL;
	struct fault f = { .where = "" };
	enum err e = read_text(text, &t, NULL, &f);

	if (e != ERR_OK)
		fprintf(stderr, "%s: %s at %s (%s)\n", text, err_name(e), f.where, f.what);
	assert_int_equal(e, ERR_OK);
	return t;
}

static void
assert_accepted(const char *text)
{
	transfer_destroy(assert_read(text));
}

/* --- life cycle: every state and event, against the whole table written down --- */

static void
test_every_state_and_event(void **state)
{
	/* rows: from ACTIVE, ONGOING, COMPLETED, EXPIRED; columns: claim, release, complete, expire
	 */
	static const char *const golden[TRANSFER_STATUS_COUNT][TRANSFER_EVENT_COUNT] = {
		{ "ONGOING", NULL, NULL, "EXPIRED" },
		{ NULL, "ACTIVE", "COMPLETED", NULL },
		{ NULL, NULL, "COMPLETED", NULL },
		{ NULL, NULL, NULL, NULL },
	};

	(void)state;
	for (int s = 0; s < TRANSFER_STATUS_COUNT; s++)
		for (int e = 0; e < TRANSFER_EVENT_COUNT; e++) {
			enum transfer_status to = TRANSFER_STATUS_COUNT;
			bool ok = transfer_next((enum transfer_status)s, (enum transfer_event)e,
						&to);

			assert_int_equal(ok, golden[s][e] != NULL);
			if (ok)
				assert_string_equal(transfer_status_names[to], golden[s][e]);
			else
				assert_int_equal(to, TRANSFER_STATUS_COUNT);
		}
	assert_null(transfer_status_names[TRANSFER_STATUS_COUNT]);
}

static void
test_status_by_the_clock(void **state)
{
	struct transfer t = { .status = TRANSFER_ACTIVE, .expires_at = 100 };

	(void)state;
	assert_int_equal(transfer_status_at(&t, 99), TRANSFER_ACTIVE);
	assert_int_equal(transfer_status_at(&t, 100), TRANSFER_EXPIRED);
	t.status = TRANSFER_ONGOING;
	assert_int_equal(transfer_status_at(&t, 100), TRANSFER_ONGOING);
}

/* --- POST --- */

static void
test_refused_bodies(void **state)
{
	static const struct {
		const char *text;
		enum err e;
		const char *where;
	} cases[] = {
		/* clang-format off */
		{ "[]", ERR_INVALID, "/" },
		{ "7", ERR_INVALID, "/" },
		{ "null", ERR_INVALID, "/" },
		{ "{}", ERR_INVALID, "/id" },
		{ "{'id':7}", ERR_INVALID, "/id" },
		{ "{'id':null}", ERR_INVALID, "/id" },
		{ "{'id':''}", ERR_INVALID, "/id" },
		{ "{'id':' a'}", ERR_INVALID, "/id" },
		{ "{'id':'a '}", ERR_INVALID, "/id" },
		{ "{'id':'a\\nb'}", ERR_INVALID, "/id" },
		{ "{'id':'a\\u007fb'}", ERR_INVALID, "/id" },
		{ "{'id':'a'}", ERR_INVALID, "/externalConversationId" },
		{ "{'id':'a','externalConversationId':[]}", ERR_INVALID, "/externalConversationId" },
		{ "{'id':'a','externalConversationId':'\\t'}", ERR_INVALID, "/externalConversationId" },
		{ "{'id':'a','externalConversationId':'c'}", ERR_INVALID, "/type" },
		{ "{'id':'a','externalConversationId':'c','type':'sip'}", ERR_INVALID, "/type" },
		{ "{'id':'a','externalConversationId':'c','type':1}", ERR_INVALID, "/type" },
		{ "{'id':'a','externalConversationId':'c','type':'PHONE_NUMBER'}", ERR_UNPROCESSABLE, "/type" },
		{ "{'id':'a','externalConversationId':'c','type':'PHONE_NUMBER','phoneNumber':1}", ERR_INVALID, "/phoneNumber" },
		{ "{'id':'a','externalConversationId':'c','type':'PHONE_NUMBER','phoneNumber':{'country':1}}", ERR_INVALID, "/phoneNumber/country" },
		{ HEAD ",'sip':7}", ERR_INVALID, "/sip" },
		{ HEAD ",'sip':[]}", ERR_INVALID, "/sip" },
		{ HEAD ",'sip':{'returnTransferType':'refer'}}", ERR_INVALID, "/sip/returnTransferType" },
		{ HEAD ",'sip':{'returnTransferType':7}}", ERR_INVALID, "/sip/returnTransferType" },
		{ HEAD ",'sip':{'returnTransferType':'REFER'}}", ERR_UNPROCESSABLE, "/sip/returnUri" },
		{ HEAD ",'sip':{'returnTransferType':'INVITE'}}", ERR_UNPROCESSABLE, "/sip/returnUri" },
		{ HEAD ",'sip':{'returnUri':7}}", ERR_INVALID, "/sip/returnUri" },
		{ HEAD ",'sip':{'returnURI':false}}", ERR_INVALID, "/sip/returnURI" },
		{ HEAD ",'sip':{'returnUri':''}}", ERR_INVALID, "/sip/returnUri" },
		{ HEAD ",'sip':{'returnURI':'http://h'}}", ERR_INVALID, "/sip/returnURI" },
		{ HEAD ",'sip':{'returnUri':'sip:a@h','returnURI':'sip:b@h'}}", ERR_INVALID, "/sip/returnURI" },
		{ HEAD ",'sip':{'returnUri':'sip:a@h\\r\\nX: y'}}", ERR_INVALID, "/sip/returnUri" },
		{ HEAD ",'sip':{'returnUri':'sip:a@h>'}}", ERR_INVALID, "/sip/returnUri" },
		{ HEAD ",'sip':{'returnTransferType':'INVITE','returnUri':'sip:a@h?Route=x'}}", ERR_INVALID, "/sip/returnUri" },
		{ HEAD ",'sip':{'returnInviteAuthentication':'x'}}", ERR_INVALID, "/sip/returnInviteAuthentication" },
		{ HEAD ",'sip':{'returnInviteAuthentication':{'username':7}}}", ERR_INVALID, "/sip/returnInviteAuthentication/username" },
		{ HEAD ",'sip':{'returnInviteAuthentication':{'username':'u'}}}", ERR_INVALID, "/sip/returnInviteAuthentication/password" },
		{ HEAD ",'sip':{'returnInviteAuthentication':{'password':'p'}}}", ERR_INVALID, "/sip/returnInviteAuthentication/username" },
		{ HEAD ",'sip':{'returnInviteAuthentication':{'username':'u','password':'p\\n'}}}", ERR_INVALID, "/sip/returnInviteAuthentication/password" },
		{ HEAD ",'sip':{'returnInviteAuthentication':{'username':'','password':'p'}}}", ERR_INVALID, "/sip/returnInviteAuthentication/username" },
		{ HEAD ",'inputContext':'x'}", ERR_INVALID, "/inputContext" },
		{ HEAD ",'inputContext':{'taskName':7}}", ERR_INVALID, "/inputContext/taskName" },
		{ HEAD ",'inputContext':{'taskName':''}}", ERR_INVALID, "/inputContext/taskName" },
		{ HEAD ",'inputContext':{'taskName':'nope'}}", ERR_UNPROCESSABLE, "/inputContext/taskName" },
		{ HEAD ",'inputContext':{'inputVariables':[]}}", ERR_INVALID, "/inputContext/inputVariables" },
		{ HEAD ",'inputContext':{'inputVariables':{'x':7}}}", ERR_INVALID, "/inputContext/inputVariables/x" },
		{ HEAD ",'inputContext':{'inputVariables':{'x':null}}}", ERR_INVALID, "/inputContext/inputVariables/x" },
		{ HEAD ",'inputContext':{'inputVariables':{'x':{}}}}", ERR_INVALID, "/inputContext/inputVariables/x" },
		{ HEAD ",'inputContext':{'inputVariables':{'a/b~c':true}}}", ERR_INVALID, "/inputContext/inputVariables/a~1b~0c" },
		{ HEAD ",'inputContext':{'inputVariables':{'':'x'}}}", ERR_INVALID, "/inputContext/inputVariables/" },
		/* clang-format on */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_refused(cases[i].text, cases[i].e, cases[i].where);
}

static void
test_accepted_bodies(void **state)
{
	static const char *const cases[] = {
		HEAD "}",
		HEAD ",'unknown':{'x':[1]},'sip':{'later':7},'inputContext':{'more':null}}",
		HEAD ",'phoneNumber':{'country':'US'}}",
		HEAD ",'sip':{'returnUri':'sip:a@h','returnURI':'sip:a@h'}}",
		HEAD ",'sip':{'returnInviteAuthentication':{}}}",
		HEAD ",'sip':{'returnTransferType':'BYE','returnUri':'tel:+1999'}}",
		HEAD ",'sip':{'returnTransferType':'REFER','returnUri':'sips:h?Replaces=x'}}",
		HEAD ",'inputContext':{'inputVariables':{'x':'a\\nb'}}}",
		"{'id':'a b','externalConversationId':'\xc3\xa4','type':'SIP'}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_accepted(cases[i]);
}

static void
test_what_is_read(void **state)
{
	struct transfer_auth auth = { { 0 }, { 0 } };
	struct transfer *t = NULL;
	struct fault f;

	(void)state;
	assert_int_equal(
		read_text(HEAD ",'sip':{'returnURI':'sip:u@h;x=1','returnTransferType':'INVITE',"
			       "'returnInviteAuthentication':{'username':'us','password':'pw'}},"
			       "'inputContext':{'taskName':'Welcome','inputVariables':{'n':'J'}}}",
			  &t, &auth, &f),
		ERR_OK);
	assert_string_equal(t->account, "demo");
	assert_string_equal(t->id, "i");
	assert_string_equal(t->conversation, "c");
	assert_int_equal(t->status, TRANSFER_ACTIVE);
	assert_int_equal(t->uri_spelling, RETURN_URI_UPPER);
	assert_int_equal(t->return_type, RETURN_INVITE);
	assert_string_equal(t->return_uri, "sip:u@h;x=1");
	assert_string_equal(t->task, "Welcome");
	assert_string_equal(t->variables, "{\"n\":\"J\"}");
	assert_int_equal(t->created_at, 1000);
	assert_int_equal(t->expires_at, 61000);
	assert_null(t->sealed_auth);
	assert_string_equal(auth.username.text, "us");
	assert_string_equal(auth.password.text, "pw");
	secret_finish(&auth.username);
	secret_finish(&auth.password);
	transfer_destroy(t);
}

/* n times c, between two pieces of a body. */
static char *
repeated(const char *before, char c, size_t n, const char *after)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	buf_add_str(&b, before);
	for (size_t i = 0; i < n; i++)
		buf_add(&b, &c, 1);
	buf_add_str(&b, after);
	return buf_take(&b);
}

static void
check_limit(const char *before, const char *after, size_t limit, const char *where)
{
	char *fits = repeated(before, 'a', limit, after);
	char *too_long = repeated(before, 'a', limit + 1, after);

	assert_accepted(fits);
	assert_refused(too_long, ERR_INVALID, where);
	free(fits);
	free(too_long);
}

static void
test_limits(void **state)
{
	static const char variables[] = HEAD ",'inputContext':{'inputVariables':{'";
	char where[160] = "/inputContext/inputVariables/";

	(void)state;
	memset(where + strlen(where), 'a', 100); /* a path shows no more of a name */
	check_limit("{'id':'", "','externalConversationId':'c','type':'SIP'}", 256, "/id");
	check_limit("{'id':'i','externalConversationId':'", "','type':'SIP'}", 256,
		    "/externalConversationId");
	check_limit(HEAD ",'sip':{'returnUri':'sip:", "'}}", 1020, "/sip/returnUri");
	check_limit(HEAD ",'sip':{'returnInviteAuthentication':{'password':'p','username':'",
		    "'}}}", 256, "/sip/returnInviteAuthentication/username");
	check_limit(variables, "':'x'}}}", 128, where);
}

static void
test_a_path_is_cut_between_characters(void **state)
{
	char name[300] = "a";
	char text[600];
	struct transfer *t = NULL;
	struct fault f = { .where = "" };

	(void)state;
	for (int i = 0; i < 60; i++)
		memcpy(name + 1 + 2 * i, "\xc3\xa4", 3);
	str_print(text, sizeof(text), HEAD ",'inputContext':{'inputVariables':{'%s':7}}}", name);
	assert_int_equal(read_text(text, &t, NULL, &f), ERR_INVALID);
	assert_true(str_is_utf8(f.where, strlen(f.where)));
	assert_int_equal(strlen(f.where), strlen("/inputContext/inputVariables/") + 99);
}

static void
test_how_many_variables(void **state)
{
	struct buf b;
	char *text;

	(void)state;
	/* As the body allows: many, and one of them long. */
	buf_init(&b, 1 << 20);
	buf_add_str(&b, HEAD ",'inputContext':{'inputVariables':{'long':'");
	for (int i = 0; i < 10000; i++)
		buf_add_str(&b, "0123456789");
	buf_add_str(&b, "'");
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, ",'v%d':''", i);
	buf_add_str(&b, "}}}");
	text = buf_take(&b);
	assert_non_null(text);
	assert_accepted(text);
	free(text);
}

static void
test_the_accounts_defaults(void **state)
{
	(void)state;
	plain.returns.type = RETURN_REFER;
	assert_refused(HEAD "}", ERR_UNPROCESSABLE, "/sip/returnUri");
	assert_accepted(HEAD ",'sip':{'returnTransferType':'BYE'}}");
	assert_accepted(HEAD ",'sip':{'returnUri':'sip:h'}}");
	plain.returns.uri = (char *)(uintptr_t) "sip:static@h";
	assert_accepted(HEAD "}");
	assert_accepted(HEAD ",'sip':{'returnTransferType':'INVITE'}}");
	plain.returns.type = RETURN_INVITE; /* decides what the URI's headers may be */
	assert_refused(HEAD ",'sip':{'returnUri':'sip:h?Route=x'}}", ERR_INVALID, "/sip/returnUri");
	plain.agent_def = NULL;
	assert_accepted(HEAD ",'inputContext':{'taskName':'any'}}");
}

static void
test_a_uri_beyond_the_targets(void **state)
{
	(void)state;
	plain.returns.has_allowed_targets = true;
	assert_refused(HEAD ",'sip':{'returnTransferType':'REFER','returnURI':'sip:h'}}",
		       ERR_UNPROCESSABLE, "/sip/returnURI");
	assert_accepted(HEAD ",'sip':{'returnTransferType':'BYE','returnURI':'sip:h'}}");
}

/* --- out of memory --- */

static json_t *oom_body;

static bool
read_and_show(void *arg)
{
	struct transfer_auth auth = { { 0 }, { 0 } };
	struct transfer *t = NULL;
	struct fault f;
	json_t *j = NULL;
	struct msg_claim_reply r;
	bool ok = transfer_read(oom_body, &plain, &t, &auth, &f) == ERR_OK;

	(void)arg;
	if (ok)
		j = transfer_json(t, true, 1000);
	ok = ok && j;
	json_decref(j);
	if (ok && transfer_claim_reply(t, &plain, &auth, "{\"a\":1}", &r) == ERR_OK)
		msg_finish_reply(MSG_CLAIM, &r);
	else
		ok = false;
	transfer_destroy(t);
	secret_finish(&auth.username);
	secret_finish(&auth.password);
	return ok;
}

static void
test_out_of_memory(void **state)
{
	(void)state;
	oom_body = body_of(HEAD
			   ",'sip':{'returnURI':'sip:u@h','returnTransferType':'INVITE',"
			   "'returnInviteAuthentication':{'username':'us','password':'pw'}},"
			   "'inputContext':{'taskName':'Welcome','inputVariables':{'n':'J'}}}");
	assert_true(oom_run(read_and_show, NULL) > 0);
	json_decref(oom_body);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_every_state_and_event),
		T(test_status_by_the_clock),
		T(test_refused_bodies),
		T(test_accepted_bodies),
		T(test_what_is_read),
		T(test_limits),
		T(test_a_path_is_cut_between_characters),
		T(test_how_many_variables),
		T(test_the_accounts_defaults),
		T(test_a_uri_beyond_the_targets),
		T(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
