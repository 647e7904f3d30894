/* srtp_kit.h - for tests of SRTP: keys, sessions, and packets that can be told apart. */
#ifndef TESTS_UNIT_SIP_WORKER_SRTP_KIT_H
#define TESTS_UNIT_SIP_WORKER_SRTP_KIT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sip-worker/media/bytes.h"
#include "sip-worker/media/srtp.h"

#define SSRC  0xcafebabe
#define AUDIO 160

static inline struct srtp_key
key_of(enum srtp_suite suite, uint8_t fill)
{
	struct srtp_key k = { .suite = suite };

	memset(k.material, fill, sizeof(k.material));
	return k;
}

static inline struct srtp_session *
session(const struct srtp_key *send, const struct srtp_key *hear)
{
	struct srtp_session *s = srtp_session_create();

	assert_non_null(s);
	if (send)
		srtp_session_send_key(s, send);
	if (hear)
		srtp_session_hear_key(s, hear);
	return s;
}

/* A packet whose payload names its sequence number. */
static inline size_t
packet_make(uint8_t *p, uint32_t ssrc, uint16_t seq)
{
	memset(p, (uint8_t)(seq * 7), 12 + AUDIO);
	p[0] = 0x80;
	p[1] = 0;
	put_u16(p + 2, seq);
	put_u32(p + 4, (uint32_t)seq * AUDIO);
	put_u32(p + 8, ssrc);
	return 12 + AUDIO;
}

static inline size_t
seal(struct srtp_session *s, uint8_t *p, uint16_t seq)
{
	return srtp_session_seal_rtp(s, p, packet_make(p, SSRC, seq));
}

static inline bool
is_clear(const uint8_t *p, size_t len, uint16_t seq)
{
	uint8_t expected[12 + AUDIO + SRTP_TRAILER];

	return len == packet_make(expected, SSRC, seq) && memcmp(p, expected, len) == 0;
}

#endif
