/* What a worker says of itself once a second: shown to operators and in /metrics. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "sip-worker/worker.h"

/* Resident memory in bytes, 0: unknown.  statm: "size resident shared …" in pages. */
static int64_t
resident(void)
{
	char line[128] = { 0 };
	FILE *f = fopen("/proc/self/statm", "re");
	const char *second = NULL;

	if (!f)
		return 0;
	if (fgets(line, sizeof(line), f))
		second = strchr(line, ' ');
	fclose(f);
	return second ? strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

void
worker_heartbeat(struct worker *w, struct msg_heartbeat *h)
{
	struct sip_stats sip;
	struct media_totals media;
	int64_t rss = resident();

	sip_stats(w->sip, &sip);
	media_totals(w->media, &media);
	h->calls = (int64_t)w->call_count;
	h->max_calls = w->cfg->worker.max_calls;
	h->draining = w->draining;

	const struct {
		const char *name;
		int64_t value;
	} counters[] = {
		{ "calls_accepted_total", w->counts.accepted },
		{ "calls_answered_total", w->counts.answered },
		{ "calls_refused_total", w->counts.refused },
		{ "calls_handed_back_total", w->counts.handed_back },
		{ "calls_hung_up_total", w->counts.hung_up },
		{ "calls_lost_total", w->counts.lost },
		{ "calls_shed_total", w->counts.shed },
		{ "sip_received_total", sip.received },
		{ "sip_malformed_total", sip.malformed },
		{ "sip_dropped_source_total", sip.dropped_source },
		{ "sip_dropped_rate_total", sip.dropped_rate },
		{ "sip_challenged_total", sip.challenged },
		{ "sip_auth_failed_total", sip.auth_failed },
		{ "sip_refused_total", sip.refused },
		{ "sip_invites_total", sip.invites },
		{ "sip_legs", sip.legs },
		{ "rtp_sessions", media.sessions },
		{ "rtp_packets_sent_total", media.packets_sent },
		{ "rtp_packets_received_total", media.packets_received },
		{ "rtp_late_ticks_total", media.late_ticks },
		{ "rtp_bad_source_total", media.bad_source },
		{ "rtp_malformed_total", media.malformed },
		{ "rtp_ports_free", media.ports_free },
		{ "outbox_waiting", (int64_t)outbox_count(w->outbox) },
		{ "outbox_dropped_total", outbox_dropped(w->outbox) },
		{ "loop_lag_ms", w->lag_ms },
		{ "memory_bytes", rss },
	};

	h->counters = json_object();
	for (size_t i = 0; i < ARRAY_LEN(counters); i++)
		json_object_set_new(h->counters, counters[i].name, json_integer(counters[i].value));
	if (w->cfg->worker.memory_limit && rss > w->cfg->worker.memory_limit && !w->draining)
		worker_drain(w, "memory limit");
}
