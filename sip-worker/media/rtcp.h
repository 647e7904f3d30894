/* rtcp.h - RTCP compound packets (RFC 3550): what we need to read and what we say.  Pure. */
#ifndef SIP_WORKER_MEDIA_RTCP_H
#define SIP_WORKER_MEDIA_RTCP_H

#include "common/base.h"

#define RTCP_MAX        256 /* what rtcp_write() needs at most */
#define RTCP_CNAME_SIZE 17  /* 64 random bits in hex, with NUL (RFC 7022) */

struct rtcp_block {
	uint32_t ssrc; /* whom it is about */
	uint8_t fraction;
	int32_t lost; /* 24 bits, signed */
	uint32_t highest, jitter, lsr, dlsr;
};

/* What a datagram told us. */
struct rtcp_heard {
	bool sender;      /* a sender report is in it */
	uint32_t ssrc;    /* of the reporter */
	uint32_t ntp_mid; /* middle 32 bits of its NTP time, for LSR */
	bool about_us;    /* block is about our SSRC */
	struct rtcp_block block;
	bool bye;
};

/* false: not a valid compound (first packet SR or RR, or reduced-size; lengths must add up). */
MUST_USE bool rtcp_read(const uint8_t *data, size_t len, uint32_t our_ssrc, struct rtcp_heard *out);

struct rtcp_report {
	uint32_t ssrc;
	uint64_t ntp; /* 32.32 */
	uint32_t ts;  /* media clock at ntp */
	uint32_t packets, octets;
	bool sent; /* sender report; else receiver report */
	bool has_block;
	struct rtcp_block block;
	const char *cname; /* RTCP_CNAME_SIZE - 1 characters at most */
	bool bye;
};

/* SR or RR, SDES with the CNAME, BYE if asked. Returns the length. */
size_t rtcp_write(uint8_t out[RTCP_MAX], const struct rtcp_report *r);

/* Round trip in 1/65536 s from a block about us; -1: it cannot be told. */
int64_t rtcp_round_trip(const struct rtcp_block *b, uint32_t now_ntp_mid);

#endif
