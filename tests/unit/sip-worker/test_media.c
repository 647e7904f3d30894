/* The engine with real sockets on 127.0.0.x: everything through media.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/id.h"
#include "sip-worker/media/media.h"
#include "sip-worker/media/rtcp.h"
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

static struct note *
note_add(void *app, char kind, uint64_t owner)
{
	struct bench *b = app;
	struct note *n;

	assert_true(b->count < LOG_MAX);
	n = &b->notes[b->count++];
	*n = (struct note){ .kind = kind, .owner = owner };
	return n;
}

static void
on_first(void *app, uint64_t owner, const struct addr *from)
{
	note_add(app, 'f', owner)->addr = *from;
}

static void
on_digit(void *app, uint64_t owner, char digit, int ms, const char *source)
{
	struct note *n = note_add(app, 'd', owner);

	n->digit = digit;
	n->ms = ms;
	n->how = strcmp(source, "inband") == 0;
}

static void
on_played(void *app, uint64_t owner, uint32_t play, enum media_stop_how how, int ms)
{
	struct note *n = note_add(app, 'p', owner);

	n->play = play;
	n->how = how;
	n->ms = ms;
}

static void
on_timeout(void *app, uint64_t owner)
{
	note_add(app, 't', owner);
}

static void
on_latched(void *app, uint64_t owner, const struct addr *to)
{
	note_add(app, 'l', owner)->addr = *to;
}

static void
on_closed(void *app, uint64_t owner, const struct media_stats *stats)
{
	note_add(app, 'c', owner)->stats = *stats;
}

static const struct media_ops ops = { on_first,   on_digit,   on_played,
				      on_timeout, on_latched, on_closed };

static void
leave_task(struct task *t)
{
	(void)t;
}

static int
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

static int
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

static void
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

static void
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

static void
phone_talk(struct phone *p, uint8_t byte)
{
	uint8_t data[160];

	memset(data, byte, sizeof(data));
	phone_send(p, 0, false, p->ts, data, sizeof(data));
	p->ts += 160;
}

/* Next RTP packet within timeout_ms; its payload goes to data (1500). Reports are passed over. */
static bool
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

static const struct note *
note_find(const struct bench *b, char kind)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->notes[i].kind == kind)
			return &b->notes[i];
	return NULL;
}

static size_t
note_count(const struct bench *b, char kind)
{
	size_t n = 0;

	for (size_t i = 0; i < b->count; i++)
		n += b->notes[i].kind == kind;
	return n;
}

/* Runs events until `count` of that kind are there. */
static const struct note *
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

static struct media_open
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

static media_id
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

static const struct media_stats *
finish(struct bench *b, struct phone *p, media_id id)
{
	const struct note *n;

	media_close(b->m, id);
	n = wait_notes(b, 'c', 1, 1000);
	assert_non_null(n);
	assert_ptr_equal(n, &b->notes[b->count - 1]);
	close(p->fd);
	return &n->stats;
}

static void
test_silence(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h, last = { 0 };
	uint8_t data[1500];
	media_id id;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	for (int i = 0; i < 10; i++) {
		assert_true(phone_recv(&p, &h, data, 200));
		assert_int_equal(h.pt, 0);
		assert_int_equal(h.len, 160);
		assert_int_equal(h.marker, i == 0);
		for (size_t k = 0; k < h.len; k++)
			assert_int_equal(data[k], 0xff);
		if (i > 0) {
			assert_int_equal(h.seq, (uint16_t)(last.seq + 1));
			assert_int_equal(h.ts, last.ts + 160);
			assert_int_equal(h.ssrc, last.ssrc);
		} else {
			assert_true(h.seq < 0x8000);
		}
		last = h;
	}
	assert_true(finish(b, &p, id)->packets_sent >= 10);
}

static struct clip *
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

static void
test_play(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	struct clip *c = tone(400);
	size_t loud = 0;
	media_id id;
	const struct note *n;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	/* 50 ms and 50 ms: five packets without a hole. */
	assert_int_equal(media_play(b->m, id, c, 11), ERR_OK);
	assert_int_equal(media_play(b->m, id, c, 12), ERR_OK);
	for (int i = 0; i < 9; i++) {
		assert_true(phone_recv(&p, &h, data, 200));
		for (size_t k = 0; k < h.len; k++)
			loud += data[k] == c->law[CODEC_PCMU][0];
	}
	assert_int_equal(loud, 800);
	assert_non_null(n = wait_notes(b, 'p', 2, 500));
	assert_int_equal(n[0].play, 11);
	assert_int_equal(n[0].how, MEDIA_PLAYED);
	assert_int_equal(n[0].ms, 50);
	assert_int_equal(n[1].play, 12);
	clip_unref(c);
	finish(b, &p, id);
}

static void
test_stop(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	struct clip *c = tone(16000);
	media_id id;
	const struct note *n;
	int64_t asked;
	size_t plays = 0;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	while (media_play(b->m, id, c, (uint32_t)plays) == ERR_OK)
		plays++;
	assert_in_range(plays, 16, 17);
	do
		assert_true(phone_recv(&p, &h, data, 200));
	while (data[0] == 0xff);
	media_stop_playing(b->m, id);
	asked = clock_mono_ms();
	/* What is put after the stop is played. */
	assert_non_null(wait_notes(b, 'p', plays, 500));
	do
		assert_true(phone_recv(&p, &h, data, 200));
	while (data[0] != 0xff);
	assert_in_range(clock_mono_ms() - asked, 0, 40);
	assert_int_equal(media_play(b->m, id, c, 99), ERR_OK);
	do
		assert_true(phone_recv(&p, &h, data, 200));
	while (data[0] == 0xff);
	n = note_find(b, 'p');
	for (size_t i = 0; i < plays; i++) {
		assert_int_equal(n[i].play, i);
		assert_int_equal(n[i].how, MEDIA_CUT);
		assert_true(i > 0 ? n[i].ms == 0 : n[i].ms > 0);
	}
	finish(b, &p, id);
	assert_int_equal(note_count(b, 'p'), plays + 1);
	assert_int_equal(atomic_load(&c->refs), 1);
	clip_unref(c);
}

static void
test_digits(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	media_id id;
	const struct note *n;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	phone_talk(&p, 0xff);
	for (int press = 0; press < 3; press++) {
		uint8_t e[4] = { (uint8_t)(press == 2 ? 11 : 5), 10, 0, 0 };

		for (int i = 1; i <= 6; i++) {
			e[1] = i > 3 ? 0x8a : 10;
			e[3] = (uint8_t)(i > 3 ? 160 : i * 40);
			phone_send(&p, 101, i == 1, p.ts, e, 4);
		}
		p.ts += 800;
	}
	assert_non_null(wait_notes(b, 'd', 3, 500));
	assert_null(wait_notes(b, 'd', 4, 100));
	n = note_find(b, 'f');
	assert_non_null(n);
	assert_true(addr_equal(&n->addr, &p.addr));
	n = note_find(b, 'd');
	assert_int_equal(n[0].digit, '5');
	assert_int_equal(n[1].digit, '5');
	assert_int_equal(n[2].digit, '#');
	assert_int_equal(n[0].how, 0);
	assert_int_equal(finish(b, &p, id)->packets_received, 19);
}

static void
test_bad_source(void **state)
{
	struct bench *b = *state;
	struct phone p, thief;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	media_id id;
	const struct media_stats *st;

	phone_open(&p, "127.0.0.2");
	phone_open(&thief, "127.0.0.9");
	o = open_for(&p);
	o.nat = true; /* but the thief is neither the signalling host nor allowed */
	id = start(b, &p, &o);
	thief.to = p.to;
	for (int i = 0; i < 20; i++)
		phone_talk(&thief, 1);
	assert_true(phone_recv(&p, &h, data, 200));
	for (int i = 0; i < 8; i++)
		phone_talk(&p, 1);
	assert_non_null(wait_notes(b, 'f', 1, 500));
	for (int i = 0; i < 20; i++)
		phone_talk(&thief, 1);
	assert_false(phone_recv(&thief, &h, data, 100));
	assert_int_equal(note_count(b, 'l'), 0);
	st = finish(b, &p, id);
	assert_int_equal(st->packets_received, 8);
	assert_true(st->bad_source >= 8);
	close(thief.fd);
}

static void
test_latch(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	media_id id;
	const struct note *n;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	o.nat = true;
	/* The SDP names an address nobody can reach. */
	assert_true(addr_parse_hostport("127.0.0.77:9", &o.remote.rtp));
	o.remote.rtcp = o.remote.rtp;
	id = start(b, &p, &o);
	assert_false(phone_recv(&p, &h, data, 60));
	for (int i = 0; i < 6; i++)
		phone_talk(&p, 1);
	assert_non_null(n = wait_notes(b, 'l', 1, 500));
	assert_true(addr_equal(&n->addr, &p.addr));
	assert_true(phone_recv(&p, &h, data, 100));
	/* Hold and resume with the same SDP: media stays where it was found. */
	o.remote.direction = MEDIA_INACTIVE;
	media_update(b->m, id, &o.remote);
	while (phone_recv(&p, &h, data, 60))
		;
	o.remote.direction = MEDIA_SENDRECV;
	media_update(b->m, id, &o.remote);
	assert_true(phone_recv(&p, &h, data, 100));
	assert_true(h.marker);
	assert_true(addr_equal(&finish(b, &p, id)->remote, &p.addr));
}

static void
test_hold(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	struct clip *c = tone(1600);
	size_t loud = 0;
	uint32_t ts;
	media_id id;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	assert_int_equal(media_play(b->m, id, c, 1), ERR_OK);
	while (loud < 2) {
		assert_true(phone_recv(&p, &h, data, 200));
		loud += data[0] != 0xff;
	}
	o.remote.direction = MEDIA_RECVONLY;
	media_update(b->m, id, &o.remote);
	while (phone_recv(&p, &h, data, 60))
		loud += data[0] != 0xff;
	ts = h.ts;
	/* Longer than the timeout: still listening, so silence counts … */
	assert_non_null(wait_notes(b, 't', 1, 1500));
	/* … but not when we may not hear either. */
	b->count = 0;
	o.remote.direction = MEDIA_INACTIVE;
	media_update(b->m, id, &o.remote);
	assert_null(wait_notes(b, 't', 1, 800));
	assert_int_equal(note_count(b, 'p'), 0);
	o.remote.direction = MEDIA_SENDRECV;
	media_update(b->m, id, &o.remote);
	assert_true(phone_recv(&p, &h, data, 200));
	/* The clock went on, the clip did not. */
	assert_true(h.marker);
	assert_true(h.ts - ts >= 8000 * 1200 / 1000);
	assert_int_equal((h.ts - ts) % 40, 0);
	while (data[0] != 0xff) {
		loud++;
		assert_true(phone_recv(&p, &h, data, 200));
	}
	assert_int_equal(loud, 10);
	assert_non_null(wait_notes(b, 'p', 1, 200));
	finish(b, &p, id);
	clip_unref(c);
}

static void
test_update(void **state)
{
	struct bench *b = *state;
	struct phone p, other;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	media_id id;

	phone_open(&p, "127.0.0.2");
	phone_open(&other, "127.0.0.4");
	o = open_for(&p);
	id = start(b, &p, &o);
	for (int i = 0; i < 5; i++)
		phone_talk(&p, 1); /* locked and connected */
	assert_true(phone_recv(&p, &h, data, 200));
	o.remote.rtp = o.remote.rtcp = other.addr;
	o.remote.codec = CODEC_PCMA;
	o.remote.payload_type = 8;
	o.remote.ptime_ms = 30;
	media_update(b->m, id, &o.remote);
	for (int i = 0; i < 3; i++) {
		assert_true(phone_recv(&other, &h, data, 200));
		assert_int_equal(h.pt, 8);
		assert_int_equal(h.len, 240);
		assert_int_equal(data[0], 0xd5);
	}
	while (phone_recv(&p, &h, data, 50))
		;
	b->count = 0;
	other.to = p.to;
	phone_send(&other, 8, false, 0, data, 160);
	phone_talk(&p, 1); /* no longer ours to hear */
	assert_int_equal(finish(b, &p, id)->codec, CODEC_PCMA);
	close(other.fd);
}

/* Delayed offer: nothing is sent before the answer's address is known. */
static void
test_delayed_offer(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct media_remote r;
	struct rtp_packet h;
	uint8_t data[1500];
	media_id id;

	phone_open(&p, "::1");
	o = open_for(&p);
	r = o.remote;
	o.remote.rtp = o.remote.rtcp = (struct addr){ .sa.sa_family = AF_INET6 };
	id = start(b, &p, &o);
	assert_false(phone_recv(&p, &h, data, 60));
	media_update(b->m, id, &r);
	assert_true(phone_recv(&p, &h, data, 100));
	phone_talk(&p, 1);
	assert_non_null(wait_notes(b, 'f', 1, 200));
	finish(b, &p, id);
}

static void
test_timeout(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	media_id id;
	int64_t begin = clock_mono_ms();

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	assert_non_null(wait_notes(b, 't', 1, 1500));
	assert_in_range(clock_mono_ms() - begin, 400, 900);
	assert_null(wait_notes(b, 't', 2, 600)); /* once */
	phone_talk(&p, 1);
	assert_non_null(wait_notes(b, 't', 2, 1500)); /* until RTP comes again */
	finish(b, &p, id);
}

static void
test_loopback(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct rtp_packet h;
	uint8_t data[1500];
	size_t same = 0;
	media_id id;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	media_loopback(b->m, id, true);
	for (int i = 0; i < 30; i++) {
		assert_true(phone_recv(&p, &h, data, 200));
		phone_talk(&p, 0x55);
		for (size_t k = 0; k < h.len; k++)
			same += data[k] == 0x55;
	}
	assert_in_range(same, 20 * 160, 29 * 160);
	media_loopback(b->m, id, false);
	do
		assert_true(phone_recv(&p, &h, data, 200));
	while (data[h.len - 1] != 0xff);
	finish(b, &p, id);
}

static void
test_inband(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	int16_t pcm[160] = { 0 };
	struct clip *c;
	const struct note *n;
	media_id id;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	o.remote.dtmf_payload_type = -1;
	id = start(b, &p, &o);
	for (int i = 0; i < 12; i++) {
		for (int k = 0; i < 6 && k < 160; k++)
			pcm[k] = (int16_t)(5000 * (sin((i * 160 + k) * 6.283185307 * 697 / 8000) +
						   sin((i * 160 + k) * 6.283185307 * 1477 / 8000)));
		if (i >= 6)
			memset(pcm, 0, sizeof(pcm));
		c = clip_create(pcm, 160);
		assert_non_null(c);
		phone_send(&p, 0, false, p.ts, c->law[CODEC_PCMU], 160);
		p.ts += 160;
		clip_unref(c);
		usleep(2000);
	}
	assert_non_null(n = wait_notes(b, 'd', 1, 500));
	assert_int_equal(n->digit, '3');
	assert_int_equal(n->how, 1);
	/* Telephone events all the same: from now on only those. */
	phone_send(&p, 120, true, p.ts, (const uint8_t[]){ 4, 0x8a, 3, 0x20 }, 4);
	assert_non_null(wait_notes(b, 'd', 2, 500));
	assert_int_equal(n[1].digit, '4');
	finish(b, &p, id);
	assert_int_equal(note_count(b, 'd'), 2);
}

/* Rubbish is counted and nothing else. */
static void
test_rubbish(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	const struct media_stats *st;
	uint8_t junk[2000];
	media_id id;

	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	for (int i = 0; i < 80; i++) {
		size_t len = (size_t)i * 24;

		id_random(junk, sizeof(junk));
		junk[0] &= 0x7f; /* not version 2 */
		sendto(p.fd, junk, len, 0, &p.to.sa, addr_len(&p.to));
	}
	phone_send(&p, 77, false, 0, junk, 20); /* a payload type nobody agreed on */
	phone_send(&p, 13, false, 0, junk, 1);  /* comfort noise is fine */
	phone_talk(&p, 1);
	assert_non_null(wait_notes(b, 'f', 1, 1000));
	usleep(30000);
	st = finish(b, &p, id);
	assert_int_equal(st->packets_received, 3);
	assert_int_equal(st->discarded, 1);
	assert_int_equal(st->malformed, 80);
}

static void
test_handles(void **state)
{
	struct bench *b = *state;
	struct media_open o = { .family = AF_INET };
	struct media_local local;
	struct clip *c = tone(80);
	struct media_totals totals;
	media_id id, again;

	o.remote.ptime_ms = 20;
	assert_int_equal(media_open(b->m, &o, &local, &id), ERR_OK);
	assert_int_equal(media_play(b->m, id, c, 1), ERR_OK);
	media_close(b->m, id);
	media_close(b->m, id);
	assert_non_null(wait_notes(b, 'c', 1, 500));
	assert_int_equal(note_count(b, 'p'), 1);
	assert_int_equal(atomic_load(&c->refs), 1);
	/* Gone: nothing happens. */
	media_start(b->m, id);
	media_close(b->m, id);
	media_update(b->m, id, &o.remote);
	media_stop_playing(b->m, id);
	media_loopback(b->m, id, true);
	assert_int_equal(media_play(b->m, id, c, 1), ERR_NOT_FOUND);
	media_start(b->m, 0);
	media_start(b->m, UINT64_MAX);
	assert_int_equal(media_play(b->m, 12345, c, 1), ERR_NOT_FOUND);
	for (int i = 0; i < 50; i++) {
		b->count = 0;
		assert_int_equal(media_open(b->m, &o, &local, &again), ERR_OK);
		assert_int_not_equal(again, id);
		media_start(b->m, id);
		media_close(b->m, again);
		assert_non_null(wait_notes(b, 'c', 1, 500));
		assert_int_equal(b->notes[0].stats.packets_sent, 0);
	}
	media_totals(b->m, &totals);
	assert_int_equal(totals.sessions, 0);
	clip_unref(c);
}

/* No address of that family: told, not guessed. A public address is what the SDP says. */
static void
test_addresses(void **state)
{
	struct bench *b = *state;
	struct media_open o = { .family = AF_INET6 };
	struct addr public;
	struct media_local local;
	struct media *m;
	struct fault f;
	media_id id;

	assert_true(addr_parse("203.0.113.7", 0, &public));
	b->cfg.media.address.count = 1;
	b->cfg.media.public_address.items = &public;
	b->cfg.media.public_address.count = 1;
	m = media_create(&b->cfg, b->box, &ops, b, &f);
	assert_non_null(m);
	assert_int_equal(media_open(m, &o, &local, &id), ERR_UNSUPPORTED);
	o.family = AF_INET;
	assert_int_equal(media_open(m, &o, &local, &id), ERR_OK);
	assert_true(addr_equal_host(&local.rtp, &public));
	assert_int_equal(addr_port(&local.rtp) + 1, addr_port(&local.rtcp));
	media_destroy(m);
}

static void
test_ports(void **state)
{
	struct bench *b = *state;
	struct media_open o = { .family = AF_INET };
	struct media_local local;
	media_id id[8];

	media_set_ports(b->m, 36200, 36205);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(media_open(b->m, &o, &local, &id[i]), ERR_OK);
		assert_in_range(addr_port(&local.rtp), 36200, 36204);
	}
	assert_int_equal(media_open(b->m, &o, &local, &id[3]), ERR_BUSY);
	media_close(b->m, id[0]);
	assert_non_null(wait_notes(b, 'c', 1, 500));
	assert_int_equal(media_open(b->m, &o, &local, &id[3]), ERR_BUSY); /* it rests */
	media_set_ports(b->m, 36206, 36215);
	assert_int_equal(media_open(b->m, &o, &local, &id[0]), ERR_OK);
	assert_true(addr_port(&local.rtp) >= 36206);
}

/* A full mailbox delays events and loses none. */
static void
test_full_mailbox(void **state)
{
	struct bench *b = *state;
	struct mailbox *small = mailbox_create(2);
	struct media_open o = { .family = AF_INET };
	struct media_local local;
	struct clip *c = tone(80);
	struct media *m;
	media_id id[10];
	struct fault f;

	assert_non_null(small);
	m = media_create(&b->cfg, small, &ops, b, &f);
	assert_non_null(m);
	media_set_ports(m, 36220, 36299);
	for (int i = 0; i < 10; i++) {
		o.owner = (uint64_t)i;
		o.remote.ptime_ms = 20;
		assert_int_equal(media_open(m, &o, &local, &id[i]), ERR_OK);
		assert_int_equal(media_play(m, id[i], c, 5), ERR_OK);
		media_start(m, id[i]);
		media_close(m, id[i]);
	}
	usleep(50000);
	for (int i = 0; i < 200 && note_count(b, 'c') < 10; i++) {
		mailbox_drain(small, 0);
		usleep(5000);
	}
	assert_int_equal(note_count(b, 'c'), 10);
	assert_int_equal(note_count(b, 'p'), 10);
	assert_int_equal(atomic_load(&c->refs), 1);
	/* Destroyed with sessions open and events on the way. */
	o.owner = 11;
	assert_int_equal(media_open(m, &o, &local, &id[0]), ERR_OK);
	assert_int_equal(media_open(m, &o, &local, &id[1]), ERR_OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(media_play(m, id[0], c, 5), ERR_OK);
	media_start(m, id[0]);
	media_close(m, id[1]);
	usleep(20000);
	media_destroy(m);
	mailbox_destroy(small, leave_task);
	assert_int_equal(note_count(b, 'c'), 10);
	assert_int_equal(atomic_load(&c->refs), 1);
	clip_unref(c);
}

/* Our sender report is answered by a receiver report: loss, jitter and round trip come out. */
static void
test_rtcp(void **state)
{
	struct bench *b = *state;
	struct phone p;
	struct media_open o;
	struct pollfd pfd;
	uint8_t buf[1500], out[RTCP_MAX];
	struct rtcp_heard h = { 0 };
	struct rtcp_report r = { .ssrc = 0x1234, .has_block = true, .cname = "x" };
	const struct media_stats *st;
	media_id id;

	b->cfg.media.timeout_ms = 0;
	phone_open(&p, "127.0.0.2");
	o = open_for(&p);
	id = start(b, &p, &o);
	pfd = (struct pollfd){ .fd = p.fd, .events = POLLIN };
	for (int i = 0; i < 1000 && !h.sender; i++) {
		ssize_t n;

		assert_int_equal(poll(&pfd, 1, 1000), 1);
		n = recv(p.fd, buf, sizeof(buf), 0);
		if (i % 50 == 0)
			phone_talk(&p, 1);
		if (rtp_is_rtcp(buf, (size_t)n))
			assert_true(rtcp_read(buf, (size_t)n, 0x1234, &h));
	}
	assert_true(h.sender);
	assert_true(h.about_us);
	usleep(100000);
	r.block = (struct rtcp_block){
		.ssrc = h.ssrc, .lost = 17, .jitter = 80, .lsr = h.ntp_mid, .dlsr = 65536 / 20
	};
	sendto(p.fd, out, rtcp_write(out, &r), 0, &p.to.sa, addr_len(&p.to));
	usleep(50000);
	st = finish(b, &p, id);
	assert_int_equal(st->remote_lost, 17);
	assert_int_equal(st->remote_jitter_us, 10000);
	assert_in_range(st->round_trip_us, 45000, 90000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_play, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_digits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_source, setup, teardown),
		cmocka_unit_test_setup_teardown(test_latch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_update, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delayed_offer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loopback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inband, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rubbish, setup, teardown),
		cmocka_unit_test_setup_teardown(test_handles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_mailbox, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rtcp, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
