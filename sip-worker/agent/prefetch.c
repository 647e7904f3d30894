#include "sip-worker/agent/prefetch.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct pass {
	struct speech *speech;
	const char *voice;
	json_t *blank, *marked; /* contexts */
};

/* Fixed is what comes out the same without variables and with odd ones. */
static void
fetch(struct pass *p, const struct tmpl *text)
{
	char *one, *other;

	if (!text)
		return;
	one = tmpl_render(text, p->blank, NULL);
	other = tmpl_render(text, p->marked, NULL);
	if (one && other && strcmp(one, other) == 0)
		ignore_err(speech_prefetch(p->speech, p->voice, one));
	free(one);
	free(other);
}

static void
fetch_task(struct pass *p, const struct agent_task *task)
{
	fetch(p, task->message);
	fetch(p, task->resume_message);
	fetch(p, task->on_silence.say);
	fetch(p, task->on_no_match.say);
}

static bool
is_seen(struct prefetch *p, const struct agentdef *def)
{
	for (size_t i = 0; i < PREFETCH_SEEN; i++) {
		if (p->seen[i] == def)
			return true;
	}
	p->seen[p->next++ % PREFETCH_SEEN] = def;
	return false;
}

void
prefetch_agent(struct prefetch *p, struct speech *sp, const struct agentdef *def)
{
	struct pass pass = { .speech = sp, .voice = def->voice };

	if (def->brain != BRAIN_RULES || is_seen(p, def))
		return;
	pass.blank = json_object();
	pass.marked = json_pack("{s:b,s:s,s:s}", "resumed", 1, "channel_type", "voice",
				"current_datetime", "2000-01-01T00:00:00Z");
	if (def->default_task)
		fetch(&pass, def->default_task->message);
	for (size_t i = 0; i < def->task_count; i++)
		fetch_task(&pass, &def->tasks[i]);
	for (size_t i = 0; i < def->function_count; i++) {
		fetch(&pass, def->functions[i].message_before);
		fetch(&pass, def->functions[i].text);
	}
	ignore_err(speech_prefetch(sp, def->voice, SAY_FAILED));
	ignore_err(speech_prefetch(sp, def->voice, SAY_TIME_UP));
	json_decref(pass.blank);
	json_decref(pass.marked);
}
