#include "api-server/store/db_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/str.h"

#define BUSY_TIMEOUT_MS     1000
#define TRUNCATE_TIMEOUT_MS 100
#define PAGE_SIZE           4096

/* A killed writer leaves a whole WAL; the file never grows beyond need between checkpoints. */
static const char pragmas[] = "PRAGMA page_size = 4096;"
			      "PRAGMA journal_mode = WAL;"
			      "PRAGMA synchronous = FULL;"
			      "PRAGMA foreign_keys = ON;"
			      "PRAGMA trusted_schema = OFF;"
			      "PRAGMA cell_size_check = ON;"
			      "PRAGMA mmap_size = 0;"
			      "PRAGMA temp_store = MEMORY;"
			      "PRAGMA cache_size = -16384;"
			      "PRAGMA wal_autocheckpoint = 0;"
			      "PRAGMA journal_size_limit = 67108864;";
static const char reader_pragmas[] = "PRAGMA query_only = ON;";

static int
on_wal(void *arg, sqlite3 *h, const char *name, int frames)
{
	struct db *db = arg;

	(void)h;
	(void)name;
	db->wal_frames = frames;
	return SQLITE_OK;
}

static bool
prepare(struct db *db, const char *sql, sqlite3_stmt **out, struct fault *f)
{
	int rc = sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

	if (rc == SQLITE_OK)
		return true;
	fault_set(f, "store.url", "%s: %.120s", sqlite3_errmsg(db->h), sql);
	return false;
}

static bool
prepare_all(struct db *db, struct fault *f)
{
	bool writer = db->role == DB_WRITER;

	if (!prepare(db, writer ? "BEGIN IMMEDIATE" : "BEGIN", &db->begin, f) ||
	    !prepare(db, "COMMIT", &db->commit, f) || !prepare(db, "ROLLBACK", &db->rollback, f) ||
	    !prepare(db, "SAVEPOINT part", &db->part, f) ||
	    !prepare(db, "ROLLBACK TO part", &db->part_undo, f) ||
	    !prepare(db, "RELEASE part", &db->part_done, f))
		return false;
	for (size_t i = 0; i < ST_COUNT; i++)
		if (statement_table[i].role == db->role &&
		    !prepare(db, statement_table[i].sql, &db->st[i], f))
			return false;
	return true;
}

static bool
exec(struct db *db, const char *sql, struct fault *f)
{
	if (sqlite3_exec(db->h, sql, NULL, NULL, NULL) == SQLITE_OK)
		return true;
	fault_set(f, "store.url", "%s", sqlite3_errmsg(db->h));
	return false;
}

/* SQLite would make it with the umask's mode; WAL and shared memory take the database's. */
static bool
make_file(const char *path, struct fault *f)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0) {
		fault_set(f, "store.url", "%s: %s", path, strerror(errno));
		return false;
	}
	close(fd);
	return true;
}

static bool
db_set_up(struct db *db, const char *path, struct fault *f)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
		    SQLITE_OPEN_EXRESCODE;
	int rc;

	if (db->role == DB_WRITER && !make_file(path, f))
		return false;
	rc = sqlite3_open_v2(path, &db->h, flags, NULL);
	if (rc != SQLITE_OK) {
		fault_set(f, "store.url", "%s: %s", path,
			  db->h ? sqlite3_errmsg(db->h) : sqlite3_errstr(rc));
		return false;
	}
	sqlite3_busy_timeout(db->h, BUSY_TIMEOUT_MS);
	if (!exec(db, pragmas, f))
		return false;
	if (db->role == DB_WRITER && !db_migrate(db, f))
		return false;
	if (db->role == DB_READER && !exec(db, reader_pragmas, f))
		return false;
	sqlite3_wal_hook(db->h, on_wal, db);
	return prepare_all(db, f);
}

struct db *
db_open(const char *path, enum db_role role, struct fault *f)
{
	struct db *db = calloc(1, sizeof(*db));

	/* Statistics of memory cost a lock per allocation; refused, and no matter, once SQLite
	 * runs. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if (!db) {
		fault_set(f, "store.url", "out of memory");
		return NULL;
	}
	db->role = role;
	if (!db_set_up(db, path, f)) {
		db_close(db);
		return NULL;
	}
	return db;
}

void
db_close(struct db *db)
{
	sqlite3_stmt *st;

	if (!db)
		return;
	/* All of them, also those prepared half-way. */
	while (db->h && (st = sqlite3_next_stmt(db->h, NULL)))
		sqlite3_finalize(st);
	sqlite3_close(db->h);
	free(db);
}

void
db_checkpoint(struct db *db, bool truncate)
{
	int mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
	int rc;

	sqlite3_busy_timeout(db->h, TRUNCATE_TIMEOUT_MS);
	rc = sqlite3_wal_checkpoint_v2(db->h, NULL, mode, NULL, NULL);
	sqlite3_busy_timeout(db->h, BUSY_TIMEOUT_MS);

	/* A reader or another program in the way is no failure: the next one gets further. */
	if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
		log_warn("store", "checkpoint_failed", "why=%s", log_quote(sqlite3_errstr(rc)));
	else if (rc == SQLITE_OK && truncate)
		db->wal_frames = 0;
}

int64_t
db_wal_bytes(const struct db *db)
{
	return db->wal_frames * PAGE_SIZE;
}
