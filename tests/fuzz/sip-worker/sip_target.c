/* A return URI from anyone: what is taken can be put together again. */
#include <stdlib.h>
#include <string.h>

#include "sip-worker/sip/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct target t;
	char *uri = malloc(size + 1);
	const char *why = NULL;

	if (!uri)
		abort();
	memcpy(uri, data, size);
	uri[size] = '\0';
	if (target_parse(uri, &t, &why) != ERR_OK) {
		assert(why);
		free(uri);
		return 0;
	}
	assert(t.name[0] && strstr(uri, t.host) && strlen(t.name) <= strlen(t.host));
	assert((t.port != 0) == (t.port_text != NULL));
	for (size_t i = 0; i < t.header_count; i++)
		assert(target_header_allowed(t.headers[i]) &&
		       !str_has_control(target_header_value(t.headers[i])));
	free(uri);
	return 0;
}
