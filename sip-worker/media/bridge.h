/* bridge.h - what a session sends that its own clock does not make: the audio and the events of
 * the session it is bridged with, and digits.  Media thread. */
#ifndef SIP_WORKER_MEDIA_BRIDGE_H
#define SIP_WORKER_MEDIA_BRIDGE_H

#include "sip-worker/media/dtmf.h"
#include "sip-worker/media/jitter.h"
#include "sip-worker/media/rtp.h"
#include "sip-worker/media/tones.h"

struct media_session;

/* In the session that sends. */
struct bridge {
	struct media_session *peer; /* of the same thread, and we are its peer; NULL: none */
	uint64_t flowed;            /* tick of the last packet from the peer */
	/* How the peer's numbers become ours; anew after anything else was sent. */
	bool anchored;
	uint32_t ts_delta;
	uint32_t next_in;   /* the peer's timestamp after its last packet */
	uint16_t seq_delta; /* holds from first_seq (ours) on */
	uint16_t first_seq;
	/* A press of the peer's that is passed on as events. */
	bool event_open;
	uint8_t event;
	uint16_t event_duration;
	uint32_t event_in, event_out; /* timestamps */
	uint64_t event_tick;          /* of its last packet */
	/* Frames of another length: samples that wait for more. */
	uint16_t held;
	uint32_t held_ts;
	uint8_t hold[JITTER_FRAME];
};

#define DIGIT_MS 100 /* where nobody knows how long a press was */

/* A digit of our own, under way. */
struct digit_out {
	bool active;
	uint8_t event, ends; /* ends: how often the end was said */
	uint16_t duration, total;
	uint32_t ts;
	const struct tone *tone; /* in-band instead; NULL: telephone events */
	uint32_t at;             /* in the tone */
};

/* --- bridge.c --- */
void bridge_apply(struct media_session *s);  /* as media_bridge() and media_unbridge() want it */
void bridge_detach(struct media_session *s); /* from its peer, which it may not have */
void bridge_flush(struct media_session *s);  /* sends what is held */
/* Is the peer's audio under way, so that nothing need be made?  If not, ours comes next. */
bool bridge_flows(struct media_session *s);
/* What `from` heard goes out on its peer. */
void bridge_audio(struct media_session *from, const struct rtp_packet *p, enum rtp_order order,
		  unsigned gap);
/* The same of an event; digit: it begins this press, else 0. */
void bridge_event(struct media_session *from, const struct rtp_packet *p,
		  const struct dtmf_event *e, char digit, unsigned gap);

/* --- digits.c --- */
/* false: too many wait.  Any thread. */
MUST_USE bool digits_put(struct media_session *s, uint32_t generation, uint8_t event, int ms);
bool digits_busy(struct media_session *s); /* one is under way or waits */
void digits_drop(struct media_session *s); /* nothing may be sent */
bool digits_turn(struct media_session *s); /* the turn went into an event */
/* The turn's audio is a digit's; out is silence before. */
bool digits_tone(struct media_session *s, uint8_t *out, size_t n);

#endif
