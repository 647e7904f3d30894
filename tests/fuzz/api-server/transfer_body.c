/* A POST's body from bytes to the answers: what is accepted keeps the contract's promises. */
#include <stdlib.h>
#include <string.h>

#include "api-server/domain/transfer.h"
#include "common/jfield.h"
#include "common/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config cfg = { .transfers = { .expire_after_ms = 60000 } };

/* One account that allows much, one that allows little, one with defaults of its own. */
static const struct account *
account_of(unsigned which)
{
	static char *targets[] = { (char *)(uintptr_t) "h", (char *)(uintptr_t) ".net",
				   (char *)(uintptr_t) "10.0.0.0/8" };
	static struct account a[3];

	for (size_t i = 0; i < 3; i++) {
		a[i].name = (char *)(uintptr_t) "demo";
		a[i].returns.uri = (char *)(uintptr_t)(i == 2 ? "sip:static@h" : "");
	}
	a[1].returns.type = RETURN_REFER;
	a[1].returns.has_allowed_targets = true;
	a[1].returns.allowed_targets = (struct text_list){ .items = targets, .count = 3 };
	a[2].returns.type = RETURN_INVITE;
	return &a[which % 3];
}

static void
check(const struct transfer *t)
{
	struct fault f;

	assert(strlen(t->id) >= 1 && strlen(t->id) <= 256 && !str_has_control(t->id));
	assert(strlen(t->conversation) >= 1 && strlen(t->conversation) <= 256);
	assert(!t->return_uri ||
	       (strlen(t->return_uri) <= 1024 && !str_has_control(t->return_uri) &&
		!strpbrk(t->return_uri, "<>")));
	assert(!t->return_uri || transfer_check_uri(t->return_uri, RETURN_BYE, &f) == ERR_OK);
	assert(t->return_type >= -1 && t->return_type <= RETURN_INVITE);
}

static void
show(const struct transfer *t, const struct account *a, const struct transfer_auth *auth)
{
	json_t *j = transfer_json(t, true, 1000);
	struct msg_claim_reply r;

	assert(j && !json_object_get(json_object_get(j, "sip"), "returnInviteAuthentication"));
	assert(str_eq(json_string_value(json_object_get(j, "id")), t->id));
	json_decref(j);
	assert(transfer_claim_reply(t, a, auth, NULL, &r) == ERR_OK);
	assert(r.return_type == RETURN_BYE || r.return_uri);
	msg_finish_reply(MSG_CLAIM, &r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct transfer_auth auth = { { 0 }, { 0 } };
	struct transfer *t = NULL;
	struct fault f = { .where = "" };
	const struct account *a;
	json_t *body = NULL;
	enum err e;

	if (size < 1 || json_parse((const char *)data + 1, size - 1, &body, &f) != ERR_OK)
		return 0;
	a = account_of(data[0]);
	e = transfer_read(body, a, &t, &auth, &f);
	if (t)
		transfer_begin(t, 1000, cfg.transfers.expire_after_ms);
	assert((e == ERR_OK) == (t != NULL));
	assert(e == ERR_OK || e == ERR_INVALID || e == ERR_UNPROCESSABLE);
	if (t) {
		check(t);
		show(t, a, &auth);
	} else {
		assert(f.what[0] && str_is_utf8(f.where, strlen(f.where)) &&
		       str_is_utf8(f.what, strlen(f.what)));
	}
	transfer_destroy(t);
	secret_finish(&auth.username);
	secret_finish(&auth.password);
	json_decref(body);
	return 0;
}
