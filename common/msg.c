#include "common/msg.h"

#include <string.h>

#include "common/config.h"
#include "common/ipc.h"
#include "common/str.h"

/* config.c prints the same names; here they stand by symbol, so that the link needs no config. */
static const char *const return_types[] = {
	[RETURN_BYE] = "BYE",
	[RETURN_REFER] = "REFER",
	[RETURN_INVITE] = "INVITE",
	NULL,
};

#define PORT_MAX 65535

/* clang-format off */
static const struct jfield none_fields[] = { JF_END };

static const struct jfield hello_fields[] = {
	JF(struct msg_hello, worker,         J_STR,  true),
	JF(struct msg_hello, instance,       J_STR,  true),
	JF_INT(struct msg_hello, pid,        true, 0, INT32_MAX),
	JF_INT(struct msg_hello, capacity,   true, 0, INT32_MAX),
	JF(struct msg_hello, agents_version, J_STR,  true),
	JF(struct msg_hello, addresses,      J_JSON, true),
	JF(struct msg_hello, calls,          J_JSON, true),
	JF_END
};

static const struct jfield hello_reply_fields[] = {
	JF_INT(struct msg_hello_reply, port_first, true, 0, PORT_MAX),
	JF_INT(struct msg_hello_reply, port_last,  true, 0, PORT_MAX),
	JF(struct msg_hello_reply, lost, J_JSON, false),
	JF_END
};

static const struct jfield heartbeat_fields[] = {
	JF_INT(struct msg_heartbeat, calls,     true, 0, INT32_MAX),
	JF_INT(struct msg_heartbeat, max_calls, true, 0, INT32_MAX),
	JF(struct msg_heartbeat, draining, J_BOOL, true),
	JF(struct msg_heartbeat, counters, J_JSON, false),
	JF_END
};

static const struct jfield claim_fields[] = {
	JF(struct msg_claim, call,         J_STR,  true),
	JF(struct msg_claim, token,        J_STR,  true),
	JF(struct msg_claim, account,      J_STR,  true),
	JF(struct msg_claim, transfer,     J_TEXT, false),
	JF(struct msg_claim, sip_call_id,  J_STR,  true),
	JF(struct msg_claim, from_tag,     J_STR,  true),
	JF(struct msg_claim, conversation, J_TEXT, false),
	JF(struct msg_claim, task,         J_TEXT, false),
	JF(struct msg_claim, variables,    J_JSON, false),
	JF_END
};

static const struct jfield claim_reply_fields[] = {
	JF(struct msg_claim_reply, transfer,        J_STR,  true),
	JF(struct msg_claim_reply, conversation,    J_STR,  true),
	JF_ENUM(struct msg_claim_reply, return_type, true, return_types),
	JF(struct msg_claim_reply, return_uri,      J_TEXT, false),
	JF(struct msg_claim_reply, return_username, J_TEXT, false),
	JF(struct msg_claim_reply, return_password, J_TEXT, false),
	JF(struct msg_claim_reply, task,            J_TEXT, false),
	JF(struct msg_claim_reply, variables,       J_JSON, false),
	JF(struct msg_claim_reply, snapshot,        J_JSON, false),
	JF_END
};

static const struct jfield release_fields[] = {
	JF(struct msg_release, call,   J_STR, true),
	JF(struct msg_release, token,  J_STR, true),
	JF(struct msg_release, reason, J_STR, true),
	JF_END
};

static const struct jfield complete_fields[] = {
	JF(struct msg_complete, call,   J_STR,  true),
	JF(struct msg_complete, token,  J_STR,  true),
	JF(struct msg_complete, output, J_JSON, false),
	JF(struct msg_complete, reason, J_STR,  true),
	JF_INT(struct msg_complete, at, true, 0, INT64_MAX),
	JF_END
};

static const struct jfield report_fields[] = {
	JF(struct msg_report, events, J_JSON, true),
	JF_END
};

static const struct jfield snapshot_fields[] = {
	JF(struct msg_snapshot, call,  J_STR,  true),
	JF(struct msg_snapshot, token, J_STR,  true),
	JF(struct msg_snapshot, state, J_JSON, true),
	JF_END
};

static const struct jfield bye_fields[] = {
	JF(struct msg_bye, reason, J_STR, true),
	JF_END
};

const struct msg_info msg_table[MSG_TYPE_COUNT] = {
#define X(sym, wire_, dir_, kind_, body_, reply_)                                          \
	[MSG_##sym] = { .wire = (wire_), .dir = (dir_), .kind = (kind_),                   \
			.body = body_##_fields, .reply = reply_##_fields,                  \
			.body_size = sizeof(struct msg_##body_),                           \
			.reply_size = sizeof(struct msg_##reply_) },
	MSG_LIST(X)
#undef X
};
/* clang-format on */

bool
msg_type_find(const char *wire, enum msg_type *out)
{
	for (size_t i = 0; wire && i < MSG_TYPE_COUNT; i++) {
		if (strcmp(msg_table[i].wire, wire) == 0) {
			*out = (enum msg_type)i;
			return true;
		}
	}
	return false;
}

/* --- building --- */

static json_t *
envelope(const char *key1, const char *val1, const char *key2, const char *val2,
	 const struct jfield *fields, const void *body)
{
	json_t *msg = json_object();
	json_t *b = body ? jfield_write(fields, body) : json_object();

	if (!msg || !b)
		goto fail;
	if (json_object_set_new(msg, "v", json_integer(IPC_VERSION)) != 0 ||
	    json_object_set_new(msg, key1, json_string(val1)) != 0)
		goto fail;
	if (key2 && json_object_set_new(msg, key2, json_string(val2)) != 0)
		goto fail;
	if (json_object_set(msg, "body", b) != 0)
		goto fail;
	json_decref(b);
	return msg;
fail:
	json_decref(b);
	json_decref(msg);
	return NULL;
}

json_t *
msg_request(enum msg_type t, const char *id, const void *body)
{
	assert(msg_table[t].kind == MSG_REQUEST && id);
	return envelope("t", msg_table[t].wire, "id", id, msg_table[t].body, body);
}

json_t *
msg_event(enum msg_type t, const void *body)
{
	assert(msg_table[t].kind == MSG_EVENT);
	return envelope("t", msg_table[t].wire, NULL, NULL, msg_table[t].body, body);
}

json_t *
msg_reply(enum msg_type t, const char *re, enum err e, const void *reply)
{
	assert(msg_table[t].kind == MSG_REQUEST && re);
	return envelope("re", re, "err", err_name(e), msg_table[t].reply, reply);
}

/* --- opening --- */

static enum err
refuse(struct fault *f, const char *where, const char *what)
{
	fault_set(f, where, "%s", what);
	return ERR_PROTOCOL;
}

/* A member that must be a string of 1 to ID_MAX - 1 bytes; NULL if it is not. */
static const char *
token(const json_t *msg, const char *key)
{
	const char *s = json_string_value(json_object_get(msg, key));

	return s && *s && strlen(s) < ID_MAX ? s : NULL;
}

static enum err
open_reply(const json_t *msg, struct msg_head *h, struct fault *f)
{
	h->is_reply = true;
	h->id = token(msg, "re");
	if (!h->id)
		return refuse(f, "/re", "expected the id of a request");
	if (json_object_get(msg, "t") || json_object_get(msg, "id"))
		return refuse(f, "/re", "a reply has neither t nor id");
	if (!err_from_name(json_string_value(json_object_get(msg, "err")), &h->err))
		return refuse(f, "/err", "not the name of an error");
	return ERR_OK;
}

static enum err
open_typed(const json_t *msg, enum msg_dir from, struct msg_head *h, struct fault *f)
{
	const struct msg_info *info;

	if (!msg_type_find(json_string_value(json_object_get(msg, "t")), &h->type))
		return refuse(f, "/t", "unknown type");
	info = &msg_table[h->type];
	if (info->dir != from)
		return refuse(f, "/t", "wrong direction");
	h->id = token(msg, "id");
	if (info->kind == MSG_REQUEST && !h->id)
		return refuse(f, "/id", "a request needs an id");
	if (info->kind == MSG_EVENT && json_object_get(msg, "id"))
		return refuse(f, "/id", "an event has no id");
	if (!json_is_object(json_object_get(msg, "body")))
		return refuse(f, "/body", "expected an object");
	return ERR_OK;
}

enum err
msg_open(const json_t *msg, enum msg_dir from, struct msg_head *out, struct fault *f)
{
	const json_t *v = json_object_get(msg, "v"), *body = json_object_get(msg, "body");
	struct msg_head h = { .body = body };
	enum err e;

	if (!json_is_object(msg))
		return refuse(f, "", "expected an object");
	if (!json_is_integer(v) || json_integer_value(v) != IPC_VERSION)
		return refuse(f, "/v", "another version of the protocol");
	if (body && !json_is_object(body))
		return refuse(f, "/body", "expected an object");
	e = json_object_get(msg, "re") ? open_reply(msg, &h, f) : open_typed(msg, from, &h, f);
	if (e == ERR_OK)
		*out = h;
	return e;
}

/* What is wrong on the link is the other program's fault, not a client's request. */
static enum err
read_fields(const struct jfield *fields, const json_t *body, void *out, struct fault *f)
{
	enum err e = jfield_read(fields, body, "/body", out, f);

	return e == ERR_INVALID ? ERR_PROTOCOL : e;
}

enum err
msg_read_body(enum msg_type t, const json_t *body, void *out, struct fault *f)
{
	return read_fields(msg_table[t].body, body, out, f);
}

enum err
msg_read_reply(enum msg_type t, const json_t *body, void *out, struct fault *f)
{
	return read_fields(msg_table[t].reply, body, out, f);
}

void
msg_finish_body(enum msg_type t, void *body)
{
	jfield_finish(msg_table[t].body, body);
}

void
msg_finish_reply(enum msg_type t, void *reply)
{
	jfield_finish(msg_table[t].reply, reply);
}
