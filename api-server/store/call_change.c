#include "api-server/store/call_change.h"

#include <stdlib.h>
#include <string.h>

#include "api-server/store/internal.h"

#define AT_END_MS   INT64_C(253402300800000) /* the year 10000 */
#define COLUMN_MAX  1024                     /* bytes of a column that a worker filled */
#define ENTRIES_MAX (64u << 20)              /* of one call in one report: more than a frame */

/* clang-format off */
static const char *const parameters[COLUMN_COUNT] = {
	[ACCOUNT]     = ":account",     [TRANSFER]     = ":transfer",
	[MODE]        = ":mode",        [CONVERSATION] = ":conversation",
	[FROM_URI]    = ":from_uri",    [TO_URI]       = ":to_uri",
	[SOURCE]      = ":source",      [TRANSPORT]    = ":transport",
	[CALL_ID]     = ":call_id",     [CODEC]        = ":codec",
	[OUTCOME]     = ":outcome",     [RETURN_TYPE]  = ":return_type",
	[ENDED_BY]    = ":ended_by",    [RETURN_STATE] = ":return_state",
	[CAUSE]       = ":cause",
};

/* What of an entry's info goes where. */
static const struct projection {
	enum call_event type;
	const char *key;
	enum column column;
} projections[] = {
	{ CALL_EVENT_INVITE,   "account",      ACCOUNT },
	{ CALL_EVENT_INVITE,   "transfer",     TRANSFER },
	{ CALL_EVENT_INVITE,   "mode",         MODE },
	{ CALL_EVENT_INVITE,   "from",         FROM_URI },
	{ CALL_EVENT_INVITE,   "to",           TO_URI },
	{ CALL_EVENT_INVITE,   "source",       SOURCE },
	{ CALL_EVENT_INVITE,   "transport",    TRANSPORT },
	{ CALL_EVENT_INVITE,   "call_id",      CALL_ID },
	{ CALL_EVENT_REFUSED,  "account",      ACCOUNT },
	{ CALL_EVENT_REFUSED,  "transfer",     TRANSFER },
	{ CALL_EVENT_REFUSED,  "mode",         MODE },
	{ CALL_EVENT_REFUSED,  "from",         FROM_URI },
	{ CALL_EVENT_REFUSED,  "to",           TO_URI },
	{ CALL_EVENT_REFUSED,  "source",       SOURCE },
	{ CALL_EVENT_REFUSED,  "transport",    TRANSPORT },
	{ CALL_EVENT_REFUSED,  "call_id",      CALL_ID },
	{ CALL_EVENT_REFUSED,  "reason",       CAUSE },
	{ CALL_EVENT_CLAIMED,  "transfer",     TRANSFER },
	{ CALL_EVENT_CLAIMED,  "conversation", CONVERSATION },
	{ CALL_EVENT_ANSWERED, "codec",        CODEC },
	{ CALL_EVENT_OUTCOME,  "transferType", OUTCOME },
	{ CALL_EVENT_RETURN,   "type",         RETURN_TYPE },
	{ CALL_EVENT_RETURN,   "state",        RETURN_STATE },
	{ CALL_EVENT_BYE,      "by",           ENDED_BY },
	{ CALL_EVENT_ENDED,    "cause",        CAUSE },
};
/* clang-format on */

static bool
find_event(const char *name, enum call_event *out)
{
	for (int i = 0; i < CALL_EVENT_COUNT; i++)
		if (str_eq(name, call_event_names[i])) {
			*out = (enum call_event)i;
			return true;
		}
	return false;
}

bool
entry_read(const json_t *j, struct entry *e)
{
	const json_t *seq = json_object_get(j, "seq"), *at = json_object_get(j, "at");
	const json_t *call = json_object_get(j, "call"), *info = json_object_get(j, "info");
	size_t len = json_string_length(call);

	e->call = json_string_value(call);
	e->seq = json_integer_value(seq);
	e->at = json_integer_value(at);
	e->info = json_is_object(info) ? info : NULL;
	return e->call && len > 0 && len < ID_TOKEN_SIZE && json_is_integer(seq) && e->seq > 0 &&
	       e->seq < LOST_SEQ && json_is_integer(at) && e->at > 0 && e->at < AT_END_MS &&
	       find_event(json_string_value(json_object_get(j, "type")), &e->type) &&
	       e->type != CALL_EVENT_LOST;
}

/* Whole characters only. */
static size_t
bounded(const char *text, size_t len)
{
	if (len <= COLUMN_MAX)
		return len;
	len = COLUMN_MAX;
	while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	return len;
}

static void
set_column(struct change *c, enum column column, const json_t *value)
{
	struct column_text t = { .text = json_string_value(value) };

	if (!value || json_is_null(value))
		return;
	if (!t.text) {
		t.made = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		t.text = t.made;
		if (!t.made) {
			c->err = ERR_NOMEM;
			return;
		}
	}
	t.len = t.made ? bounded(t.made, strlen(t.made))
		       : bounded(t.text, json_string_length(value));
	free(c->columns[column].made);
	c->columns[column] = t;
}

static int
add_text(const char *data, size_t len, void *arg)
{
	struct buf *b = arg;

	buf_add(b, data, len);
	return b->failed ? -1 : 0;
}

static void
add_info(struct change *c, const json_t *info)
{
	static const char dropped[] = "{\"dropped\":\"too large\"}";
	struct buf *b = &c->entries;
	size_t start = b->len;

	if (!info) {
		buf_add_str(b, "{}");
		return;
	}
	if (json_dump_callback(info, add_text, b, JSON_COMPACT) != 0)
		c->err = ERR_NOMEM;
	if (b->failed || b->len - start <= EVENT_INFO_MAX)
		return;
	b->len = start;
	buf_add(b, dropped, sizeof(dropped) - 1);
}

static void
add_entry(struct change *c, const struct entry *e)
{
	if (!c->first)
		c->first = e->seq;
	c->last = e->seq > c->last ? e->seq : c->last;
	buf_printf(&c->entries, "%c{\"seq\":%lld,\"at\":%lld,\"type\":\"%s\",\"info\":",
		   c->entries.len ? ',' : '[', (long long)e->seq, (long long)e->at,
		   call_event_names[e->type]);
	add_info(c, e->info);
	buf_add_str(&c->entries, "}");
}

static void
set_state(struct change *c, const struct entry *e)
{
	switch ((int)e->type) {
	case CALL_EVENT_INVITE:
		c->begins = true;
		c->started_at = e->at;
		break;
	case CALL_EVENT_REFUSED:
		if (!c->started_at)
			c->started_at = e->at;
		c->begins = c->refused = true;
		c->state = "refused";
		c->ended_at = e->at;
		c->status = json_object_get(e->info, "status");
		break;
	case CALL_EVENT_ANSWERED:
		c->answered_at = e->at;
		c->state = c->state ? c->state : "talking";
		break;
	case CALL_EVENT_ENDED:
		c->ended_at = e->at;
		c->state = c->refused ? c->state : "ended";
		break;
	default:
		break;
	}
}

void
change_add(struct change *c, const struct entry *e)
{
	add_entry(c, e);
	set_state(c, e);
	for (size_t i = 0; e->info && i < ARRAY_LEN(projections); i++)
		if (projections[i].type == e->type)
			set_column(c, projections[i].column,
				   json_object_get(e->info, projections[i].key));
}

void
change_finish(struct change *c)
{
	for (size_t i = 0; i < COLUMN_COUNT; i++)
		free(c->columns[i].made);
	buf_finish(&c->entries);
}

void
change_init(struct change *c)
{
	*c = (struct change){ 0 };
	buf_init(&c->entries, ENTRIES_MAX);
}

void
change_seal(struct change *c)
{
	buf_add_str(&c->entries, "]");
	if (c->entries.failed)
		c->err = ERR_NOMEM;
}

void
change_bind(struct q q, const struct change *c, int64_t last)
{
	for (size_t i = 0; i < COLUMN_COUNT; i++)
		q_text_n(q, parameters[i], c->columns[i].text, c->columns[i].len);
	q_text(q, ":state", c->state);
	q_int(q, ":started_at", c->started_at);
	q_int(q, ":answered_at", c->answered_at);
	q_int(q, ":ended_at", c->ended_at);
	q_int(q, ":last", last);
	if (c->refused)
		q_int(q, ":status", json_integer_value(c->status));
}
