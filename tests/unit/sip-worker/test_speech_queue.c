/* Queue, cache and faults of the speech pool, with a synthesiser that does as it is told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/loop.h"
#include "common/mailbox.h"
#include "common/str.h"
#include "sip-worker/speech/speech.h"
#include "sip-worker/speech/synth.h"
#include "sip-worker/speech/tts.h"

/* --- the synthesiser: "fail…" fails, "big…" gives a megabyte, "gate…" waits to be let go --- */

static atomic_bool gate_open;
static atomic_int running, made;
static char order[4096]; /* first letters of what was made; one thread where it is looked at */

void
tts_open(void)
{
}

int
tts_find_voice(const char *name)
{
	return strcmp(name, "v") == 0 ? 0 : TTS_NO_VOICE;
}

enum err
synth_clip(int voice, const char *text, const atomic_bool *stop, struct clip **out)
{
	static int16_t pcm[512 * 1024];
	const struct timespec ms = { .tv_nsec = 1000000 };

	assert_int_equal(voice, 0);
	atomic_fetch_add(&running, 1);
	while (strncmp(text, "gate", 4) == 0 && !atomic_load(&gate_open) && !atomic_load(stop))
		nanosleep(&ms, NULL);
	if (strncmp(text, "fail", 4) == 0)
		return ERR_INTERNAL;
	order[atomic_fetch_add(&made, 1) % (int)sizeof(order)] = text[strlen(text) - 1];
	*out = clip_create(pcm, strncmp(text, "big", 3) == 0 ? ARRAY_LEN(pcm) : 80);
	return *out ? ERR_OK : ERR_NOMEM;
}

/* --- stage --- */

struct asker {
	struct speech_job job;
	int done;
	struct asker *cancels; /* when done */
	bool again;            /* asks for the same once more, when done */
};

static struct loop *loop;
static struct mailbox *box;
static struct speech *speech;

static void
on_done(struct speech_job *job)
{
	struct asker *a = container_of(job, struct asker, job);
	struct clip *hit = NULL;

	a->done++;
	clip_unref(job->clip);
	job->clip = NULL;
	if (a->cancels)
		speech_cancel(&a->cancels->job);
	if (a->again) {
		a->again = false;
		assert_int_equal(speech_say(speech, "v", "fail again", job, &hit), ERR_OK);
	}
}

static int
open_with(size_t threads)
{
	atomic_store(&gate_open, false);
	atomic_store(&made, 0);
	atomic_store(&running, 0);
	memset(order, 0, sizeof(order));
	loop = loop_create();
	box = mailbox_create(64);
	assert_int_equal(mailbox_attach(box, loop), ERR_OK);
	speech = speech_create(threads);
	assert_non_null(speech);
	speech_attach(speech, box);
	return 0;
}

static int
open_one(void **state)
{
	(void)state;
	return open_with(1);
}

static void
keep(struct task *t)
{
	(void)t;
}

static int
close_all(void **state)
{
	(void)state;
	speech_halt(speech);
	mailbox_detach(box);
	mailbox_destroy(box, keep);
	speech_destroy(speech);
	loop_destroy(loop);
	return 0;
}

static void
wait_done(const struct asker *a, int times)
{
	int64_t deadline = clock_mono_ms() + 10000;

	while (a->done < times && clock_mono_ms() < deadline)
		loop_step(loop, 50);
	assert_int_equal(a->done, times);
}

static void
wait_running(int n)
{
	int64_t deadline = clock_mono_ms() + 10000;

	while (atomic_load(&running) < n && clock_mono_ms() < deadline)
		loop_step(loop, 1);
	assert_int_equal(atomic_load(&running), n);
}

static void
say(struct asker *a, const char *text)
{
	struct clip *hit = NULL;

	a->job.done = on_done;
	assert_int_equal(speech_say(speech, "v", text, &a->job, &hit), ERR_OK);
	assert_null(hit);
}

/* --- tests --- */

static void
test_order(void **state)
{
	struct asker gate = { 0 }, first = { 0 }, second = { 0 };

	(void)state;
	say(&gate, "gate a");
	wait_running(1);
	assert_int_equal(speech_prefetch(speech, "v", "early x"), ERR_OK);
	assert_int_equal(speech_prefetch(speech, "v", "early y"), ERR_OK);
	assert_int_equal(speech_prefetch(speech, "v", "early z"), ERR_OK);
	say(&first, "wanted b");
	say(&second, "early z"); /* prefetched and now waited for */
	atomic_store(&gate_open, true);
	wait_done(&gate, 1);
	wait_done(&second, 1);
	assert_int_equal(first.done, 1);
	while (atomic_load(&made) < 5)
		loop_step(loop, 10);
	assert_string_equal(order, "abzxy");
}

static void
test_limit(void **state)
{
	struct asker gate = { 0 }, late = { 0 };
	struct clip *hit = NULL;
	char text[32];

	(void)state;
	say(&gate, "gate a");
	wait_running(1);
	for (int i = 0; i < SPEECH_QUEUE_MAX; i++) {
		str_print(text, sizeof(text), "text %d", i);
		assert_int_equal(speech_prefetch(speech, "v", text), ERR_OK);
	}
	assert_int_equal(speech_prefetch(speech, "v", "one more"), ERR_BUSY);
	assert_int_equal(speech_say(speech, "v", "one more", &late.job, &hit), ERR_BUSY);
	/* what is queued may be asked for all the same */
	say(&late, "text 100");
	speech_cancel(&late.job); /* and its place is free again */
	assert_int_equal(speech_prefetch(speech, "v", "one more"), ERR_OK);
	atomic_store(&gate_open, true);
	wait_done(&gate, 1);
}

static void
test_failure(void **state)
{
	struct asker a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	a.cancels = &b;
	say(&a, "fail x");
	say(&b, "fail x");
	say(&c, "fail x");
	wait_done(&a, 1);
	wait_done(&c, 1);
	assert_int_equal(b.done, 0);
	assert_int_equal(a.job.err, ERR_INTERNAL);
	assert_null(a.job.clip);
	/* a failure is not remembered, and may be asked for again from done() */
	a.cancels = NULL;
	a.again = true;
	say(&a, "fail again");
	wait_done(&a, 3);
}

static void
test_cache_is_bounded(void **state)
{
	struct asker a = { 0 };
	struct speech_totals t;
	struct clip *hit = NULL;
	char text[32];

	(void)state;
	for (int i = 0; i < 100; i++) {
		str_print(text, sizeof(text), "big %d", i);
		say(&a, text);
		wait_done(&a, i + 1);
		if (i > 0) { /* the first stays in use */
			assert_int_equal(speech_say(speech, "v", "big 0", &a.job, &hit), ERR_OK);
			assert_non_null(hit);
			clip_unref(hit);
		}
	}
	speech_totals(speech, &t);
	assert_true(t.cached_bytes <= SPEECH_CACHE_BYTES);
	assert_true(t.cached_bytes > SPEECH_CACHE_BYTES / 2);
	assert_int_equal(t.hits, 99);
	assert_int_equal(speech_say(speech, "v", "big 1", &a.job, &hit), ERR_OK);
	assert_null(hit); /* long gone */
	wait_done(&a, 101);
}

/* Halted with work under way and queued: no done(), no leak, no post afterwards. */
static void
test_halt(void **state)
{
	static struct asker a, b; /* alive until the pool is destroyed */
	struct clip *hit = NULL;

	(void)state;
	say(&a, "gate a");
	wait_running(1);
	say(&b, "queued");
	speech_halt(speech);
	assert_int_equal(speech_say(speech, "v", "more", &b.job, &hit), ERR_CLOSED);
	assert_int_equal(speech_prefetch(speech, "v", "more"), ERR_CLOSED);
	mailbox_drain(box, 0);
	assert_int_equal(b.done, 0);
}

static void
test_cancel_while_running(void **state)
{
	struct asker a = { 0 }, b = { 0 };
	struct clip *hit = NULL;

	(void)state;
	say(&a, "gate a");
	wait_running(1);
	speech_cancel(&a.job);
	speech_cancel(&a.job);
	atomic_store(&gate_open, true);
	say(&b, "b");
	wait_done(&b, 1);
	assert_int_equal(a.done, 0);
	/* its clip is in the cache for the next one */
	assert_int_equal(speech_say(speech, "v", "gate a", &a.job, &hit), ERR_OK);
	assert_non_null(hit);
	clip_unref(hit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, open_one, close_all),
		cmocka_unit_test_setup_teardown(test_limit, open_one, close_all),
		cmocka_unit_test_setup_teardown(test_failure, open_one, close_all),
		cmocka_unit_test_setup_teardown(test_cache_is_bounded, open_one, close_all),
		cmocka_unit_test_setup_teardown(test_halt, open_one, close_all),
		cmocka_unit_test_setup_teardown(test_cancel_while_running, open_one, close_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
