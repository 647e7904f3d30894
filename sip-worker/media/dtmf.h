/* dtmf.h - telephone events (RFC 4733) to key presses: each press once, at its first packet,
 * whatever is lost, repeated or late.  Pure: time is an argument. */
#ifndef SIP_WORKER_MEDIA_DTMF_H
#define SIP_WORKER_MEDIA_DTMF_H

#include "common/base.h"

#define DTMF_EVENT_SIZE 4
#define DTMF_EVENTS     16 /* 0-9, *, #, A-D */

struct dtmf {
	bool known; /* an event was seen */
	bool ended;
	uint8_t event;
	uint32_t ts;
	uint16_t duration; /* samples */
	int64_t at_ms;     /* of its last packet */
};

struct dtmf_event {
	uint8_t event, volume;
	bool end;
	uint16_t duration;
};

/* One block; false: reserved bit or length. */
MUST_USE bool dtmf_read(const uint8_t *payload, size_t len, struct dtmf_event *out);
/* The event of a key, 'a' to 'd' also in small letters; -1: no key. */
int dtmf_event_of(char digit);
/* The digit if this packet begins a new press, else 0. */
char
dtmf_take(struct dtmf *d, uint32_t ts, bool marker, const struct dtmf_event *e, int64_t now_ms);

#endif
