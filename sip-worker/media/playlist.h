/* playlist.h - the clips waiting in a session: a bounded queue without locks, any thread puts,
 * the media thread takes.  Positions count for ever, so "all before here" can be said. */
#ifndef SIP_WORKER_MEDIA_PLAYLIST_H
#define SIP_WORKER_MEDIA_PLAYLIST_H

#include <stdatomic.h>

#include "sip-worker/media/clip.h"

#define PLAYLIST_MAX 16 /* a power of two */

struct playlist_item {
	uint32_t generation; /* of the session it is meant for */
	uint32_t play;
	uint32_t pos;
	struct clip *clip; /* one reference goes with it */
};

struct playlist {
	atomic_uint tail;
	uint32_t head; /* taker's */
	struct playlist_cell {
		atomic_uint turn;
		struct playlist_item item;
	} cells[PLAYLIST_MAX];
};

void playlist_init(struct playlist *l);
/* false: full; pos is filled in. */
MUST_USE bool playlist_put(struct playlist *l, const struct playlist_item *item);
MUST_USE bool playlist_take(struct playlist *l, struct playlist_item *out);
/* Cheap, taker: may there be something? */
static inline bool
playlist_any(struct playlist *l)
{
	return atomic_load_explicit(&l->tail, memory_order_relaxed) != l->head;
}
/* Everything put so far stands before this position. */
static inline uint32_t
playlist_end(struct playlist *l)
{
	return atomic_load_explicit(&l->tail, memory_order_acquire);
}

#endif
