/* What an agent's names cost, and the two handlers that tell it, with every allocation failing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api-server/domain/agent_budget.h"
#include "api-server/http/internal.h"
#include "common/jfield.h"
#include "tests/fakes/oom.h"

static const char text[] =
	"name: a\n"
	"brain: rules\n"
	"default_task: t\n"
	"tasks:\n"
	"  - name: t\n"
	"    selector_description: d\n"
	"    functions: [ { name: back } ]\n"
	"functions:\n"
	"  - name: back\n"
	"    type: system_transfer\n"
	"    description: d\n"
	"    parameters:\n"
	"      type: object\n"
	"      properties: { p: { type: string }, \"a b\": { type: string } }\n"
	"    transfer_variables: [ { name: v, value: \"1\" }, { name: p, value: \"1\" } ]\n"
	"  - name: set\n"
	"    type: set_variable\n"
	"    description: d\n"
	"    variables: [ { name: r, value: \"1\" } ]\n"
	"  - name: look\n"
	"    type: mock\n"
	"    description: d\n"
	"    response: {}\n"
	"    reference_vars: [ { name: q, response_keypath: response.q },\n"
	"      { name: r, response_keypath: response.r } ]\n"
	"  - { name: person, type: agent_transfer, description: d }\n";

static struct agentdef *agent;
static char name_a[] = "a", name_b[] = "b", uri[] = "sip:h?X-A=1", none[] = "";
static struct account accounts[2] = {
	{ .name = name_a, .agent = name_a, .returns = { .uri = uri } },
	{ .name = name_b, .agent = name_a, .returns = { .uri = none } },
};
static struct config cfg = { .accounts = accounts, .account_count = 2, .agent_count = 1 };

/* --- what the handlers have around them --- */

static enum err answered;
static char answer[8192], where[160];
static bool short_of_memory;

void
reply_json(struct request *r, json_t *body)
{
	char *json = body ? json_text(body) : NULL;

	(void)r;
	answered = json ? ERR_OK : ERR_NOMEM;
	assert(!json || str_copy(answer, sizeof(answer), json));
	short_of_memory = !json;
	free(json);
	json_decref(body);
}

void
reply_error(struct request *r, enum err e, const struct fault *f)
{
	(void)r;
	answered = e;
	short_of_memory = e == ERR_NOMEM;
	(void)str_copy(where, sizeof(where), f ? f->where : "");
}

bool
query_account(struct request *r)
{
	(void)r;
	return true;
}

static struct http http = { .cfg = &cfg };

static void
request(struct request *r, const char *account, const char *query, json_t *body)
{
	memset(r, 0, sizeof(*r));
	r->http = &http;
	r->json = body;
	r->is_operator = !*account;
	(void)str_copy(r->account, sizeof(r->account), account);
	(void)str_copy(r->match.query, sizeof(r->match.query), query);
	answered = ERR_COUNT;
}

/* --- tests --- */

static void
names_and_room(void **state)
{
	json_t *j = agent_budget_json(agent, "c", "sip:h?X-A=1");
	char *out = json_text(j);

	(void)state;
	/* Fixed: "X-A=1&X-GA-extConId=c&X-GA-transfer=SYSTEM". */
	assert_string_equal(
		out,
		"{\"agent\":\"a\",\"budget\":1024,\"conversationId\":\"c\",\"referenceVariables\":"
		"[{\"name\":\"r\",\"bytes\":11},{\"name\":\"q\",\"bytes\":11}],\"functions\":["
		"{\"function\":\"back\",\"transferType\":\"SYSTEM\",\"transferVariables\":"
		"[{\"name\":\"v\",\"bytes\":11},{\"name\":\"p\",\"bytes\":11},"
		"{\"name\":\"a b\",\"bytes\":15}],\"fixedBytes\":42,\"roomForAllValues\":923,"
		"\"roomForTransferValues\":945},"
		"{\"function\":\"person\",\"transferType\":\"AGENT\",\"transferVariables\":[],"
		"\"fixedBytes\":41,\"roomForAllValues\":961,\"roomForTransferValues\":983}]}");
	free(out);
	json_decref(j);
}

static void
no_room(void **state)
{
	char id[600];
	json_t *j, *back;

	(void)state;
	memset(id, '&', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	j = agent_budget_json(agent, id, NULL);
	back = json_array_get(json_object_get(j, "functions"), 0);
	assert_true(json_integer_value(json_object_get(back, "fixedBytes")) > 1024);
	assert_true(json_integer_value(json_object_get(back, "roomForTransferValues")) < 0);
	json_decref(j);
}

static void
whose_uri(void **state)
{
	struct request r;
	json_t *body = json_pack("{s:s}", "conversationId", "c");

	(void)state;
	request(&r, "a", "", body);
	h_context_preview(&r);
	assert_int_equal(answered, ERR_OK);
	assert_non_null(strstr(answer, "\"referTo\":\"<sip:h?X-A=1&X-GA-extConId=c&X-GA-transfer="
				       "SYSTEM>\""));
	request(&r, "b", "", body);
	h_context_preview(&r);
	assert_int_equal(answered, ERR_OK);
	assert_null(strstr(answer, "referTo"));
	/* Gone from the configuration since the key was checked. */
	request(&r, "gone", "", body);
	h_context_preview(&r);
	assert_int_equal(answered, ERR_UNAUTHORIZED);
	r.is_operator = true;
	h_context_preview(&r);
	assert_int_equal(answered, ERR_NOT_FOUND);
	json_decref(body);
}

static void
whose_agent(void **state)
{
	struct request r;

	(void)state;
	request(&r, "a", "", NULL);
	h_context_budget(&r);
	assert_int_equal(answered, ERR_OK);
	request(&r, "", "", NULL);
	h_context_budget(&r);
	assert_int_equal(answered, ERR_INVALID);
	request(&r, "", "agent=a&conversationId=%zz", NULL);
	h_context_budget(&r);
	assert_int_equal(answered, ERR_INVALID);
	accounts[1].agent_def = NULL;
	request(&r, "b", "", NULL);
	h_context_budget(&r);
	assert_int_equal(answered, ERR_NOT_FOUND);
	request(&r, "b", "agent=a", NULL);
	h_context_budget(&r);
	assert_int_equal(answered, ERR_NOT_FOUND);
	accounts[1].agent_def = agent;
}

static bool
budget(void *arg)
{
	struct request r;

	(void)arg;
	request(&r, "a", "", NULL);
	h_context_budget(&r);
	assert(answered == ERR_OK || short_of_memory);
	return answered == ERR_OK;
}

static bool
preview(void *arg)
{
	struct request r;

	request(&r, "a", "", arg);
	h_context_preview(&r);
	assert(answered == ERR_OK || short_of_memory);
	return answered == ERR_OK;
}

static void
without_memory(void **state)
{
	json_t *body = json_pack("{s:s,s:{s:s,s:i},s:{s:s},s:s}", "conversationId", "c",
				 "transferVariables", "a b", "1\n", "n", 5, "referenceVariables",
				 "r", "x", "returnUri", "sip:h");

	(void)state;
	assert_true(oom_run(budget, NULL) > 0);
	assert_true(oom_run(preview, body) > 0);
	json_decref(body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_room), cmocka_unit_test(no_room),
		cmocka_unit_test(whose_uri),      cmocka_unit_test(whose_agent),
		cmocka_unit_test(without_memory),
	};
	struct fault f = { .what = "" };
	int failed;

	agent = agentdef_parse(text, sizeof(text) - 1, "a.yaml", &f);
	if (!agent) {
		fprintf(stderr, "%s: %s\n", f.where, f.what);
		return 1;
	}
	accounts[0].agent_def = accounts[1].agent_def = agent;
	cfg.agents = &agent;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agentdef_destroy(agent);
	return failed;
}
