#include "api-server/domain/transfer.h"

#include "common/clock.h"

/* Setting a value that could not be made fails the whole, so each step may be written straight on.
 */
static bool
set(json_t *object, const char *name, json_t *value)
{
	return json_object_set_new(object, name, value) == 0;
}

static bool
set_text(json_t *object, const char *name, const char *value)
{
	return !value || set(object, name, json_string(value));
}

static bool
set_parsed(json_t *object, const char *name, const char *text)
{
	return !text || set(object, name, json_loads(text, 0, NULL));
}

static bool
set_time(json_t *object, const char *name, int64_t at)
{
	char text[CLOCK_TEXT_SIZE];

	return at <= 0 || set(object, name, json_string(clock_format_s(at, text)));
}

/* As the client sent it, without its credentials. */
static bool
set_sip(json_t *object, const struct transfer *t)
{
	const char *uri = t->uri_spelling == RETURN_URI_UPPER ? "returnURI" : "returnUri";
	json_t *sip;

	if (!t->has_sip)
		return true;
	sip = json_object();
	if ((t->return_type < 0 ||
	     set_text(sip, "returnTransferType", return_type_names[t->return_type])) &&
	    set_text(sip, uri, t->return_uri))
		return set(object, "sip", sip);
	json_decref(sip);
	return false;
}

static bool
set_input(json_t *object, const struct transfer *t)
{
	json_t *input;

	if (!t->has_input_context)
		return true;
	input = json_object();
	if (set_text(input, "taskName", t->task) &&
	    set_parsed(input, "inputVariables", t->variables))
		return set(object, "inputContext", input);
	json_decref(input);
	return false;
}

static bool
set_outcome(json_t *object, const struct transfer *t, enum transfer_status status)
{
	if (!set_time(object, "callReceivedAt", t->received_at))
		return false;
	return status != TRANSFER_COMPLETED || (set_time(object, "completedAt", t->completed_at) &&
						set_parsed(object, "outputContext", t->output));
}

json_t *
transfer_json(const struct transfer *t, bool full, int64_t now_ms)
{
	enum transfer_status status = transfer_status_at(t, now_ms);
	json_t *object = json_object();

	if (set_text(object, "id", t->id) &&
	    set_text(object, "externalConversationId", t->conversation) &&
	    set_text(object, "status", transfer_status_names[status]) &&
	    set_text(object, "type", "SIP") && set_time(object, "createdAt", t->created_at) &&
	    (!full || set_outcome(object, t, status)) && set_input(object, t) && set_sip(object, t))
		return object;
	json_decref(object);
	return NULL;
}
