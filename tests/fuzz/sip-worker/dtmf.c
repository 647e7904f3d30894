/* Telephone events: each record of 8 bytes is [time step][timestamp step u16][flags][payload]. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sip-worker/media/dtmf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dtmf d = { 0 };
	int64_t now = 0;
	uint32_t ts = 0;

	for (; size >= 8; data += 8, size -= 8) {
		struct dtmf_event e;
		char digit;

		now += data[0];
		ts += (uint32_t)(int16_t)(data[1] << 8 | data[2]);
		if (!dtmf_read(data + 4, 4, &e))
			abort();
		digit = dtmf_take(&d, ts, data[3] & 1, &e, now);
		if (digit && !strchr("0123456789*#ABCD", digit))
			abort();
		/* The same packet again is never another press. */
		if (dtmf_take(&d, ts, data[3] & 1, &e, now))
			abort();
	}
	return 0;
}
