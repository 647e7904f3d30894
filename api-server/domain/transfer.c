#include "api-server/domain/transfer.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/jfield.h"
#include "common/str.h"

const char *const transfer_status_names[] = { "ACTIVE", "ONGOING", "COMPLETED", "EXPIRED", NULL };

/*            POST                 claim                            complete
 *   (none) ───────▶ ACTIVE ─────────────────────▶ ONGOING ───────────────────▶ COMPLETED
 *                    │  ▲          release          │  complete again: the last of several wins
 *                    │  └───────────────────────────┘
 *                    └── expire ──▶ EXPIRED
 */
/* clang-format off */
static const struct {
	enum transfer_status in;
	enum transfer_event on;
	enum transfer_status go;
} TRANSFER_RULES[] = {
	{ TRANSFER_ACTIVE,    TRANSFER_EV_CLAIM,    TRANSFER_ONGOING },
	{ TRANSFER_ACTIVE,    TRANSFER_EV_EXPIRE,   TRANSFER_EXPIRED },
	{ TRANSFER_ONGOING,   TRANSFER_EV_RELEASE,  TRANSFER_ACTIVE },
	{ TRANSFER_ONGOING,   TRANSFER_EV_COMPLETE, TRANSFER_COMPLETED },
	{ TRANSFER_COMPLETED, TRANSFER_EV_COMPLETE, TRANSFER_COMPLETED },
};
/* clang-format on */

bool
transfer_next(enum transfer_status in, enum transfer_event on, enum transfer_status *out)
{
	for (size_t i = 0; i < ARRAY_LEN(TRANSFER_RULES); i++)
		if (TRANSFER_RULES[i].in == in && TRANSFER_RULES[i].on == on) {
			*out = TRANSFER_RULES[i].go;
			return true;
		}
	return false;
}

struct transfer *
transfer_create(void)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (t)
		t->return_type = -1;
	return t;
}

void
transfer_destroy(struct transfer *t)
{
	if (!t)
		return;
	if (t->sealed_auth)
		sodium_memzero(t->sealed_auth, t->sealed_auth_len);
	free(t->sealed_auth);
	free(t->account);
	free(t->id);
	free(t->conversation);
	free(t->return_uri);
	free(t->task);
	free(t->variables);
	free(t->output);
	free(t);
}

enum transfer_status
transfer_status_at(const struct transfer *t, int64_t now_ms)
{
	if (t->status == TRANSFER_ACTIVE && t->expires_at <= now_ms)
		return TRANSFER_EXPIRED;
	return t->status;
}

/* --- the claim's answer --- */

static bool
copy(char **out, const char *text)
{
	if (!text || !*text)
		return true;
	*out = strdup(text);
	return *out != NULL;
}

static bool
parse(json_t **out, const char *text)
{
	if (!text)
		return true;
	*out = json_loads(text, 0, NULL);
	return *out != NULL;
}

/* What an INVITE return logs in with: the transfer's own, else the account's. */
static bool
copy_auth(const struct account *a, const struct transfer_auth *auth, struct msg_claim_reply *out)
{
	if (auth && auth->username.text)
		return copy(&out->return_username, auth->username.text) &&
		       copy(&out->return_password, auth->password.text);
	if (out->return_type != RETURN_INVITE || !a->returns.auth_username)
		return true;
	return copy(&out->return_username, a->returns.auth_username) &&
	       copy(&out->return_password, a->returns.auth_password.text);
}

enum err
transfer_claim_reply(const struct transfer *t, const struct account *account,
		     const struct transfer_auth *auth, const char *snapshot,
		     struct msg_claim_reply *out)
{
	const char *uri = t->return_uri ? t->return_uri : account->returns.uri;

	*out = (struct msg_claim_reply){ 0 };
	out->return_type = t->return_type >= 0 ? t->return_type : (int)account->returns.type;
	if (!str_copy(out->transfer, sizeof(out->transfer), t->id) ||
	    !str_copy(out->conversation, sizeof(out->conversation), t->conversation))
		return ERR_INTERNAL;
	if (copy(&out->return_uri, uri) && copy_auth(account, auth, out) &&
	    copy(&out->task, t->task) && parse(&out->variables, t->variables) &&
	    parse(&out->snapshot, snapshot))
		return ERR_OK;
	if (out->return_password)
		sodium_memzero(out->return_password, strlen(out->return_password));
	msg_finish_reply(MSG_CLAIM, out);
	return ERR_NOMEM;
}
