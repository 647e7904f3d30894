#include "common/config.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config_check.h"
#include "common/config_rows.h"
#include "common/embed.h"
#include "common/id.h"

#define CONFIG_FILE "handback.yaml"
#define FILE_MAX    (4u << 20)

EMBED(frontdesk_yaml, "examples/agents/frontdesk.yaml")

/* What runs when nobody configured anything: this machine alone may call. */
static const char embedded[] = "accounts:\n"
			       "  - name: demo\n"
			       "    api_keys: [ { id: demo-id, secret: demo-secret } ]\n"
			       "    sip: { allow: [ 127.0.0.0/8 ] }\n";

/* --- files --- */

static bool
read_all(int fd, char *out, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, out, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		out += n;
		len -= (size_t)n;
	}
	return true;
}

/* malloced and NUL-terminated; NULL with f set.  Only what is a file: a FIFO would never end. */
static char *
read_file(const char *path, size_t *len, struct fault *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st = { 0 };
	char *text = NULL;

	if (fd < 0 || fstat(fd, &st) != 0)
		fault_set(f, path, "%s", strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_MAX)
		fault_set(f, path, "%s", S_ISREG(st.st_mode) ? "too large" : "not a file");
	else if (!(text = malloc((size_t)st.st_size + 1)))
		fault_set(f, path, "out of memory");
	else if (!read_all(fd, text, (size_t)st.st_size)) {
		fault_set(f, path, "it cannot be read whole");
		free(text);
		text = NULL;
	} else {
		*len = (size_t)st.st_size;
		text[*len] = '\0';
	}
	if (fd >= 0)
		close(fd);
	return text;
}

static void
dir_of(const char *path, char out[4096])
{
	char *slash;

	if (!str_copy(out, 4096, path))
		out[0] = '\0';
	slash = strrchr(out, '/');
	if (slash == out)
		out[1] = '\0';
	else if (slash)
		*slash = '\0';
	else
		ignore_err(str_copy(out, 4096, ".") ? ERR_OK : ERR_INVALID);
}

/* --- agents --- */

static bool
add_agent(struct config *c, const char *text, size_t len, const char *name,
	  crypto_generichash_state *hash, struct fault *f)
{
	struct agentdef *a = agentdef_parse(text, len, name, f);

	if (!a)
		return false;
	if (config_agent(c, a->name)) {
		fault_set(f, name, "name: another file defines the agent \"%.60s\" too", a->name);
		agentdef_destroy(a);
		return false;
	}
	c->agents[c->agent_count++] = a;
	crypto_generichash_update(hash, (const unsigned char *)text, len);
	return true;
}

static bool
load_agents(struct config *c, struct fault *f)
{
	crypto_generichash_state hash;
	unsigned char digest[crypto_generichash_BYTES_MIN];
	bool ok = true;

	crypto_generichash_init(&hash, NULL, 0, sizeof(digest));
	c->agents = calloc(c->agent_files.count + 1, sizeof(struct agentdef *));
	if (!c->agents) {
		fault_set(f, "", "out of memory");
		return false;
	}
	for (size_t i = 0; ok && i < c->agent_files.count; i++) {
		size_t len = 0;
		char *text = read_file(c->agent_files.items[i], &len, f);

		ok = text && add_agent(c, text, len, c->agent_files.items[i], &hash, f);
		free(text);
	}
	if (c->agent_files.count == 0)
		ok = add_agent(c, frontdesk_yaml, (size_t)(frontdesk_yaml_end - frontdesk_yaml),
			       "frontdesk.yaml", &hash, f);
	crypto_generichash_final(&hash, digest, sizeof(digest));
	id_hex(c->agents_version, digest, (sizeof(c->agents_version) - 1) / 2);
	return ok;
}

/* --- the whole --- */

static bool
set_worker_name(struct config *c, struct fault *f)
{
	char host[64] = { 0 };

	if (!str_eq(c->worker.name, "HOSTNAME"))
		return true;
	if (gethostname(host, sizeof(host) - 1) != 0 || !host[0])
		ignore_err(str_copy(host, sizeof(host), "worker") ? ERR_OK : ERR_INVALID);
	free(c->worker.name);
	c->worker.name = strdup(host);
	if (!c->worker.name)
		fault_set(f, "worker.name", "out of memory");
	return c->worker.name != NULL;
}

struct config *
config_parse(const char *text, size_t len, const char *name, const char *dir, struct fault *f)
{
	struct creader r = { .name = name, .dir = dir, .f = f };
	struct config *c = calloc(1, sizeof(*c));
	struct ynode *root = yaml_parse(text, len, name, true, f);
	bool ok = c && root && crows_read(&r, config_rows, config_row_count, root, c) &&
		  set_worker_name(c, f) && load_agents(c, f) && config_check(&r, c, root);

	yaml_destroy(root);
	if (ok)
		return c;
	if (!c)
		fault_set(f, name, "out of memory");
	config_destroy(c);
	return NULL;
}

struct config *
config_load(const char *file, struct fault *f)
{
	char dir[4096];
	size_t len = 0;
	char *text;
	struct config *c;

	if (!file && access(CONFIG_FILE, F_OK) == 0)
		file = CONFIG_FILE;
	if (!file)
		return config_parse(embedded, sizeof(embedded) - 1, "built-in defaults", ".", f);
	text = read_file(file, &len, f);
	if (!text)
		return NULL;
	dir_of(file, dir);
	c = config_parse(text, len, file, dir, f);
	explicit_bzero(text, len);
	free(text);
	if (c)
		c->file = strdup(file);
	return c;
}

void
config_destroy(struct config *c)
{
	if (!c)
		return;
	crows_finish(config_rows, config_row_count, c);
	for (size_t i = 0; c->agents && i < c->agent_count; i++)
		agentdef_destroy(c->agents[i]);
	free(c->agents);
	free(c->store.sqlite_path);
	free(c->file);
	free(c);
}

void
config_print(const struct config *c, struct buf *out)
{
	buf_printf(out, "# in force, from %s\n", c->file ? c->file : "the built-in defaults");
	crows_print(config_rows, config_row_count, c, 0, out);
}

void
config_warnings(const struct config *c, void (*fn)(const char *text, void *arg), void *arg)
{
	char text[256];

	for (size_t i = 0; i < c->account_count; i++) {
		const struct account *a = &c->accounts[i];

		if (a->sip.headers_mode && a->returns.type == RETURN_BYE &&
		    str_print(text, sizeof(text),
			      "account %s: header mode with returns.type BYE: what was learnt is "
			      "read by "
			      "GET /handback/v1/calls, not from the SIP messages",
			      a->name))
			fn(text, arg);
	}
	if (c->account_count == 0)
		fn("no accounts: every request and every call will be refused", arg);
}

const struct account *
config_account(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->account_count; i++)
		if (str_eq(c->accounts[i].name, name))
			return &c->accounts[i];
	return NULL;
}

const struct agentdef *
config_agent(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->agent_count; i++)
		if (c->agents[i] && str_eq(c->agents[i]->name, name))
			return c->agents[i];
	return NULL;
}
