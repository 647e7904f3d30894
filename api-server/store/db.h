/* db.h - one SQLite connection: its statements, its transaction, its first failure.
 *
 * db*.c are the only files that see sqlite3.h.  A failure is sticky: once a
 * statement failed, everything on the connection does nothing until db_begin(), so that an
 * operation is written straight on and looked at once.  One thread per connection. */
#ifndef API_SERVER_STORE_DB_H
#define API_SERVER_STORE_DB_H

#include "common/base.h"
#include "common/err.h"

struct db;
struct sqlite3_stmt;

enum db_role { DB_WRITER, DB_READER };

/* clang-format off */
enum statement {
#define X(sym, role, sql) ST_##sym,
#include "api-server/store/statements.def"
#undef X
	ST_COUNT
};
/* clang-format on */

struct statement_info {
	const char *name;
	enum db_role role;
	const char *sql;
};
extern const struct statement_info statement_table[ST_COUNT];

/* --- db_open.c --- */
/* A writer makes and migrates the file; every statement of the role is prepared. NULL with f set.
 */
struct db *db_open(const char *path, enum db_role role, struct fault *f);
void db_close(struct db *db); /* NULL ok */
/* Moves the WAL into the database; truncate: and leaves it empty. */
void db_checkpoint(struct db *db, bool truncate);
int64_t db_wal_bytes(const struct db *db); /* after the last commit */

/* --- transactions. false: the failure stands in db_err() --- */
MUST_USE bool db_begin(struct db *db);
MUST_USE bool db_commit(struct db *db);
void db_rollback(struct db *db);
/* A part that can be undone alone: after a failure that left the transaction standing,
 * db_part_end() undoes the part and clears the failure. */
void db_part_begin(struct db *db);
enum err db_part_end(struct db *db, bool keep);

/* The same for an operation of one statement, which undid itself: forgets the failure. */
void db_own_failure_clear(struct db *db);
bool db_failed(const struct db *db);
/* OK, NOMEM, INTERNAL (one statement's own) or UNAVAILABLE (the database's). */
enum err db_err(const struct db *db);
const char *db_failure(const struct db *db); /* text of the first failure */
bool db_must_reopen(const struct db *db);    /* the connection is not to be used again */

/* --- statements --- */
struct q {
	struct db *db;
	struct sqlite3_stmt *st; /* NULL after a failure: all calls do nothing */
};

struct q q_use(struct db *db, enum statement s);              /* asserts that it is not in use */
void q_text(struct q q, const char *name, const char *value); /* NULL: NULL; borrowed until q_end */
void q_text_n(struct q q, const char *name, const char *value, size_t len);
void q_int(struct q q, const char *name, int64_t value);
void q_blob(struct q q, const char *name, const void *data, size_t len); /* NULL: NULL */
bool q_row(struct q q); /* false: no more, or a failure */
/* Columns count from 0; text is NULL for NULL and borrowed until the next q_row/q_end. */
const char *q_col_text(struct q q, int col);
int64_t q_col_int(struct q q, int col);
const void *q_col_blob(struct q q, int col, size_t *len);
void q_end(struct q q);
/* Runs to the end and ends it: how many rows changed. */
int64_t q_do(struct q q);

#endif
