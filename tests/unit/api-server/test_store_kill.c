/* Killed while writing, again and again: what was answered is in the file. */
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
#include <sys/wait.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/str.h"
#include "tests/fakes/store_kit.h"

enum { UNDER_WAY = 16, IDS_MAX = 200000 };

struct writer {
	struct store_transfer_create req;
	struct transfer *t;
	int id;
};

static int next_id, ledger_fd;

static void writer_submit(struct writer *w);

/* The ledger says what was answered, before anything else happens. */
static void
on_created(struct store_req *r)
{
	struct writer *w = r->arg;

	if (r->err == ERR_OK && write(ledger_fd, &w->id, sizeof(w->id)) != (ssize_t)sizeof(w->id))
		_exit(3);
	if (r->err != ERR_OK && r->err != ERR_CONFLICT)
		_exit(4);
	writer_submit(w);
}

static void
writer_submit(struct writer *w)
{
	w->id = next_id++;
	snprintf(w->t->id, 32, "id-%d", w->id);
	w->req = (struct store_transfer_create){
		.req = { .op = STORE_TRANSFER_CREATE, .done = on_created, .arg = w },
		.transfer = w->t
	};
	if (store_submit(kit_store, &w->req.req) != ERR_OK)
		_exit(5);
}

static void
write_until_killed(int first, int fd)
{
	static struct writer writers[UNDER_WAY];
	struct fault f;

	next_id = first;
	ledger_fd = fd;
	kit_loop = loop_create();
	kit_store = store_open(&kit_cfg, kit_loop, &f);
	if (!kit_store)
		_exit(6);
	for (int i = 0; i < UNDER_WAY; i++) {
		writers[i].t = kit_transfer("0123456789012345678901234567890", "c");
		writer_submit(&writers[i]);
	}
	loop_run(kit_loop);
	_exit(7);
}

/* Returns how many answers there were; marks them in seen[]. */
static int
read_ledger(int fd, bool *seen, int *last)
{
	int id, n = 0;

	while (read(fd, &id, sizeof(id)) == (ssize_t)sizeof(id)) {
		assert_true(id >= 0 && id < IDS_MAX && !seen[id]); /* answered once */
		seen[id] = true;
		n++;
		if (id > *last)
			*last = id;
	}
	return n;
}

static void
assert_all_there(const bool *seen, int last)
{
	sqlite3 *h;
	sqlite3_stmt *st;
	char id[32];

	assert_int_equal(sqlite3_open(kit_path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(h,
					    "SELECT count(*) FROM transfer WHERE account = 'demo'"
					    " AND id = ?",
					    -1, &st, NULL),
			 SQLITE_OK);
	for (int i = 0; i <= last; i++) {
		if (!seen[i])
			continue;
		snprintf(id, sizeof(id), "id-%d", i);
		sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
		assert_int_equal(sqlite3_step(st), SQLITE_ROW);
		assert_int_equal(sqlite3_column_int(st, 0), 1);
		sqlite3_reset(st);
	}
	sqlite3_finalize(st);
	sqlite3_close(h);
}

static void
test_killed_while_writing(void **state)
{
	static bool seen[IDS_MAX];
	int last = -1, answers = 0;

	(void)state;
	kit_close();
	loop_destroy(kit_loop);
	for (int round = 0; round < 20; round++) {
		int ledger[2], status;
		pid_t pid;

		assert_int_equal(pipe(ledger), 0);
		assert_true(fcntl(ledger[1], F_SETPIPE_SZ, 1 << 20) > 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			write_until_killed(last + 1, ledger[1]);
		close(ledger[1]);
		usleep((useconds_t)(10000 + (unsigned)(round * 7919 % 60000)));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		answers += read_ledger(ledger[0], seen, &last);
		close(ledger[0]);
		assert_all_there(seen, last);
		kit_assert_sound();
	}
	assert_true(answers > 100);
	kit_loop = loop_create();
	kit_open(); /* for the teardown */
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(test_killed_while_writing) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
