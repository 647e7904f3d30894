/* media_bench - N sessions of the media engine, by media.h alone.
 *
 *   media_bench calls=400 mode=silence port=36000 far=127.0.0.2 far_port=36000 seconds=5
 *
 * mode: silence, play (a clip without end), loop (loopback), bridge (each even session with the
 * next: two sessions are one call then).  Call i sends to far_port + i, where
 * rtp_load to_port=0 hears it and answers.  A second after the first packet the measurement
 * starts; one line of JSON at its end.  threads=N sets media.threads, srtp=80 or srtp=32 encrypts. */
#include <unistd.h>

#include "tests/bench/sip-worker/bench.h"
#include "common/id.h"
#include "sip-worker/media/media.h"

#define CLIP_SAMPLES 80000

struct run {
	struct media *m;
	struct clip *clip;
	media_id *id;
	bool play, bridge;
	struct srtp_key key;
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
	(void)app, (void)owner, (void)digit, (void)ms, (void)source;
}

static void
on_played(void *app, uint64_t owner, uint32_t play, enum media_stop_how how, int ms)
{
	struct run *r = app;

	(void)how, (void)ms;
	ignore_err(media_play(r->m, r->id[owner], r->clip, play + 1));
}

static void
on_timeout(void *app, uint64_t owner)
{
	(void)app, (void)owner;
}

static void
on_closed(void *app, uint64_t owner, const struct media_stats *stats)
{
	(void)app, (void)owner, (void)stats;
}

static const struct media_ops ops = {
	on_addr, on_digit, on_played, on_timeout, on_addr, on_closed
};

static void
run_open(struct run *r, int calls, const char *far, int64_t far_port, bool loop)
{
	for (int i = 0; i < calls; i++) {
		struct media_open o = { .family = AF_INET, .owner = (uint64_t)i };
		struct media_local local;

		o.remote = (struct media_remote){ .rtp = bench_addr(far, far_port + i),
						  .codec = CODEC_PCMU,
						  .dtmf_payload_type = 101,
						  .ptime_ms = 20,
						  .direction = MEDIA_SENDRECV,
						  .send_key = r->key,
						  .hear_key = r->key };
		o.remote.rtcp = o.remote.rtp;
		o.remote.rtcp_mux = true;
		o.signalling = o.remote.rtp;
		o.beside = r->bridge && i % 2 ? r->id[i - 1] : 0;
		if (media_open(r->m, &o, &local, &r->id[i]) != ERR_OK) {
			fprintf(stderr, "media_bench: cannot open call %d\n", i);
			exit(1);
		}
		if (loop)
			media_loopback(r->m, r->id[i], true);
		if (r->play)
			ignore_err(media_play(r->m, r->id[i], r->clip, 1));
		media_start(r->m, r->id[i]);
		if (o.beside && media_bridge(r->m, o.beside, r->id[i]) != ERR_OK)
			exit(1);
	}
}

static struct clip *
clip_make(void)
{
	static int16_t pcm[CLIP_SAMPLES];

	for (int i = 0; i < CLIP_SAMPLES; i++)
		pcm[i] = (int16_t)(i * 37 % 16000 - 8000);
	return clip_create(pcm, CLIP_SAMPLES);
}

/* Runs events for so long. */
static void
serve(struct mailbox *box, int64_t ms)
{
	int64_t end = clock_mono_ms() + ms;

	while (clock_mono_ms() < end) {
		mailbox_drain(box, 0);
		usleep(50000);
	}
}

static bool
wait_first(struct run *r, struct mailbox *box)
{
	struct media_totals t = { 0 };

	for (int i = 0; i < 100; i++) {
		serve(box, 100);
		media_totals(r->m, &t);
		if (t.packets_received > 0)
			return true;
	}
	return false;
}

int
main(int argc, char **argv)
{
	int calls = (int)bench_number(argc, argv, "calls", 400);
	int64_t seconds = bench_number(argc, argv, "seconds", 5);
	int64_t port = bench_number(argc, argv, "port", 36000);
	const char *mode = bench_text(argc, argv, "mode");
	const char *far = bench_text(argc, argv, "far");
	struct addr host = bench_addr("127.0.0.1", 0);
	struct mailbox *box = mailbox_create(8192);
	struct config cfg = { 0 };
	struct run r = { 0 };
	struct media_totals from, to;
	struct fault f;
	int64_t cpu;

	bench_raise_files();
	mode = mode ? mode : "silence";
	cfg.media.address.items = &host;
	cfg.media.address.count = 1;
	cfg.media.port_first = (uint16_t)port;
	cfg.media.port_last = (uint16_t)(port + 2 * calls + 1);
	cfg.media.timeout_ms = 30000;
	cfg.media.threads = bench_number(argc, argv, "threads", 0);
	cfg.worker.max_calls = calls;
	r.clip = clip_make();
	r.id = calloc((size_t)calls, sizeof(*r.id));
	r.play = strcmp(mode, "play") == 0;
	r.bridge = strcmp(mode, "bridge") == 0;
	r.key = bench_key(argc, argv);
	if (!id_init() || !box || !r.clip || !r.id)
		return 1;
	r.m = media_create(&cfg, box, &ops, &r, &f);
	if (!r.m)
		return 1;
	run_open(&r, calls, far ? far : "127.0.0.2", bench_number(argc, argv, "far_port", 36000),
		 strcmp(mode, "loop") == 0);
	if (!wait_first(&r, box))
		return 1;
	serve(box, 1000);
	media_totals(r.m, &from);
	cpu = bench_cpu_us();
	serve(box, seconds * 1000);
	cpu = bench_cpu_us() - cpu;
	media_totals(r.m, &to);
	printf("{\"program\":\"media_bench\",\"mode\":\"%s\",\"calls\":%d,\"seconds\":%lld,"
	       "\"packets_in\":%lld,\"packets_out\":%lld,\"late_ticks\":%lld,\"cpu_us\":%lld,"
	       "\"cpu_percent_per_call\":%.5f}\n",
	       mode, calls, (long long)seconds,
	       (long long)(to.packets_received - from.packets_received),
	       (long long)(to.packets_sent - from.packets_sent),
	       (long long)(to.late_ticks - from.late_ticks), (long long)cpu,
	       (double)cpu / ((double)seconds * 10000.0) / calls);
	media_destroy(r.m);
	mailbox_destroy(box, leave_task);
	clip_unref(r.clip);
	free(r.id);
	return 0;
}
