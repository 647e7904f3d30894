#include "sip-worker/media/dtmf.h"

#include <string.h>

#include "sip-worker/media/bytes.h"

#define STALE_MS    2000 /* an older timestamp later than this is a new base, not disorder */
#define CONTINUE_MS 120  /* packets of one press come at least so often */

static const char digits[DTMF_EVENTS + 1] = "0123456789*#ABCD";

bool
dtmf_read(const uint8_t *payload, size_t len, struct dtmf_event *out)
{
	if (len != DTMF_EVENT_SIZE)
		return false;
	*out = (struct dtmf_event){
		.event = payload[0],
		.end = payload[1] & 0x80,
		.volume = payload[1] & 0x3f,
		.duration = get_u16(payload + 2),
	};
	return true;
}

int
dtmf_event_of(char digit)
{
	const char *at;

	if (digit >= 'a' && digit <= 'd')
		digit = (char)(digit - 'a' + 'A');
	at = memchr(digits, digit, DTMF_EVENTS);
	return at ? (int)(at - digits) : -1;
}

/* Does a packet with a later timestamp still belong to the press under way?  Long presses are
 * sent in segments of 0xffff samples; some gateways move the timestamp with every packet. */
static bool
dtmf_continues(const struct dtmf *d, uint32_t ts, const struct dtmf_event *e, int64_t now_ms)
{
	uint32_t step = ts - d->ts;

	if (d->ended || e->event != d->event || now_ms - d->at_ms > CONTINUE_MS)
		return false;
	if (d->duration >= 0xf000 && step >= d->duration && step <= 0x10000)
		return true;
	return step <= 60 * 8 && e->duration > d->duration;
}

static bool
dtmf_is_new(const struct dtmf *d, uint32_t ts, bool marker, const struct dtmf_event *e,
	    int64_t now_ms)
{
	int32_t step = (int32_t)(ts - d->ts);

	if (!d->known)
		return true;
	if (step == 0) /* the same press, unless a sender forgot to move the timestamp */
		return d->ended && e->event != d->event && !e->end;
	if (step < 0)
		return now_ms - d->at_ms > STALE_MS;
	return marker || !dtmf_continues(d, ts, e, now_ms);
}

char
dtmf_take(struct dtmf *d, uint32_t ts, bool marker, const struct dtmf_event *e, int64_t now_ms)
{
	bool is_new;

	if (e->event >= DTMF_EVENTS)
		return 0;
	is_new = dtmf_is_new(d, ts, marker, e, now_ms);
	if (!is_new && ((int32_t)(ts - d->ts) < 0 || e->event != d->event))
		return 0;
	d->ended = e->end || (!is_new && ts == d->ts && d->ended);
	if (is_new || ts != d->ts || e->duration > d->duration)
		d->duration = e->duration;
	d->known = true;
	d->event = e->event;
	d->ts = ts;
	d->at_ms = now_ms;
	return is_new ? digits[e->event] : '\0';
}
