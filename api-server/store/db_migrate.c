#include "api-server/store/db_internal.h"

#include <string.h>

#include "common/embed.h"
#include "common/log.h"

EMBED(sql_0001_start, "schema/sql/sqlite/0001_start.sql")

/* In order; entry i takes the file from version i to i + 1.  Append only. */
static const struct migration {
	const char *name;
	const char *sql, *end;
} migrations[] = {
	{ "0001_start", sql_0001_start, sql_0001_start_end },
};

static bool
read_version(struct db *db, int *out)
{
	sqlite3_stmt *st = NULL;
	bool ok = sqlite3_prepare_v2(db->h, "PRAGMA user_version", -1, &st, NULL) == SQLITE_OK &&
		  sqlite3_step(st) == SQLITE_ROW;

	if (ok)
		*out = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return ok;
}

static bool
run_script(struct db *db, const char *sql, const char *end)
{
	while (sql < end) {
		sqlite3_stmt *st = NULL;
		const char *next = sql;
		int rc = sqlite3_prepare_v2(db->h, sql, (int)(end - sql), &st, &next);

		if (rc == SQLITE_OK && st)
			rc = sqlite3_step(st) == SQLITE_DONE ? SQLITE_OK : SQLITE_ERROR;
		sqlite3_finalize(st);
		if (rc != SQLITE_OK)
			return false;
		sql = next;
	}
	return true;
}

static bool
migrate_one(struct db *db, int from, struct fault *f)
{
	const struct migration *m = &migrations[from];
	char version[48];

	sqlite3_snprintf(sizeof(version), version, "PRAGMA user_version = %d", from + 1);
	if (sqlite3_exec(db->h, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
	    run_script(db, m->sql, m->end) &&
	    sqlite3_exec(db->h, version, NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db->h, "COMMIT", NULL, NULL, NULL) == SQLITE_OK) {
		log_info("store", "migrated", "to=%s", m->name);
		return true;
	}
	fault_set(f, "store.url", "migration %s: %s", m->name, sqlite3_errmsg(db->h));
	if (!sqlite3_get_autocommit(db->h))
		sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

bool
db_migrate(struct db *db, struct fault *f)
{
	int version;

	if (!read_version(db, &version)) {
		fault_set(f, "store.url", "%s", sqlite3_errmsg(db->h));
		return false;
	}
	if (version < 0 || (size_t)version > ARRAY_LEN(migrations)) {
		fault_set(f, "store.url",
			  "the database has version %d, this program knows up to %zu: use a newer "
			  "one",
			  version, ARRAY_LEN(migrations));
		return false;
	}
	for (int i = version; (size_t)i < ARRAY_LEN(migrations); i++)
		if (!migrate_one(db, i, f))
			return false;
	return true;
}
