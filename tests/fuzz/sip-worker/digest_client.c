/* Challenges from anyone: what we answer, our own check of credentials can read. */
#include <stdlib.h>
#include <string.h>

#include "sip-worker/sip/digest.h"
#include "sip-worker/sip/digest_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct digest_login login = { .username = "bob", .password = "secret" };
	const struct digest_use use = { "REFER", "sip:a@b", "0123", 1 };
	struct digest_challenge c;
	struct digest_response r;
	char *text = malloc(size + 1);
	struct buf b;

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	if (digest_challenge_parse(text, &c) && digest_login_fits(&login, &c)) {
		buf_init(&b, DIGEST_ANSWER_MAX);
		digest_answer(&b, &c, &login, &use);
		/* Ours takes no nonce but its own length of one, and no RFC 2069. */
		if (b.failed || (c.qop_auth && strlen(c.nonce) < DIGEST_NONCE_SIZE &&
				 (!digest_parse(b.data + 7, &r) || strcmp(r.realm, c.realm) != 0)))
			abort();
		buf_finish(&b);
	}
	free(text);
	return 0;
}
