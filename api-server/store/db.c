#include "api-server/store/db_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"

/* clang-format off */
const struct statement_info statement_table[ST_COUNT] = {
#define X(sym, role, sql) [ST_##sym] = { #sym, role, sql },
#include "api-server/store/statements.def"
#undef X
};
/* clang-format on */

/* The first failure of a transaction stands until the next one begins. */
static void
db_fail(struct db *db, int rc)
{
	if (db->rc != SQLITE_OK)
		return;
	db->rc = rc;
	str_copy(db->failure, sizeof(db->failure), sqlite3_errmsg(db->h));
}

static void
db_clear(struct db *db)
{
	db->rc = SQLITE_OK;
	db->failure[0] = '\0';
}

/* Is it the fault of one statement, which SQLite undid, or of the database under it? */
static bool
is_statements_own(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_ERROR:
	case SQLITE_CONSTRAINT:
	case SQLITE_TOOBIG:
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
		return true;
	default:
		return false;
	}
}

static bool
db_exec(struct db *db, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	if (rc == SQLITE_DONE)
		return true;
	db_fail(db, rc);
	return false;
}

bool
db_begin(struct db *db)
{
	db_clear(db);
	return db_exec(db, db->begin);
}

bool
db_commit(struct db *db)
{
	return db->rc == SQLITE_OK && db_exec(db, db->commit);
}

void
db_rollback(struct db *db)
{
	if (sqlite3_get_autocommit(db->h))
		return;
	sqlite3_step(db->rollback); /* its result says what is known already */
	sqlite3_reset(db->rollback);
}

void
db_part_begin(struct db *db)
{
	if (db->rc == SQLITE_OK)
		db_exec(db, db->part);
}

enum err
db_part_end(struct db *db, bool keep)
{
	enum err e = db_err(db);
	int rc = db->rc;

	if (sqlite3_get_autocommit(db->h) || (rc != SQLITE_OK && !is_statements_own(rc)))
		return e;
	db_clear(db);
	if (rc != SQLITE_OK || !keep)
		db_exec(db, db->part_undo);
	db_exec(db, db->part_done);
	return db->rc == SQLITE_OK ? e : db_err(db);
}

void
db_own_failure_clear(struct db *db)
{
	if (is_statements_own(db->rc) && !sqlite3_get_autocommit(db->h))
		db_clear(db);
}

bool
db_failed(const struct db *db)
{
	return db->rc != SQLITE_OK;
}

enum err
db_err(const struct db *db)
{
	if (db->rc == SQLITE_OK)
		return ERR_OK;
	return is_statements_own(db->rc) ? ERR_INTERNAL : ERR_UNAVAILABLE;
}

const char *
db_failure(const struct db *db)
{
	return db->failure;
}

bool
db_must_reopen(const struct db *db)
{
	switch (db->rc & 0xff) {
	case SQLITE_IOERR:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_MISUSE:
	case SQLITE_PROTOCOL:
		return true;
	default:
		return false;
	}
}

/* --- statements --- */

struct q
q_use(struct db *db, enum statement s)
{
	struct q q = { .db = db };

	assert(db->st[s] && !sqlite3_stmt_busy(db->st[s]));
	if (db->rc == SQLITE_OK)
		q.st = db->st[s];
	return q;
}

/* 0: the statement is not to be run. A name it does not have is a bug. */
static int
q_index(struct q q, const char *name)
{
	int i;

	if (!q.st)
		return 0;
	i = sqlite3_bind_parameter_index(q.st, name);
	assert(i > 0);
	return i;
}

static void
q_bound(struct q q, int rc)
{
	if (rc != SQLITE_OK)
		db_fail(q.db, rc);
}

void
q_text_n(struct q q, const char *name, const char *value, size_t len)
{
	int i = q_index(q, name);

	if (i && value)
		q_bound(q, sqlite3_bind_text64(q.st, i, value, len, SQLITE_STATIC, SQLITE_UTF8));
	else if (i)
		q_bound(q, sqlite3_bind_null(q.st, i));
}

void
q_text(struct q q, const char *name, const char *value)
{
	q_text_n(q, name, value, value ? strlen(value) : 0);
}

void
q_int(struct q q, const char *name, int64_t value)
{
	int i = q_index(q, name);

	if (i)
		q_bound(q, sqlite3_bind_int64(q.st, i, value));
}

void
q_blob(struct q q, const char *name, const void *data, size_t len)
{
	int i = q_index(q, name);

	if (i && data)
		q_bound(q, sqlite3_bind_blob64(q.st, i, data, len, SQLITE_STATIC));
	else if (i)
		q_bound(q, sqlite3_bind_null(q.st, i));
}

bool
q_row(struct q q)
{
	int rc;

	if (!q.st || q.db->rc != SQLITE_OK)
		return false;
	rc = sqlite3_step(q.st);
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		db_fail(q.db, rc);
	return false;
}

const char *
q_col_text(struct q q, int col)
{
	const char *text = (const char *)sqlite3_column_text(q.st, col);

	if (!text && sqlite3_column_type(q.st, col) != SQLITE_NULL)
		db_fail(q.db, SQLITE_NOMEM);
	return text;
}

int64_t
q_col_int(struct q q, int col)
{
	return sqlite3_column_int64(q.st, col);
}

const void *
q_col_blob(struct q q, int col, size_t *len)
{
	const void *data = sqlite3_column_blob(q.st, col);

	*len = (size_t)sqlite3_column_bytes(q.st, col);
	return data;
}

void
q_end(struct q q)
{
	if (!q.st)
		return;
	sqlite3_reset(q.st);
	sqlite3_clear_bindings(q.st);
}

int64_t
q_do(struct q q)
{
	int64_t changed = 0;

	while (q_row(q))
		;
	if (q.st && q.db->rc == SQLITE_OK)
		changed = sqlite3_changes64(q.db->h);
	q_end(q);
	return changed;
}
