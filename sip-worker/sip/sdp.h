/* sdp.h - session descriptions (RFC 4566, 3264): own parser, negotiation and writer, pure
 * functions over bounded memory.  The library's parser never sees a body.
 *
 * A description is text from anyone: every limit is here, what exceeds one is refused whole. */
#ifndef SIP_WORKER_SIP_SDP_H
#define SIP_WORKER_SIP_SDP_H

#include "common/addr.h"
#include "common/base.h"
#include "common/config.h"
#include "common/str.h"
#include "sip-worker/media/media.h"
#include "sip-worker/sip/sdes.h"

#define SDP_TEXT_MAX    16384 /* bytes of a body */
#define SDP_LINES_MAX   1024
#define SDP_MEDIA_MAX   16
#define SDP_FORMATS_MAX 32 /* payload types of an audio line; further ones are not looked at */

/* One m= line, enough to refuse it in the right place of an answer. */
struct sdp_line {
	char media[16], proto[32], format[32];
};
struct sdp_layout {
	struct sdp_line lines[SDP_MEDIA_MAX];
	size_t count;
	size_t audio;                   /* index of the line that carries our call */
	char crypto_tag[SDES_TAG_SIZE]; /* of its a=crypto; empty: in clear */
};

struct sdp_format {
	uint8_t payload_type;
	enum { SDP_OTHER, SDP_PCMU, SDP_PCMA, SDP_DTMF } kind;
};

enum sdp_address { SDP_NO_ADDRESS, SDP_NUMERIC, SDP_NAME };

struct sdp_media {
	struct sdp_line line;
	uint16_t port;
	enum sdp_address address_kind; /* of c=, the line's own or the session's */
	struct addr address;
	uint16_t rtcp_port; /* 0: port + 1 */
	enum sdp_address rtcp_address_kind;
	struct addr rtcp_address;
	bool rtcp_mux;
	enum media_direction direction; /* as written by the peer: its own point of view */
	int ptime_ms, maxptime_ms;      /* 0: absent */
	struct sdp_format formats[SDP_FORMATS_MAX];
	size_t format_count;
	struct sdes crypto; /* the first a=crypto that we can take */
};

struct sdp {
	struct sdp_media media[SDP_MEDIA_MAX];
	size_t count;
};

/* false: malformed or over a limit; *why (static text) says what. */
MUST_USE bool sdp_parse(const char *text, size_t len, struct sdp *out, const char **why);

/* What of ours goes into the choice. */
struct sdp_capabilities {
	const enum codec *codecs;
	size_t codec_count;
	bool ipv4, ipv6; /* media addresses there are */
	/* off: RTP/AVP alone.  required: RTP/SAVP alone.  optional: RTP/SAVP before RTP/AVP, and
	 * there a=crypto if any is good (RFC 8643). */
	enum srtp_policy srtp;
};

/* Picks the first acceptable audio line and in it the peer's first codec of ours.  Written from
 * our side: remote->direction is what we may do; hear_key is the peer's, send_key the caller's to
 * choose.  false: nothing acceptable, *why for a Warning. */
MUST_USE bool
sdp_negotiate(const struct sdp *sdp, const struct sdp_capabilities *caps,
	      struct media_remote *remote, struct sdp_layout *layout, const char **why);

/* RTP/SAVP, RTP/SAVPF? */
bool sdp_is_secure(const struct sdp_line *line);

struct sdp_local {
	struct media_local media;
	uint64_t session, version; /* o= */
	enum media_direction direction;
	bool rtcp_mux;
	struct srtp_key offer_key; /* of our offer; suite NONE: in clear */
};

/* Our answer to what was negotiated, with remote->send_key under the peer's tag. */
void sdp_write_answer(struct buf *out, const struct sdp_local *local,
		      const struct media_remote *remote, const struct sdp_layout *layout);
#define SDP_OFFER_TAG "1"
/* Our offer: all codecs and telephone-event; layout NULL for a first one, else its line order is
 * kept.  A key goes out as RTP/SAVP where that is required or was agreed on, else as RTP/AVP. */
void sdp_write_offer(struct buf *out, const struct sdp_local *local,
		     const struct sdp_capabilities *caps, const struct sdp_layout *layout);

#endif
