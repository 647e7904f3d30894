/* An a=crypto line from anyone: what is read is written and read again the same. */
#include <string.h>

#include "sip-worker/sip/sdes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sdes s, again;
	struct buf b;

	if (!sdes_read((const char *)data, size, &s))
		return 0;
	assert(s.key.suite == SRTP_SUITE_80 || s.key.suite == SRTP_SUITE_32);
	assert(s.key.mki_len <= SRTP_MKI_MAX && s.tag[0] && strlen(s.tag) < SDES_TAG_SIZE);
	buf_init(&b, 256);
	sdes_write(&b, &s);
	assert(!b.failed && sdes_read(b.data + 9, b.len - 11, &again));
	assert(strcmp(s.tag, again.tag) == 0 && srtp_key_equal(&s.key, &again.key));
	buf_finish(&b);
	return 0;
}
