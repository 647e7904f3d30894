/* store.h - everything durable, behind one asynchronous interface: submit a request, be called
 * back on the loop when it is durable (writes) or read.
 *
 * Writes go to the store thread, which takes all that wait, runs them in one transaction and
 * commits (synchronous=FULL) before any is answered: group commit.  Reads go to a reader thread
 * with its own connection, and see every write that was answered.  A failed commit answers every
 * request of the group with ERR_UNAVAILABLE; the store recovers by itself (locked, disk full).
 * A request is owned by the store between store_submit() and its done().
 * Loop thread only, except what the threads do inside. */
#ifndef API_SERVER_STORE_STORE_H
#define API_SERVER_STORE_STORE_H

#include "api-server/domain/transfer.h"
#include "common/base.h"
#include "common/err.h"
#include "common/list.h"
#include "common/loop.h"
#include "common/mailbox.h"

struct store;

enum store_op {
	STORE_TRANSFER_CREATE,
	STORE_TRANSFER_GET,
	STORE_TRANSFER_CLAIM,
	STORE_TRANSFER_RELEASE,
	STORE_TRANSFER_COMPLETE,
	STORE_TRANSFER_EXPIRE,
	STORE_CALL_REPORT,
	STORE_CALL_LIST,
	STORE_CALL_GET,
	STORE_CONVERSATION_SAVE,
	STORE_WORKER_REAP,
	STORE_WORKER_RESYNC,
	STORE_PURGE,
	STORE_CHECK,
	STORE_OP_COUNT
};

/* First member of every request below. */
struct store_req {
	struct task task;  /* the store's own */
	struct list node;  /* the store's own */
	struct side *side; /* the store's own */
	enum store_op op;
	enum err err; /* the result, when done() runs */
	void (*done)(struct store_req *r);
	void *arg;
};

/* CONFLICT: the id exists in the account.  transfer stays the caller's. */
struct store_transfer_create {
	struct store_req req;
	const struct transfer *transfer;
};

/* NOT_FOUND. */
struct store_transfer_get {
	struct store_req req;
	const char *account, *id;
	struct transfer *transfer; /* result: the caller's to destroy */
};

/* One conditional update (DESIGN.md 5).  NOT_FOUND, GONE, BUSY (claimed, or another transfer of
 * the conversation is ONGOING), RETRY (same SIP call, its holder's lease still runs).
 * Repeating it with the same token gives the same answer.  With claim->transfer NULL (header mode)
 * the transfer is created ONGOING, its id found as DESIGN.md 5 says. */
struct store_transfer_claim {
	struct store_req req;
	const struct msg_claim *claim;
	const char *worker, *instance;
	int64_t now_ms, expires_at; /* expires_at: for one created here */
	/* Is the instance that holds a claim gone for good?  Asked before submitting by the hub:
	 * instances known to be gone, NULL-terminated. */
	const char *const *gone_instances;
	struct transfer *transfer; /* result, the caller's */
	char *snapshot;            /* result: conversation state JSON text or NULL, the caller's */
};

/* Back to ACTIVE (or EXPIRED by the clock), header mode: removed.  OK when nothing matched too. */
struct store_transfer_release {
	struct store_req req;
	char call[ID_TOKEN_SIZE], token[ID_TOKEN_SIZE];
	int64_t now_ms;
};

/* token must be the claim's.  OK and nothing changed when it was done already by the same token;
 * fills in a transfer that was reaped, once; replaces an earlier output of the same token.
 * NOT_FOUND: no such claim. */
struct store_transfer_complete {
	struct store_req req;
	char call[ID_TOKEN_SIZE], token[ID_TOKEN_SIZE];
	char *output; /* JSON text or NULL; the caller's */
	char reason[64];
	int64_t at_ms;
};

/* ACTIVE ones past their time become EXPIRED. Costs one index look-up when nothing is due. */
struct store_transfer_expire {
	struct store_req req;
	int64_t now_ms;
	int64_t next_at; /* result: earliest expires_at still ACTIVE, 0: none */
	int64_t count;
};

/* Timeline entries and the projection of the calls' rows.  Idempotent by (call, seq). */
struct store_call_report {
	struct store_req req;
	const char *worker, *instance;
	const json_t *events; /* as msg_report; borrowed until done */
};

/* Newest first.  account NULL: all (operators).  A call is an object as shown to clients:
 * id, account, transfer, conversation, worker, state, mode, startedAt, answeredAt, endedAt,
 * status, cause, from, to, source, transport, callId, codec, outcome, returnType, returnState,
 * endedBy; what is not known is left out. Times are text with milliseconds. */
struct store_call_list {
	struct store_req req;
	const char *account;
	int64_t before_ms; /* 0: from now; else calls started before */
	int limit;
	bool refused;  /* only refused ones (operators) */
	json_t *calls; /* result: array, the caller's */
};

/* NOT_FOUND.  With "timeline": [{"seq","at","type","info"}]; api-server's own entries have no seq.
 */
struct store_call_get {
	struct store_req req;
	const char *account, *id; /* account NULL: any (operators) */
	json_t *call;             /* result, the caller's */
};

/* Latest snapshot of the conversation that `token` holds. */
struct store_conversation_save {
	struct store_req req;
	char call[ID_TOKEN_SIZE], token[ID_TOKEN_SIZE];
	char *state; /* JSON text; the caller's */
	int64_t now_ms;
};

/* Every claim of the instance that is not completed becomes COMPLETED without output (a claim
 * that was never answered: released), with a LOST entry in the timeline. */
struct store_worker_reap {
	struct store_req req;
	const char *instance;      /* NULL: every instance but those in except … */
	const char *const *except; /* … NULL-terminated, NULL: none */
	const char *reason;
	int64_t now_ms;
	int64_t count;
};

/* After hello: claims of this instance that it does not list are reaped (it does not know them);
 * listed ones that are no longer its own come back in lost. */
struct store_worker_resync {
	struct store_req req;
	const char *instance;
	const json_t *calls; /* [{"call","token"}], borrowed until done */
	int64_t now_ms;
	json_t *lost; /* result: array of call ids, the caller's */
};

/* What is older than the retention goes, a bounded number at a time. */
struct store_purge {
	struct store_req req;
	int64_t before_ms;
	bool more; /* result */
};

/* Is the store able to commit? (readyz) */
struct store_check {
	struct store_req req;
};

struct store_stats {
	int64_t commits, writes, reads, failures;
	int64_t queued; /* now */
	int64_t wal_bytes;
};

/* Opens, migrates, starts the threads; refuses a database of a newer version.  NULL with f set. */
struct store *store_open(const struct config *cfg, struct loop *l, struct fault *f);
/* Finishes what was submitted (done() runs), checkpoints and closes.  NULL ok. */
void store_close(struct store *s);
/* r->op and the inputs are set; BUSY: the queue is full, UNAVAILABLE: it is closing; then r stays
 * the caller's and done() is not called. */
MUST_USE enum err store_submit(struct store *s, struct store_req *r);
void store_stats(const struct store *s, struct store_stats *out);

#endif
