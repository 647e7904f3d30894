/* Bodies of NOTIFY. */
#include <stdlib.h>
#include <string.h>

#include "sip-worker/sip/sipfrag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char phrase[64];
	int status;
	char *body = malloc(size ? size : 1); /* its end is guarded */

	if (!body)
		abort();
	if (size)
		memcpy(body, data, size);
	if (sipfrag_parse(body, size, &status, phrase, sizeof phrase) &&
	    (status < 100 || status > 699 || !memchr(phrase, '\0', sizeof phrase)))
		abort();
	free(body);
	return 0;
}
