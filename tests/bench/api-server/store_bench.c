/* How many transfers a second become durable: through the store, and with bare SQLite in the same
 * run as the floor.  `store_bench [FOLDER [ROWS]]`; prints JSON.
 *
 * Floor: one prepared INSERT into a table with the same key, commits of so many rows, a checkpoint
 * every 64 MiB as in the store.
 * Store: as many creates under way, submitted as answers come. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api-server/store/store.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/str.h"

#define GROUP_MAX 256

static const char *folder = "/tmp";
static int rows = 100000;
static const char variables[] = "{\"accountNumber\":\"3434\",\"name\":\"John Doe\"}";

static void
die(const char *what)
{
	fprintf(stderr, "store_bench: %s\n", what);
	exit(1);
}

static void
make_path(char *out, size_t size, const char *name)
{
	char random[ID_TOKEN_SIZE];

	snprintf(out, size, "%s/store_bench-%s-%s.db", folder, name, id_token(random));
}

static void
remove_files(const char *path)
{
	static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
	char file[512];

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		snprintf(file, sizeof(file), "%s%s", path, ends[i]);
		unlink(file);
	}
}

static double
per_second(int n, int64_t since_ns)
{
	return n / ((double)(clock_mono_ns() - since_ns) / 1e9);
}

/* --- bare SQLite --- */

static void
sql(sqlite3 *h, const char *text)
{
	if (sqlite3_exec(h, text, NULL, NULL, NULL) != SQLITE_OK)
		die(sqlite3_errmsg(h));
}

static double
floor_run(int group, int n)
{
	char path[512];
	sqlite3 *h;
	sqlite3_stmt *st;
	int64_t start;

	make_path(path, sizeof(path), "floor");
	if (sqlite3_open(path, &h) != SQLITE_OK)
		die("cannot open");
	sql(h,
	    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=16384;"
	    "CREATE TABLE t (id TEXT PRIMARY KEY, conversation TEXT, status TEXT, variables TEXT,"
	    " created_at INTEGER, expires_at INTEGER) STRICT");
	sqlite3_prepare_v2(h, "INSERT INTO t VALUES (?, ?, 'ACTIVE', ?, ?, ?)", -1, &st, NULL);
	start = clock_mono_ns();
	for (int i = 0; i < n; i += group) {
		sql(h, "BEGIN IMMEDIATE");
		for (int j = 0; j < group; j++) {
			char id[ID_UUID_SIZE];

			id_uuid(id);
			sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
			sqlite3_bind_text(st, 2, id, -1, SQLITE_STATIC);
			sqlite3_bind_text(st, 3, variables, -1, SQLITE_STATIC);
			sqlite3_bind_int64(st, 4, i);
			sqlite3_bind_int64(st, 5, i + 60000);
			if (sqlite3_step(st) != SQLITE_DONE)
				die(sqlite3_errmsg(h));
			sqlite3_reset(st);
		}
		sql(h, "COMMIT");
	}
	double rate = per_second(n, start);
	sqlite3_finalize(st);
	sqlite3_close(h);
	remove_files(path);
	return rate;
}

/* --- the store --- */

struct slot {
	struct store_transfer_create req;
	struct transfer *t;
};

static struct store *store;
static struct loop *loop;
static int submitted, answered, total;

static void submit(struct slot *s);

static void
on_done(struct store_req *r)
{
	if (r->err != ERR_OK)
		die(err_name(r->err));
	answered++;
	if (submitted < total)
		submit(r->arg);
	else if (answered == total)
		loop_stop(loop);
}

static void
submit(struct slot *s)
{
	id_uuid(s->t->id);
	memcpy(s->t->conversation, s->t->id, ID_UUID_SIZE);
	s->t->created_at = submitted;
	s->t->expires_at = submitted + 60000;
	s->req = (struct store_transfer_create){
		.req = { .op = STORE_TRANSFER_CREATE, .done = on_done, .arg = s }, .transfer = s->t
	};
	submitted++;
	if (store_submit(store, &s->req.req) != ERR_OK)
		die("submit");
}

static struct transfer *
new_transfer(void)
{
	struct transfer *t = transfer_create();

	if (!t)
		die("memory");
	t->account = strdup("demo");
	t->id = malloc(ID_UUID_SIZE);
	t->conversation = malloc(ID_UUID_SIZE);
	t->has_input_context = true;
	t->task = strdup("call_routing");
	t->variables = strdup(variables);
	return t;
}

static double
store_run(int group, int n, int64_t *commits)
{
	static struct slot slots[GROUP_MAX];
	char path[512];
	struct config cfg = { .store = { .sqlite_path = path } };
	struct fault f;
	struct store_stats st;
	int64_t start;

	make_path(path, sizeof(path), "store");
	loop = loop_create();
	store = loop ? store_open(&cfg, loop, &f) : NULL;
	if (!store)
		die("cannot open");
	submitted = answered = 0;
	total = n;
	start = clock_mono_ns();
	for (int i = 0; i < group; i++) {
		slots[i].t = new_transfer();
		submit(&slots[i]);
	}
	loop_run(loop);
	double rate = per_second(n, start);
	store_stats(store, &st);
	*commits = st.commits;
	store_close(store);
	loop_destroy(loop);
	for (int i = 0; i < group; i++)
		transfer_destroy(slots[i].t);
	remove_files(path);
	return rate;
}

int
main(int argc, char **argv)
{
	static const int groups[] = { 1, 16, 64, 256 };
	int64_t n;

	log_init("store_bench");
	log_set_level(LOG_WARN);
	if (argc > 1)
		folder = argv[1];
	if (argc > 2 && str_to_int64(argv[2], 256, 100000000, &n))
		rows = (int)n;
	if (!id_init())
		die("randomness");
	printf("{\"rows\":%d,\"runs\":[", rows);
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		int g = groups[i];
		int count = (g == 1 ? rows / 10 : rows) / g * g;
		int64_t commits;
		double bare = floor_run(g, count), ours = store_run(g, count, &commits);

		printf("%s\n{\"under_way\":%d,\"floor_rows_per_s\":%.0f,\"store_rows_per_s\":%.0f,"
		       "\"ratio\":%.2f,\"rows_per_commit\":%.1f}",
		       i ? "," : "", g, bare, ours, ours / bare, (double)count / (double)commits);
		fflush(stdout);
	}
	printf("\n]}\n");
	return 0;
}
