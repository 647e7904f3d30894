/* RTCP compounds; what is read may be written and read again. */
#include <stdint.h>
#include <stdlib.h>

#include "sip-worker/media/rtcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rtcp_heard h, again;
	struct rtcp_report r = { .cname = "0123456789abcdef", .sent = true };
	uint8_t out[RTCP_MAX];

	if (!rtcp_read(data, size, 0x01020304, &h))
		return 0;
	rtcp_round_trip(&h.block, h.ntp_mid);
	r.ssrc = h.ssrc;
	r.ntp = (uint64_t)h.ntp_mid << 16;
	r.has_block = h.about_us;
	r.block = h.block;
	r.bye = h.bye;
	if (!rtcp_read(out, rtcp_write(out, &r), 0x01020304, &again))
		abort();
	if (again.ssrc != h.ssrc || again.ntp_mid != h.ntp_mid || again.bye != h.bye ||
	    again.about_us != h.about_us || again.block.lost != h.block.lost)
		abort();
	return 0;
}
