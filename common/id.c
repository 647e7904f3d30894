#include "common/id.h"

#include <sodium.h>
#include <string.h>

bool
id_init(void)
{
	return sodium_init() >= 0;
}

/* The kernel is asked once for many ids.  Bytes are wiped when they are handed out; no process
 * forks without exec. */
void
id_random(void *out, size_t len)
{
	static _Thread_local struct {
		unsigned char bytes[512];
		size_t left;
	} pool;

	if (len > sizeof(pool.bytes) / 4) {
		randombytes_buf(out, len);
		return;
	}
	if (len > pool.left) {
		randombytes_buf(pool.bytes, sizeof(pool.bytes));
		pool.left = sizeof(pool.bytes);
	}
	pool.left -= len;
	memcpy(out, pool.bytes + pool.left, len);
	sodium_memzero(pool.bytes + pool.left, len);
}

const char *
id_hex(char *out, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * len] = '\0';
	return out;
}

const char *
id_token(char out[ID_TOKEN_SIZE])
{
	unsigned char bits[16];

	id_random(bits, sizeof(bits));
	return id_hex(out, bits, sizeof(bits));
}

/* RFC 9562, version 4. */
const char *
id_uuid(char out[ID_UUID_SIZE])
{
	static const unsigned char group_len[] = { 4, 2, 2, 2, 6 };
	unsigned char bits[16];
	const unsigned char *from = bits;
	char *to = out;

	id_random(bits, sizeof(bits));
	bits[6] = (unsigned char)((bits[6] & 0x0f) | 0x40);
	bits[8] = (unsigned char)((bits[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < ARRAY_LEN(group_len); i++) {
		if (i > 0)
			*to++ = '-';
		(void)id_hex(to, from, group_len[i]);
		to += 2 * group_len[i];
		from += group_len[i];
	}
	return out;
}

const char *
id_digest(char out[ID_DIGEST_SIZE], const char *text)
{
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
	return id_hex(out, hash, sizeof(hash));
}
