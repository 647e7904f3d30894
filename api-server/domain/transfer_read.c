#include "api-server/domain/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "common/jfield.h"
#include "common/str.h"

#define TEXT_MAX          256 /* bytes of ids, task names, credentials */
#define VARIABLE_NAME_MAX 128
#define PATH_NAME_MAX     100 /* bytes of a client's name that a path shows */

/* One POST being read: the first mistake ends it. */
struct reading {
	const struct account *account;
	struct transfer *t;
	struct transfer_auth *auth; /* NULL: not wanted */
	struct fault *f;
	enum err err;
};

static bool
wrong(struct reading *r, enum err e, const char *path, const char *what)
{
	fault_set(r->f, path, "%s", what);
	r->err = e;
	return false;
}

static bool
invalid(struct reading *r, const char *path, const char *what)
{
	return wrong(r, ERR_INVALID, path, what);
}

static bool
keep(struct reading *r, char **out, const char *text)
{
	*out = strdup(text);
	return *out ? true : wrong(r, ERR_NOMEM, "", "out of memory");
}

/* --- pieces --- */

/* *out is NULL when the field is absent; false: it is something else. */
static bool
get_text(struct reading *r, const json_t *object, const char *name, const char *path,
	 const char **out)
{
	const json_t *j = json_object_get(object, name);

	*out = NULL;
	if (!j)
		return true;
	if (!json_is_string(j))
		return invalid(r, path, "expected a string");
	if (strlen(json_string_value(j)) != json_string_length(j))
		return invalid(r, path, "NUL is not allowed");
	*out = json_string_value(j);
	return true;
}

static bool
get_object(struct reading *r, const json_t *object, const char *name, const char *path,
	   const json_t **out)
{
	*out = json_object_get(object, name);
	if (*out && !json_is_object(*out))
		return invalid(r, path, "expected an object");
	return true;
}

/* 1..256 bytes that can stand in a header. */
static bool
check_name(struct reading *r, const char *path, const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > TEXT_MAX)
		return invalid(r, path, "expected 1 to 256 bytes");
	if (str_has_control(text))
		return invalid(r, path, "control characters are not allowed");
	if (text[0] == ' ' || text[len - 1] == ' ')
		return invalid(r, path, "leading and trailing spaces are not allowed");
	return true;
}

static bool
read_id(struct reading *r, const json_t *body, const char *name, const char *path, char **out)
{
	const char *text;

	if (!get_text(r, body, name, path, &text))
		return false;
	if (!text)
		return invalid(r, path, "required");
	return check_name(r, path, text) && keep(r, out, text);
}

static bool
read_type(struct reading *r, const json_t *body)
{
	const json_t *phone;
	const char *type, *country;

	if (!get_text(r, body, "type", "/type", &type) ||
	    !get_object(r, body, "phoneNumber", "/phoneNumber", &phone) ||
	    !get_text(r, phone, "country", "/phoneNumber/country", &country))
		return false;
	if (!type)
		return invalid(r, "/type", "required");
	if (str_eq(type, "SIP"))
		return true;
	if (!str_eq(type, "PHONE_NUMBER"))
		return invalid(r, "/type", "expected SIP or PHONE_NUMBER");
	return wrong(r, ERR_UNPROCESSABLE, "/type",
		     "there are no phone numbers to give out: use SIP");
}

/* --- sip --- */

static bool
read_return_type(struct reading *r, const json_t *sip)
{
	const char *name;

	if (!get_text(r, sip, "returnTransferType", "/sip/returnTransferType", &name))
		return false;
	if (!name)
		return true;
	for (int i = 0; return_type_names[i]; i++)
		if (str_eq(name, return_type_names[i])) {
			r->t->return_type = i;
			return true;
		}
	return invalid(r, "/sip/returnTransferType", "expected BYE, REFER or INVITE");
}

static bool
read_uri(struct reading *r, const json_t *sip)
{
	const char *camel, *upper;

	if (!get_text(r, sip, "returnUri", "/sip/returnUri", &camel) ||
	    !get_text(r, sip, "returnURI", "/sip/returnURI", &upper))
		return false;
	if (camel && upper && !str_eq(camel, upper))
		return invalid(r, "/sip/returnURI", "differs from returnUri: give one of them");
	if (!camel && !upper)
		return true;
	r->t->uri_spelling = camel ? RETURN_URI_CAMEL : RETURN_URI_UPPER;
	return keep(r, &r->t->return_uri, camel ? camel : upper);
}

static bool
check_credential(struct reading *r, const char *path, const char *text)
{
	if (!text)
		return true;
	if (!*text || strlen(text) > TEXT_MAX)
		return invalid(r, path, "expected 1 to 256 bytes");
	if (str_has_control(text))
		return invalid(r, path, "control characters are not allowed");
	return true;
}

static bool
read_auth(struct reading *r, const json_t *sip)
{
	static const char auth_path[] = "/sip/returnInviteAuthentication";
	static const char user_path[] = "/sip/returnInviteAuthentication/username";
	static const char password_path[] = "/sip/returnInviteAuthentication/password";
	const json_t *auth;
	const char *user, *password;

	if (!get_object(r, sip, "returnInviteAuthentication", auth_path, &auth) ||
	    !get_text(r, auth, "username", user_path, &user) ||
	    !get_text(r, auth, "password", password_path, &password) ||
	    !check_credential(r, user_path, user) || !check_credential(r, password_path, password))
		return false;
	if (user && !password)
		return invalid(r, password_path, "required with username");
	if (password && !user)
		return invalid(r, user_path, "required with password");
	if (!user || !r->auth)
		return true;
	if (!secret_set(&r->auth->username, user, strlen(user)) ||
	    !secret_set(&r->auth->password, password, strlen(password)))
		return wrong(r, ERR_NOMEM, "", "out of memory");
	return true;
}

static enum return_type
effective_type(const struct reading *r)
{
	return r->t->return_type >= 0 ? (enum return_type)r->t->return_type
				      : r->account->returns.type;
}

static const char *
uri_path(const struct reading *r)
{
	return r->t->uri_spelling == RETURN_URI_UPPER ? "/sip/returnURI" : "/sip/returnUri";
}

static bool
read_sip(struct reading *r, const json_t *body)
{
	const json_t *sip;
	struct fault f = { .where = "" };

	if (!get_object(r, body, "sip", "/sip", &sip))
		return false;
	r->t->has_sip = sip != NULL;
	if (!read_return_type(r, sip) || !read_uri(r, sip) || !read_auth(r, sip))
		return false;
	if (r->t->return_uri &&
	    transfer_check_uri(r->t->return_uri, effective_type(r), &f) != ERR_OK)
		return invalid(r, uri_path(r), f.what);
	return true;
}

/* --- inputContext --- */

/* "/inputContext/inputVariables/NAME" with RFC 6901's escapes, the name cut between characters. */
static void
variable_path(char *out, size_t size, const char *name)
{
	static const char prefix[] = "/inputContext/inputVariables/";
	size_t n = sizeof(prefix) - 1, len = strlen(name);

	assert(size > n + 2 * PATH_NAME_MAX);
	memcpy(out, prefix, n);
	if (len > PATH_NAME_MAX)
		for (len = PATH_NAME_MAX; len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80;)
			len--;
	for (size_t i = 0; i < len; i++) {
		bool escaped = name[i] == '~' || name[i] == '/';

		if (escaped)
			out[n++] = '~';
		out[n++] = name[i] == '~' ? '0' : name[i] == '/' ? '1' : name[i];
	}
	out[n] = '\0';
}

static bool
check_variable(struct reading *r, const char *name, const json_t *value)
{
	char path[2 * PATH_NAME_MAX + 40];
	const char *what = NULL;

	if (!*name || strlen(name) > VARIABLE_NAME_MAX)
		what = "expected a name of 1 to 128 bytes";
	else if (!json_is_string(value))
		what = "expected a string";
	else if (strlen(json_string_value(value)) != json_string_length(value))
		what = "NUL is not allowed";
	if (!what)
		return true;
	variable_path(path, sizeof(path), name);
	return invalid(r, path, what);
}

static bool
read_variables(struct reading *r, const json_t *input)
{
	const json_t *variables, *value;
	const char *name;

	if (!get_object(r, input, "inputVariables", "/inputContext/inputVariables", &variables))
		return false;
	if (!variables)
		return true;
	/* As many and as long as the body may be: the contract promises unlimited context. */
	/* The iterator takes a non-const object but changes nothing. */
	for (void *it = json_object_iter((json_t *)(uintptr_t)variables); it;
	     it = json_object_iter_next((json_t *)(uintptr_t)variables, it)) {
		name = json_object_iter_key(it);
		value = json_object_iter_value(it);
		if (!check_variable(r, name, value))
			return false;
	}
	r->t->variables = json_text(variables);
	return r->t->variables ? true : wrong(r, ERR_NOMEM, "", "out of memory");
}

static bool
read_input(struct reading *r, const json_t *body)
{
	const json_t *input;
	const char *task;

	if (!get_object(r, body, "inputContext", "/inputContext", &input))
		return false;
	r->t->has_input_context = input != NULL;
	if (!get_text(r, input, "taskName", "/inputContext/taskName", &task))
		return false;
	if (task && (!check_name(r, "/inputContext/taskName", task) || !keep(r, &r->t->task, task)))
		return false;
	return read_variables(r, input);
}

/* --- what is well formed may still not be possible --- */

static bool
check_possible(struct reading *r)
{
	const struct account *a = r->account;
	const struct transfer *t = r->t;
	enum return_type type = effective_type(r);

	if (type != RETURN_BYE && !t->return_uri && !(a->returns.uri && *a->returns.uri))
		return wrong(r, ERR_UNPROCESSABLE, "/sip/returnUri",
			     "required with REFER and INVITE");
	if (t->return_uri && !transfer_uri_allowed(t->return_uri, type, a))
		return wrong(r, ERR_UNPROCESSABLE, uri_path(r),
			     "not within the account's allowed targets");
	if (t->task && a->agent_def && !agentdef_task(a->agent_def, t->task))
		return wrong(r, ERR_UNPROCESSABLE, "/inputContext/taskName",
			     "the agent has no such task");
	return true;
}

static bool
read_body(struct reading *r, const json_t *body)
{
	if (!json_is_object(body))
		return invalid(r, "/", "expected an object");
	return keep(r, &r->t->account, r->account->name) &&
	       read_id(r, body, "id", "/id", &r->t->id) &&
	       read_id(r, body, "externalConversationId", "/externalConversationId",
		       &r->t->conversation) &&
	       read_sip(r, body) && read_input(r, body) && read_type(r, body) && check_possible(r);
}

void
transfer_begin(struct transfer *t, int64_t now_ms, int64_t valid_ms)
{
	t->created_at = now_ms;
	t->expires_at = now_ms + valid_ms;
}

enum err
transfer_read(const json_t *body, const struct account *account, struct transfer **out,
	      struct transfer_auth *auth, struct fault *f)
{
	struct reading r = { .account = account, .auth = auth, .f = f };

	r.t = transfer_create();
	if (!r.t) {
		fault_set(f, "", "out of memory");
		return ERR_NOMEM;
	}
	r.t->status = TRANSFER_ACTIVE;
	if (read_body(&r, body)) {
		*out = r.t;
		return ERR_OK;
	}
	transfer_destroy(r.t);
	if (auth) {
		secret_finish(&auth->username);
		secret_finish(&auth->password);
	}
	return r.err;
}
