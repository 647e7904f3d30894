/* jitter.h - adaptive jitter buffer over samples, not packets: a sample is played `depth` after
 * the fastest packets' arrival, so any frame length may be pulled at any phase.
 *
 * Time is the media clock in samples (8 kHz). Nothing is decoded here: bytes of G.711 in, bytes
 * and what is missing out.  Pure; one thread. */
#ifndef SIP_WORKER_MEDIA_JITTER_H
#define SIP_WORKER_MEDIA_JITTER_H

#include "common/base.h"

#define JITTER_RING  2048 /* samples; a power of two */
#define JITTER_MIN   160  /* 20 ms */
#define JITTER_MAX   960  /* 120 ms */
#define JITTER_FRAME 480  /* most that is pulled at once: 60 ms */

struct jitter {
	bool running;
	uint32_t offset; /* play time = ts + offset */
	uint32_t played; /* timestamp after the last sample handed out */
	uint32_t newest; /* timestamp after the newest sample held */
	uint32_t target; /* depth wanted, samples */
	uint32_t frame;  /* what is pulled at once: the least depth */
	/* Transit times (arrival - ts) of this and the last period: least, and most above it. */
	int32_t base; /* transit of the first packet; the others are relative to it */
	int32_t least[2], most[2];
	uint32_t period_end;
	bool period_known;
	uint32_t above_since; /* deeper than wanted since; valid while is_above */
	bool is_above;
	uint8_t late_run;                /* packets in a row that came too late */
	uint64_t have[JITTER_RING / 64]; /* bit per sample held */
	uint8_t ring[JITTER_RING];
};

enum jitter_put { JITTER_KEPT, JITTER_LATE, JITTER_RESTARTED };

void jitter_init(struct jitter *j, size_t frame); /* frame: samples per pull */
/* A packet's samples with the time it arrived. */
enum jitter_put
jitter_put(struct jitter *j, uint32_t ts, const uint8_t *data, size_t len, uint32_t now);
/* Writes `count` (<= JITTER_FRAME) bytes due from now on; returns how many runs of samples
 * present and missing alternate in runs[] (first present, may be 0; at most JITTER_RUNS). */
#define JITTER_RUNS 16
size_t
jitter_pull(struct jitter *j, uint8_t *out, size_t count, uint32_t now, uint16_t runs[JITTER_RUNS]);
/* Is there anything newer than what was played? */
bool jitter_has_more(const struct jitter *j);
/* Depth in force, samples. */
uint32_t jitter_depth(const struct jitter *j);

#endif
