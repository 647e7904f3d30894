/* db_internal.h - what db.c and db_open.c share: the connection itself. */
#ifndef API_SERVER_STORE_DB_INTERNAL_H
#define API_SERVER_STORE_DB_INTERNAL_H

#include <sqlite3.h>

#include "api-server/store/db.h"

struct db {
	sqlite3 *h;
	enum db_role role;
	int rc; /* first failure of this transaction, extended code; SQLITE_OK */
	char failure[200];
	int64_t wal_frames;
	sqlite3_stmt *begin, *commit, *rollback, *part, *part_undo, *part_done;
	sqlite3_stmt *st[ST_COUNT];
};

/* Brings the file to this program's version, each step in a transaction. */
MUST_USE bool db_migrate(struct db *db, struct fault *f);

#endif
