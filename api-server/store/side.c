#include "api-server/store/side.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define GROUP_MAX 512 /* requests in one transaction */
#define IDLE_MS   1000
/* The WAL is moved into the database when it grew by so much and nothing waits, or by more even
 * then: the longer it may grow, the fewer pages are moved twice. */
#define WAL_SOFT_BYTES  (16 << 20)
#define WAL_HARD_BYTES  (64 << 20)
#define WAL_STUCK_BYTES (256 << 20) /* readers were in the way: wait for them a little */

static const char *
side_name(const struct side *s)
{
	return s->role == DB_WRITER ? "writer" : "reader";
}

/* --- in and out --- */

/* On the loop. */
static void
on_result(struct task *t)
{
	struct store_req *r = container_of(t, struct store_req, task);

	r->side->under_way--;
	r->done(r);
}

/* On the side's thread, as everything below but what the header declares. */
static void
on_request(struct task *t)
{
	struct store_req *r = container_of(t, struct store_req, task);

	list_append(&r->side->group, &r->node);
}

static void
on_stop(struct task *t)
{
	container_of(t, struct side, stop)->stopping = true;
}

enum err
side_submit(struct side *s, struct store_req *r)
{
	enum err e;

	if (s->under_way >= QUEUE_MAX)
		return ERR_BUSY;
	r->side = s;
	r->err = ERR_OK;
	r->node = (struct list){ 0 };
	r->task.run = on_request;
	e = mailbox_post(s->box, &r->task);
	if (e == ERR_OK)
		s->under_way++;
	return e;
}

static void
answer_group(struct side *s)
{
	struct list *node;

	while ((node = list_pop(&s->group))) {
		struct store_req *r = container_of(node, struct store_req, node);

		r->task.run = on_result;
		/* Cannot be full: it holds QUEUE_MAX of each side. */
		if (mailbox_post(s->results, &r->task) != ERR_OK)
			abort();
	}
}

/* --- a group --- */

static void
run_one(struct side *s, struct store_req *r)
{
	const struct op_info *op = &store_ops[r->op];
	enum err failure;

	if (op->parts && s->role == DB_WRITER)
		db_part_begin(s->db);
	r->err = op->run(s->db, r);
	failure = db_err(s->db);
	if (op->parts && s->role == DB_WRITER)
		failure = db_part_end(s->db, r->err == ERR_OK);
	else
		db_own_failure_clear(s->db);
	if (failure == ERR_OK)
		return;
	if (r->err == ERR_OK && op->discard)
		op->discard(r);
	r->err = failure;
}

static void
fail_group(struct side *s)
{
	list_each(node, &s->group)
	{
		struct store_req *r = container_of(node, struct store_req, node);

		if (r->err == ERR_OK && store_ops[r->op].discard)
			store_ops[r->op].discard(r);
		r->err = ERR_UNAVAILABLE;
	}
}

static void
say_trouble(struct side *s, const char *why)
{
	atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
	if (!s->troubled)
		log_err("store", "unavailable", "side=%s why=%s", side_name(s), log_quote(why));
	s->troubled = true;
}

static void
say_recovered(struct side *s)
{
	if (s->troubled)
		log_info("store", "available", "side=%s", side_name(s));
	s->troubled = false;
}

static bool
have_db(struct side *s)
{
	struct fault f = { .where = "" };

	if (!s->db)
		s->db = db_open(s->path, s->role, &f);
	if (!s->db)
		say_trouble(s, f.what);
	return s->db != NULL;
}

static bool
run_in_transaction(struct side *s)
{
	if (!db_begin(s->db))
		return false;
	list_each(node, &s->group)
	{
		run_one(s, container_of(node, struct store_req, node));
		if (db_failed(s->db))
			return false;
	}
	return db_commit(s->db);
}

static void
run_group(struct side *s, size_t count)
{
	list_each(node, &s->group) container_of(node, struct store_req, node)->err =
		ERR_UNAVAILABLE;
	if (!have_db(s))
		return;
	if (run_in_transaction(s)) {
		atomic_fetch_add_explicit(&s->groups, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&s->requests, (int64_t)count, memory_order_relaxed);
		say_recovered(s);
		return;
	}
	say_trouble(s, db_failure(s->db));
	fail_group(s);
	db_rollback(s->db);
	if (db_must_reopen(s->db)) {
		db_close(s->db);
		s->db = NULL;
	}
}

/* --- the thread --- */

/* Automatic checkpoints are off: they would stall the commit that happens to cross the line.
 * What counts is the growth since the last one, so that a reader who holds the WAL (a backup) costs
 * one attempt per so many bytes and not one per group. */
static void
care_for_wal(struct side *s, bool idle)
{
	int64_t bytes;
	bool stuck;

	if (s->role != DB_WRITER || !s->db)
		return;
	bytes = db_wal_bytes(s->db);
	stuck = bytes > WAL_STUCK_BYTES;
	atomic_store_explicit(&s->wal_bytes, bytes, memory_order_relaxed);
	if (bytes < s->wal_seen)
		s->wal_seen = 0; /* it began anew */
	if (bytes - s->wal_seen < (idle && !stuck ? WAL_SOFT_BYTES : WAL_HARD_BYTES))
		return;
	s->wal_seen = bytes;
	db_checkpoint(s->db, stuck);
}

static void
wait_for_more(struct side *s)
{
	struct pollfd p = { .fd = mailbox_fd(s->box), .events = POLLIN };

	care_for_wal(s, true);
	if (poll(&p, 1, IDLE_MS) < 0 && errno != EINTR)
		log_err("store", "poll_failed", "why=%s", strerror(errno));
}

static void *
side_main(void *arg)
{
	struct side *s = arg;

	for (;;) {
		size_t count = mailbox_drain(s->box, GROUP_MAX);

		if (!list_empty(&s->group)) {
			run_group(s, count);
			answer_group(s);
			care_for_wal(s, false);
		} else if (s->stopping) {
			break;
		} else {
			wait_for_more(s);
		}
	}
	return NULL;
}

bool
side_start(struct side *s, const char *path, enum db_role role, struct mailbox *results,
	   struct fault *f)
{
	int rc;

	*s = (struct side){ .path = path, .role = role, .results = results };
	s->stop.run = on_stop;
	list_init(&s->group);
	s->db = db_open(path, role, f);
	if (!s->db)
		return false;
	s->box = mailbox_create(2 * QUEUE_MAX);
	if (!s->box) {
		fault_set(f, "store.url", "out of memory");
		return false;
	}
	rc = pthread_create(&s->thread, NULL, side_main, s);
	if (rc != 0) {
		fault_set(f, "store.url", "thread: %s", strerror(rc));
		return false;
	}
	pthread_setname_np(s->thread, role == DB_WRITER ? "store-writer" : "store-reader");
	s->started = true;
	return true;
}

void
side_stop(struct side *s)
{
	if (s->started) {
		/* Cannot be full: twice as large as what may be under way. */
		if (mailbox_post(s->box, &s->stop) != ERR_OK)
			abort();
		pthread_join(s->thread, NULL);
	}
	if (s->db && s->role == DB_WRITER)
		db_checkpoint(s->db, true);
	db_close(s->db);
	mailbox_destroy(s->box, NULL);
	s->started = false;
	s->db = NULL;
	s->box = NULL;
}
