/* What a returned call would carry in header mode: for given variables, and for an agent before
 * there are any. */
#include "api-server/http/internal.h"

#include <string.h>

#include "api-server/domain/agent_budget.h"
#include "common/context.h"
#include "common/jfield.h"

#define CONVERSATION_MAX 256
/* As long as the ids that most clients choose. */
#define CONVERSATION_DEFAULT "00000000-0000-0000-0000-000000000000"

/* The account's own URI, if it has one. */
static const char *
account_uri(const struct account *a)
{
	return a && a->returns.uri && *a->returns.uri ? a->returns.uri : NULL;
}

/* Whose defaults apply: the key's account, or the one that an operator names.  false: answered. */
static bool
chosen_account(struct request *r, const struct account **out)
{
	*out = NULL;
	if (!query_account(r))
		return false;
	if (!r->account[0])
		return true;
	*out = config_account(r->http->cfg, r->account);
	if (!*out)
		reply_error(r, r->is_operator ? ERR_NOT_FOUND : ERR_UNAUTHORIZED, NULL);
	return *out != NULL;
}

/* --- POST /handback/v1/context-budget --- */

struct preview {
	char conversation[CONVERSATION_MAX + 1];
	int transfer_type;
	json_t *transfer_variables, *reference_variables;
	char *uri;
};

static const char *const type_names[] = { "SYSTEM", "AGENT", NULL };

/* clang-format off */
#define AT(m) .offset = offsetof(struct preview, m), .size = sizeof(((struct preview *)0)->m)
static const struct jfield fields[] = {
	{ "conversationId",     J_STR,  false, AT(conversation) },
	{ "transferType",       J_ENUM, false, AT(transfer_type), .names = type_names },
	{ "transferVariables",  J_JSON, false, AT(transfer_variables) },
	{ "referenceVariables", J_JSON, false, AT(reference_variables) },
	{ "returnUri",          J_TEXT, false, AT(uri), .max = 1024 },
	JF_END
};
/* clang-format on */

static enum err
read_preview(const json_t *body, struct preview *p, struct fault *f)
{
	enum err e = jfield_read(fields, body, "", p, f);

	if (e != ERR_OK)
		return e;
	if (json_is_array(p->transfer_variables))
		fault_set(f, "/transferVariables", "expected an object");
	else if (json_is_array(p->reference_variables))
		fault_set(f, "/referenceVariables", "expected an object");
	else
		return ERR_OK;
	return ERR_INVALID;
}

static json_t *
header_lines(const struct context *c)
{
	json_t *lines = json_array();
	bool ok = lines != NULL;

	for (size_t i = 0; ok && i < c->header_count; i++)
		ok = json_array_append_new(lines, json_pack("{s:s,s:s}", "name", c->headers[i].name,
							    "value", c->headers[i].value)) == 0;
	if (ok)
		return lines;
	json_decref(lines);
	return NULL;
}

/* The report, and the texts beside it. */
static json_t *
preview_json(const struct context *c)
{
	json_t *out = json_copy(c->report), *lines = header_lines(c);
	json_t *refer_to = c->refer_to ? json_string(c->refer_to) : NULL;

	if (out && lines && (refer_to || !c->refer_to) &&
	    json_object_set(out, "headers", lines) == 0 &&
	    (!refer_to || json_object_set(out, "referTo", refer_to) == 0))
		goto done;
	json_decref(out);
	out = NULL;
done:
	json_decref(lines);
	json_decref(refer_to);
	return out;
}

static void
reply_preview(struct request *r, const struct preview *p, const char *uri)
{
	struct context_input in = {
		.conversation = p->conversation[0] ? p->conversation : CONVERSATION_DEFAULT,
		.transfer_type = type_names[p->transfer_type],
		.transfer_variables = p->transfer_variables,
		.reference_variables = p->reference_variables,
		.uri = uri,
	};
	struct fault f = { 0 };
	struct context c;
	enum err e = context_make(&in, &c, &f);

	if (e == ERR_OK) {
		reply_json(r, preview_json(&c));
		context_finish(&c);
		return;
	}
	(void)str_copy(f.where, sizeof(f.where), "/returnUri");
	reply_error(r, e, &f);
}

void
h_context_preview(struct request *r)
{
	const struct account *account;
	struct preview p = { .uri = NULL };
	struct fault f = { 0 };
	enum err e;

	if (!chosen_account(r, &account))
		return;
	e = read_preview(r->json, &p, &f);
	if (e == ERR_OK)
		reply_preview(r, &p, p.uri ? p.uri : account_uri(account));
	else
		reply_error(r, e, &f);
	jfield_finish(fields, &p);
}

/* --- GET /handback/v1/context-budget --- */

/* An account sees the agent that it has, and no other. false: answered. */
static bool
chosen_agent(struct request *r, const struct account *account, const struct agentdef **out)
{
	const struct agentdef *own = account ? account->agent_def : NULL;
	char name[MSG_NAME_MAX];
	bool found;

	if (route_query(r->match.query, "agent", name, sizeof(name), &found) != ERR_OK ||
	    (!found && !account)) {
		reply_error(r, ERR_INVALID, &(struct fault){ .what = "agent: a name expected" });
		return false;
	}
	*out = found ? config_agent(r->http->cfg, name) : own;
	if (*out && (r->is_operator || *out == own))
		return true;
	reply_error(r, ERR_NOT_FOUND, NULL);
	return false;
}

void
h_context_budget(struct request *r)
{
	char conversation[CONVERSATION_MAX + 1] = CONVERSATION_DEFAULT;
	const struct account *account;
	const struct agentdef *agent;
	bool found;

	if (!chosen_account(r, &account) || !chosen_agent(r, account, &agent))
		return;
	if (route_query(r->match.query, "conversationId", conversation, sizeof(conversation),
			&found) != ERR_OK ||
	    !str_is_utf8(conversation, strlen(conversation)))
		reply_error(r, ERR_INVALID, &(struct fault){ .what = "conversationId: malformed" });
	else
		reply_json(r, agent_budget_json(agent, conversation, account_uri(account)));
}
