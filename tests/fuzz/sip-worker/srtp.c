/* A datagram where SRTP is expected: nothing that was not sealed with the key is taken; what is
 * sealed comes back as it was. */
#include <stdlib.h>
#include <string.h>

#include "sip-worker/media/srtp.h"

#define LEN_MAX 1600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of its exact size, so that a byte too many is seen. */
static void
open_raw(struct srtp_session *s, const uint8_t *data, size_t size)
{
	for (int rtcp = 0; rtcp < 2; rtcp++) {
		uint8_t *copy = malloc(size ? size : 1);
		size_t len = size;
		enum srtp_verdict v;

		if (!copy)
			abort();
		memcpy(copy, data, size);
		v = rtcp ? srtp_session_open_rtcp(s, copy, &len)
			 : srtp_session_open_rtp(s, copy, &len);
		assert(v != SRTP_TAKE && len == size && memcmp(copy, data, size) == 0);
		free(copy);
	}
}

static void
round_trip(struct srtp_session *s, const uint8_t *data, size_t size, bool rtcp)
{
	uint8_t *copy = malloc(size + SRTP_TRAILER);
	enum srtp_verdict v;
	size_t len;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	len = rtcp ? srtp_session_seal_rtcp(s, copy, size) : srtp_session_seal_rtp(s, copy, size);
	if (len) {
		assert(len > size && len <= size + SRTP_TRAILER);
		v = rtcp ? srtp_session_open_rtcp(s, copy, &len)
			 : srtp_session_open_rtp(s, copy, &len);
		assert(v == SRTP_TAKE && len == size && memcmp(copy, data, size) == 0);
	}
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct srtp_key key = { .suite = size % 2 ? SRTP_SUITE_80 : SRTP_SUITE_32 };
	struct srtp_session *s = srtp_session_create();

	if (!s)
		abort();
	srtp_session_send_key(s, &key);
	srtp_session_hear_key(s, &key);
	if (size <= LEN_MAX) {
		/* A key of zeros is no secret to a fuzzer, yet it would have to make a tag. */
		open_raw(s, data, size);
		round_trip(s, data, size, false);
		round_trip(s, data, size, true);
	}
	srtp_session_destroy(s);
	return 0;
}
