#include "sip-worker/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/jfield.h"
#include "common/log.h"
#include "common/str.h"

#define SPOOL_SLOTS    8192
#define SPOOL_FILE_MAX (4u << 20)

struct spool {
	struct mailbox *jobs; /* to the thread */
	struct mailbox *results;
	pthread_t thread;
	bool running;
	bool stop; /* the thread's own */
	int dir_fd, lock_fd;
	uint64_t next;
};

struct job {
	struct task task;
	struct spool *spool;
	uint64_t number;
	char *text; /* NULL: remove */
	spool_done_h *done;
	void *arg;
	bool ok;
};

static void
job_free(struct job *j)
{
	free(j->text);
	free(j);
}

static void
file_name(char out[32], uint64_t number)
{
	ignore_err(str_print(out, 32, "%" PRIu64 ".json", number) ? ERR_OK : ERR_INTERNAL);
}

/* --- on the thread --- */

static bool
write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd) == 0;
}

/* Whole or not at all: a temporary name first, and the folder synced after the rename. */
static bool
write_file(struct spool *s, uint64_t number, const char *text)
{
	char name[32];
	bool ok;
	int fd = openat(s->dir_fd, "tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	ok = write_all(fd, text, strlen(text));
	close(fd);
	file_name(name, number);
	ok = ok && renameat(s->dir_fd, "tmp", s->dir_fd, name) == 0 && fsync(s->dir_fd) == 0;
	if (!ok)
		unlinkat(s->dir_fd, "tmp", 0);
	return ok;
}

static void
run_result(struct task *t)
{
	struct job *j = container_of(t, struct job, task);

	j->done(j->arg, j->ok);
	job_free(j);
}

static void
run_job(struct task *t)
{
	struct job *j = container_of(t, struct job, task);
	struct spool *s = j->spool;
	char name[32];

	if (!j->text) {
		file_name(name, j->number);
		if (unlinkat(s->dir_fd, name, 0) != 0 && errno != ENOENT)
			log_warn("spool", "remove_failed", "file=%s error=%s", name,
				 strerror(errno));
		job_free(j);
		return;
	}
	j->ok = write_file(s, j->number, j->text);
	if (!j->ok)
		log_err("spool", "write_failed", "number=%" PRIu64 " error=%s", j->number,
			strerror(errno));
	j->task.run = run_result;
	if (!j->done || mailbox_post(s->results, &j->task) != ERR_OK)
		job_free(j); /* nobody waits longer than its own deadline */
}

static void
run_stop(struct task *t)
{
	struct job *j = container_of(t, struct job, task);

	j->spool->stop = true;
	job_free(j);
}

static void *
spool_thread(void *arg)
{
	struct spool *s = arg;
	struct pollfd p = { .fd = mailbox_fd(s->jobs), .events = POLLIN };

	while (!s->stop) {
		mailbox_drain(s->jobs, 0);
		if (!s->stop && !mailbox_pending(s->jobs))
			poll(&p, 1, 1000);
	}
	mailbox_drain(s->jobs, 0);
	return NULL;
}

/* --- on the signalling loop --- */

static struct job *
job_new(struct spool *s, uint64_t number, void (*run)(struct task *t))
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->task.run = run;
	j->spool = s;
	j->number = number;
	return j;
}

enum err
spool_write(struct spool *s, uint64_t number, const json_t *msg, spool_done_h *done, void *arg)
{
	struct job *j = job_new(s, number, run_job);

	if (!j)
		return ERR_NOMEM;
	j->text = json_text(msg);
	j->done = done;
	j->arg = arg;
	if (j->text && mailbox_post(s->jobs, &j->task) == ERR_OK)
		return ERR_OK;
	job_free(j);
	return ERR_BUSY;
}

void
spool_remove(struct spool *s, uint64_t number)
{
	struct job *j = job_new(s, number, run_job);

	/* A file left behind is delivered again at the next start, which changes nothing. */
	if (j && mailbox_post(s->jobs, &j->task) != ERR_OK)
		job_free(j);
}

uint64_t
spool_next_number(struct spool *s)
{
	return s->next++;
}

static json_t *
read_file(struct spool *s, const char *name)
{
	int fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text = NULL;
	json_t *msg = NULL;
	struct fault f = { 0 };

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= (off_t)SPOOL_FILE_MAX)
		text = malloc((size_t)st.st_size);
	if (text && read(fd, text, (size_t)st.st_size) == st.st_size)
		ignore_err(json_parse(text, (size_t)st.st_size, &msg, &f));
	free(text);
	close(fd);
	if (!msg)
		log_warn("spool", "unreadable", "file=%s what=%s", log_quote(name),
			 log_quote(f.what));
	return msg;
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The numbers of the files in the folder, malloced; *count says how many. */
static uint64_t *
list_numbers(struct spool *s, size_t *count)
{
	int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	uint64_t *numbers = NULL;
	size_t cap = 0;

	*count = 0;
	for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
		char *end;
		uint64_t n = strtoull(e->d_name, &end, 10);

		if (end == e->d_name || !str_eq(end, ".json"))
			continue;
		if (*count == cap) {
			uint64_t *more = realloc(numbers, (cap ? cap * 2 : 64) * sizeof(*numbers));

			if (!more)
				break;
			numbers = more;
			cap = cap ? cap * 2 : 64;
		}
		numbers[(*count)++] = n;
	}
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	if (*count)
		qsort(numbers, *count, sizeof(*numbers), by_number);
	return numbers;
}

void
spool_load(struct spool *s, void (*fn)(void *arg, uint64_t number, json_t *msg), void *arg)
{
	size_t count;
	uint64_t *numbers = list_numbers(s, &count);

	for (size_t i = 0; i < count; i++) {
		char name[32];
		json_t *msg;

		file_name(name, numbers[i]);
		if (numbers[i] >= s->next)
			s->next = numbers[i] + 1;
		msg = read_file(s, name);
		if (msg)
			fn(arg, numbers[i], msg);
		json_decref(msg);
	}
	free(numbers);
}

static int
open_dir(const char *dir, const char *name, struct fault *f)
{
	char path[4096];
	int fd = -1;

	if (!str_print(path, sizeof(path), "%s/%s", dir, name)) {
		fault_set(f, "worker.spool", "path is too long");
		return -1;
	}
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(path, 0770);
		*p = '/';
	}
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fault_set(f, "worker.spool", "%s: %s", path, strerror(errno));
	return fd;
}

struct spool *
spool_open(const char *dir, const char *name, struct mailbox *results, struct fault *f)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (!s)
		goto no_memory;
	*s = (struct spool){ .results = results, .dir_fd = -1, .lock_fd = -1, .next = 1 };
	s->jobs = mailbox_create(SPOOL_SLOTS);
	if (!s->jobs)
		goto no_memory;
	s->dir_fd = open_dir(dir, name, f);
	if (s->dir_fd < 0)
		goto fail;
	s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0 || flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		fault_set(f, "worker.spool",
			  "%s/%s is in use by another worker of this name (--name)", dir, name);
		goto fail;
	}
	if (pthread_create(&s->thread, NULL, spool_thread, s) != 0)
		goto no_memory;
	s->running = true;
	return s;
no_memory:
	fault_set(f, "worker.spool", "out of memory");
fail:
	spool_close(s);
	return NULL;
}

static void
drop_job(struct task *t)
{
	job_free(container_of(t, struct job, task));
}

void
spool_close(struct spool *s)
{
	struct job *j;

	if (!s)
		return;
	if (s->running) {
		/* The queue is emptied by the thread, so a place comes free within a disk's time.
		 */
		j = job_new(s, 0, run_stop);
		for (int i = 0; j && i < 5000 && mailbox_post(s->jobs, &j->task) != ERR_OK; i++)
			poll(NULL, 0, 1);
		if (j)
			pthread_join(s->thread, NULL);
	}
	if (s->jobs)
		mailbox_destroy(s->jobs, drop_job);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s);
}
