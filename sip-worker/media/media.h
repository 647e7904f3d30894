/* media.h - the media engine: RTP sessions on threads of their own, paced by a 5 ms wheel on
 * absolute deadlines.
 *
 * Sessions are named by a handle that is never used again; a command to one that is gone does
 * nothing.  Commands may come from any thread and are posted; events come back as tasks in the
 * mailbox given to media_create() and reach ops there.  The media threads allocate nothing, lock
 * nothing and never wait for anybody. */
#ifndef SIP_WORKER_MEDIA_MEDIA_H
#define SIP_WORKER_MEDIA_MEDIA_H

#include "common/addr.h"
#include "common/base.h"
#include "common/config.h"
#include "common/err.h"
#include "common/mailbox.h"
#include "sip-worker/media/clip.h"
#include "sip-worker/media/srtp.h"

struct media;
typedef uint64_t media_id; /* 0: none */

enum media_direction {
	MEDIA_SENDRECV,
	MEDIA_SENDONLY,
	MEDIA_RECVONLY,
	MEDIA_INACTIVE
}; /* from our side */

/* What offer/answer found out about the far side. */
struct media_remote {
	struct addr rtp, rtcp; /* port 0: nothing may be sent yet */
	bool rtcp_mux;
	enum codec codec;
	uint8_t payload_type;  /* of codec */
	int dtmf_payload_type; /* -1: telephone-event not negotiated */
	int ptime_ms;          /* 10..60: what we send */
	enum media_direction direction;
	/* Both encrypted or both in clear; who holds a copy wipes it when done. */
	struct srtp_key send_key, hear_key;
};

struct media_open {
	struct media_remote remote;    /* rtp port 0 with a delayed offer */
	int family;                    /* AF_INET or AF_INET6: which media address to use */
	bool nat;                      /* latching allowed … */
	struct addr signalling;        /* … to this host */
	const struct cidr_list *allow; /* … or these (borrowed until closed(): account) */
	uint64_t owner;                /* given back in events */
	media_id beside;               /* on the thread of this session, to be bridged; 0: any */
};

/* What goes into our SDP. */
struct media_local {
	struct addr rtp, rtcp; /* public_address where configured */
};

struct media_stats {
	int64_t duration_ms;
	uint64_t packets_sent, packets_received, lost, late, discarded, duplicates, concealed;
	uint32_t jitter_us;  /* RFC 3550 */
	uint64_t bad_source; /* packets from addresses not ours to hear */
	uint64_t malformed;
	uint64_t srtp_bad_tag, srtp_replayed;
	uint32_t remote_lost, remote_jitter_us; /* from RTCP receiver reports */
	int32_t round_trip_us;                  /* -1: unknown */
	struct addr local, remote;
	enum codec codec;
	bool srtp;
};

enum media_stop_how { MEDIA_PLAYED, MEDIA_CUT };

struct media_ops {
	void (*first_rtp)(void *app, uint64_t owner, const struct addr *from);
	void (*digit)(void *app, uint64_t owner, char digit, int duration_ms,
		      const char *source /* "rfc4733"|"inband" */);
	/* A clip's last packet left (MEDIA_PLAYED), or it was stopped after played_ms. */
	void (*played)(void *app, uint64_t owner, uint32_t play, enum media_stop_how how,
		       int played_ms);
	/* media.timeout without RTP or RTCP while MEDIA_SENDRECV; once, until some comes again. */
	void (*timeout)(void *app, uint64_t owner);
	void (*latched)(void *app, uint64_t owner, const struct addr *to);
	void (*closed)(void *app, uint64_t owner,
		       const struct media_stats *stats); /* last event of a session */
};

/* Binds nothing yet: media.ports of cfg until media_set_ports() says which slice is leased.
 * events: where ops run; its thread is also the one of create, destroy, set_ports and open.
 * cfg is not kept.  A session takes two descriptors. */
struct media *media_create(const struct config *cfg, struct mailbox *events,
			   const struct media_ops *ops, void *app, struct fault *f);
/* Stops the threads; sessions close without events.  The events mailbox may still hold tasks that
 * went with the sessions: it must not be drained any more, only destroyed, with a drop() that
 * leaves tasks alone. */
void media_destroy(struct media *m);
/* RTP port slice, both inclusive, even first.  Running sessions keep theirs. */
void media_set_ports(struct media *m, uint16_t first, uint16_t last);

/* Takes a port pair and binds it now (calling thread), hands the session to a media thread.
 * BUSY: no port free (one given back rests for a second), no descriptor, or the engine is full.
 * UNSUPPORTED: no media.address of that family. */
MUST_USE enum err
media_open(struct media *m, const struct media_open *o, struct media_local *local, media_id *out);
/* Begins to send (comfort silence) and to time out. */
void media_start(struct media *m, media_id id);
/* After a re-INVITE or the ACK of a delayed offer; re-opens the latch window. */
void media_update(struct media *m, media_id id, const struct media_remote *remote);
/* Queue a clip (a reference is taken).  play comes back in played(); up to 16 wait, then BUSY.
 * NOT_FOUND: the session is gone. */
MUST_USE enum err media_play(struct media *m, media_id id, struct clip *clip, uint32_t play);
/* Silence within one packet; every queued clip is reported as cut. */
void media_stop_playing(struct media *m, media_id id);
/* Again and again while nothing else is to be sent: until it is replaced, a clip is queued or the
 * session is bridged.  Asked for after that, it is heard where the clip or the peer is silent. */
enum media_tone {
	MEDIA_TONE_NONE,
	MEDIA_TONE_COMFORT, /* a soft beep every 2 s: somebody is still there */
	MEDIA_TONE_RINGBACK /* the far end is ringing */
};
void media_tone(struct media *m, media_id id, enum media_tone tone);
/* A key press (0-9 * # A-D) of 40..5000 ms, as telephone events or, where those were not agreed
 * on, a tone of 120 ms.  What else is sent waits or is left out meanwhile; up to 16 wait, then
 * BUSY; on hold they are dropped.  NOT_FOUND: the session is gone.  INVALID: no such key. */
MUST_USE enum err media_send_digit(struct media *m, media_id id, char digit, int duration_ms);
/* From now on each sends what the other hears: payload as it came and when it came, under its own
 * numbers; the other law, frame length and event payload type where they differ.  Silence where
 * the other has sent nothing for 200 ms.  Digits are told to ops all the same; clips, tones of
 * digits and our own digits come first.  Begins when both are started; ends when one closes, is
 * bridged with a third, or by media_unbridge().  INVALID: one session twice.  NOT_FOUND: one is
 * gone.  UNSUPPORTED: not on one thread (see media_open.beside). */
MUST_USE enum err media_bridge(struct media *m, media_id a, media_id b);
void media_unbridge(struct media *m, media_id a, media_id b); /* nothing, if they are not */
/* Line test: what is heard is sent back. */
void media_loopback(struct media *m, media_id id, bool on);
void media_close(struct media *m, media_id id);

/* Engine counters for /metrics. */
struct media_totals {
	int64_t sessions, packets_sent, packets_received, late_ticks, bad_source, malformed,
		ports_free;
};
void media_totals(const struct media *m, struct media_totals *out);

#endif
