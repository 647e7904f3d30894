/* transfer.h - the call transfer: its shape, its rules, its life cycle.  No HTTP, no SQL.
 *
 * ACTIVE -> ONGOING (claim) -> COMPLETED;  ONGOING -> ACTIVE (release);  ACTIVE -> EXPIRED (clock).
 * The table is TRANSFER_RULES in transfer.c; SQL does the compare-and-set with the same names
 * (a contract test compares). Pure functions; any thread. */
#ifndef API_SERVER_DOMAIN_TRANSFER_H
#define API_SERVER_DOMAIN_TRANSFER_H

#include <jansson.h>

#include "common/base.h"
#include "common/config.h"
#include "common/err.h"
#include "common/id.h"
#include "common/msg.h"

enum transfer_status {
	TRANSFER_ACTIVE,
	TRANSFER_ONGOING,
	TRANSFER_COMPLETED,
	TRANSFER_EXPIRED,
	TRANSFER_STATUS_COUNT
};
extern const char *const transfer_status_names[]; /* "ACTIVE", … NULL */

enum transfer_event {
	TRANSFER_EV_CLAIM,
	TRANSFER_EV_RELEASE,
	TRANSFER_EV_COMPLETE,
	TRANSFER_EV_EXPIRE,
	TRANSFER_EVENT_COUNT
};
/* The status after the event, or false when it is not possible there. */
bool transfer_next(enum transfer_status in, enum transfer_event on, enum transfer_status *out);

enum uri_spelling {
	RETURN_URI_NONE,
	RETURN_URI_CAMEL /* returnUri */,
	RETURN_URI_UPPER /* returnURI */
};

/* One transfer.  Strings are malloced and owned; JSON members are text. */
struct transfer {
	char *account, *id, *conversation;
	enum transfer_status status;
	enum uri_spelling uri_spelling;
	int return_type;   /* enum return_type as asked for, -1: the account's */
	char *return_uri;  /* NULL: none given */
	void *sealed_auth; /* returnInviteAuthentication, sealed; NULL: none */
	size_t sealed_auth_len;
	bool has_sip, has_input_context;
	char *task;                        /* NULL: none given */
	char *variables;                   /* JSON object text, NULL: none given */
	int64_t created_at, expires_at;    /* wall ms */
	int64_t received_at, completed_at; /* 0: not yet */
	char *output;                      /* outputContext as JSON text, NULL: none */
	/* the claim, empty strings when there is none */
	char call[ID_TOKEN_SIZE], token[ID_TOKEN_SIZE];
	char worker[MSG_NAME_MAX];
	char sip_call_id[ID_MAX], from_tag[ID_MAX];
	bool header_mode;
};

struct transfer *transfer_create(void);
void transfer_destroy(struct transfer *t); /* NULL ok; wipes sealed_auth */
/* Status by the clock: an ACTIVE one past expires_at is EXPIRED, whatever the sweep did. */
enum transfer_status transfer_status_at(const struct transfer *t, int64_t now_ms);

/* returnInviteAuthentication in clear, for the moment between parsing and sealing. */
struct transfer_auth {
	struct secret username, password;
};

/* POST body -> a new ACTIVE transfer of `account`, all rules of DESIGN.md 4 applied: f->where is
 * the JSON path, the result says which status (INVALID 400, UNPROCESSABLE 422).
 * auth is filled when given (caller wipes). */
MUST_USE enum err transfer_read(const json_t *body, const struct account *account,
				struct transfer **out, struct transfer_auth *auth, struct fault *f);
/* Created now, valid for so long. */
void transfer_begin(struct transfer *t, int64_t now_ms, int64_t valid_ms);
/* The resource as the contract shows it; `full`: GET's fields, else POST's.  New reference. */
json_t *transfer_json(const struct transfer *t, bool full, int64_t now_ms);

/* What the call needs (claim's reply), from the row and the account's defaults. */
MUST_USE enum err transfer_claim_reply(const struct transfer *t, const struct account *account,
				       const struct transfer_auth *auth, const char *snapshot,
				       struct msg_claim_reply *out);

/* Is this return URI acceptable (scheme, length, control characters, URI headers)? */
MUST_USE enum err transfer_check_uri(const char *uri, enum return_type type, struct fault *f);
/* Is its host within the account's allowed_targets (by name; resolved addresses are checked again
 * by the worker when it sends)? */
bool transfer_uri_allowed(const char *uri, enum return_type type, const struct account *account);

#endif
