#include "sip-worker/media/jitter.h"

#include <string.h>

#define MASK       (JITTER_RING - 1)
#define PERIOD     (4 * 8000) /* how long a transit time counts: one to two periods */
#define SHRINK     80         /* 10 ms: what is cut at once */
#define SHRINK_NOW 16000      /* deeper than wanted for 2 s: cut even in speech */
#define LATE_RUN   10         /* so many late packets in a row: their clock jumped */
#define QUIET      0x60       /* G.711 magnitude: see is_quiet() */

void
jitter_init(struct jitter *j, size_t frame)
{
	memset(j, 0, offsetof(struct jitter, ring));
	j->frame = (uint32_t)frame;
}

static uint64_t
word_mask(uint32_t at, size_t count, size_t *taken)
{
	size_t room = 64 - at % 64;

	*taken = count < room ? count : room;
	return (*taken >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << *taken) - 1) << at % 64;
}

static void
mark(struct jitter *j, uint32_t ts, size_t count, bool present)
{
	while (count > 0) {
		uint32_t at = ts & MASK;
		size_t taken;
		uint64_t bits = word_mask(at, count, &taken);

		if (present)
			j->have[at / 64] |= bits;
		else
			j->have[at / 64] &= ~bits;
		ts += (uint32_t)taken;
		count -= taken;
	}
}

/* How many samples from ts on are alike: all present or all missing. */
static size_t
run_length(const struct jitter *j, uint32_t ts, size_t count, bool present)
{
	size_t n = 0;

	while (n < count) {
		uint32_t at = (ts + (uint32_t)n) & MASK;
		uint64_t word = present ? ~j->have[at / 64] : j->have[at / 64];
		size_t same;

		word >>= at % 64;
		same = word ? (size_t)__builtin_ctzll(word) : 64;
		if (same > 64 - at % 64)
			same = 64 - at % 64;
		n += same;
		if (at % 64 + same < 64)
			break;
	}
	return n < count ? n : count;
}

static int32_t
min32(int32_t a, int32_t b)
{
	return a < b ? a : b;
}

static int32_t
max32(int32_t a, int32_t b)
{
	return a > b ? a : b;
}

static void
learn_transit(struct jitter *j, int32_t transit, uint32_t now)
{
	if (!j->period_known) {
		j->least[0] = j->least[1] = j->most[0] = j->most[1] = transit;
		j->period_end = now + PERIOD;
		j->period_known = true;
	} else if ((int32_t)(now - j->period_end) >= 0) {
		j->least[1] = j->least[0];
		j->most[1] = j->most[0];
		j->least[0] = j->most[0] = transit;
		j->period_end = now + PERIOD;
	} else {
		j->least[0] = min32(j->least[0], transit);
		j->most[0] = max32(j->most[0], transit);
	}
}

static int32_t
least_transit(const struct jitter *j)
{
	return min32(j->least[0], j->least[1]);
}

static void
set_target(struct jitter *j)
{
	int32_t spread = max32(j->most[0], j->most[1]) - least_transit(j);
	int32_t want = max32((int32_t)j->frame + spread, JITTER_MIN);

	j->target = (uint32_t)min32(want, JITTER_MAX);
}

static uint32_t
wanted_offset(const struct jitter *j)
{
	return (uint32_t)(j->base + least_transit(j)) + j->target;
}

static void
restart(struct jitter *j, uint32_t ts, uint32_t now)
{
	jitter_init(j, j->frame);
	j->running = true;
	j->base = (int32_t)(now - ts);
	learn_transit(j, 0, now);
	set_target(j);
	j->offset = wanted_offset(j);
	j->played = j->newest = ts;
}

static void
store(struct jitter *j, uint32_t ts, const uint8_t *data, size_t len)
{
	size_t first = JITTER_RING - (ts & MASK);

	if (first > len)
		first = len;
	memcpy(j->ring + (ts & MASK), data, first);
	memcpy(j->ring, data + first, len - first);
	mark(j, ts, len, true);
	if ((int32_t)(ts + (uint32_t)len - j->newest) > 0)
		j->newest = ts + (uint32_t)len;
}

enum jitter_put
jitter_put(struct jitter *j, uint32_t ts, const uint8_t *data, size_t len, uint32_t now)
{
	enum jitter_put result = JITTER_KEPT;
	int32_t ahead = (int32_t)(ts - j->played);
	uint32_t skip;

	if (len > JITTER_RING / 2)
		len = JITTER_RING / 2;
	if (!j->running || ahead > JITTER_RING / 2 || ahead < -4 * JITTER_RING ||
	    j->late_run >= LATE_RUN) {
		restart(j, ts, now);
		ahead = 0;
		result = JITTER_RESTARTED;
	} else {
		learn_transit(j, (int32_t)(now - ts) - j->base, now);
		set_target(j);
		/* Late: what is to come must wait longer from now on. */
		if ((int32_t)(now - (ts + j->offset) + j->frame) > 0 &&
		    (int32_t)(wanted_offset(j) - j->offset) > 0)
			j->offset = wanted_offset(j);
	}
	if (ahead < 0) {
		skip = (uint32_t)-ahead;
		if (skip >= len) {
			j->late_run++;
			return JITTER_LATE;
		}
		ts += skip;
		data += skip;
		len -= skip;
	}
	j->late_run = 0;
	store(j, ts, data, len);
	return result;
}

/* Quiet in either law: PCMU counts down from 0x7f to 0 as it gets louder, PCMA is the same up to
 * the inversion of every other bit. */
static bool
is_quiet(const struct jitter *j, uint32_t ts, size_t count)
{
	for (size_t i = 0; i < count; i += 8) {
		uint8_t b = j->ring[(ts + (uint32_t)i) & MASK];

		if ((b & 0x7f) < QUIET && ((b ^ 0x55) & 0x7f) > 0x7f - QUIET)
			return false;
	}
	return true;
}

/* Deeper than wanted (jitter went down, or their clock is slow): cut 10 ms in a quiet moment. */
static void
shrink(struct jitter *j, uint32_t now)
{
	if ((int32_t)(j->offset - wanted_offset(j)) < SHRINK) {
		j->is_above = false;
		return;
	}
	if (!j->is_above) {
		j->is_above = true;
		j->above_since = now;
	}
	if (now - j->above_since >= SHRINK_NOW || is_quiet(j, j->played, SHRINK)) {
		j->offset -= SHRINK;
		j->is_above = false;
	}
}

static size_t
copy_runs(const struct jitter *j, uint8_t *out, uint32_t ts, size_t count,
	  uint16_t runs[JITTER_RUNS])
{
	size_t n = 0;
	bool present = true;

	for (size_t done = 0; done < count; present = !present) {
		size_t len = run_length(j, ts + (uint32_t)done, count - done, present);

		/* Shreds beyond the limit count as missing. */
		if (n == JITTER_RUNS - 1) {
			len = count - done;
			present = false;
		}
		for (size_t i = 0; present && i < len; i++)
			out[done + i] = j->ring[(ts + (uint32_t)(done + i)) & MASK];
		runs[n++] = (uint16_t)len;
		done += len;
	}
	return n;
}

size_t
jitter_pull(struct jitter *j, uint8_t *out, size_t count, uint32_t now, uint16_t runs[JITTER_RUNS])
{
	uint32_t ts;
	size_t wait = 0;
	size_t n;

	if (!j->running) {
		runs[0] = 0;
		runs[1] = (uint16_t)count;
		return 2;
	}
	shrink(j, now);
	ts = now - j->offset;
	if ((int32_t)(ts - j->played) > 0) { /* the schedule moved or shrank: skip */
		mark(j, j->played, ts - j->played < JITTER_RING ? ts - j->played : JITTER_RING,
		     false);
		j->played = ts;
	} else { /* depth grew, or it is not time yet: wait */
		wait = j->played - ts < count ? j->played - ts : count;
	}
	if (wait == 0) {
		n = copy_runs(j, out, j->played, count, runs);
	} else {
		uint16_t rest[JITTER_RUNS];
		size_t more = copy_runs(j, out + wait, j->played, count - wait, rest);

		runs[0] = 0;
		runs[1] = (uint16_t)wait;
		n = 2;
		for (size_t i = 0; i < more && n < JITTER_RUNS; i++)
			runs[n++] = rest[i];
	}
	mark(j, j->played, count - wait, false);
	j->played += (uint32_t)(count - wait);
	return n;
}

bool
jitter_has_more(const struct jitter *j)
{
	return j->running && (int32_t)(j->newest - j->played) > 0;
}

uint32_t
jitter_depth(const struct jitter *j)
{
	return j->target;
}
