#include "common/context.h"

#include <stdlib.h>
#include <string.h>

#include "common/agentdef/expr.h"
#include "common/str.h"
#include "common/uri.h"

#define CONVERSATION "X-GA-extConId"
#define TRANSFER     "X-GA-transfer"

/* One that costs least: CONTEXT_HEADERS_MAX counts on it. */
static_assert(sizeof("&X-GA-tv-a=") - 1 == 11, "");

/* clang-format off */
static const struct {
	const char *name, *prefix;
} classes[CONTEXT_CLASS_COUNT] = {
	[CONTEXT_TRANSFER]  = { "transfer",  "X-GA-tv-" },
	[CONTEXT_REFERENCE] = { "reference", "X-GA-rv-" },
};
/* clang-format on */

struct making {
	struct context *out;
	bool in_uri;         /* the URI can hold headers */
	const char *between; /* what stands before the next header of the URI */
	struct buf uri;
	json_t *kept, *dropped, *changed;
	bool full; /* one did not fit: no more */
	bool failed;
};

/* --- what it costs --- */

/* The headers that the URI already has, with the '&' that continues them. */
static size_t
uri_cost(const struct uri *u)
{
	size_t len = u->headers ? strlen(u->headers) : 0;

	return len + (len > 0 && u->headers[len - 1] != '&');
}

static size_t
fixed_cost(const char *conversation, const char *transfer_type)
{
	return sizeof(CONVERSATION "=&" TRANSFER "=") - 1 + uri_encoded_len(conversation) +
	       uri_encoded_len(transfer_type);
}

size_t
context_fixed_cost(const struct context_input *in)
{
	struct uri u = { .headers = NULL };

	if (in->uri && !uri_split(in->uri, &u))
		u.headers = NULL;
	/* A control character and the space that it becomes cost the same. */
	return uri_cost(&u) + fixed_cost(in->conversation, in->transfer_type);
}

static size_t
name_cost(enum context_class class, const char *name)
{
	return 1 + strlen(classes[class].prefix) + uri_encoded_len(name) + 1;
}

/* --- what cannot go as it is --- */

static bool
replace_controls(char *text, char by)
{
	bool any = false;

	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f) {
			*text = by;
			any = true;
		}
	}
	return any;
}

/* A copy of name as header names can be, '_' for each character that they cannot hold. */
static char *
header_name(const char *prefix, const char *name)
{
	struct buf b;

	buf_init(&b, strlen(prefix) + strlen(name));
	buf_add_str(&b, prefix);
	for (; *name; name++) {
		if (uri_is_token_char((unsigned char)*name))
			buf_add(&b, name, 1);
		else if (((unsigned char)*name & 0xc0) != 0x80) /* not within a character */
			buf_add(&b, "_", 1);
	}
	return buf_take(&b);
}

size_t
context_name_cost(enum context_class class, const char *name)
{
	size_t cost = name_cost(class, name);

	/* '_' costs 1, the escape that it replaces would cost 3. */
	for (; *name; name++)
		cost -= (unsigned char)*name < 0x20 || *name == 0x7f ? 2 : 0;
	return cost;
}

/* --- the report --- */

static void
append(struct making *m, json_t *list, json_t *entry)
{
	if (json_array_append_new(list, entry) != 0)
		m->failed = true;
}

static void
note_change(struct making *m, const char *class, const char *name, const char *what)
{
	append(m, m->changed,
	       json_pack("{s:s,s:s,s:s}", "name", name, "class", class, "what", what));
}

static void
drop(struct making *m, enum context_class class, const char *name, size_t bytes, const char *reason)
{
	if (m->out->dropped_count++ < CONTEXT_LISTED)
		append(m, m->dropped,
		       json_pack("{s:s,s:s,s:I,s:s}", "name", name, "class", classes[class].name,
				 "bytes", (json_int_t)bytes, "reason", reason));
}

static void
note_header_name(struct making *m, enum context_class class, const char *name)
{
	const struct context *c = m->out;
	const struct context_header *last = &c->headers[c->header_count - 1];
	const char *suffix = last->name + strlen(classes[class].prefix);
	char what[96];

	if (!str_eq(suffix, name)) {
		(void)str_print(what, sizeof(what), "as a header line its name is %.60s",
				last->name);
		note_change(m, classes[class].name, name, what);
	}
	/* Names of headers have no case, and '_' may stand for anything. */
	for (size_t i = 0; i + 1 < c->header_count; i++) {
		if (!str_eq_nocase(c->headers[i].name, last->name))
			continue;
		note_change(m, classes[class].name, name,
			    "another variable has the same header name");
		break;
	}
}

/* --- making --- */

static bool
put(struct making *m, const char *prefix, const char *name, const char *value)
{
	struct context *c = m->out;
	struct context_header h = { .name = header_name(prefix, name), .value = strdup(value) };

	if (!h.name || !h.value) {
		free(h.name);
		free(h.value);
		m->failed = true;
		return false;
	}
	assert(c->header_count < CONTEXT_HEADERS_MAX);
	c->headers[c->header_count++] = h;
	if (m->in_uri) {
		buf_add_str(&m->uri, m->between);
		buf_add_str(&m->uri, prefix);
		uri_encode(name, &m->uri);
		buf_add_str(&m->uri, "=");
		uri_encode(value, &m->uri);
		m->between = "&";
	}
	return true;
}

static void
put_fixed(struct making *m, const struct context_input *in)
{
	char *conversation = strdup(in->conversation);

	if (!conversation) {
		m->failed = true;
		return;
	}
	if (replace_controls(conversation, ' '))
		note_change(m, "conversation", "", "control characters became spaces");
	if (put(m, CONVERSATION, "", conversation) && put(m, TRANSFER, "", in->transfer_type))
		m->out->used += fixed_cost(conversation, in->transfer_type);
	free(conversation);
}

/* name and value without control characters, original as the agent knows it. */
static void
put_variable(struct making *m, enum context_class class, const char *original, const char *name,
	     const char *value)
{
	size_t used = m->out->used, bytes = name_cost(class, name) + uri_encoded_len(value);

	if (m->full) {
		drop(m, class, original, bytes, "after one that did not fit");
	} else if (used > CONTEXT_BUDGET || bytes > CONTEXT_BUDGET - used) {
		m->full = true;
		drop(m, class, original, bytes, "does not fit");
	} else if (put(m, classes[class].prefix, name, value)) {
		m->out->used += bytes;
		append(m, m->kept,
		       json_pack("{s:s,s:s,s:I}", "name", original, "class", classes[class].name,
				 "bytes", (json_int_t)bytes));
		note_header_name(m, class, original);
	}
}

static void
add_variable(struct making *m, enum context_class class, const char *original, const json_t *v)
{
	char *name, *value;
	size_t kept;

	if (json_is_null(v))
		return;
	if (!*original) {
		drop(m, class, original, 0, "has no name");
		return;
	}
	name = strdup(original);
	value = expr_value_text(v);
	if (name && value) {
		bool changed = replace_controls(value, ' ');

		kept = m->out->header_count;
		replace_controls(name, '_');
		put_variable(m, class, original, name, value);
		if (changed && m->out->header_count > kept)
			note_change(m, classes[class].name, original,
				    "control characters became spaces");
	} else {
		m->failed = true;
	}
	free(name);
	free(value);
}

static void
add_variables(struct making *m, enum context_class class, const json_t *variables)
{
	/* The iterator takes a non-const object but changes nothing. */
	json_t *object = (json_t *)(uintptr_t)variables;

	for (void *it = json_object_iter(object); it && !m->failed;
	     it = json_object_iter_next(object, it))
		add_variable(m, class, json_object_iter_key(it), json_object_iter_value(it));
}

/* The URI, byte for byte, and what may follow it. */
static bool
start_uri(struct making *m, const char *uri, size_t fixed, struct fault *f)
{
	struct uri u;

	if (!uri)
		return true;
	if (!uri_is_clean(uri) || !uri_split(uri, &u)) {
		fault_set(f, "",
			  "expected a sip:, sips: or tel: URI without blanks, quotes and <>");
		return false;
	}
	m->in_uri = !u.is_tel;
	m->out->used = uri_cost(&u);
	m->between = !u.headers ? "?" : uri_cost(&u) > strlen(u.headers) ? "&" : "";
	buf_init(&m->uri, sizeof("<?>") + strlen(uri) + fixed + CONTEXT_BUDGET);
	buf_add_str(&m->uri, "<");
	buf_add_str(&m->uri, uri);
	return true;
}

static void
finish_uri(struct making *m)
{
	if (!m->uri.max)
		return;
	buf_add_str(&m->uri, ">");
	m->out->refer_to = buf_take(&m->uri);
	m->failed = m->failed || !m->out->refer_to;
}

static void
finish_report(struct making *m, const struct context_input *in)
{
	const struct context *c = m->out;
	const char *warning = in->uri && !m->in_uri ? "a tel: URI cannot hold headers" : NULL;

	m->out->report = json_pack("{s:i,s:I,s:O,s:I,s:O,s:O,s:s*}", "budget", CONTEXT_BUDGET,
				   "used", (json_int_t)c->used, "kept", m->kept, "droppedCount",
				   (json_int_t)c->dropped_count, "dropped", m->dropped, "changed",
				   m->changed, "warning", warning);
	m->failed = m->failed || !m->out->report;
}

enum err
context_make(const struct context_input *in, struct context *out, struct fault *f)
{
	struct making m = { .out = out };
	enum err e = ERR_OK;

	*out = (struct context){ .refer_to = NULL };
	if (!start_uri(&m, in->uri, fixed_cost(in->conversation, in->transfer_type), f))
		return ERR_INVALID;
	m.kept = json_array();
	m.dropped = json_array();
	m.changed = json_array();
	m.failed = !m.kept || !m.dropped || !m.changed;
	if (!m.failed)
		put_fixed(&m, in);
	if (!m.failed)
		add_variables(&m, CONTEXT_TRANSFER, in->transfer_variables);
	if (!m.failed)
		add_variables(&m, CONTEXT_REFERENCE, in->reference_variables);
	finish_uri(&m);
	if (!m.failed)
		finish_report(&m, in);
	if (m.failed) {
		fault_set(f, "", "%s", err_text(ERR_NOMEM));
		context_finish(out);
		e = ERR_NOMEM;
	}
	buf_finish(&m.uri);
	json_decref(m.kept);
	json_decref(m.dropped);
	json_decref(m.changed);
	return e;
}

void
context_finish(struct context *c)
{
	for (size_t i = 0; i < c->header_count; i++) {
		free(c->headers[i].name);
		free(c->headers[i].value);
	}
	free(c->refer_to);
	json_decref(c->report);
	*c = (struct context){ .refer_to = NULL };
}

char *
context_bare(const char *uri)
{
	struct buf b;

	assert(uri_is_clean(uri));
	buf_init(&b, strlen(uri) + 2);
	buf_printf(&b, "<%s>", uri);
	return buf_take(&b);
}
