#include "api-server/hub/internal.h"

/* A call takes a pair; a quarter more lets a freed pair rest before it is used again. */
static int64_t
ports_wanted(int64_t calls)
{
	if (calls < 1)
		calls = 1;
	if (calls > 30000)
		calls = 30000;
	return (calls * 2 + calls / 2 + 1) & ~(int64_t)1;
}

/* The first slice at or after `from` that no worker holds: moves past each overlap found. */
static int64_t
next_overlap_end(struct hub *h, int64_t from, int64_t to)
{
	list_each(n, &h->workers)
	{
		const struct worker *w = container_of(n, struct worker, node);

		if (w->ports.first && w->ports.first <= to && w->ports.last >= from)
			return w->ports.last + 1;
	}
	return 0;
}

struct port_slice
ports_lease(struct hub *h, int64_t calls)
{
	int64_t first = (h->cfg->media.port_first + 1) & ~1, last = h->cfg->media.port_last;

	/* Half as much rather than nothing, down to one call. */
	for (int64_t want = ports_wanted(calls); want >= 2; want = (want / 2) & ~(int64_t)1) {
		for (int64_t at = first; at + want - 1 <= last;) {
			int64_t end = next_overlap_end(h, at, at + want - 1);

			if (!end)
				return (struct port_slice){ (uint16_t)at,
							    (uint16_t)(at + want - 1) };
			at = (end + 1) & ~(int64_t)1;
		}
	}
	return (struct port_slice){ 0, 0 };
}
