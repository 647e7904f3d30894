/* engine.h - inside of the media engine: who touches what.
 *
 * control   the thread of the events mailbox: open, events, slots, ports
 * media     one of the engine's threads; a slot belongs to one of them for good
 * any       commands: they set atomics of the slot and post its one `kick`
 * Slots are never freed while the engine lives, so a command can always look at them; `ctl` carries
 * the generation and refuses commands meant for an earlier session. */
#ifndef SIP_WORKER_MEDIA_ENGINE_H
#define SIP_WORKER_MEDIA_ENGINE_H

#include <pthread.h>
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

struct media_counters {
	_Atomic int64_t packets_sent, packets_received, late_ticks, bad_source, malformed;
};

struct media_thread {
	struct media *media;
	pthread_t thread;
	bool created;
	struct mailbox *mailbox;
	struct task stop_task;
	bool stopping;
	bool skipped; /* the schedule has just moved */
	int epoll;
	/* Schedule: tick counts real time, slot the turns of the wheel; they part when ticks are
	 * skipped, so that timestamps show the gap and nobody's phase is lost. */
	uint64_t tick, slot;
	int64_t next_ns;
	int64_t ntp_offset_ns; /* wall - monotonic */
	unsigned running;
	unsigned phase;
	struct list wheel[WHEEL_SLOTS];                       /* media_session.wheel */
	struct list retries;                                  /* media_session.retry */
	uint64_t sent, received, late, bad_source, malformed; /* since publish() */
	struct media_counters counters;
	uint8_t silence[CODEC_COUNT][RTP_HEADER + FRAME_MAX];
	struct receive *receive;
	/* control */
	struct list free; /* media_session.free: slots of this thread, oldest first */
	unsigned open;
};

struct media {
	struct addr address[FAMILIES], public[FAMILIES]; /* family 0 (AF_UNSPEC): none */
	struct mailbox *events;
	const struct media_ops *ops;
	void *app;
	unsigned thread_count;
	struct media_thread *threads;
	size_t slots_max;
	atomic_size_t slots;
	_Atomic(struct media_session *) *slabs;
	struct ports *ports[FAMILIES]; /* 0: IPv4, 1: IPv6 */
	struct tones *tones;           /* owned */
	_Atomic int64_t sessions, ports_free;
	int64_t timeout_ticks, latch_ms;
	bool srtp_required; /* nothing in clear is sent or heard, whatever was agreed on */
};

/* --- session.c: media thread --- */
void session_kick(struct task *t);          /* runs commands */
void session_slot(struct media_session *s); /* its turn: one packet, rare things */
void session_address_changed(struct media_session *s);
void session_close_step(struct media_session *s); /* again until everything is told */
void session_apply_remote(struct media_session *s, const struct media_remote *r);

/* --- send.c --- */
void send_frame(struct media_session *s);
/* The timestamp of what leaves now: the clock's, but never before what was sent. */
uint32_t send_time(struct media_session *s);
/* Every RTP packet leaves here: n bytes after RTP_HEADER, which head becomes; counted. */
void send_rtp(struct media_session *s, uint8_t *packet, const struct rtp_packet *head, size_t n);
/* Reports every clip as cut; false: no room for it now. */
MUST_USE bool send_drop_clips(struct media_session *s);
void send_rtcp(struct media_session *s, bool bye);
void send_connect(struct media_session *s, bool on);

/* --- receive.c --- */
struct receive *receive_create(void);
void receive_destroy(struct receive *r);
void receive_ready(struct media_thread *t); /* reads what the sockets hold */

/* --- notify.c --- */
/* false: no room now. Events of one session arrive in order. */
MUST_USE bool notify_put(struct media_session *s, const struct engine_event *e);
bool notify_has_room(const struct media_session *s); /* for one more */
void notify_owe(struct media_session *s, unsigned what);
void notify_flush(struct media_session *s); /* tries what is owed */
void notify_post(struct media_session *s);
void notify_run(struct task *t);     /* control */
void notify_nothing(struct task *t); /* for mailbox_destroy(): tasks live in their slots */

/* --- thread.c --- */
MUST_USE enum err thread_start(struct media_thread *t, struct media *m, size_t slots);
void thread_stop(struct media_thread *t);
void thread_admit(struct media_thread *t, struct media_session *s);
void thread_dismiss(struct media_thread *t, struct media_session *s);
void thread_watch(struct media_thread *t, struct media_session *s, int which, int how);
/* The next tick has come: which one is it? Pure. */
void thread_schedule(struct media_thread *t, int64_t now_ns);
void thread_retry(struct media_session *s);
static inline uint32_t
thread_now(const struct media_thread *t)
{
	return (uint32_t)(t->tick * TICK_SAMPLES);
}
static inline int64_t
thread_now_ms(const struct media_thread *t)
{
	return (int64_t)(t->tick * (TICK_NS / 1000000));
}
#define NTP_1970 2208988800u                             /* seconds from 1900 to 1970 */
int64_t thread_now_ntp_ns(const struct media_thread *t); /* since 1970 */
uint32_t thread_ntp_mid(const struct media_thread *t);

/* --- command.c: any thread --- */
struct media_session *slot_of(const struct media *m, media_id id); /* whatever lives there now */

/* --- media.c: control --- */
void slot_release(struct media_session *s);

#endif
