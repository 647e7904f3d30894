/* The statements and the schema hold each other, and the planner walks no table from end to end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api-server/store/db.h"
#include "common/call_event.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/str.h"
#include "tests/fakes/store_kit.h"

static sqlite3 *handle;

static int
setup(void **state)
{
	kit_setup(state);
	assert_int_equal(sqlite3_open(kit_path, &handle), SQLITE_OK);
	return 0;
}

static int
teardown(void **state)
{
	sqlite3_close(handle);
	return kit_teardown(state);
}

/* What may be read as a whole: small by its own condition (a partial index), or no table. */
static bool
is_scan_allowed(const char *step)
{
	static const char *const allowed[] = {
		"CONSTANT ROW",
		"USING INDEX call_refused",
		"USING COVERING INDEX call_refused",
		"USING INDEX transfer_held",
		"USING INDEX call_open",
	};

	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (strstr(step, allowed[i]))
			return true;
	return false;
}

static void
test_no_table_scans(void **state)
{
	(void)state;
	for (size_t i = 0; i < ST_COUNT; i++) {
		char sql[4096];
		sqlite3_stmt *st = NULL;

		assert_true(str_print(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s",
				      statement_table[i].sql));
		assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &st, NULL), SQLITE_OK);
		while (sqlite3_step(st) == SQLITE_ROW) {
			const char *step = (const char *)sqlite3_column_text(st, 3);

			if (strncmp(step, "SCAN", 4) == 0 && !is_scan_allowed(step)) {
				fprintf(stderr, "%s: %s\n", statement_table[i].name, step);
				fail();
			}
		}
		sqlite3_finalize(st);
	}
}

static void
test_newest_first_needs_no_sort(void **state)
{
	static const enum statement lists[] = { ST_CALL_LIST_ALL,     ST_CALL_LIST_ACCOUNT,
						ST_CALL_LIST_REFUSED, ST_TRANSFER_EXPIRE,
						ST_TRANSFER_PURGE,    ST_CALL_TIMELINE };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		char sql[4096];
		sqlite3_stmt *st = NULL;

		str_print(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s", statement_table[lists[i]].sql);
		assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &st, NULL), SQLITE_OK);
		while (sqlite3_step(st) == SQLITE_ROW)
			assert_null(
				strstr((const char *)sqlite3_column_text(st, 3), "TEMP B-TREE"));
		sqlite3_finalize(st);
	}
}

static void
read_schema(const char *table, char *out, size_t size)
{
	sqlite3_stmt *st = NULL;

	assert_int_equal(sqlite3_prepare_v2(handle, "SELECT sql FROM sqlite_schema WHERE name = ?",
					    -1, &st, NULL),
			 SQLITE_OK);
	sqlite3_bind_text(st, 1, table, -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	str_copy(out, size, (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
}

static void
test_status_names(void **state)
{
	char schema[4096], check[256] = "CHECK (status IN (";
	size_t n = 0;

	(void)state;
	read_schema("transfer", schema, sizeof(schema));
	for (size_t i = 0; transfer_status_names[i]; i++, n++) {
		size_t at = strlen(check);

		str_print(check + at, sizeof(check) - at, "%s'%s'", i ? ", " : "",
			  transfer_status_names[i]);
	}
	assert_int_equal(n, TRANSFER_STATUS_COUNT);
	str_copy(check + strlen(check), sizeof(check) - strlen(check), "))");
	assert_non_null(strstr(schema, check));
}

static void
test_every_table_is_strict(void **state)
{
	sqlite3_stmt *st = NULL;

	(void)state;
	assert_int_equal(
		sqlite3_prepare_v2(handle,
				   "SELECT name, strict FROM pragma_table_list WHERE schema ="
				   " 'main' AND name NOT LIKE 'sqlite_%'",
				   -1, &st, NULL),
		SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW)
		assert_int_equal(sqlite3_column_int(st, 1), 1);
	sqlite3_finalize(st);
}

/* Each status that SQL lets a transfer have follows from the life cycle. */
static void
test_sql_moves_as_the_life_cycle(void **state)
{
	static const struct {
		enum transfer_event on;
		const char *from, *to;
	} moves[] = {
		{ TRANSFER_EV_CLAIM, "ACTIVE", "ONGOING" },
		{ TRANSFER_EV_EXPIRE, "ACTIVE", "EXPIRED" },
		{ TRANSFER_EV_RELEASE, "ONGOING", "ACTIVE" },
		{ TRANSFER_EV_COMPLETE, "ONGOING", "COMPLETED" },
		{ TRANSFER_EV_COMPLETE, "COMPLETED", "COMPLETED" },
	};
	int possible = 0;

	(void)state;
	for (int s = 0; s < TRANSFER_STATUS_COUNT; s++)
		for (int e = 0; e < TRANSFER_EVENT_COUNT; e++) {
			enum transfer_status to;
			bool found = false;

			if (!transfer_next((enum transfer_status)s, (enum transfer_event)e, &to))
				continue;
			possible++;
			for (size_t i = 0; i < ARRAY_LEN(moves); i++)
				found |= (int)moves[i].on == e &&
					 str_eq(moves[i].from, transfer_status_names[s]) &&
					 str_eq(moves[i].to, transfer_status_names[to]);
			assert_true(found);
		}
	assert_int_equal(possible, ARRAY_LEN(moves));
	assert_non_null(strstr(statement_table[ST_TRANSFER_CLAIM].sql, "status = 'ACTIVE'"));
	assert_non_null(strstr(statement_table[ST_TRANSFER_CLAIM].sql, "SET status = 'ONGOING'"));
	assert_non_null(strstr(statement_table[ST_TRANSFER_EXPIRE].sql, "SET status = 'EXPIRED'"));
	assert_non_null(strstr(statement_table[ST_TRANSFER_RELEASE].sql, "AND status = 'ONGOING'"));
	assert_non_null(
		strstr(statement_table[ST_TRANSFER_COMPLETE].sql, "SET status = 'COMPLETED'"));
	assert_non_null(
		strstr(statement_table[ST_TRANSFER_COMPLETE].sql, "AND status = 'ONGOING'"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_no_table_scans),
		T(test_newest_first_needs_no_sort),
		T(test_status_names),
		T(test_every_table_is_strict),
		T(test_sql_moves_as_the_life_cycle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
