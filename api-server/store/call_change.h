/* call_change.h - what the entries of one call in one report say together: a piece of its timeline
 * and values for its row.  The store's writer thread. */
#ifndef API_SERVER_STORE_CALL_CHANGE_H
#define API_SERVER_STORE_CALL_CHANGE_H

#include <jansson.h>

#include "api-server/store/db.h"
#include "common/call_event.h"
#include "common/str.h"

/* One entry of a report, checked. Borrowed from the report. */
struct entry {
	const char *call;
	int64_t seq, at;
	enum call_event type;
	const json_t *info; /* NULL: none */
};

/* Columns of the call's row that entries fill with text. */
enum column {
	ACCOUNT,
	TRANSFER,
	CONVERSATION,
	MODE,
	FROM_URI,
	TO_URI,
	SOURCE,
	TRANSPORT,
	CALL_ID,
	CODEC,
	OUTCOME,
	RETURN_TYPE,
	RETURN_STATE,
	ENDED_BY,
	CAUSE,
	COLUMN_COUNT
};

/* Text of the report, or made of what is no string. */
struct column_text {
	const char *text;
	size_t len;
	char *made;
};

/* What the new entries of one call say together. */
struct change {
	struct column_text columns[COLUMN_COUNT];
	const char *state;                         /* NULL: as it is */
	int64_t started_at, answered_at, ended_at; /* 0: nothing said */
	const json_t *status;
	bool begins; /* it may make the row */
	bool refused;
	struct buf entries; /* JSON array */
	int64_t first, last;
	enum err err;
};

/* false: nothing to be believed. */
bool entry_read(const json_t *j, struct entry *out);

void change_init(struct change *c);
void change_finish(struct change *c);
/* A failure stands in c->err. */
void change_add(struct change *c, const struct entry *e);
/* Ends the array of entries: after the last change_add(). */
void change_seal(struct change *c);
/* The parameters that ST_CALL_MAKE and ST_CALL_CHANGE have in common. c is borrowed until q_end. */
void change_bind(struct q q, const struct change *c, int64_t last);

#endif
