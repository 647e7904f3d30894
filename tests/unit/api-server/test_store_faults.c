/* What was answered stays, and what was not is refused: disk full, locked, damaged. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/str.h"
#include "tests/fakes/store_kit.h"

static void
run_sql(const char *sql)
{
	sqlite3 *h;

	assert_int_equal(sqlite3_open(kit_path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
}

/* --- no space --- */

static void
limit_files(rlim_t bytes)
{
	struct rlimit r;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
	r.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static enum err
create_numbered(int i)
{
	char id[32];

	snprintf(id, sizeof(id), "n-%d", i);
	return kit_create(id, id);
}

static void
assert_numbered(int i, bool there)
{
	char id[32];
	struct transfer *t;

	snprintf(id, sizeof(id), "n-%d", i);
	t = kit_get(id);
	assert_int_equal(t != NULL, there);
	transfer_destroy(t);
}

/* Creates until the store says no; then nothing is saved that was refused, and all that was not. */
static int
fill(void)
{
	int i = 0;
	enum err e;

	while (i < 100000 && (e = create_numbered(i)) == ERR_OK)
		i++;
	assert_true(i < 100000);
	assert_int_equal(e, ERR_UNAVAILABLE);
	assert_int_equal(create_numbered(i + 1), ERR_UNAVAILABLE);
	for (int k = 0; k < i; k++)
		assert_numbered(k, true); /* reading goes on */
	assert_numbered(i, false);
	assert_numbered(i + 1, false);
	return i;
}

static void
test_write_error(void **state)
{
	struct store_stats st;
	int n;

	(void)state;
	log_set_level(LOG_ERR + 1);
	sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	limit_files(300 * 1024);
	n = fill();
	limit_files(RLIM_INFINITY);
	assert_int_equal(create_numbered(n), ERR_OK); /* the very next one */
	assert_numbered(n, true);
	store_stats(kit_store, &st);
	assert_true(st.failures >= 2);
	kit_close();
	kit_assert_sound();
	kit_open();
	assert_numbered(0, true);
	assert_numbered(n, true);
}

/* Where mounting is allowed: a file system that is really full, and then has space again. */
static void
test_disk_full(void **state)
{
	char mount_point[128], ballast[160], path[128];
	int n;

	(void)state;
	log_set_level(LOG_ERR + 1);
	snprintf(mount_point, sizeof(mount_point), "%s/full", kit_dir);
	assert_int_equal(mkdir(mount_point, 0700), 0);
	if (mount("tmpfs", mount_point, "tmpfs", 0, "size=1m") != 0)
		skip();
	kit_close();
	memcpy(path, kit_path, sizeof(path));
	snprintf(kit_path, sizeof(kit_path), "%.80s/x.db", mount_point);
	snprintf(ballast, sizeof(ballast), "%s/ballast", mount_point);
	int fd = open(ballast, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(posix_fallocate(fd, 0, 400 * 1024), 0);
	close(fd);
	kit_open();
	n = fill();
	assert_int_equal(unlink(ballast), 0);
	assert_int_equal(create_numbered(n), ERR_OK);
	kit_close();
	kit_assert_sound();
	assert_int_equal(umount(mount_point), 0);
	memcpy(kit_path, path, sizeof(path));
	kit_open();
}

/* --- in the way --- */

static void
test_locked_by_another_program(void **state)
{
	sqlite3 *h;

	(void)state;
	log_set_level(LOG_ERR + 1);
	assert_int_equal(sqlite3_open(kit_path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(create_numbered(1), ERR_UNAVAILABLE);
	assert_numbered(1, false);
	assert_int_equal(sqlite3_exec(h, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
	assert_int_equal(create_numbered(1), ERR_OK);
	assert_numbered(1, true);
}

static void
assert_cannot_open(const char *why)
{
	struct fault f = { .where = "" };

	assert_null(store_open(&kit_cfg, kit_loop, &f));
	assert_string_equal(f.where, "store.url");
	if (!strstr(f.what, why))
		fprintf(stderr, "%s\n", f.what);
	assert_non_null(strstr(f.what, why));
}

static void
test_one_api_server_only(void **state)
{
	(void)state;
	assert_cannot_open("in use by another api-server");
	assert_int_equal(create_numbered(1), ERR_OK);
}

static void
test_a_newer_database(void **state)
{
	(void)state;
	kit_close();
	run_sql("PRAGMA user_version = 99");
	assert_cannot_open("version 99");
	run_sql("PRAGMA user_version = 1");
	kit_open();
}

static void
overwrite(size_t at, const char *text)
{
	int fd = open(kit_path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), (off_t)at), strlen(text));
	close(fd);
}

static void
test_not_a_database(void **state)
{
	(void)state;
	kit_close();
	overwrite(0, "certainly not SQLite");
	assert_cannot_open("not a database");
	assert_int_equal(unlink(kit_path), 0);
	kit_open();
}

static void
test_bad_paths(void **state)
{
	char path[128];

	(void)state;
	memcpy(path, kit_path, sizeof(path));
	kit_close();
	snprintf(kit_path, sizeof(kit_path), "/proc/nowhere/x.db");
	kit_cfg.store.sqlite_path = kit_path;
	struct fault f = { .where = "" };
	assert_null(store_open(&kit_cfg, kit_loop, &f));
	assert_non_null(strstr(f.what, "/proc/nowhere"));
	kit_cfg.store.sqlite_path = NULL;
	assert_cannot_open("expected sqlite:");
	memcpy(kit_path, path, sizeof(path));
	kit_open();
}

/* One request of a group that the database refuses takes no other with it. */
static void
test_one_bad_request_in_a_group(void **state)
{
	struct transfer *t[3];
	struct store_transfer_create c[3];

	(void)state;
	kit_done = 0;
	for (int i = 0; i < 3; i++) {
		char id[8];

		snprintf(id, sizeof(id), "x%d", i);
		t[i] = kit_transfer(id, id);
		c[i] = (struct store_transfer_create){ .req = { .op = STORE_TRANSFER_CREATE,
								.done = kit_on_done },
						       .transfer = t[i] };
	}
	free(t[1]->conversation);
	t[1]->conversation = NULL; /* NOT NULL constraint */
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_submit(kit_store, &c[i].req), ERR_OK);
	kit_wait(3);
	assert_int_equal(c[0].req.err, ERR_OK);
	assert_int_equal(c[1].req.err, ERR_INTERNAL);
	assert_int_equal(c[2].req.err, ERR_OK);
	kit_assert_status("x0", "ACTIVE");
	kit_assert_status("x1", "none");
	kit_assert_status("x2", "ACTIVE");
	for (int i = 0; i < 3; i++)
		transfer_destroy(t[i]);
}

static void
test_the_wal_does_not_grow_for_ever(void **state)
{
	enum { N = 4000, SIZE = 8000 };
	char path[160];
	struct stat st;
	char *text = malloc(SIZE + 16);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', SIZE);
	text[SIZE] = '\0';
	for (int i = 0; i < N; i++) {
		char id[32];
		struct transfer *t;
		struct store_transfer_create c;

		snprintf(id, sizeof(id), "n-%d", i);
		t = kit_transfer(id, id);
		t->task = strdup(text);
		c = (struct store_transfer_create){ .transfer = t };
		assert_int_equal(kit_run(&c.req, STORE_TRANSFER_CREATE), ERR_OK);
		transfer_destroy(t);
	}
	free(text);
	snprintf(path, sizeof(path), "%s-wal", kit_path);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < 80 << 20);
	kit_close();
	assert_true(stat(path, &st) != 0 || st.st_size == 0);
	kit_assert_sound();
	kit_open();
	assert_numbered(N - 1, true);
}

/* Somebody reads for long, a backup for one: writing goes on at its pace. */
static void
test_a_long_reader_does_not_slow_writing(void **state)
{
	enum { N = 3000, SIZE = 32000 };
	char *text = malloc(SIZE + 1);
	sqlite3 *h;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', SIZE);
	text[SIZE] = '\0';
	assert_int_equal(create_numbered(N), ERR_OK);
	assert_int_equal(sqlite3_open(kit_path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, "BEGIN; SELECT * FROM transfer", NULL, NULL, NULL),
			 SQLITE_OK);
	for (int i = 0, slow = 0; i < N; i++) {
		char id[32];
		struct transfer *t;
		struct store_transfer_create c;
		int64_t start = clock_mono_ms(), took;

		snprintf(id, sizeof(id), "n-%d", i);
		t = kit_transfer(id, id);
		t->task = strdup(text);
		c = (struct store_transfer_create){ .transfer = t };
		assert_int_equal(kit_run(&c.req, STORE_TRANSFER_CREATE), ERR_OK);
		transfer_destroy(t);
		took = clock_mono_ms() - start;
		slow += took > 500;
		assert_true(slow < 4);
	}
	free(text);
	assert_int_equal(sqlite3_exec(h, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
	assert_numbered(N - 1, true);
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_write_error),
		T(test_disk_full),
		T(test_locked_by_another_program),
		T(test_one_api_server_only),
		T(test_a_newer_database),
		T(test_not_a_database),
		T(test_bad_paths),
		T(test_one_bad_request_in_a_group),
		T(test_the_wal_does_not_grow_for_ever),
		T(test_a_long_reader_does_not_slow_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
