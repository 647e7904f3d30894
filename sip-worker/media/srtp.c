#include "sip-worker/media/srtp.h"

#include <nettle/aes.h>
#include <nettle/ctr.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <stdlib.h>
#include <string.h>

#include "common/secret.h"
#include "sip-worker/media/bytes.h"

#define RTP_HEADER_MIN  12
#define RTCP_HEADER_MIN 8
#define KEY_SIZE        16
#define AUTH_SIZE       20
#define SALT_SIZE       14
#define TAG_MAX         10
#define INDEX_SIZE      4 /* of SRTCP: the E bit and 31 bits of index */
#define E_BIT           0x80000000u

const char *const srtp_suite_names[SRTP_SUITE_COUNT] = {
	[SRTP_SUITE_NONE] = "none",
	[SRTP_SUITE_80] = "AES_CM_128_HMAC_SHA1_80",
	[SRTP_SUITE_32] = "AES_CM_128_HMAC_SHA1_32",
};

/* What the master key gives for RTP, or for RTCP. */
struct transform {
	struct aes128_ctx aes;
	struct hmac_sha1_ctx hmac;
	uint8_t salt[SALT_SIZE];
	size_t tag;
};

/* Which packets of a source were there. */
struct window {
	bool any;
	uint64_t highest;
	uint64_t seen[SRTP_WINDOW / 64]; /* bit n of word 0: highest - n */
};

struct source {
	uint32_t ssrc;
	struct window rtp, rtcp;
};

struct hearing {
	struct srtp_key key;
	struct transform rtp, rtcp;
	struct source sources[SRTP_SOURCES];
	size_t count, last; /* the one heard last is looked at first */
};

struct sending {
	struct srtp_key key;
	struct transform rtp, rtcp;
	struct window sent;
	uint32_t rtcp_index;
};

struct srtp_session {
	struct sending out;
	struct hearing in[2];
	unsigned now; /* in[now] is heard, the other one may still be */
	uint64_t counts[SRTP_VERDICT_COUNT];
	bool used; /* there was a key */
};

bool
srtp_key_equal(const struct srtp_key *a, const struct srtp_key *b)
{
	return a->suite == b->suite && a->mki_len == b->mki_len &&
	       memeql_sec(a->material, b->material, SRTP_MATERIAL) &&
	       memcmp(a->mki, b->mki, a->mki_len) == 0;
}

/* --- keys --- */

static void
encrypt_blocks(const void *aes, size_t len, uint8_t *dst, const uint8_t *src)
{
	aes128_encrypt(aes, len, dst, src);
}

/* RFC 3711 4.3, with a key derivation rate of zero. */
static void
derive(const struct aes128_ctx *master, const uint8_t *salt, uint8_t label, uint8_t *out,
       size_t len)
{
	uint8_t iv[AES_BLOCK_SIZE] = { 0 };

	memcpy(iv, salt, SALT_SIZE);
	iv[7] ^= label;
	memset(out, 0, len);
	ctr_crypt(master, encrypt_blocks, AES_BLOCK_SIZE, iv, len, out, out);
}

static void
transform_init(struct transform *t, const struct srtp_key *key, uint8_t label, size_t tag)
{
	const uint8_t *salt = key->material + KEY_SIZE;
	struct aes128_ctx master;
	uint8_t secret[AUTH_SIZE];

	aes128_set_encrypt_key(&master, key->material);
	derive(&master, salt, label, secret, KEY_SIZE);
	aes128_set_encrypt_key(&t->aes, secret);
	derive(&master, salt, (uint8_t)(label + 1), secret, AUTH_SIZE);
	hmac_sha1_set_key(&t->hmac, AUTH_SIZE, secret);
	derive(&master, salt, (uint8_t)(label + 2), t->salt, SALT_SIZE);
	t->tag = tag;
	secret_wipe(&master, sizeof(master));
	secret_wipe(secret, sizeof(secret));
}

static void
transforms_init(struct transform *rtp, struct transform *rtcp, const struct srtp_key *key)
{
	transform_init(rtp, key, 0, key->suite == SRTP_SUITE_32 ? 4 : TAG_MAX);
	transform_init(rtcp, key, 3, TAG_MAX); /* full length in both suites (RFC 4568 6.2.2) */
}

/* --- the packet's index --- */

/* The index that a sequence number most likely stands for (RFC 3711 3.3.1); false: it would lie
 * before the beginning. */
static bool
window_guess(const struct window *w, uint16_t seq, uint64_t *index)
{
	uint64_t roc = w->highest >> 16;
	uint16_t last = (uint16_t)w->highest;

	if (w->any && last < 0x8000 && seq > last + 0x8000) {
		if (roc == 0)
			return false;
		roc--;
	} else if (w->any && last >= 0x8000 && seq < last - 0x8000) {
		roc++;
	}
	*index = (roc & 0xffffffff) << 16 | seq;
	return true;
}

static bool
window_is_new(const struct window *w, uint64_t index)
{
	uint64_t back = w->highest - index;

	if (!w->any || index > w->highest)
		return true;
	return back < SRTP_WINDOW && !(w->seen[back / 64] >> back % 64 & 1);
}

static void
window_shift(struct window *w, uint64_t by)
{
	if (by >= 64) {
		w->seen[1] = by < 128 ? w->seen[0] << (by - 64) : 0;
		w->seen[0] = 0;
	} else if (by > 0) {
		w->seen[1] = w->seen[1] << by | w->seen[0] >> (64 - by);
		w->seen[0] <<= by;
	}
}

static void
window_take(struct window *w, uint64_t index)
{
	uint64_t back;

	if (!w->any || index > w->highest) {
		window_shift(w, w->any ? index - w->highest : SRTP_WINDOW);
		w->highest = index;
		w->any = true;
	}
	back = w->highest - index;
	w->seen[back / 64] |= (uint64_t)1 << back % 64;
}

/* --- transforms --- */

static void
crypt_bytes(const struct transform *t, uint32_t ssrc, uint64_t index, uint8_t *data, size_t len)
{
	uint8_t iv[AES_BLOCK_SIZE] = { 0 };
	uint8_t id[10];

	memcpy(iv, t->salt, SALT_SIZE);
	put_u32(id, ssrc);
	put_u16(id + 4, (uint16_t)(index >> 32));
	put_u32(id + 6, (uint32_t)index);
	memxor(iv + 4, id, sizeof(id));
	ctr_crypt(&t->aes, encrypt_blocks, AES_BLOCK_SIZE, iv, len, data, data);
}

/* roc NULL: SRTCP, whose index stands in the packet. */
static void
sign(struct transform *t, const uint8_t *data, size_t len, const uint8_t *roc, uint8_t out[TAG_MAX])
{
	hmac_sha1_update(&t->hmac, len, data);
	if (roc)
		hmac_sha1_update(&t->hmac, 4, roc);
	hmac_sha1_digest(&t->hmac, t->tag, out); /* and begins anew */
}

/* Where the payload begins, behind CSRCs and the extension; 0: there is none. */
static size_t
payload_at(const uint8_t *packet, size_t len)
{
	size_t at = RTP_HEADER_MIN;

	if (len < RTP_HEADER_MIN || packet[0] >> 6 != 2)
		return 0;
	at += 4 * (size_t)(packet[0] & 0x0f);
	if (packet[0] & 0x10) {
		if (at + 4 > len)
			return 0;
		at += 4 + 4 * (size_t)get_u16(packet + at + 2);
	}
	return at <= len ? at : 0;
}

static bool
is_rtcp(const uint8_t *packet, size_t len)
{
	return len >= RTCP_HEADER_MIN && packet[0] >> 6 == 2;
}

/* --- sending --- */

size_t
srtp_session_seal_rtp(struct srtp_session *s, uint8_t *packet, size_t len)
{
	struct sending *o = &s->out;
	size_t at = payload_at(packet, len);
	uint8_t roc[4];
	uint64_t index;

	if (at == 0 || !window_guess(&o->sent, get_u16(packet + 2), &index) ||
	    (o->sent.any && index <= o->sent.highest))
		return 0;
	window_take(&o->sent, index);
	crypt_bytes(&o->rtp, get_u32(packet + 8), index, packet + at, len - at);
	put_u32(roc, (uint32_t)(index >> 16));
	sign(&o->rtp, packet, len, roc, packet + len);
	return len + o->rtp.tag;
}

size_t
srtp_session_seal_rtcp(struct srtp_session *s, uint8_t *packet, size_t len)
{
	struct sending *o = &s->out;
	uint32_t index = o->rtcp_index;

	if (!is_rtcp(packet, len) || index >= E_BIT)
		return 0;
	o->rtcp_index++;
	crypt_bytes(&o->rtcp, get_u32(packet + 4), index, packet + RTCP_HEADER_MIN,
		    len - RTCP_HEADER_MIN);
	put_u32(packet + len, E_BIT | index);
	sign(&o->rtcp, packet, len + INDEX_SIZE, NULL, packet + len + INDEX_SIZE);
	return len + INDEX_SIZE + o->rtcp.tag;
}

/* --- hearing --- */

/* NULL: not heard yet. */
static struct source *
source_find(struct hearing *h, uint32_t ssrc)
{
	if (h->last < h->count && h->sources[h->last].ssrc == ssrc)
		return &h->sources[h->last];
	for (size_t i = 0; i < h->count; i++) {
		if (h->sources[i].ssrc != ssrc)
			continue;
		h->last = i;
		return &h->sources[i];
	}
	return NULL;
}

/* Only for authenticated packets.  None is ever forgotten: its packets could come again. */
static struct source *
source_add(struct hearing *h, uint32_t ssrc)
{
	if (h->count == SRTP_SOURCES)
		return NULL;
	h->last = h->count++;
	h->sources[h->last] = (struct source){ .ssrc = ssrc };
	return &h->sources[h->last];
}

/* The key's identifier and the tag at the end of the packet, over its first `len` bytes. */
static bool
is_authentic(struct hearing *h, struct transform *t, const uint8_t *packet, size_t len,
	     const uint8_t *roc)
{
	const uint8_t *mki = packet + len;
	uint8_t tag[TAG_MAX];

	if (memcmp(mki, h->key.mki, h->key.mki_len) != 0)
		return false;
	sign(t, packet, len, roc, tag);
	return memeql_sec(tag, mki + h->key.mki_len, t->tag);
}

static enum srtp_verdict
hear_rtp(struct hearing *h, uint8_t *packet, size_t *len)
{
	static const struct window unheard;
	size_t trailer = h->rtp.tag + h->key.mki_len;
	size_t at = *len > trailer ? payload_at(packet, *len - trailer) : 0;
	struct source *src;
	uint8_t roc[4];
	uint64_t index;
	uint32_t ssrc;

	if (at == 0)
		return SRTP_SHORT;
	ssrc = get_u32(packet + 8);
	src = source_find(h, ssrc);
	if (!window_guess(src ? &src->rtp : &unheard, get_u16(packet + 2), &index) ||
	    (src && !window_is_new(&src->rtp, index)))
		return SRTP_REPLAYED;
	put_u32(roc, (uint32_t)(index >> 16));
	if (!is_authentic(h, &h->rtp, packet, *len - trailer, roc))
		return SRTP_BAD_TAG;
	if (!src && !(src = source_add(h, ssrc)))
		return SRTP_REPLAYED;
	window_take(&src->rtp, index);
	*len -= trailer;
	crypt_bytes(&h->rtp, ssrc, index, packet + at, *len - at);
	return SRTP_TAKE;
}

static enum srtp_verdict
hear_rtcp(struct hearing *h, uint8_t *packet, size_t *len)
{
	size_t trailer = h->rtcp.tag + h->key.mki_len;
	struct source *src;
	uint32_t index, ssrc;
	size_t body;

	if (*len < trailer + INDEX_SIZE || !is_rtcp(packet, *len - trailer - INDEX_SIZE))
		return SRTP_SHORT;
	body = *len - trailer - INDEX_SIZE;
	index = get_u32(packet + body);
	ssrc = get_u32(packet + 4);
	src = source_find(h, ssrc);
	if (src && !window_is_new(&src->rtcp, index & ~E_BIT))
		return SRTP_REPLAYED;
	/* Without the E bit it is not encrypted: that was not agreed upon. */
	if (!(index & E_BIT) || !is_authentic(h, &h->rtcp, packet, body + INDEX_SIZE, NULL))
		return SRTP_BAD_TAG;
	index &= ~E_BIT;
	if (!src && !(src = source_add(h, ssrc)))
		return SRTP_REPLAYED;
	window_take(&src->rtcp, index);
	*len = body;
	crypt_bytes(&h->rtcp, ssrc, index, packet + RTCP_HEADER_MIN, body - RTCP_HEADER_MIN);
	return SRTP_TAKE;
}

static enum srtp_verdict
hear(struct srtp_session *s, uint8_t *packet, size_t *len,
     enum srtp_verdict (*how)(struct hearing *, uint8_t *, size_t *))
{
	struct hearing *before = &s->in[!s->now];
	enum srtp_verdict v = how(&s->in[s->now], packet, len);

	/* On its way when the key changed. */
	if (v != SRTP_TAKE && before->key.suite && how(before, packet, len) == SRTP_TAKE)
		v = SRTP_TAKE;
	s->counts[v]++;
	return v;
}

enum srtp_verdict
srtp_session_open_rtp(struct srtp_session *s, uint8_t *packet, size_t *len)
{
	return hear(s, packet, len, hear_rtp);
}

enum srtp_verdict
srtp_session_open_rtcp(struct srtp_session *s, uint8_t *packet, size_t *len)
{
	return hear(s, packet, len, hear_rtcp);
}

/* --- the session --- */

struct srtp_session *
srtp_session_create(void)
{
	return calloc(1, sizeof(struct srtp_session));
}

void
srtp_session_destroy(struct srtp_session *s)
{
	if (!s)
		return;
	srtp_session_clear(s);
	free(s);
}

void
srtp_session_clear(struct srtp_session *s)
{
	/* Memory of a call in clear is never touched. */
	if (s->used)
		secret_wipe(s, sizeof(*s));
}

bool
srtp_session_send_key(struct srtp_session *s, const struct srtp_key *key)
{
	if (srtp_key_equal(&s->out.key, key))
		return false;
	secret_wipe(&s->out, sizeof(s->out));
	if (!key->suite)
		return false;
	s->used = true;
	s->out.key = *key;
	transforms_init(&s->out.rtp, &s->out.rtcp, key);
	return true;
}

void
srtp_session_hear_key(struct srtp_session *s, const struct srtp_key *key)
{
	struct hearing *h;

	if (srtp_key_equal(&s->in[s->now].key, key))
		return;
	s->now = !s->now;
	h = &s->in[s->now];
	/* The same key again but one would have its packets accepted again: its memory is kept. */
	if (key->suite && srtp_key_equal(&h->key, key))
		return;
	if (h->key.suite)
		secret_wipe(h, sizeof(*h));
	if (!key->suite)
		return;
	s->used = true;
	h->key = *key;
	transforms_init(&h->rtp, &h->rtcp, key);
}

void
srtp_session_settle(struct srtp_session *s)
{
	if (s->in[!s->now].key.suite)
		secret_wipe(&s->in[!s->now], sizeof(s->in[0]));
}

bool
srtp_session_sends(const struct srtp_session *s)
{
	return s->out.key.suite != SRTP_SUITE_NONE;
}

bool
srtp_session_hears(const struct srtp_session *s)
{
	return s->in[s->now].key.suite != SRTP_SUITE_NONE;
}

uint64_t
srtp_session_count(const struct srtp_session *s, enum srtp_verdict v)
{
	return s->counts[v];
}
