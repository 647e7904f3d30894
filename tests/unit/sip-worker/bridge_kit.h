/* bridge_kit.h - for tests of bridged sessions: two phones, a session for each on one thread. */
#ifndef TESTS_UNIT_SIP_WORKER_BRIDGE_KIT_H
#define TESTS_UNIT_SIP_WORKER_BRIDGE_KIT_H

#include "tests/unit/sip-worker/phone.h"

#define SILENCE 0xff /* of PCMU, which all phones but one speak */

struct pair {
	struct bench *b;
	struct phone p[2];
	struct media_open o[2];
	media_id id[2];
};

static inline void
pair_open(struct pair *x, struct bench *b)
{
	media_set_ports(b->m, 44000, 44199);
	x->b = b;
	for (int i = 0; i < 2; i++) {
		phone_open(&x->p[i], i ? "127.0.0.3" : "127.0.0.2");
		x->p[i].ssrc = 0x1000u + (uint32_t)i;
		x->o[i] = open_for(&x->p[i]);
		x->o[i].owner = (uint64_t)i + 1;
	}
}

static inline void
pair_start(struct pair *x)
{
	x->id[0] = start(x->b, &x->p[0], &x->o[0]);
	x->o[1].beside = x->id[0];
	x->id[1] = start(x->b, &x->p[1], &x->o[1]);
	assert_int_equal(media_bridge(x->b->m, x->id[0], x->id[1]), ERR_OK);
}

static inline bool
pair_is_voice(const struct rtp_packet *h, const uint8_t *data)
{
	return h->len > 4 && data[0] != SILENCE && data[0] != 0xd5;
}

/* The next packet whose audio is not silence. */
static inline void
pair_voice(struct phone *p, struct rtp_packet *h, uint8_t *data)
{
	for (int i = 0; i < 200; i++) {
		assert_true(phone_recv(p, h, data, 3000));
		if (pair_is_voice(h, data))
			return;
	}
	fail();
}

static inline void
pair_talk(struct phone *p, uint8_t pt, uint8_t byte, size_t len)
{
	uint8_t data[1000];

	memset(data, byte, len);
	phone_send(p, pt, false, p->ts, data, len);
	p->ts += (uint32_t)len;
}

/* Talks until it is heard on the other side: the bridge stands, and the stream is anchored. */
static inline void
pair_sync(struct pair *x, int from, size_t len)
{
	struct phone *p = &x->p[from], *to = &x->p[!from];
	uint8_t pt = x->o[from].remote.payload_type;
	uint8_t data[1500];
	struct rtp_packet h;

	for (int i = 0; i < 100; i++) {
		pair_talk(p, pt, 0x11, len);
		for (int k = 0; k < 4 && phone_recv(to, &h, data, 15); k++) {
			if (!pair_is_voice(&h, data))
				continue;
			/* What was joined and cut is still to come. */
			while (phone_recv(to, &h, data, 15) && pair_is_voice(&h, data))
				;
			return;
		}
	}
	fail();
}

static inline void
pair_close(struct pair *x)
{
	for (int i = 0; i < 2; i++)
		media_close(x->b->m, x->id[i]);
	assert_non_null(wait_notes(x->b, 'c', 2, 5000));
	close(x->p[0].fd);
	close(x->p[1].fd);
}

#endif
