/* fake_parts.h - everything around the calls of a worker, faked: what is asked of it is written down
 * in `trace`.  Included by test_call.c alone: the functions have the names of the real ones. */
#ifndef TESTS_UNIT_SIP_WORKER_FAKE_PARTS_H
#define TESTS_UNIT_SIP_WORKER_FAKE_PARTS_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "sip-worker/worker.h"

/* One line says most of them. */
/* clang-format off */
static char trace[4096];
static const struct sip_ops *sip_ops;
static const struct media_ops *media_ops;
static const struct agent_ops *agent_ops;
static const struct control_ops *control_ops;
static void *app;
static struct call *leg_owner;
static control_reply_h *claim_done;
static void *claim_arg;
static outbox_done_h *complete_done;
static void *complete_arg;
static spool_done_h *spool_done;
static void *spool_arg;
static bool control_up, claim_fails, media_full, agent_full;
static uint64_t handle;

PRINTF(1, 2)
static void
note(const char *fmt, ...)
{
	size_t used = strlen(trace);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(trace + used, sizeof(trace) - used, fmt, ap);
	va_end(ap);
	used = strlen(trace);
	snprintf(trace + used, sizeof(trace) - used, "; ");
}

struct sip *
sip_create(struct loop *l, const struct config *cfg, const struct sip_ops *ops, void *a, struct fault *f)
{
	(void)l, (void)cfg, (void)f;
	sip_ops = ops;
	app = a;
	return (struct sip *)1;
}
void sip_destroy(struct sip *s) { (void)s; }
void sip_run(struct sip *s) { (void)s; }
void sip_stop(struct sip *s) { (void)s; note("stop"); }
void sip_set_config(struct sip *s, const struct config *c) { (void)s, (void)c; }
void sip_set_draining(struct sip *s, bool d) { (void)s, (void)d; }
void sip_stats(const struct sip *s, struct sip_stats *o) { (void)s; memset(o, 0, sizeof(*o)); }
void sip_leg_set_owner(struct sip_leg *l, void *o) { (void)l; leg_owner = o; }
void sip_leg_ring(struct sip_leg *l) { (void)l; note("180"); }
void sip_leg_answer(struct sip_leg *l, const struct media_local *m) { (void)l, (void)m; note("200"); }
void
sip_leg_reject(struct sip_leg *l, int status, const char *why, int retry)
{
	(void)l;
	note(retry ? "%d %s retry=%d" : "%d %s", status, why, retry);
}
void sip_leg_bye(struct sip_leg *l, const char *reason) { (void)l; note("BYE %.14s", reason); }
void sip_leg_destroy(struct sip_leg *l) { note(l == (struct sip_leg *)2 ? "far gone" : "leg gone"); }

static const struct sip_dial_ops *dial_ops;
static void *far_owner;
static enum err dial_result;

void
sip_leg_bye_header(struct sip_leg *l, const char *name, const char *value)
{
	(void)l;
	note("+%s: %s", name, value);
}

const char *const sip_refer_state_names[] = { "accepted", "trying", "ringing", "answered",
					      "failed",	  "unknown", NULL };
void
sip_leg_refer(struct sip_leg *l, const char *to, const char *by)
{
	(void)l;
	note("REFER %s by %s", to, by);
}

enum err
sip_dial(struct sip *s, const struct sip_dial *d, const struct sip_dial_ops *ops, void *owner,
	 struct sip_leg **out)
{
	(void)s;
	if (dial_result != ERR_OK)
		return dial_result;
	dial_ops = ops;
	far_owner = owner;
	*out = (struct sip_leg *)2;
	note("INVITE %s %zu", d->uri, d->header_count);
	return ERR_OK;
}

void
media_tone(struct media *m, media_id id, enum media_tone tone)
{
	(void)m, (void)id;
	note("tone %d", (int)tone);
}

enum err
media_bridge(struct media *m, media_id a, media_id b)
{
	(void)m;
	note("bridge %d-%d", (int)a, (int)b);
	return ERR_OK;
}

enum err
media_send_digit(struct media *m, media_id id, char digit, int ms)
{
	(void)m, (void)ms;
	note("send %c to %d", digit, (int)id);
	return ERR_OK;
}

struct media *
media_create(const struct config *cfg, struct mailbox *ev, const struct media_ops *ops, void *a, struct fault *f)
{
	(void)cfg, (void)ev, (void)a, (void)f;
	media_ops = ops;
	return (struct media *)1;
}
void media_destroy(struct media *m) { (void)m; }
void media_set_ports(struct media *m, uint16_t a, uint16_t b) { (void)m; note("ports %u-%u", a, b); }
enum err
media_open(struct media *m, const struct media_open *o, struct media_local *local, media_id *out)
{
	(void)m;
	memset(local, 0, sizeof(*local));
	if (media_full)
		return ERR_BUSY;
	if (o->owner & CALL_FAR) {
		assert_int_equal(o->beside, 7);
		*out = 8;
	} else {
		handle = o->owner;
		*out = 7;
	}
	note(*out == 8 ? "far media" : "media");
	return ERR_OK;
}
void media_start(struct media *m, media_id id) { (void)m, (void)id; note("media on"); }
void media_update(struct media *m, media_id id, const struct media_remote *r) { (void)m, (void)id, (void)r; note("media update"); }
void media_close(struct media *m, media_id id) { (void)m, (void)id; note("media off"); }
void media_totals(const struct media *m, struct media_totals *o) { (void)m; memset(o, 0, sizeof(*o)); }

struct speech *speech_create(size_t n) { (void)n; return (struct speech *)1; }
void speech_destroy(struct speech *s) { (void)s; }

const char *const outcome_type_names[] = { "SYSTEM", "AGENT", NULL };
struct agent *
agent_create(const struct config *c, struct media *m, struct speech *sp, struct mailbox *ev, const struct agent_ops *ops,
	     void *a, struct fault *f)
{
	(void)c, (void)m, (void)sp, (void)ev, (void)a, (void)f;
	agent_ops = ops;
	return (struct agent *)1;
}
void agent_destroy(struct agent *a) { (void)a; }
enum err
agent_start(struct agent *a, const struct agent_start *s, agent_id *out)
{
	(void)a;
	if (agent_full)
		return ERR_BUSY;
	*out = 9;
	note("agent %s", s->task ? s->task : "default");
	return ERR_OK;
}
void agent_begin(struct agent *a, agent_id id, media_id m) { (void)a, (void)id, (void)m; note("begin"); }
void agent_digit(struct agent *a, agent_id id, char d) { (void)a, (void)id; note("digit %c", d); }
void
agent_played(struct agent *a, agent_id id, uint32_t p, enum media_stop_how h, int ms)
{
	(void)a, (void)id, (void)p, (void)h, (void)ms;
	note("played");
}
void agent_hold(struct agent *a, agent_id id, bool h) { (void)a, (void)id; note("hold %d", h); }
void agent_hand_back(struct agent *a, agent_id id, const char *r) { (void)a, (void)id; note("hand back %s", r); }
void agent_resume(struct agent *a, agent_id id, const char *why) { (void)a, (void)id; note("resume %s", why); }
void agent_stop(struct agent *a, agent_id id) { (void)a, (void)id; note("agent off"); }
void
outcome_finish(struct outcome *o)
{
	json_decref(o->reference_vars);
	json_decref(o->transfer_vars);
}

struct control *
control_create(struct loop *l, const struct config *c, const struct control_ops *ops, void *a)
{
	(void)l, (void)c, (void)a;
	control_ops = ops;
	return (struct control *)1;
}
/* As the real one: whoever waits is told. */
void
control_destroy(struct control *c)
{
	(void)c;
	if (claim_done)
		claim_done(claim_arg, ERR_CLOSED, NULL);
	claim_done = NULL;
}
void control_start(struct control *c) { (void)c; }
bool control_is_up(const struct control *c) { (void)c; return control_up; }
size_t control_pending(const struct control *c) { (void)c; return 0; }
enum err
control_request(struct control *c, json_t *msg, int ms, control_reply_h *done, void *arg)
{
	(void)c, (void)ms;
	if (claim_fails)
		return ERR_UNAVAILABLE;
	claim_done = done;
	claim_arg = arg;
	note("%s", json_string_value(json_object_get(msg, "t")));
	return ERR_OK;
}

struct outbox *outbox_create(struct loop *l, struct control *c, struct spool *s) { (void)l, (void)c, (void)s; return (struct outbox *)1; }
void outbox_destroy(struct outbox *o) { (void)o; }
void outbox_recover(struct outbox *o) { (void)o; }
void outbox_link_up(struct outbox *o) { (void)o; note("link up"); }
void outbox_link_down(struct outbox *o) { (void)o; }
enum err
outbox_put(struct outbox *o, enum msg_type t, const void *body, outbox_done_h *done, void *arg)
{
	(void)o;
	if (t == MSG_COMPLETE) {
		const struct msg_complete *m = body;
		const char *type = json_string_value(json_object_get(m->output, "transferType"));

		note("complete %s %s", type ? type : "-", m->reason);
		complete_done = done;
		complete_arg = arg;
	} else if (t == MSG_RELEASE) {
		note("release");
	}
	return ERR_OK;
}
void outbox_forget(struct outbox *o, const void *arg) { (void)o; if (arg == complete_arg) complete_done = NULL; }
bool
outbox_spool_now(struct outbox *o, const void *arg, spool_done_h *done, void *done_arg)
{
	(void)o, (void)arg;
	spool_done = done;
	spool_arg = done_arg;
	note("spool");
	return true;
}
void outbox_list_claims(const struct outbox *o, json_t *calls) { (void)o, (void)calls; }
size_t outbox_count(const struct outbox *o) { (void)o; return 0; }
int64_t outbox_dropped(const struct outbox *o) { (void)o; return 0; }
struct spool *
spool_open(const char *d, const char *n, struct mailbox *r, struct fault *f)
{
	(void)d, (void)n, (void)r, (void)f;
	return (struct spool *)1;
}
void
spool_close(struct spool *s)
{
	(void)s;
	if (spool_done)
		spool_done(spool_arg, false);
	spool_done = NULL;
}

/* clang-format on */

#endif
