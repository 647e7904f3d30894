/* Bodies: the first line is the content type, the rest the body. */
#include <stdlib.h>
#include <string.h>

#include "sip-worker/sip/body.h"
#include "sip-worker/sip/info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *eol = size ? memchr(data, '\n', size) : NULL;
	size_t type_len = eol ? (size_t)(eol - data) : 0, len = 0;
	const char *body = (const char *)data + (eol ? type_len + 1 : 0), *sdp = NULL;
	size_t body_len = size - (eol ? type_len + 1 : 0);
	char *type = malloc(type_len + 1), digit;
	int duration_ms;

	if (!type)
		abort();
	memcpy(type, data, type_len);
	type[type_len] = '\0';
	if (body_find_sdp(type, body, body_len, &sdp, &len) == BODY_SDP)
		assert(sdp >= body && len > 0 && sdp + len <= body + body_len);
	if (info_parse(body, body_len, &digit, &duration_ms))
		assert(strchr("0123456789*#ABCD", digit) && duration_ms >= 1 &&
		       duration_ms <= 10000);
	free(type);
	return 0;
}
