/* What a brain may ask of a conversation, as far as it is not about speaking (say.c) or functions
 * (functions.c). */
#include <stdarg.h>
#include <stdio.h>

#include "sip-worker/agent/talk.h"

const struct agentdef *
talk_def(const struct talk *t)
{
	return t->def;
}

const struct agent_task *
talk_task(const struct talk *t)
{
	return t->task;
}

bool
talk_is_resumed(const struct talk *t)
{
	return t->resumed;
}

void
talk_heard(struct talk *t, const char *text, const char *how)
{
	emit_event(t, CALL_EVENT_HEARD, json_pack("{s:s,s:s}", "text", text, "how", how));
	transcript_add(t, "caller", text, false);
}

void
talk_note(struct talk *t, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	emit_event(t, CALL_EVENT_NOTE, json_pack("{s:o}", "text", emit_text(text, sizeof(text))));
}

bool
talk_enter(struct talk *t, const struct agent_task *task, const char *how)
{
	if (!talk_is_live(t))
		return false;
	if (++t->turn_entries > TALK_ENTRIES_MAX) {
		talk_fail(t, "More than %d tasks were entered in one turn.", TALK_ENTRIES_MAX);
		return false;
	}
	t->task = task;
	t->dirty = true;
	emit_event(t, CALL_EVENT_TASK, json_pack("{s:s,s:s}", "name", task->name, "how", how));
	return true;
}

void
talk_loopback(struct talk *t, bool on)
{
	t->looped = on;
	media_loopback(t->home->media, t->media, on);
}
