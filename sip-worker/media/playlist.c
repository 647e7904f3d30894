#include "sip-worker/media/playlist.h"

#define MASK (PLAYLIST_MAX - 1)

void
playlist_init(struct playlist *l)
{
	l->head = 0;
	atomic_init(&l->tail, 0);
	for (unsigned i = 0; i < PLAYLIST_MAX; i++)
		atomic_init(&l->cells[i].turn, i);
}

/* A cell's turn says whose it is: the putter of position n when it is n, the taker when n + 1. */
bool
playlist_put(struct playlist *l, const struct playlist_item *item)
{
	unsigned pos = atomic_load_explicit(&l->tail, memory_order_relaxed);

	for (;;) {
		struct playlist_cell *c = &l->cells[pos & MASK];
		unsigned turn = atomic_load_explicit(&c->turn, memory_order_acquire);

		if ((int)(turn - pos) < 0)
			return false;
		if (turn != pos) {
			pos = atomic_load_explicit(&l->tail, memory_order_relaxed);
			continue;
		}
		if (!atomic_compare_exchange_weak_explicit(
			    &l->tail, &pos, pos + 1, memory_order_acq_rel, memory_order_relaxed))
			continue;
		c->item = *item;
		c->item.pos = pos;
		atomic_store_explicit(&c->turn, pos + 1, memory_order_release);
		return true;
	}
}

bool
playlist_take(struct playlist *l, struct playlist_item *out)
{
	struct playlist_cell *c = &l->cells[l->head & MASK];

	if (atomic_load_explicit(&c->turn, memory_order_acquire) != l->head + 1)
		return false;
	*out = c->item;
	atomic_store_explicit(&c->turn, l->head + PLAYLIST_MAX, memory_order_release);
	l->head++;
	return true;
}
