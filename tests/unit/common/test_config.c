#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/id.h"
#include "tests/fakes/oom.h"
#include "tests/fakes/tmpdir.h"

static struct config *
parse(const char *text, struct fault *f)
{
	return config_parse(text, strlen(text), "f", "/etc/handback", f);
}

static void
test_defaults(void **state)
{
	struct fault f = { 0 };
	struct config *c = parse("", &f);
	char text[ADDR_TEXT_SIZE];

	(void)state;
	assert_non_null(c);
	assert_string_equal(addr_text(&c->api.listen, text), "127.0.0.1:8080");
	assert_int_equal(c->sip.listen_count, 2);
	assert_int_equal(c->sip.listen[1].transport, SIP_TCP);
	assert_int_equal(c->sip.digest_count, 2);
	assert_int_equal(c->sip.digest[0], DIGEST_MD5);
	assert_int_equal(c->media.port_first, 20000);
	assert_int_equal(c->media.port_last, 29999);
	assert_int_equal(c->transfers.expire_after_ms, 60000);
	assert_int_equal(c->sip.session_expires_s, 1800);
	assert_true(c->sip.unknown_drop);
	assert_int_equal(c->account_count, 0); /* a file without accounts has none */
	assert_string_equal(c->control.socket, "/etc/handback/run/control.sock");
	assert_string_equal(c->store.sqlite_path, "/etc/handback/data/handback.db");
	assert_non_null(config_agent(c, "frontdesk"));
	config_destroy(c);
}

static void
test_embedded(void **state)
{
	struct fault f = { 0 };
	char here[256], dir[64];
	struct config *c;

	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	tmpdir_make(dir, sizeof(dir));
	assert_int_equal(chdir(dir), 0);
	c = config_load(NULL, &f);
	assert_int_equal(chdir(here), 0);
	tmpdir_remove(dir);
	assert_non_null(c);
	assert_null(c->file);
	assert_int_equal(c->account_count, 1);
	assert_string_equal(c->accounts[0].name, "demo");
	assert_true(secret_equal(&c->accounts[0].api_keys[0].secret, "demo-secret", 11));
	assert_ptr_equal(c->accounts[0].agent_def, config_agent(c, "frontdesk"));
	config_destroy(c);
}

#define ALLOWED "sip: { allow: [ 10.0.0.0/8 ] }"

/* clang-format off */
static const struct { const char *yaml, *where, *what; } mistakes[] = {
	{ "sip:\n  realmm: x", "f:2", "unknown key \"sip.realmm\"" },
	{ "x: 1", "f:1", "unknown key \"x\"" },
	{ "sip: 5", "f:1", "sip: expected keys and values" },
	{ "api: { listen: localhost:80 }", "f:1", "api.listen: expected HOST:PORT with a numeric host ([…]:PORT for IPv6), found \"localhost:80\"" },
	{ "api: { rate_limit: -1 }", "f:1", "api.rate_limit: \"-1\" is out of range (0 to 1000000)" },
	{ "api: { rate_limit: many }", "f:1", "api.rate_limit: expected a whole number, found \"many\"" },
	{ "api: { request_timeout: 10 }", "f:1", "api.request_timeout: expected a duration such as 500ms, 60s, 10m, 24h or 30d, found \"10\"" },
	{ "api: { tls: { certificate: a.pem } }", "f:1", "api.tls: expected both certificate and key" },
	{ "sip: { max_message: 64kb }", "f:1", "sip.max_message: expected a size such as 64KiB or 1MiB, found \"64kb\"" },
	{ "sip: { challenge: 404 }", "f:1", "sip.challenge: expected 401 or 407" },
	{ "sip: { digest: [] }", "f:1", "sip.digest: expected a list of at least one" },
	{ "sip: { digest: [ MD5, MD5 ] }", "f:1", "sip.digest: \"MD5\" stands twice" },
	{ "sip: { digest: [ SHA1 ] }", "f:1", "sip.digest: expected one of MD5, SHA-256, found \"SHA1\"" },
	{ "sip: { listen: [ \"sctp:127.0.0.1:1\" ] }", "f:1", "sip.listen: expected udp:HOST:PORT, tcp:HOST:PORT or tls:HOST:PORT with a numeric host, found \"sctp:127.0.0.1:1\"" },
	{ "sip:\n  listen: [ \"tls:127.0.0.1:5061\" ]", "f:2", "sip.listen: a tls listener needs sip.tls.certificate and sip.tls.key" },
	{ "sip: { tls: { key: a.key } }", "f:1", "sip.tls: expected both certificate and key" },
	{ "sip:\n  tls: { certificate: a.pem, key: a.key,\n    verify_clients: true }", "f:3",
	  "sip.tls.verify_clients: expected sip.tls.ca, the authorities that clients' certificates come from" },
	{ "sip: { listen: [] }", "f:1", "sip.listen: expected at least one address" },
	{ "sip: { min_se: 1h }", "f:1", "sip.min_se: expected at most sip.session_expires" },
	{ "media:\n  ports: 30000-20000", "f:2", "media.ports: expected a port range within 1024-65535, at least two ports, found \"30000-20000\"" },
	{ "media: { address: [ 127.0.0.1, 127.0.0.2 ] }", "f:1", "media.address: expected one address per family" },
	{ "store: { url: \"mysql:x\" }", "f:1", "store.url: expected sqlite:FILE (other databases are not available in this version)" },
	{ "worker: { name: \"a b\" }", "f:1", "worker.name: expected 1 to 63 characters without blanks, quotes or slashes" },
	{ "accounts: [ { name: a } ]", "f:1", "account a has neither sip.allow nor sip.users: expected at least one, since unauthenticated calls are never accepted" },
	{ "accounts:\n  - " ALLOWED, "f:2", "\"name\" is missing" },
	{ "accounts:\n  - { name: a, " ALLOWED ", agent: x }", "f:2", "agent: no file under `agents` defines \"x\"" },
	{ "accounts:\n  - { name: a, " ALLOWED " }\n  - { name: a, sip: { allow: [ 11.0.0.0/8 ] } }", "f:3", "name: another account is called \"a\" too" },
	{ "accounts:\n  - { name: a, " ALLOWED " }\n  - { name: b, sip: { allow: [ 10.1.0.0/16 ] } }", "f:3",
	  "accounts a and b would match the same call equally well: expected another sip.domain, sip.allow or sip.users" },
	{ "accounts:\n  - { name: a, " ALLOWED ", api_keys: [ { id: k } ] }", "f:2", "\"secret\" is missing" },
	{ "accounts:\n  - { name: a, " ALLOWED ", api_keys: [ { id: k, secret: s, secret_file: x } ] }", "f:2", "secret and secret_file: only one of them" },
	{ "accounts:\n  - { name: a, " ALLOWED ", api_keys: [ { id: k, secret: s } ] }\n"
	  "  - { name: b, sip: { allow: [ 11.0.0.0/8 ] }, api_keys: [ { id: k, secret: t } ] }", "f:2", "api_keys: the id \"k\" belongs to two accounts" },
	{ "accounts: [ { name: a, " ALLOWED ", api_keys: [ { id: k, secret: s } ] } ]\noperators: [ { id: k, secret: t } ]", "f:2",
	  "operators: expected an id that no account has, and a secret" },
	{ "accounts: [ { name: a, sip: { allow: [ 10.0.0.1/8 ] } } ]", "f:1",
	  "sip.allow: expected an address or a block such as 10.0.0.0/8 or 2001:db8::/32, host bits zero, found \"10.0.0.1/8\"" },
	{ "agents: [ nowhere.yaml ]", "/etc/handback/nowhere.yaml", "No such file or directory" },
};

static const char *const fine[] = {
	/* told apart by domain, by source, by user */
	"accounts: [ { name: a, " ALLOWED " }, { name: b, sip: { domain: b.example, allow: [ 10.0.0.0/8 ] } } ]",
	"accounts: [ { name: a, " ALLOWED " }, { name: b, sip: { allow: [ 11.0.0.0/8, \"2001:db8::/32\" ] } } ]",
	"accounts: [ { name: a, sip: { users: [ { username: x, password: p } ] } }, { name: b, sip: { users: [ { username: y, password: p } ] } } ]",
	/* two secrets of one id, for rotation */
	"accounts: [ { name: a, " ALLOWED ", api_keys: [ { id: k, secret: s }, { id: k, secret: t } ] } ]",
	"media: { address: [ 127.0.0.1, \"::1\" ], threads: 2 }",
	"sip: { listen: [ \"tls:127.0.0.1:5061\" ], tls: { certificate: a.pem, key: a.key } }",
	"sip: { unknown_sources: reject, challenge: 407, digest: [ SHA-256 ] }",
};
/* clang-format on */

static void
test_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
		struct fault f = { 0 };
		struct config *c = parse(mistakes[i].yaml, &f);

		if (c)
			fail_msg("accepted: %s", mistakes[i].yaml);
		assert_string_equal(f.where, mistakes[i].where);
		assert_string_equal(f.what, mistakes[i].what);
	}
}

static void
test_fine(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
		struct fault f = { 0 };
		struct config *c = parse(fine[i], &f);

		if (!c)
			fail_msg("%s: %s: %s", fine[i], f.where, f.what);
		config_destroy(c);
	}
}

/* What is printed is read again and prints the same. */
static void
test_print_round_trip(void **state)
{
	static const char text[] = "api: { listen: \"[::1]:8443\", rate_limit: 7, metrics_allow: [ "
				   "\"2001:db8::/32\" ] }\n"
				   "operators: [ { id: ops, secret: s3 } ]\n"
				   "sip: { digest: [ SHA-256 ], session_expires: 90s, max_message: "
				   "4KiB, public_address: [ 192.0.2.1 ] }\n"
				   "worker: { name: w$$1, memory_limit: 1GiB }\n"
				   "accounts: [ { name: a, api_keys: [ { id: k, secret: s } ], "
				   "returns: { type: REFER, allowed_targets: [] },\n"
				   "  sip: { allow: [ 10.0.0.0/8, 192.0.2.7 ], users: [ { "
				   "username: 'u\"x', password: p } ] } } ]\n";
	struct fault f = { 0 };
	struct config *a = parse(text, &f), *b;
	struct buf first, second;

	(void)state;
	if (!a)
		fail_msg("%s: %s", f.where, f.what);
	buf_init(&first, 65536);
	buf_init(&second, 65536);
	config_print(a, &first);
	assert_null(strstr(first.data, "s3"));
	assert_non_null(strstr(first.data, "\"w$$1\""));
	b = parse(first.data, &f);
	if (!b)
		fail_msg("%s: %s in\n%s", f.where, f.what, first.data);
	config_print(b, &second);
	assert_string_equal(first.data, second.data);
	assert_true(b->accounts[0].returns.has_allowed_targets);
	buf_finish(&first);
	buf_finish(&second);
	config_destroy(a);
	config_destroy(b);
}

static void
test_secret_file(void **state)
{
	char dir[64], path[96], text[256];
	struct fault f = { 0 };
	struct config *c;
	int fd;

	(void)state;
	tmpdir_make(dir, sizeof(dir));
	str_print(path, sizeof(path), "%s/key", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "hidden\n", 7), 7);
	close(fd);
	str_print(text, sizeof(text),
		  "accounts: [ { name: a, " ALLOWED
		  ", api_keys: [ { id: k, secret_file: %s } ] } ]",
		  path);
	c = parse(text, &f);
	assert_non_null(c);
	assert_true(secret_equal(&c->accounts[0].api_keys[0].secret, "hidden", 6));
	config_destroy(c);
	unlink(path);
	assert_null(parse(text, &f));
	assert_non_null(strstr(f.what, "No such file"));
	tmpdir_remove(dir);
}

static void
on_warning(const char *text, void *arg)
{
	(void)text;
	++*(int *)arg;
}

static void
test_warnings(void **state)
{
	struct fault f = { 0 };
	struct config *c = parse("", &f);
	int n = 0;

	(void)state;
	config_warnings(c, on_warning, &n);
	assert_int_equal(n, 1);
	config_destroy(c);
}

static bool
parse_once(void *arg)
{
	struct fault f = { 0 };
	struct config *c = parse(arg, &f);

	if (!c)
		return false;
	config_destroy(c);
	return true;
}

static void
test_out_of_memory(void **state)
{
	char text[] = "accounts: [ { name: a, " ALLOWED ", api_keys: [ { id: k, secret: s } ] } ]";

	(void)state;
	assert_true(oom_run(parse_once, text) > 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),         cmocka_unit_test(test_embedded),
		cmocka_unit_test(test_mistakes),         cmocka_unit_test(test_fine),
		cmocka_unit_test(test_print_round_trip), cmocka_unit_test(test_secret_file),
		cmocka_unit_test(test_warnings),         cmocka_unit_test(test_out_of_memory),
	};

	if (!id_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
