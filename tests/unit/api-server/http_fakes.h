/* http_fakes.h - what api-server/http stands on, doing as it is told: the clock, the store, the
 * hub. For one .c file of a test. */
#ifndef TESTS_UNIT_API_SERVER_HTTP_FAKES_H
#define TESTS_UNIT_API_SERVER_HTTP_FAKES_H

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api-server/hub/hub.h"
#include "api-server/store/store.h"
#include "common/clock.h"

/* --- the clock: real, and jumps; or every look at it takes time --- */

static int64_t jumped_ns, look_ns;

int64_t
clock_mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	jumped_ns += look_ns;
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec + jumped_ns;
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

int64_t
clock_wall_ms(void)
{
	return 1736946365000;
}

/* --- the store and the hub --- */

static struct store_req *held[256];
static size_t held_count;
static bool store_full;
static int64_t noted;

enum err
store_submit(struct store *s, struct store_req *r)
{
	(void)s;
	if (store_full)
		return ERR_BUSY;
	assert_true(held_count < ARRAY_LEN(held));
	held[held_count++] = r;
	return ERR_OK;
}

void
store_stats(const struct store *s, struct store_stats *out)
{
	(void)s;
	*out = (struct store_stats){ .commits = 7 };
}

void
hub_note_expiry(struct hub *h, int64_t expires_at)
{
	(void)h;
	noted = expires_at;
}

size_t
hub_ready_workers(const struct hub *h)
{
	(void)h;
	return 2;
}

json_t *
hub_workers_json(const struct hub *h)
{
	(void)h;
	return json_pack("[{s:s,s:i,s:b,s:{s:i,s:i}},{s:s}]", "worker", "w1", "calls", 3,
			 "draining", 0, "counters", "rtp_lost", 5, "bad name", 1, "worker",
			 "evil\"\n");
}

/* Answers the oldest request. */
static inline void
store_answer(enum err e)
{
	struct store_req *r = held[0];

	assert_true(held_count > 0);
	memmove(held, held + 1, --held_count * sizeof(held[0]));
	if (e == ERR_OK && r->op == STORE_TRANSFER_GET) {
		struct store_transfer_get *g = container_of(r, struct store_transfer_get, req);
		struct transfer *t = transfer_create();

		t->account = strdup(g->account);
		t->id = strdup(g->id);
		t->conversation = strdup("c");
		t->created_at = 1736946360000;
		t->expires_at = INT64_MAX;
		g->transfer = t;
	}
	r->err = e;
	r->done(r);
}

#endif
