/* session.h - one RTP session inside the engine: its slot, what is posted to it and what it owes.
 *
 * Whoever may touch a field stands in engine.h's head. */
#ifndef SIP_WORKER_MEDIA_SESSION_H
#define SIP_WORKER_MEDIA_SESSION_H

#include <stdatomic.h>

#include "common/list.h"
#include "sip-worker/media/bridge.h"
#include "sip-worker/media/dsp.h"
#include "sip-worker/media/dtmf.h"
#include "sip-worker/media/jitter.h"
#include "sip-worker/media/latch.h"
#include "sip-worker/media/media.h"
#include "sip-worker/media/playlist.h"
#include "sip-worker/media/ports.h"
#include "sip-worker/media/rtcp.h"
#include "sip-worker/media/rtp.h"
#include "sip-worker/media/tones.h"

#define TICK_NS      5000000
#define TICK_SAMPLES 40
#define WHEEL_SLOTS  16 /* a power of two, above the 12 ticks of 60 ms */
#define LATE_TICKS   4  /* later than this: the schedule moves, nothing is caught up */
#define SLAB         32 /* slots allocated at once */
#define THREADS_MAX  64
#define FRAME_MAX    480
#define DATAGRAM_MAX 1600
#define EVENTS       64 /* a power of two */
#define DIGIT_ROOM   16 /* of them only digits may use */
#define FAMILIES     2

/* ctl: generation << 32 | flags. */
#define CTL_START 1u
#define CTL_LOOP  2u
#define CTL_CLOSE 4u
#define CTL_TONE  3 /* shift of enum media_tone */
#define CTL_TONES (3u << CTL_TONE)

struct engine_event {
	enum { EV_FIRST_RTP, EV_DIGIT, EV_PLAYED, EV_TIMEOUT, EV_LATCHED, EV_RELEASE } kind;
	uint32_t play;
	int ms; /* played, or length of the digit */
	enum media_stop_how how;
	char digit;
	bool inband;
	struct clip *clip;        /* the receiver lets it go */
	struct sockaddr_in6 addr; /* FIRST_RTP, LATCHED: either family */
};

/* Media to control; single producer, single consumer. */
struct event_ring {
	atomic_uint head, tail; /* head: next to read */
	struct engine_event items[EVENTS];
};

struct update {
	uint32_t generation;
	struct media_remote remote;
};
#define UPDATES 4 /* one pending, one being read, two being written */

struct media_session {
	/* --- media thread: touched for every packet --- */
	struct list wheel;
	struct media_thread *thread;
	int fd[2];      /* RTP, RTCP */
	uint8_t period; /* ticks per packet */
	uint8_t pt;
	uint8_t codec;   /* enum codec */
	bool running;    /* in the wheel */
	bool sending;    /* direction and address allow it */
	bool connected;  /* fd[0] is connected to latch.rtp */
	bool listening;  /* somebody needs the audio: loopback */
	bool inband;     /* telephone-event was not negotiated: listen for tones */
	bool talking;    /* the last packet was sent: no marker */
	bool concealing; /* the end of the last frame was made up */
	uint16_t seq;
	uint32_t ssrc, ts_offset, next_ts;
	uint64_t next_slow; /* tick of the next look at timeout and RTCP */
	struct clip *clip;  /* being played */
	size_t clip_at;     /* samples of it sent */
	uint32_t clip_pos, clip_play;
	uint64_t packets_sent, octets_sent;
	uint64_t last_heard;  /* tick of the last RTP or RTCP */
	struct playlist list; /* any thread puts, media takes */
	/* --- media thread: for every packet received --- */
	struct latch latch;
	struct rtp_source source;
	struct dtmf dtmf;
	int dtmf_pt;
	bool heard_event; /* telephone events came: tones are the same digits again */
	bool heard_rtp, timed_out;
	uint8_t reception_pt;
	uint64_t late, discarded, duplicates, concealed, malformed, bad_source, received;
	uint64_t started;
	uint64_t settle_at;   /* tick from which the former SRTP key is not heard any more */
	uint64_t lost_before; /* of sources before this one */
	/* --- media thread: RTCP and rare things --- */
	struct media_remote remote;
	uint64_t next_rtcp;
	uint32_t random;
	uint32_t sr_mid; /* of the peer's last sender report */
	uint64_t sr_tick;
	bool reported; /* a receiver report about us came */
	struct rtcp_block report;
	int32_t round_trip_us;
	uint64_t packets_at_report;
	char cname[RTCP_CNAME_SIZE];
	unsigned owed; /* OWE_*: state events that found no room */
	struct addr first_from;
	struct bridge bridge;
	struct digit_out digit;
	uint32_t tone_at;  /* samples of the tone sent */
	uint8_t tone_kind; /* enum media_tone: what tone_at counts */
	enum { SESSION_FREE, SESSION_OPEN, SESSION_CLOSING, SESSION_CLOSED } state;
	struct list retry; /* in thread->retries */
	struct media_stats final;
	struct jitter jitter;
	struct dsp *dsp;           /* owned, made with the slab */
	struct srtp_session *srtp; /* likewise */
	/* --- between threads --- */
	_Atomic uint64_t ctl;
	_Atomic uint64_t stop;  /* generation << 32 | list position before which all is cut */
	_Atomic uint64_t want;  /* id to be bridged with; both must want it.  Our own: none */
	struct playlist digits; /* any thread puts: event | ms << 8 in play, no clip */
	struct task kick;       /* any to media */
	atomic_bool kicked;
	_Atomic(struct update *) pending;
	atomic_uint updates_free;
	struct update updates[UPDATES];
	struct event_ring events;
	struct task notify; /* media to control */
	atomic_bool notified;
	atomic_bool closed; /* final is written, the thread will not touch the slot again */
	/* --- control --- */
	struct media *media;
	uint32_t index, generation;
	uint64_t owner;
	struct list free; /* in media->threads[].free */
	int family_index;
	uint16_t port;
	struct addr local;
};

static inline media_id
session_id(const struct media_session *s)
{
	return (uint64_t)s->generation << 32 | s->index;
}

#define OWE_FIRST   1u
#define OWE_LATCHED 2u
#define OWE_TIMEOUT 4u

#endif
