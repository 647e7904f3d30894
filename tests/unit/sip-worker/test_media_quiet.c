/* What media threads must not do: allocate, free, lock, work when idle, burst after a stall.  And
 * what the engine does when memory is short. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/id.h"
#include "sip-worker/media/engine.h"

/* Sanitizers bring their own allocator: there the counting is left out. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTING 0
#else
#define COUNTING 1
#endif
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#undef COUNTING
#define COUNTING 0
#endif
#endif

static _Thread_local bool is_main;
static atomic_int elsewhere; /* calls by other threads */
static long fail_at;         /* n-th allocation of the main thread fails; 0: none */
static long allocations;

#if COUNTING
/* glibc's own names for what is replaced here. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);

static bool
refuse(void)
{
	if (!is_main) {
		atomic_fetch_add(&elsewhere, 1);
		return false;
	}
	return ++allocations == fail_at;
}

void *
malloc(size_t size)
{
	return refuse() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return refuse() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t size)
{
	return refuse() ? NULL : __libc_realloc(p, size);
}

void *
aligned_alloc(size_t align, size_t size)
{
	return refuse() ? NULL : __libc_memalign(align, size);
}

void
free(void *p)
{
	if (!is_main)
		atomic_fetch_add(&elsewhere, 1);
	__libc_free(p);
}
#endif

struct bench {
	struct config cfg;
	struct addr address;
	struct mailbox *box;
	int played, closed, digits;
};

static void
leave_task(struct task *t)
{
	(void)t;
}

static void
on_addr(void *app, uint64_t owner, const struct addr *a)
{
	(void)app, (void)owner, (void)a;
}

static void
on_digit(void *app, uint64_t owner, char digit, int ms, const char *source)
{
	(void)owner, (void)digit, (void)ms, (void)source;
	((struct bench *)app)->digits++;
}

static void
on_played(void *app, uint64_t owner, uint32_t play, enum media_stop_how how, int ms)
{
	(void)owner, (void)play, (void)how, (void)ms;
	((struct bench *)app)->played++;
}

static void
on_timeout(void *app, uint64_t owner)
{
	(void)app, (void)owner;
}

static void
on_closed(void *app, uint64_t owner, const struct media_stats *stats)
{
	(void)owner, (void)stats;
	((struct bench *)app)->closed++;
}

static const struct media_ops ops = {
	on_addr, on_digit, on_played, on_timeout, on_addr, on_closed
};

static void
prepare(struct bench *b)
{
	is_main = true;
	*b = (struct bench){ 0 };
	assert_true(id_init());
	assert_true(addr_parse("127.0.0.5", 0, &b->address));
	b->cfg.media.address.items = &b->address;
	b->cfg.media.address.count = 1;
	b->cfg.media.port_first = 36500;
	b->cfg.media.port_last = 36599;
	b->cfg.media.timeout_ms = 200;
	b->cfg.media.latch_ms = 1000;
	b->cfg.media.threads = 2;
	b->cfg.worker.max_calls = 40;
	b->box = mailbox_create(64);
	assert_non_null(b->box);
}

static void
drain(struct bench *b, int ms)
{
	for (int64_t end = clock_mono_ms() + ms; clock_mono_ms() < end; usleep(2000))
		mailbox_drain(b->box, 0);
}

/* Sessions that send to each other: everything a call does. */
static void
test_allocates_nothing(void **state)
{
	struct bench b;
	struct media *m;
	struct clip *c;
	struct fault f;
	media_id id[4];
	struct media_local local[4];
	struct media_open o = { .family = AF_INET };
	int16_t pcm[800] = { 0 };

	(void)state;
	prepare(&b);
	m = media_create(&b.cfg, b.box, &ops, &b, &f);
	assert_non_null(m);
	c = clip_create(pcm, 800);
	assert_non_null(c);
	o.remote.ptime_ms = 20;
	for (int i = 0; i < 4; i++)
		assert_int_equal(media_open(m, &o, &local[i], &id[i]), ERR_OK);
	drain(&b, 50);
	atomic_store(&elsewhere, 0);
	for (int i = 0; i < 4; i++) {
		o.remote.rtp = local[i ^ 1].rtp;
		o.remote.rtcp = local[i ^ 1].rtcp;
		o.remote.dtmf_payload_type = i < 2 ? 101 : -1;
		media_start(m, id[i]);
		media_update(m, id[i], &o.remote);
		media_loopback(m, id[i], i % 2);
		assert_int_equal(media_play(m, id[i], c, 1), ERR_OK);
		assert_int_equal(media_play(m, id[i], c, 2), ERR_OK);
	}
	drain(&b, 400);
	media_stop_playing(m, id[0]);
	drain(&b, 50);
	for (int i = 0; i < 4; i++)
		media_close(m, id[i]);
	clip_unref(c);
	drain(&b, 50);
	assert_int_equal(b.closed, 4);
	assert_int_equal(b.played, 8);
	assert_int_equal(atomic_load(&elsewhere), 0);
	media_destroy(m);
	mailbox_destroy(b.box, leave_task);
}

/* 0 talks to 1, which is bridged with 2, which talks to 3. */
static void
test_bridge_allocates_nothing(void **state)
{
	struct bench b;
	struct media *m;
	struct clip *c;
	struct fault f;
	media_id id[4];
	struct media_local local[4];
	struct media_open o = { .family = AF_INET };
	int16_t pcm[800] = { 0 };

	(void)state;
	prepare(&b);
	m = media_create(&b.cfg, b.box, &ops, &b, &f);
	assert_non_null(m);
	media_set_ports(m, 44500, 44599);
	c = clip_create(pcm, 800);
	assert_non_null(c);
	o.remote.ptime_ms = 20;
	for (int i = 0; i < 4; i++) {
		o.beside = i == 2 ? id[1] : 0;
		assert_int_equal(media_open(m, &o, &local[i], &id[i]), ERR_OK);
	}
	drain(&b, 50);
	atomic_store(&elsewhere, 0);
	for (int i = 0; i < 4; i++) {
		o.remote.rtp = local[i ^ 1].rtp;
		o.remote.rtcp = local[i ^ 1].rtcp;
		o.remote.dtmf_payload_type = 101;
		o.remote.codec = i < 2 ? CODEC_PCMU : CODEC_PCMA;
		o.remote.ptime_ms = i < 2 ? 20 : 30;
		media_update(m, id[i], &o.remote);
		media_start(m, id[i]);
	}
	media_tone(m, id[2], MEDIA_TONE_RINGBACK);
	drain(&b, 50);
	assert_int_equal(media_bridge(m, id[1], id[2]), ERR_OK);
	assert_int_equal(media_send_digit(m, id[0], '5', 60), ERR_OK);
	assert_int_equal(media_play(m, id[0], c, 1), ERR_OK);
	drain(&b, 400);
	media_unbridge(m, id[2], id[1]);
	drain(&b, 50);
	for (int i = 0; i < 4; i++)
		media_close(m, id[i]);
	clip_unref(c);
	drain(&b, 50);
	assert_int_equal(b.closed, 4);
	assert_int_equal(b.played, 1);
	assert_int_equal(b.digits, 2); /* told by 1, and by 3 to which it was passed on */
	assert_int_equal(atomic_load(&elsewhere), 0);
	media_destroy(m);
	mailbox_destroy(b.box, leave_task);
}

static void
test_idle_costs_nothing(void **state)
{
	struct bench b;
	struct rusage before, after;
	struct media *m;
	struct fault f;

	(void)state;
	prepare(&b);
	m = media_create(&b.cfg, b.box, &ops, &b, &f);
	assert_non_null(m);
	usleep(20000);
	getrusage(RUSAGE_SELF, &before);
	usleep(300000);
	getrusage(RUSAGE_SELF, &after);
	assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 0, 5);
	media_destroy(m);
	mailbox_destroy(b.box, leave_task);
}

/* The n-th allocation fails, for every n: told as an error, and everything is given back. */
static void
test_out_of_memory(void **state)
{
	struct media_open o = { .family = AF_INET };
	struct bench b;
	bool done = false;

	(void)state;
	if (!COUNTING)
		skip();
	prepare(&b);
	for (long n = 1; !done; n++) {
		struct media_local local;
		struct fault f;
		struct media *m;
		media_id id;
		int next = dup(0), again;

		assert_true(n < 1000);
		allocations = 0;
		fail_at = n;
		m = media_create(&b.cfg, b.box, &ops, &b, &f);
		if (m) {
			enum err e = media_open(m, &o, &local, &id);

			done = allocations < n;
			assert_int_equal(e, done ? ERR_OK : ERR_NOMEM);
		}
		fail_at = 0;
		media_destroy(m);
		close(next);
		again = dup(0); /* no descriptor was left open */
		assert_int_equal(again, next);
		close(again);
	}
	mailbox_destroy(b.box, leave_task);
}

static void
test_late_ticks(void **state)
{
	static struct media_thread t;

	(void)state;
	t.tick = 100;
	t.next_ns = 1000 * (int64_t)TICK_NS;
	thread_schedule(&t, t.next_ns + 100000);
	assert_int_equal(t.tick, 101);
	assert_int_equal(t.late, 0);
	/* A little late: ticks in a row until the clock is caught. */
	thread_schedule(&t, t.next_ns + 3 * TICK_NS);
	assert_int_equal(t.tick, 102);
	assert_int_equal(t.slot, 2);
	assert_int_equal(t.late, 1);
	assert_false(t.skipped);
	/* Very late: time goes on, turns are not made up for. */
	thread_schedule(&t, t.next_ns + 1000 * (int64_t)TICK_NS + 5);
	assert_true(t.skipped);
	assert_int_equal(t.tick, 1103);
	assert_int_equal(t.slot, 3);
	assert_int_equal(t.next_ns, 2003 * (int64_t)TICK_NS);
	/* A clock that is early (never asked to wake so) does no harm. */
	thread_schedule(&t, t.next_ns - 10);
	assert_int_equal(t.tick, 1104);
	assert_false(t.skipped);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_ticks),
		cmocka_unit_test(test_allocates_nothing),
		cmocka_unit_test(test_bridge_allocates_nothing),
		cmocka_unit_test(test_idle_costs_nothing),
		cmocka_unit_test(test_out_of_memory),
	};

	is_main = true;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
