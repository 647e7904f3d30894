#include "api-server/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "api-server/domain/parent_dir.h"
#include "api-server/store/side.h"
#include "common/str.h"

/* clang-format off */
const struct op_info store_ops[STORE_OP_COUNT] = {
	[STORE_TRANSFER_CREATE]   = { op_transfer_create,   DB_WRITER, false, NULL },
	[STORE_TRANSFER_GET]      = { op_transfer_get,      DB_READER, false, discard_transfer_get },
	[STORE_TRANSFER_CLAIM]    = { op_transfer_claim,    DB_WRITER, true,  discard_claim },
	[STORE_TRANSFER_RELEASE]  = { op_transfer_release,  DB_WRITER, false, NULL },
	[STORE_TRANSFER_COMPLETE] = { op_transfer_complete, DB_WRITER, false, NULL },
	[STORE_TRANSFER_EXPIRE]   = { op_transfer_expire,   DB_WRITER, false, NULL },
	[STORE_CALL_REPORT]       = { op_call_report,       DB_WRITER, true,  NULL },
	[STORE_CALL_LIST]         = { op_call_list,         DB_READER, false, discard_call_list },
	[STORE_CALL_GET]          = { op_call_get,          DB_READER, false, discard_call_get },
	[STORE_CONVERSATION_SAVE] = { op_conversation_save, DB_WRITER, false, NULL },
	[STORE_WORKER_REAP]       = { op_worker_reap,       DB_WRITER, true,  NULL },
	[STORE_WORKER_RESYNC]     = { op_worker_resync,     DB_WRITER, true,  discard_resync },
	[STORE_PURGE]             = { op_purge,             DB_WRITER, true,  NULL },
	[STORE_CHECK]             = { op_check,             DB_WRITER, false, NULL },
};
/* clang-format on */

struct store {
	char *path;
	int lock_fd;
	struct mailbox *results;
	struct side writer, reader;
	bool attached, closing;
};

/* The lock is the kernel's, so a killed owner leaves none behind. */
static bool
take_lock(struct store *s, struct fault *f)
{
	char path[4096];

	if (!str_print(path, sizeof(path), "%s.lock", s->path)) {
		fault_set(f, "store.url", "path is too long");
		return false;
	}
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0) {
		fault_set(f, "store.url", "%.200s: %s", path, strerror(errno));
		return false;
	}
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		fault_set(f, "store.url", "%.200s is in use by another api-server", s->path);
		return false;
	}
	return true;
}

static bool
start(struct store *s, struct loop *l, struct fault *f)
{
	if (!parent_dir_make(s->path, f) || !take_lock(s, f))
		return false;
	s->results = mailbox_create(4 * QUEUE_MAX);
	if (!s->results || mailbox_attach(s->results, l) != ERR_OK) {
		fault_set(f, "store.url", "out of memory");
		return false;
	}
	s->attached = true;
	return side_start(&s->writer, s->path, DB_WRITER, s->results, f) &&
	       side_start(&s->reader, s->path, DB_READER, s->results, f);
}

struct store *
store_open(const struct config *cfg, struct loop *l, struct fault *f)
{
	struct store *s = calloc(1, sizeof(*s));

	if (s)
		s->path = strdup(cfg->store.sqlite_path ? cfg->store.sqlite_path : "");
	if (!s || !s->path) {
		fault_set(f, "store.url", "out of memory");
		free(s);
		return NULL;
	}
	s->lock_fd = -1;
	if (!*s->path) {
		fault_set(f, "store.url", "expected sqlite:PATH");
	} else if (start(s, l, f)) {
		return s;
	}
	store_close(s);
	return NULL;
}

void
store_close(struct store *s)
{
	if (!s)
		return;
	s->closing = true;
	side_stop(&s->reader);
	side_stop(&s->writer);
	if (s->results) {
		while (mailbox_drain(s->results, 0))
			;
		if (s->attached)
			mailbox_detach(s->results);
		mailbox_destroy(s->results, NULL);
	}
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s->path);
	free(s);
}

enum err
store_submit(struct store *s, struct store_req *r)
{
	assert(r->op < STORE_OP_COUNT);
	if (s->closing)
		return ERR_UNAVAILABLE;
	return side_submit(store_ops[r->op].role == DB_WRITER ? &s->writer : &s->reader, r);
}

void
store_stats(const struct store *s, struct store_stats *out)
{
	*out = (struct store_stats){
		.commits = atomic_load_explicit(&s->writer.groups, memory_order_relaxed),
		.writes = atomic_load_explicit(&s->writer.requests, memory_order_relaxed),
		.reads = atomic_load_explicit(&s->reader.requests, memory_order_relaxed),
		.failures = atomic_load_explicit(&s->writer.failures, memory_order_relaxed) +
			    atomic_load_explicit(&s->reader.failures, memory_order_relaxed),
		.queued = (int64_t)(s->writer.under_way + s->reader.under_way),
		.wal_bytes = atomic_load_explicit(&s->writer.wal_bytes, memory_order_relaxed),
	};
}
