/* rtp.h - RTP headers (RFC 3550) and what a receiver knows about one source: losses, order,
 * jitter.  Pure: no I/O, time is an argument. */
#ifndef SIP_WORKER_MEDIA_RTP_H
#define SIP_WORKER_MEDIA_RTP_H

#include "common/base.h"

#define RTP_HEADER 12

struct rtp_packet {
	uint32_t ts, ssrc;
	uint16_t seq;
	uint8_t pt; /* 0..127 */
	bool marker;
	const uint8_t *payload; /* in the datagram */
	size_t len;
};

/* Strict: version 2, CSRC list, extension and padding must fit. */
MUST_USE bool rtp_read(const uint8_t *data, size_t len, struct rtp_packet *out);
/* The fixed header; payload and len are not looked at. */
void rtp_write(uint8_t out[RTP_HEADER], const struct rtp_packet *p);
/* On a shared port: is the datagram RTCP (RFC 5761)? */
bool rtp_is_rtcp(const uint8_t *data, size_t len);

enum rtp_order {
	RTP_NEXT,      /* newer than all before, after a gap or not */
	RTP_EARLIER,   /* came out of order, for the first time */
	RTP_DUPLICATE, /* was here before, or too old to know */
	RTP_NEW,       /* first of a new or restarted source: forget what is buffered */
};

struct rtp_source {
	bool valid;
	uint32_t ssrc;
	uint16_t max_seq;
	uint32_t cycles;   /* of max_seq, << 16 */
	uint64_t expected; /* from the first packet to max_seq, over all restarts */
	uint64_t received; /* without duplicates */
	uint64_t seen;     /* bit n: max_seq - n was received */
	uint8_t strange;   /* packets in a row far from max_seq */
	uint16_t strange_seq;
	bool timed;
	int32_t transit;
	uint32_t jitter16;                         /* RFC 3550 A.8, 1/16 sample */
	uint64_t expected_before, received_before; /* at the last report */
};

/* Counts a packet.  gap: how many packets are missing before it (RTP_NEXT only). */
enum rtp_order rtp_source_take(struct rtp_source *s, const struct rtp_packet *p, unsigned *gap);
/* Jitter from an audio packet's arrival, in samples of the media clock. */
void rtp_source_time(struct rtp_source *s, uint32_t ts, uint32_t arrival);
uint64_t rtp_source_lost(const struct rtp_source *s);
/* Extended highest sequence number. */
uint32_t rtp_source_highest(const struct rtp_source *s);
/* Share lost since the last call, in 1/256. */
uint8_t rtp_source_fraction(struct rtp_source *s);

#endif
