/* Text from outside: parsed or refused; what is parsed prints and parses to the same, and is no
 * deeper than allowed. */
#include <stdlib.h>
#include <string.h>

#include "common/jfield.h"
#include "common/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned
depth_of(const json_t *j)
{
	unsigned deepest = 0, below;
	const char *key;
	json_t *v;
	size_t i;

	if (!json_is_object(j) && !json_is_array(j))
		return 0;
	json_object_foreach((json_t *)(uintptr_t)j, key, v)
	{
		below = depth_of(v);
		deepest = below > deepest ? below : deepest;
	}
	json_array_foreach(j, i, v)
	{
		below = depth_of(v);
		deepest = below > deepest ? below : deepest;
	}
	return deepest + 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fault f = { "", "" };
	json_t *j, *again;
	char *text;

	if (json_parse((const char *)data, size, &j, &f) != ERR_OK) {
		assert(f.what[0] != '\0' && str_is_utf8(f.where, strlen(f.where)));
		return 0;
	}
	assert(!memchr(data, '\0', size));
	text = json_text(j);
	assert(json_parse(text, strlen(text), &again, &f) == ERR_OK);
	assert(json_equal(j, again));
	assert(depth_of(j) <= JSON_DEPTH_MAX);
	free(text);
	json_decref(j);
	json_decref(again);
	return 0;
}
