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

#include "sip-worker/media/session.h"

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
