#include "sip-worker/media/rtcp.h"

#include <string.h>

#include "sip-worker/media/bytes.h"

#define PT_SR   200
#define PT_RR   201
#define PT_SDES 202
#define PT_BYE  203

#define SR_INFO   20 /* sender information after the SSRC */
#define BLOCK_LEN 24

static struct rtcp_block
block_read(const uint8_t *p)
{
	uint32_t lost = get_u32(p + 4) & 0xffffff;

	return (struct rtcp_block){
		.ssrc = get_u32(p),
		.fraction = p[4],
		.lost = lost & 0x800000 ? (int32_t)lost - 0x1000000 : (int32_t)lost,
		.highest = get_u32(p + 8),
		.jitter = get_u32(p + 12),
		.lsr = get_u32(p + 16),
		.dlsr = get_u32(p + 20),
	};
}

/* SR or RR: p is the packet, len its length in bytes. */
static bool
report_read(const uint8_t *p, size_t len, uint32_t our_ssrc, struct rtcp_heard *out)
{
	bool sender = p[1] == PT_SR;
	size_t blocks = p[0] & 0x1f;
	size_t at = 8 + (sender ? SR_INFO : 0);

	if (len < at + blocks * BLOCK_LEN)
		return false;
	out->ssrc = get_u32(p + 4);
	if (sender) {
		out->sender = true;
		out->ntp_mid = get_u32(p + 10);
	}
	for (size_t i = 0; i < blocks; i++, at += BLOCK_LEN) {
		if (get_u32(p + at) != our_ssrc)
			continue;
		out->about_us = true;
		out->block = block_read(p + at);
	}
	return true;
}

bool
rtcp_read(const uint8_t *data, size_t len, uint32_t our_ssrc, struct rtcp_heard *out)
{
	struct rtcp_heard heard = { 0 };
	size_t at = 0;

	while (at < len) {
		const uint8_t *p = data + at;
		size_t size;

		if (len - at < 4 || p[0] >> 6 != 2 || p[1] < 192 || p[1] > 223)
			return false;
		size = 4 * ((size_t)get_u16(p + 2) + 1);
		if (size > len - at)
			return false;
		if ((p[1] == PT_SR || p[1] == PT_RR) &&
		    (size < 8 || !report_read(p, size, our_ssrc, &heard)))
			return false;
		if (p[1] == PT_BYE)
			heard.bye = true;
		at += size;
	}
	if (len == 0)
		return false;
	*out = heard;
	return true;
}

static size_t
block_write(uint8_t *p, const struct rtcp_block *b)
{
	put_u32(p, b->ssrc);
	put_u32(p + 4, (uint32_t)b->lost & 0xffffff);
	p[4] = b->fraction;
	put_u32(p + 8, b->highest);
	put_u32(p + 12, b->jitter);
	put_u32(p + 16, b->lsr);
	put_u32(p + 20, b->dlsr);
	return BLOCK_LEN;
}

static void
head_write(uint8_t *p, unsigned count, uint8_t type, size_t size)
{
	p[0] = (uint8_t)(0x80 | count);
	p[1] = type;
	put_u16(p + 2, (uint16_t)(size / 4 - 1));
}

static size_t
sdes_write(uint8_t *p, uint32_t ssrc, const char *cname)
{
	size_t name = strnlen(cname, RTCP_CNAME_SIZE - 1);
	size_t size = (4 + 4 + 2 + name + 1 + 3) & ~(size_t)3; /* ends in 1..4 zeros */

	memset(p, 0, size);
	head_write(p, 1, PT_SDES, size);
	put_u32(p + 4, ssrc);
	p[8] = 1; /* CNAME */
	p[9] = (uint8_t)name;
	memcpy(p + 10, cname, name);
	return size;
}

size_t
rtcp_write(uint8_t out[RTCP_MAX], const struct rtcp_report *r)
{
	size_t n = 8;

	put_u32(out + 4, r->ssrc);
	if (r->sent) {
		put_u32(out + 8, (uint32_t)(r->ntp >> 32));
		put_u32(out + 12, (uint32_t)r->ntp);
		put_u32(out + 16, r->ts);
		put_u32(out + 20, r->packets);
		put_u32(out + 24, r->octets);
		n += SR_INFO;
	}
	if (r->has_block)
		n += block_write(out + n, &r->block);
	head_write(out, r->has_block, r->sent ? PT_SR : PT_RR, n);
	n += sdes_write(out + n, r->ssrc, r->cname);
	if (r->bye) {
		head_write(out + n, 1, PT_BYE, 8);
		put_u32(out + n + 4, r->ssrc);
		n += 8;
	}
	return n;
}

int64_t
rtcp_round_trip(const struct rtcp_block *b, uint32_t now_ntp_mid)
{
	uint32_t elapsed = now_ntp_mid - b->lsr;

	if (b->lsr == 0 || elapsed < b->dlsr || elapsed - b->dlsr > 60u << 16)
		return -1;
	return elapsed - b->dlsr;
}
