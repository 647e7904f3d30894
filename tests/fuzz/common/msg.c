/* Any JSON as a message: opened and read, or refused by name; what is read writes back to the
 * same fields. */
#include <stdlib.h>
#include <string.h>

#include "common/msg.h"
#include "common/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static union {
	struct msg_hello hello;
	struct msg_hello_reply hello_reply;
	struct msg_heartbeat heartbeat;
	struct msg_claim claim;
	struct msg_claim_reply claim_reply;
	struct msg_release release;
	struct msg_complete complete;
	struct msg_report report;
	struct msg_snapshot snapshot;
	struct msg_bye bye;
} one, two;

static void
round_trip(const struct jfield *fields, const json_t *body)
{
	struct fault f = { "", "" };
	json_t *first, *second;

	memset(&one, 0, sizeof(one));
	if (jfield_read(fields, body, "/body", &one, &f) != ERR_OK) {
		assert(str_starts(f.where, "/body"));
		return;
	}
	first = jfield_write(fields, &one);
	memset(&two, 0, sizeof(two));
	assert(jfield_read(fields, first, "", &two, &f) == ERR_OK);
	second = jfield_write(fields, &two);
	assert(json_equal(first, second));
	json_decref(first);
	json_decref(second);
	jfield_finish(fields, &one);
	jfield_finish(fields, &two);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg_head h;
	struct fault f;
	json_t *msg;

	if (json_parse((const char *)data, size, &msg, &f) != ERR_OK)
		return 0;
	for (int dir = MSG_UP; dir <= MSG_DOWN; dir++) {
		if (msg_open(msg, (enum msg_dir)dir, &h, &f) != ERR_OK)
			continue;
		assert(!h.id || (*h.id && strlen(h.id) < ID_MAX));
		for (int t = 0; h.is_reply && t < MSG_TYPE_COUNT; t++)
			round_trip(msg_table[t].reply, h.body);
		if (!h.is_reply)
			round_trip(msg_table[h.type].body, h.body);
	}
	json_decref(msg);
	return 0;
}
