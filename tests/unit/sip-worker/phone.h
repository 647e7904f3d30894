/* phone.h - for tests of the media engine with real sockets: an engine whose events are noted,
 * and a caller's phone on 127.0.0.x. */
#ifndef TESTS_UNIT_SIP_WORKER_PHONE_H
#define TESTS_UNIT_SIP_WORKER_PHONE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/id.h"
#include "sip-worker/media/media.h"
#include "sip-worker/media/rtp.h"

#define PORT_FIRST 36000
#define PORT_LAST  36199
#define LOG_MAX    64

struct note {
	char kind; /* f d p t l c */
	uint64_t owner;
	char digit;
	uint32_t play;
	enum media_stop_how how;
	int ms;
	struct addr addr;
	struct media_stats stats;
};

struct bench {
	struct config cfg;
	struct addr address[2];
	struct mailbox *box;
	struct media *m;
	struct note notes[LOG_MAX];
	size_t count;
};

static inline struct note *
note_add(void *app, char kind, uint64_t owner)
{
	struct bench *b = app;
	struct note *n;

	assert_true(b->count < LOG_MAX);
	n = &b->notes[b->count++];
	*n = (struct note){ .kind = kind, .owner = owner };
	return n;
}

static inline void
on_first(void *app, uint64_t owner, const struct addr *from)
{
	note_add(app, 'f', owner)->addr = *from;
}

static inline void
on_digit(void *app, uint64_t owner, char digit, int ms, const char *source)
{
	struct note *n = note_add(app, 'd', owner);

	n->digit = digit;
	n->ms = ms;
	n->how = strcmp(source, "inband") == 0;
}

static inline void
on_played(void *app, uint64_t owner, uint32_t play, enum media_stop_how how, int ms)
{
	struct note *n = note_add(app, 'p', owner);

	n->play = play;
	n->how = how;
	n->ms = ms;
}

static inline void
on_timeout(void *app, uint64_t owner)
{
	note_add(app, 't', owner);
}

static inline void
on_latched(void *app, uint64_t owner, const struct addr *to)
{
	note_add(app, 'l', owner)->addr = *to;
}

static inline void
on_closed(void *app, uint64_t owner, const struct media_stats *stats)
{
	note_add(app, 'c', owner)->stats = *stats;
}

static const struct media_ops ops = { on_first,   on_digit,   on_played,
				      on_timeout, on_latched, on_closed };

static inline void
leave_task(struct task *t)
{
	(void)t;
}

static inline int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct fault f;

	assert_non_null(b);
	assert_true(id_init());
	assert_true(addr_parse("127.0.0.1", 0, &b->address[0]));
	assert_true(addr_parse("::1", 0, &b->address[1]));
	b->cfg.media.address.items = b->address;
	b->cfg.media.address.count = 2;
	b->cfg.media.port_first = PORT_FIRST;
	b->cfg.media.port_last = PORT_LAST;
	b->cfg.media.timeout_ms = 400;
	b->cfg.media.latch_ms = 1000;
	b->cfg.media.threads = 2;
	b->cfg.worker.max_calls = 100;
	b->box = mailbox_create(256);
	assert_non_null(b->box);
	b->m = media_create(&b->cfg, b->box, &ops, b, &f);
	assert_non_null(b->m);
	*state = b;
	return 0;
}

static inline int
teardown(void **state)
{
	struct bench *b = *state;

	media_destroy(b->m);
	mailbox_destroy(b->box, leave_task);
	free(b);
	return 0;
}

/* A caller's phone: one socket. */
struct phone {
	int fd;
	struct addr addr, to;
	uint16_t seq;
	uint32_t ts, ssrc;
};

static inline void
phone_open(struct phone *p, const char *host)
{
	socklen_t len = sizeof(p->addr);

	*p = (struct phone){ .ssrc = 0x1234, .seq = 65530, .ts = 0xfffffc00 };
	assert_true(addr_parse(host, 0, &p->addr));
	p->fd = socket(addr_family(&p->addr), SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(p->fd >= 0);
	assert_int_equal(bind(p->fd, &p->addr.sa, addr_len(&p->addr)), 0);
	assert_int_equal(getsockname(p->fd, &p->addr.sa, &len), 0);
}

static inline void
phone_send(struct phone *p, uint8_t pt, bool marker, uint32_t ts, const void *data, size_t len)
{
	uint8_t buf[1500];
	struct rtp_packet h = {
		.pt = pt, .marker = marker, .seq = p->seq++, .ts = ts, .ssrc = p->ssrc
	};

	rtp_write(buf, &h);
	memcpy(buf + RTP_HEADER, data, len);
	sendto(p->fd, buf, RTP_HEADER + len, 0, &p->to.sa, addr_len(&p->to));
}

static inline void
phone_talk(struct phone *p, uint8_t byte)
{
	uint8_t data[160];

	memset(data, byte, sizeof(data));
	phone_send(p, 0, false, p->ts, data, sizeof(data));
	p->ts += 160;
}

/* Next RTP packet within timeout_ms; its payload goes to data (1500). Reports are passed over. */
static inline bool
phone_recv(struct phone *p, struct rtp_packet *out, uint8_t *data, int timeout_ms)
{
	static uint8_t buf[1500];
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
	ssize_t n;

	do {
		if (poll(&pfd, 1, timeout_ms) <= 0)
			return false;
		n = recv(p->fd, buf, sizeof(buf), 0);
	} while (n > 0 && rtp_is_rtcp(buf, (size_t)n));
	if (n < 0 || !rtp_read(buf, (size_t)n, out))
		return false;
	memcpy(data, out->payload, out->len);
	out->payload = data;
	return true;
}

static inline const struct note *
note_find(const struct bench *b, char kind)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->notes[i].kind == kind)
			return &b->notes[i];
	return NULL;
}

static inline size_t
note_count(const struct bench *b, char kind)
{
	size_t n = 0;

	for (size_t i = 0; i < b->count; i++)
		n += b->notes[i].kind == kind;
	return n;
}

/* Runs events until `count` of that kind are there. */
static inline const struct note *
wait_notes(struct bench *b, char kind, size_t count, int ms)
{
	int64_t end = clock_mono_ms() + ms;
	struct pollfd pfd = { .fd = mailbox_fd(b->box), .events = POLLIN };

	while (note_count(b, kind) < count && clock_mono_ms() < end) {
		if (mailbox_drain(b->box, 0) == 0)
			poll(&pfd, 1, 10);
	}
	return note_count(b, kind) >= count ? note_find(b, kind) : NULL;
}

static inline struct media_open
open_for(const struct phone *p)
{
	struct media_open o = { .family = addr_family(&p->addr), .owner = 7 };

	o.remote = (struct media_remote){ .rtp = p->addr,
					  .rtcp = p->addr,
					  .rtcp_mux = true,
					  .codec = CODEC_PCMU,
					  .payload_type = 0,
					  .dtmf_payload_type = 101,
					  .ptime_ms = 20,
					  .direction = MEDIA_SENDRECV };
	o.signalling = p->addr;
	return o;
}

static inline media_id
start(struct bench *b, struct phone *p, const struct media_open *o)
{
	struct media_local local;
	media_id id;

	assert_int_equal(media_open(b->m, o, &local, &id), ERR_OK);
	assert_int_not_equal(id, 0);
	assert_int_equal(addr_port(&local.rtp) % 2, 0);
	assert_int_equal(addr_port(&local.rtcp), addr_port(&local.rtp) + 1);
	p->to = local.rtp;
	media_start(b->m, id);
	return id;
}

static inline const struct media_stats *
finish(struct bench *b, struct phone *p, media_id id)
{
	const struct note *n;

	media_close(b->m, id);
	n = wait_notes(b, 'c', 1, 5000);
	assert_non_null(n);
	assert_ptr_equal(n, &b->notes[b->count - 1]);
	close(p->fd);
	return &n->stats;
}

static inline struct clip *
tone(size_t samples)
{
	int16_t pcm[16000];
	struct clip *c;

	for (size_t i = 0; i < samples; i++)
		pcm[i] = 8000;
	c = clip_create(pcm, samples);
	assert_non_null(c);
	return c;
}

#endif
