/* msg.h - the control link's catalogue: every message, its direction, kind and body.
 *
 * Envelope: request {"v":1,"t":TYPE,"id":ID,"body":{}}, reply {"v":1,"re":ID,"err":NAME,"body":{}},
 * event {"v":1,"t":TYPE,"body":{}}.  schema/ipc/TYPE.json says the same and a test compares.
 * Requests are safe to repeat: claim, answer, release and complete by their token, report by
 * (call, seq), so a worker resends after a reconnect what had no reply. */
#ifndef COMMON_MSG_H
#define COMMON_MSG_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/id.h"
#include "common/jfield.h"

enum msg_dir { MSG_UP /* worker to api-server */, MSG_DOWN };
enum msg_kind { MSG_REQUEST, MSG_EVENT };

/* clang-format off */
#define MSG_LIST(X)                                                                  \
	/* symbol      wire name             direction kind         body, reply   */ \
	X(HELLO,      "hello",               MSG_UP,   MSG_REQUEST, hello,    hello_reply) \
	X(HEARTBEAT,  "heartbeat",           MSG_UP,   MSG_EVENT,   heartbeat, none)       \
	X(CLAIM,      "transfer.claim",      MSG_UP,   MSG_REQUEST, claim,    claim_reply) \
	X(RELEASE,    "transfer.release",    MSG_UP,   MSG_REQUEST, release,  none)        \
	X(COMPLETE,   "transfer.complete",   MSG_UP,   MSG_REQUEST, complete, none)        \
	X(REPORT,     "call.report",         MSG_UP,   MSG_REQUEST, report,   none)        \
	X(SNAPSHOT,   "conversation.save",   MSG_UP,   MSG_REQUEST, snapshot, none)        \
	X(BYE,        "bye",                 MSG_DOWN, MSG_EVENT,   bye,      none)
/* clang-format on */

enum msg_type {
#define X(sym, wire, dir, kind, body, reply) MSG_##sym,
	MSG_LIST(X)
#undef X
		MSG_TYPE_COUNT
};

#define ID_MAX       257 /* contract ids: 256 bytes and NUL */
#define MSG_NAME_MAX 64  /* worker, account, agent names */

/* First message.  Refused with CONFLICT while a living worker has the name, PROTOCOL if versions
 * differ. */
struct msg_hello {
	char worker[MSG_NAME_MAX];
	char instance[ID_TOKEN_SIZE]; /* new at each start of the process */
	int64_t pid;
	int64_t capacity;
	char agents_version[17];
	json_t *addresses; /* ["udp:127.0.0.1:5060", …] */
	json_t *calls;     /* live calls: [{"call":…,"token":…}] */
};
struct msg_hello_reply {
	int64_t port_first, port_last; /* RTP port lease, 0..0: none left */
	json_t *lost;                  /* calls (ids) that were given up meanwhile: end them */
};

struct msg_heartbeat {
	int64_t calls;
	int64_t max_calls;
	bool draining;
	json_t *counters; /* {"name": number}: shown in /metrics with the worker's name */
};

/* Exactly one call ever gets a transfer. token is chosen by the worker. */
struct msg_claim {
	char call[ID_TOKEN_SIZE]; /* worker's id of the call, also in GET …/calls/{id} */
	char token[ID_TOKEN_SIZE];
	char account[MSG_NAME_MAX];
	char *transfer;           /* NULL: header mode, the transfer is made here */
	char sip_call_id[ID_MAX]; /* longer ones are sent as their SHA-256 in hex */
	char from_tag[ID_MAX];    /* likewise */
	char *conversation;       /* header mode: externalConversationId, NULL: the SIP Call-ID */
	char *task;               /* header mode: NULL or unknown: the default task */
	json_t *variables;        /* header mode: input variables */
};
/* Errors: NOT_FOUND (unknown or foreign), GONE (expired, completed), BUSY (claimed, conversation
 * busy), RETRY (holder not known to be gone yet), UNAVAILABLE. */
struct msg_claim_reply {
	char transfer[ID_MAX];
	char conversation[ID_MAX];
	int return_type; /* enum return_type */
	char *return_uri;
	char *return_username, *return_password; /* wiped by the worker at the call's end */
	char *task;
	json_t *variables;
	json_t *snapshot; /* of an earlier call of the conversation, or NULL */
};

/* No call came of the claim. token may be one whose claim's reply was lost. */
struct msg_release {
	char call[ID_TOKEN_SIZE];
	char token[ID_TOKEN_SIZE];
	char reason[64];
};

/* Durable before the reply. The last of several wins (on_failure: agent). */
struct msg_complete {
	char call[ID_TOKEN_SIZE];
	char token[ID_TOKEN_SIZE];
	json_t *output;  /* outputContext, NULL: none (caller's hang-up, lost) */
	char reason[64]; /* "system", "agent", "caller_hangup", "media_timeout", … */
	int64_t at;      /* wall ms */
};

/* Timeline entries, batched over calls: [{"call","seq","at","type","info":{}}].  seq starts at 1
 * within a call and has no holes.  The type table is in call_event.h. */
struct msg_report {
	json_t *events;
};

struct msg_snapshot {
	char call[ID_TOKEN_SIZE];
	char token[ID_TOKEN_SIZE];
	json_t *state;
};

struct msg_bye {
	char reason[64];
};

struct msg_none {
	char unused;
};

struct msg_info {
	const char *wire;
	enum msg_dir dir;
	enum msg_kind kind;
	const struct jfield *body, *reply;
	size_t body_size, reply_size;
};
extern const struct msg_info msg_table[MSG_TYPE_COUNT];

/* The wire name back; false: unknown. */
bool msg_type_find(const char *wire, enum msg_type *out);

/* Building. body may be NULL for none.  New reference, NULL: no memory. */
json_t *msg_request(enum msg_type t, const char *id, const void *body);
json_t *msg_event(enum msg_type t, const void *body);
json_t *msg_reply(enum msg_type t, const char *re, enum err e, const void *reply);

/* A received frame, opened and checked: version, kind, direction, id. Borrowed strings. */
struct msg_head {
	bool is_reply;
	enum msg_type type; /* not for replies: the asker knows */
	const char *id;     /* request id, or the id a reply answers */
	enum err err;       /* replies */
	const json_t *body; /* object or NULL */
};
MUST_USE enum err
msg_open(const json_t *msg, enum msg_dir from, struct msg_head *out, struct fault *f);
/* Body into the zeroed struct of its type; msg_finish() frees it. */
MUST_USE enum err msg_read_body(enum msg_type t, const json_t *body, void *out, struct fault *f);
MUST_USE enum err msg_read_reply(enum msg_type t, const json_t *body, void *out, struct fault *f);
void msg_finish_body(enum msg_type t, void *body);
void msg_finish_reply(enum msg_type t, void *reply);

#endif
