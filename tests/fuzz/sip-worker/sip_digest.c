/* Credentials from anyone. */
#include <stdlib.h>
#include <string.h>

#include "sip-worker/sip/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct digest *d;
	struct sip_user user = { .username = (char[]){ "bob" },
				 .password = { (char[]){ "secret" }, 6 } };
	struct digest_response r;
	struct addr source;
	char *text = malloc(size + 1);

	if (!d)
		d = digest_create("handback");
	if (!d || !text || !addr_parse("192.0.2.1", 5060, &source))
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	/* Nobody guesses a nonce. */
	if (digest_parse(text, &r) &&
	    digest_check(d, &r, &user, "INVITE", &source, 1000) != DIGEST_WRONG)
		abort();
	free(text);
	return 0;
}
