/* internal.h - what the store's files share: operations, run on a store thread inside a
 * transaction.  An operation's result is its answer once the transaction stands; a failure of the
 * database is found in the connection (db_failed). */
#ifndef API_SERVER_STORE_INTERNAL_H
#define API_SERVER_STORE_INTERNAL_H

#include "api-server/store/db.h"
#include "api-server/store/store.h"

#define PURGE_STEP      200   /* rows of one table in one request */
#define CALL_PURGE_STEP 50    /* each with its timeline */
#define REFUSED_KEEP    10000 /* newest refused INVITEs */
#define REFUSED_SLACK   1000  /* above it, before they are trimmed again */
#define EXPIRE_STEP     500
#define EVENT_INFO_MAX  (64 * 1024)
#define LOST_SEQ        INT32_MAX /* of api-server's entry: after all the worker's own */
#define HOUR_MS         (60 * 60 * 1000)

struct op_info {
	enum err (*run)(struct db *db, struct store_req *r);
	enum db_role role;
	bool parts; /* several statements, undone together */
	/* Frees what run() put into the results, when the transaction failed; NULL: nothing. */
	void (*discard)(struct store_req *r);
};
extern const struct op_info store_ops[STORE_OP_COUNT];

/* ops_transfer.c */
enum err op_transfer_create(struct db *db, struct store_req *r);
enum err op_transfer_get(struct db *db, struct store_req *r);
enum err op_transfer_release(struct db *db, struct store_req *r);
enum err op_transfer_complete(struct db *db, struct store_req *r);
enum err op_transfer_expire(struct db *db, struct store_req *r);
enum err op_conversation_save(struct db *db, struct store_req *r);
enum err op_purge(struct db *db, struct store_req *r);
enum err op_check(struct db *db, struct store_req *r);
void discard_transfer_get(struct store_req *r);
/* The row's transfer (new), and the instance that holds it; NULL: no memory (found in db). */
struct transfer *read_transfer(struct q q, char instance[ID_TOKEN_SIZE]);
/* The columns that a new row has; run with q_do() by the caller. */
void bind_transfer(struct q q, const struct transfer *t, const char *instance);
/* The oldest refused INVITEs above REFUSED_KEEP go; how many went. */
int64_t trim_refused(struct db *db);

/* ops_claim.c */
enum err op_transfer_claim(struct db *db, struct store_req *r);
void discard_claim(struct store_req *r);

/* ops_report.c */
enum err op_call_report(struct db *db, struct store_req *r);

/* ops_call.c */
enum err op_call_list(struct db *db, struct store_req *r);
enum err op_call_get(struct db *db, struct store_req *r);
void discard_call_list(struct store_req *r);
void discard_call_get(struct store_req *r);

/* ops_worker.c */
enum err op_worker_reap(struct db *db, struct store_req *r);
enum err op_worker_resync(struct db *db, struct store_req *r);
void discard_resync(struct store_req *r);

#endif
