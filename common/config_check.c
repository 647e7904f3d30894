#include "common/config_check.h"

#include <stdlib.h>
#include <string.h>

#include "common/msg.h"

/* The line of "a.b" in the file, or of what comes nearest. */
static int
line_of(const struct ynode *root, const char *path)
{
	char part[64];
	const struct ynode *n = root;

	while (n && *path) {
		size_t len = strcspn(path, ".");
		const struct ynode *child;

		if (len >= sizeof(part))
			break;
		memcpy(part, path, len);
		part[len] = '\0';
		child = yaml_get(n, part);
		if (!child)
			break;
		n = child;
		path += len + (path[len] == '.');
	}
	return n ? n->line : 1;
}

static bool
is_name(const char *s)
{
	return s && *s && strlen(s) < MSG_NAME_MAX && !str_has_control(s) && !strpbrk(s, "/ \"");
}

/* --- accounts --- */

static bool
cidr_overlap(const struct cidr *a, const struct cidr *b)
{
	unsigned bits = a->bits < b->bits ? a->bits : b->bits, whole = bits / 8;
	uint8_t mask = (uint8_t)(0xff00 >> (bits % 8));

	return memcmp(a->ip, b->ip, whole) == 0 &&
	       (bits % 8 == 0 || ((a->ip[whole] ^ b->ip[whole]) & mask) == 0);
}

static bool
sources_overlap(const struct account *a, const struct account *b)
{
	if (a->sip.allow.count == 0 || b->sip.allow.count == 0)
		return true;
	for (size_t i = 0; i < a->sip.allow.count; i++)
		for (size_t k = 0; k < b->sip.allow.count; k++)
			if (cidr_overlap(&a->sip.allow.items[i], &b->sip.allow.items[k]))
				return true;
	return false;
}

static bool
users_overlap(const struct account *a, const struct account *b)
{
	if (a->sip.user_count == 0 || b->sip.user_count == 0)
		return true;
	for (size_t i = 0; i < a->sip.user_count; i++)
		for (size_t k = 0; k < b->sip.user_count; k++)
			if (str_eq(a->sip.users[i].username, b->sip.users[k].username))
				return true;
	return false;
}

/* Would one call match both equally well? */
static bool
is_ambiguous(const struct account *a, const struct account *b)
{
	return str_eq_nocase(a->sip.domain, b->sip.domain) && sources_overlap(a, b) &&
	       users_overlap(a, b);
}

static bool
check_account(struct creader *r, struct config *c, struct account *a, const struct ynode *node)
{
	if (!is_name(a->name))
		return creader_fail(
			r, line_of(node, "name"),
			"name: expected 1 to %d characters without blanks, quotes or slashes",
			MSG_NAME_MAX - 1);
	if (a->sip.allow.count == 0 && a->sip.user_count == 0)
		return creader_fail(r, line_of(node, "sip"),
				    "account %s has neither sip.allow nor sip.users: expected at "
				    "least one, since "
				    "unauthenticated calls are never accepted",
				    a->name);
	a->returns.has_allowed_targets = a->returns.allowed_targets.items != NULL;
	a->agent_def = config_agent(c, a->agent);
	if (!a->agent_def)
		return creader_fail(r, line_of(node, "agent"),
				    "agent: no file under `agents` defines \"%.60s\"", a->agent);
	for (const struct account *b = c->accounts; b < a; b++) {
		if (str_eq(a->name, b->name))
			return creader_fail(r, line_of(node, "name"),
					    "name: another account is called \"%s\" too", a->name);
		if (is_ambiguous(a, b))
			return creader_fail(r, node->line,
					    "accounts %s and %s would match the same call equally "
					    "well: expected "
					    "another sip.domain, sip.allow or sip.users",
					    b->name, a->name);
	}
	return true;
}

static bool
key_taken(const struct config *c, const char *id, const struct account *owner)
{
	for (const struct account *a = c->accounts; a < c->accounts + c->account_count; a++)
		for (size_t k = 0; a != owner && k < a->api_key_count; k++)
			if (str_eq(a->api_keys[k].id, id))
				return true;
	return false;
}

/* An id may stand several times within its account (rotation: two secrets live at once). */
static bool
check_keys(struct creader *r, const struct config *c, const struct ynode *root)
{
	for (size_t i = 0; i < c->account_count; i++)
		for (size_t k = 0; k < c->accounts[i].api_key_count; k++) {
			const struct api_key *key = &c->accounts[i].api_keys[k];

			if (!key->id[0] || !key->secret.len)
				return creader_fail(
					r, line_of(root, "accounts"),
					"account %s: api_keys: id and secret may not be empty",
					c->accounts[i].name);
			if (key_taken(c, key->id, &c->accounts[i]))
				return creader_fail(
					r, line_of(root, "accounts"),
					"api_keys: the id \"%.60s\" belongs to two accounts",
					key->id);
		}
	for (size_t i = 0; i < c->operator_count; i++)
		if (!c->operators[i].id[0] || !c->operators[i].secret.len ||
		    key_taken(c, c->operators[i].id, NULL))
			return creader_fail(
				r, line_of(root, "operators"),
				"operators: expected an id that no account has, and a secret");
	return true;
}

/* --- the rest --- */

static bool
check_pair(struct creader *r, const struct ynode *root, const char *section, const char *cert,
	   const char *key)
{
	if (!cert == !key)
		return true;
	return creader_fail(r, line_of(root, section), "%s: expected both certificate and key",
			    section);
}

static bool
check_sip_tls(struct creader *r, const struct config *c, const struct ynode *root)
{
	for (size_t i = 0; i < c->sip.listen_count; i++)
		if (c->sip.listen[i].transport == SIP_TLS && !c->sip.tls_certificate)
			return creader_fail(r, line_of(root, "sip.listen"),
					    "sip.listen: a tls listener needs sip.tls.certificate "
					    "and sip.tls.key");
	if (c->sip.tls_verify_clients && !c->sip.tls_ca)
		return creader_fail(r, line_of(root, "sip.tls.verify_clients"),
				    "sip.tls.verify_clients: expected sip.tls.ca, the authorities "
				    "that clients' certificates come from");
	return true;
}

static bool
check_store(struct creader *r, struct config *c, const struct ynode *root)
{
	const char *path = c->store.url + strlen("sqlite:");
	size_t size = strlen(c->store.url) + strlen(r->dir) + 2;
	bool fits;

	if (!str_starts(c->store.url, "sqlite:") || !*path)
		return creader_fail(r, line_of(root, "store.url"),
				    "store.url: expected sqlite:FILE (other databases are not "
				    "available in this version)");
	c->store.sqlite_path = malloc(size);
	if (!c->store.sqlite_path)
		return creader_fail(r, 1, "out of memory");
	fits = path[0] == '/' ? str_copy(c->store.sqlite_path, size, path)
			      : str_print(c->store.sqlite_path, size, "%s/%s", r->dir, path);
	assert(fits);
	return true;
}

static bool
check_addresses(struct creader *r, const struct ynode *root, const char *path,
		const struct addr_list *l, bool any)
{
	if (l->count == 0 && any)
		return creader_fail(r, line_of(root, path), "%s: expected at least one address",
				    path);
	for (size_t i = 0; i < l->count; i++)
		for (size_t k = 0; k < i; k++)
			if (addr_family(&l->items[i]) == addr_family(&l->items[k]))
				return creader_fail(r, line_of(root, path),
						    "%s: expected one address per family", path);
	return true;
}

bool
config_check(struct creader *r, struct config *c, const struct ynode *root)
{
	const struct ynode *accounts = yaml_get(root, "accounts");

	for (size_t i = 0; i < c->account_count; i++)
		if (!check_account(r, c, &c->accounts[i], accounts->items[i]))
			return false;
	if (c->sip.challenge != 401 && c->sip.challenge != 407)
		return creader_fail(r, line_of(root, "sip.challenge"),
				    "sip.challenge: expected 401 or 407");
	if (c->sip.min_se_s > c->sip.session_expires_s)
		return creader_fail(r, line_of(root, "sip.min_se"),
				    "sip.min_se: expected at most sip.session_expires");
	if (c->sip.listen_count == 0)
		return creader_fail(r, line_of(root, "sip.listen"),
				    "sip.listen: expected at least one address");
	if (!c->sip.realm[0] || strpbrk(c->sip.realm, "\"\\"))
		return creader_fail(r, line_of(root, "sip.realm"),
				    "sip.realm: expected a name without quotes");
	if (!is_name(c->worker.name))
		return creader_fail(r, line_of(root, "worker.name"),
				    "worker.name: expected 1 to %d characters without blanks, "
				    "quotes or slashes",
				    MSG_NAME_MAX - 1);
	return check_keys(r, c, root) &&
	       check_pair(r, root, "api.tls", c->api.tls_certificate, c->api.tls_key) &&
	       check_pair(r, root, "sip.tls", c->sip.tls_certificate, c->sip.tls_key) &&
	       check_sip_tls(r, c, root) && check_store(r, c, root) &&
	       check_addresses(r, root, "media.address", &c->media.address, true) &&
	       check_addresses(r, root, "media.public_address", &c->media.public_address, false) &&
	       check_addresses(r, root, "sip.public_address", &c->sip.public_address, false);
}
