/* The built-in voice for real: text, level, rate, queue, cache and threads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/loop.h"
#include "common/mailbox.h"
#include "common/str.h"
#include "sip-worker/speech/level.h"
#include "sip-worker/speech/resample.h"
#include "sip-worker/speech/speech.h"
#include "sip-worker/speech/text.h"
#include "sip-worker/speech/tts.h"

#define PI 3.14159265358979

/* --- text --- */

static void
test_text_clean(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "Hello, world.", "Hello, world." },
		{ "  two   spaces \n\t", "two spaces" },
		{ "Caf\xc3\xa9 M\xc3\xbcller \xc5\x81\xc3\xb3"
		  "d\xc5\xba",
		  "Cafe Muller Lodz" },
		{ "It\xe2\x80\x99s 5\xe2\x82\xac", "It's 5 euros" },
		{ "wait\xe2\x80\xa6 what", "wait. what" },
		{ "a\x01\x02"
		  "b<c>{d}",
		  "a b c d" },
		{ "\xff\xfe ok \xc3", "ok" },
		{ "\xe6\xbc\xa2\xe5\xad\x97", "" },
		{ "...", "" },
		{ "!!!! yes!!!!", "! yes!" },
		{ "$5 & 10%", "$5 & 10%" },
		{ "", "" },
		{ "\xf0\x9f\x98\x80", "" },
	};
	char out[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(speech_text_clean(cases[i].in, out, sizeof(out)),
				 strlen(cases[i].out));
		assert_string_equal(out, cases[i].out);
	}
}

static void
test_text_limits(void **state)
{
	char long_word[500], out[SPEECH_TEXT_MAX + 1], tiny[8];
	size_t longest = 0, run = 0;

	(void)state;
	memset(long_word, 'x', sizeof(long_word) - 1);
	long_word[sizeof(long_word) - 1] = 0;
	speech_text_clean(long_word, out, sizeof(out));
	for (const char *p = out; *p; p++) {
		run = *p == ' ' ? 0 : run + 1;
		longest = run > longest ? run : longest;
	}
	assert_int_equal(longest, SPEECH_WORD_MAX);
	for (size_t size = 1; size <= sizeof(tiny); size++)
		assert_true(speech_text_clean("hello there", tiny, size) < size);
}

static void
test_text_sentences(void **state)
{
	char text[1000];
	size_t len, skip, total = 0, count = 0;

	(void)state;
	len = speech_text_sentence("This is the first sentence. And a second one here.", &skip);
	assert_int_equal(len, 27);
	assert_int_equal(skip, 28);
	assert_int_equal(speech_text_sentence("", &skip), 0);
	assert_int_equal(speech_text_sentence("Version 1.5 of it", &skip), 17);
	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	for (const char *p = text; (len = speech_text_sentence(p, &skip)) > 0; p += skip) {
		assert_true(len <= SPEECH_SENTENCE_MAX);
		total += len;
		count++;
	}
	assert_int_equal(total, 999);
	assert_int_equal(count, 4);
}

/* --- level and rate --- */

static void
tone(int16_t *pcm, size_t n, double hz, double rate, double peak)
{
	for (size_t i = 0; i < n; i++)
		pcm[i] = (int16_t)lrint(peak * sin(2 * PI * hz * (double)i / rate));
}

static void
test_level(void **state)
{
	static const double peaks[] = { 3000, 6000, 12000, 16000 };
	int16_t pcm[8000];
	size_t first, count;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(peaks); i++) {
		tone(pcm, 8000, 440, 8000, peaks[i]);
		level_normalise(pcm, 8000);
		assert_true(fabs(level_measure(pcm, 8000) - LEVEL_TARGET_DBOV) < 0.5);
	}
	/* a whisper with a bang: gain is bounded, the bang is rounded off, nothing wraps */
	tone(pcm, 8000, 440, 8000, 300);
	for (size_t i = 4000; i < 4010; i++)
		pcm[i] = i % 2 ? INT16_MIN : INT16_MAX;
	level_normalise(pcm, 8000);
	for (size_t i = 0; i < 8000; i++)
		assert_true(abs(pcm[i]) <= LEVEL_PEAK);
	memset(pcm, 0, sizeof(pcm));
	level_normalise(pcm, 8000);
	assert_int_equal(pcm[123], 0);
	level_trim(pcm, 8000, 100, &first, &count);
	assert_int_equal(count, 0);
	tone(pcm + 2000, 3000, 440, 8000, 5000);
	level_trim(pcm, 8000, 100, &first, &count);
	assert_in_range(first, 1860, 1900);
	assert_in_range(first + count, 5100, 5140);
	level_trim(pcm, 10, 100, &first, &count); /* too short to judge: all of it */
	assert_int_equal(count, 10);
}

static void
test_resample(void **state)
{
	int16_t in[16000], *out = NULL;
	size_t n = 0;

	(void)state;
	tone(in, 16000, 1000, 16000, 10000);
	assert_int_equal(resample_to_8k(in, 16000, 16000, &out, &n), ERR_OK);
	assert_int_equal(n, 8000);
	/* the same tone at the same level, in phase: the filter's delay was taken off */
	for (size_t i = 100; i < 7900; i++)
		assert_true(abs(out[i] - in[2 * i]) < 300);
	free(out);
	tone(in, 16000, 6000, 16000, 10000); /* above 4 kHz: must be gone, not folded */
	assert_int_equal(resample_to_8k(in, 16000, 16000, &out, &n), ERR_OK);
	for (size_t i = 100; i < 7900; i++)
		assert_true(abs(out[i]) < 300);
	free(out);
	assert_int_equal(resample_to_8k(in, 16000, 8000, &out, &n), ERR_OK);
	assert_int_equal(n, 16000);
	free(out);
	assert_int_equal(resample_to_8k(in, 10, 4000, &out, &n), ERR_INVALID);
	assert_int_equal(resample_to_8k(in, 10, 0, &out, &n), ERR_INVALID);
}

/* --- the whole --- */

struct asker {
	struct speech_job job;
	int done;
};

static struct loop *loop;
static struct mailbox *box;
static struct speech *speech;

static void
on_done(struct speech_job *job)
{
	container_of(job, struct asker, job)->done++;
}

static int
open_speech(void **state)
{
	(void)state;
	loop = loop_create();
	box = mailbox_create(64);
	assert_int_equal(mailbox_attach(box, loop), ERR_OK);
	speech = speech_create(2);
	assert_non_null(speech);
	speech_attach(speech, box);
	return 0;
}

static void
keep(struct task *t)
{
	(void)t;
}

static int
close_speech(void **state)
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
wait_for(const struct asker *a)
{
	int64_t deadline = clock_mono_ms() + 20000;

	while (!a->done && clock_mono_ms() < deadline)
		loop_step(loop, 100);
	assert_int_equal(a->done, 1);
}

static int16_t
from_ulaw(uint8_t u)
{
	int t;

	u = (uint8_t)~u;
	t = (((u & 0x0f) << 3) + 0x84) << ((u & 0x70) >> 4);
	return (int16_t)(u & 0x80 ? 0x84 - t : t - 0x84);
}

/* Mean level of a band, by a bank of single frequencies (Goertzel), in arbitrary units. */
static double
band(const int16_t *pcm, size_t n, double from, double to)
{
	double sum = 0;
	int count = 0;

	for (double hz = from; hz <= to; hz += 50, count++) {
		double c = 2 * cos(2 * PI * hz / 8000), s1 = 0, s2 = 0;

		for (size_t i = 0; i < n; i++) {
			double s0 = pcm[i] + c * s1 - s2;

			s2 = s1;
			s1 = s0;
		}
		sum += s1 * s1 + s2 * s2 - c * s1 * s2;
	}
	return sum / count;
}

static void
check_is_speech(const struct clip *c)
{
	int16_t pcm[8000 * 20];
	size_t n = c->samples < ARRAY_LEN(pcm) ? c->samples : ARRAY_LEN(pcm);
	double level;
	int peak = 0;

	for (size_t i = 0; i < n; i++) {
		pcm[i] = from_ulaw(c->law[CODEC_PCMU][i]);
		peak = abs(pcm[i]) > peak ? abs(pcm[i]) : peak;
	}
	level = level_measure(pcm, n);
	assert_true(level > -23 && level < -17);
	assert_true(peak < 32200);
	/* a voice: most of it between 100 and 1200 Hz; at half the rate it would lie under 600 */
	assert_true(band(pcm, n, 100, 1200) > 10 * band(pcm, n, 3000, 3900));
	assert_true(band(pcm, n, 400, 1200) > 3 * band(pcm, n, 3000, 3900));
	/* edges are quiet, but not empty for long */
	for (size_t i = 0; i < 40; i++)
		assert_true(abs(pcm[i]) < 1200 && abs(pcm[n - 1 - i]) < 1200);
}

static void
test_say(void **state)
{
	static const char *const voices[] = { "slt", "rms", "awb", "kal" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(voices); i++) {
		struct asker a = { .job.done = on_done };
		struct clip *hit = NULL;

		assert_int_equal(speech_say(speech, voices[i], "hello", &a.job, &hit), ERR_OK);
		assert_null(hit);
		wait_for(&a);
		assert_int_equal(a.job.err, ERR_OK);
		assert_in_range(clip_ms(a.job.clip), 250, 900);
		check_is_speech(a.job.clip);
		clip_unref(a.job.clip);
	}
}

static void
test_long_text(void **state)
{
	struct asker a = { .job.done = on_done }, b = { .job.done = on_done };
	struct clip *hit = NULL;

	(void)state;
	assert_int_equal(speech_say(speech, "slt",
				    "You can ask for your balance, a call back, or an agent. "
				    "Your balance is 1250.00 dollars.",
				    &a.job, &hit),
			 ERR_OK);
	assert_int_equal(speech_say(speech, "slt", "one", &b.job, &hit), ERR_OK);
	wait_for(&a);
	wait_for(&b);
	assert_in_range(clip_ms(a.job.clip), 4000, 12000);
	check_is_speech(a.job.clip);
	clip_unref(a.job.clip);
	clip_unref(b.job.clip);
}

static void
test_cache_and_join(void **state)
{
	struct asker a = { .job.done = on_done }, b = a, c = a;
	struct clip *hit = NULL;
	struct speech_totals t;

	(void)state;
	assert_int_equal(speech_say(speech, "slt", "The same text.", &a.job, &hit), ERR_OK);
	assert_int_equal(speech_say(speech, "slt", " The  same text. ", &b.job, &hit), ERR_OK);
	assert_int_equal(speech_say(speech, "slt", "The same text.", &c.job, &hit), ERR_OK);
	speech_cancel(&c.job);
	wait_for(&a);
	wait_for(&b);
	assert_int_equal(c.done, 0);
	assert_ptr_equal(a.job.clip, b.job.clip);
	speech_totals(speech, &t);
	assert_int_equal(t.synthesised, 1);
	assert_int_equal(t.waiting, 0);
	assert_int_equal(speech_say(speech, "slt", "The same text.", &c.job, &hit), ERR_OK);
	assert_ptr_equal(hit, a.job.clip);
	assert_int_equal(atomic_load(&hit->refs), 4); /* two askers, the hit, the cache */
	clip_unref(hit);
	clip_unref(a.job.clip);
	clip_unref(b.job.clip);
}

static void
test_refusals(void **state)
{
	struct asker a = { .job.done = on_done };
	struct clip *hit = NULL;

	(void)state;
	assert_int_equal(speech_say(speech, "nobody", "x", &a.job, &hit), ERR_NOT_FOUND);
	assert_int_equal(speech_say(speech, "slt", "", &a.job, &hit), ERR_INVALID);
	assert_int_equal(speech_say(speech, "slt", "\xe6\xbc\xa2 ...", &a.job, &hit), ERR_INVALID);
	assert_true(speech_has_voice("kal"));
	assert_false(speech_has_voice("nobody"));
	assert_false(speech_has_voice(""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_clean),
		cmocka_unit_test(test_text_limits),
		cmocka_unit_test(test_text_sentences),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_resample),
		cmocka_unit_test_setup_teardown(test_say, open_speech, close_speech),
		cmocka_unit_test_setup_teardown(test_long_text, open_speech, close_speech),
		cmocka_unit_test_setup_teardown(test_cache_and_join, open_speech, close_speech),
		cmocka_unit_test_setup_teardown(test_refusals, open_speech, close_speech),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
