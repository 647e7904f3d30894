#include "common/config_rows.h"

const char *const return_type_names[] = { "BYE", "REFER", "INVITE", NULL };
const char *const codec_names[] = { "PCMU", "PCMA", NULL };

static const char *const srtp_names[] = { "off", "optional", "required", NULL };
static const char *const digest_names[] = { "MD5", "SHA-256", NULL };
static const char *const source_names[] = { "reject", "drop", NULL };
static const char *const caller_names[] = { "original", "own", NULL };
static const char *const failure_names[] = { "bye", "agent", NULL };

static const struct crow text = { "", C_TEXT };
static const struct crow path = { "", C_PATH };
static const struct crow cidr = { "", C_CIDR };
static const struct crow host = { "", C_HOST };
static const struct crow sip_address = { "", C_LISTEN };

/* clang-format off */
#define A(m) offsetof(struct account, m)
#define G(m) offsetof(struct config, m)
#define DAY  INT64_C(86400000)
#define YEAR (366 * DAY)
#define LIST_OF(e, t) .element = &(e), .element_size = sizeof(t)

static const struct crow key_rows[] = {
	{ "id",     C_TEXT,   offsetof(struct api_key, id),     "!" },
	{ "secret", C_SECRET, offsetof(struct api_key, secret), "!" },
};
static const struct crow api_key = { "", C_MAP, .rows = key_rows, .row_count = ARRAY_LEN(key_rows) };
_Static_assert(sizeof(struct api_key) == sizeof(struct operator_key), "one table reads both");

static const struct crow user_rows[] = {
	{ "username", C_TEXT,   offsetof(struct sip_user, username), "!" },
	{ "password", C_SECRET, offsetof(struct sip_user, password), "!" },
};
static const struct crow sip_user = { "", C_MAP, .rows = user_rows, .row_count = ARRAY_LEN(user_rows) };

const struct crow account_rows[] = {
	{ "name",              C_TEXT,     A(name),                 "!" },
	{ "api_keys",          C_LIST,     A(api_keys),             "[]", LIST_OF(api_key, struct api_key) },
	{ "sip.domain",        C_TEXT,     A(sip.domain),           "\"\"" },
	{ "sip.allow",         C_LIST,     A(sip.allow),            "[]", LIST_OF(cidr, struct cidr) },
	{ "sip.users",         C_LIST,     A(sip.users),            "[]", LIST_OF(sip_user, struct sip_user) },
	{ "sip.headers_mode",  C_BOOL,     A(sip.headers_mode),     "true" },
	{ "sip.nat",           C_BOOL,     A(sip.nat),              "true" },
	{ "returns.type",      C_ENUM,     A(returns.type),         "BYE", .names = return_type_names },
	{ "returns.uri",       C_TEXT,     A(returns.uri),          "\"\"" },
	{ "returns.authentication.realm",    C_TEXT,   A(returns.auth_realm),    "\"\"" },
	{ "returns.authentication.username", C_TEXT,   A(returns.auth_username), "\"\"" },
	{ "returns.authentication.password", C_SECRET, A(returns.auth_password), "\"\"" },
	{ "returns.caller_id",          C_ENUM,     A(returns.caller_id),             "original", .names = caller_names },
	{ "returns.ring_timeout",       C_DURATION, A(returns.ring_timeout_ms),       "30s",  1000, DAY },
	{ "returns.refer_timeout",      C_DURATION, A(returns.refer_timeout_ms),      "32s",  1000, DAY },
	{ "returns.refer_ring_timeout", C_DURATION, A(returns.refer_ring_timeout_ms), "180s", 1000, DAY },
	{ "returns.on_failure",         C_ENUM,     A(returns.on_failure),            "bye", .names = failure_names },
	{ "returns.allowed_targets",    C_LIST,     A(returns.allowed_targets),       NULL, LIST_OF(text, char *) },
	{ "agent",               C_TEXT,     A(agent),                  "frontdesk" },
	{ "agent_start_timeout", C_DURATION, A(agent_start_timeout_ms), "10s", 100, 600000 },
	{ "max_calls",           C_INT,      A(max_calls),              "0", 0, 1000000 },
};
const size_t account_row_count = ARRAY_LEN(account_rows);
static const struct crow account = { "", C_MAP, .rows = account_rows, .row_count = ARRAY_LEN(account_rows) };

const struct crow config_rows[] = {
	{ "api.listen",          C_HOSTPORT, G(api.listen),             "127.0.0.1:8080" },
	{ "api.tls.certificate", C_PATH,     G(api.tls_certificate),    NULL },
	{ "api.tls.key",         C_PATH,     G(api.tls_key),            NULL },
	{ "api.max_connections", C_INT,      G(api.max_connections),    "1000", 4, 60000 },
	{ "api.request_timeout", C_DURATION, G(api.request_timeout_ms), "10s", 100, 600000 },
	{ "api.rate_limit",      C_INT,      G(api.rate_limit),         "100", 0, 1000000 },
	{ "api.metrics_allow",   C_LIST,     G(api.metrics_allow),      "[ 127.0.0.0/8 ]", LIST_OF(cidr, struct cidr) },
	{ "operators",           C_LIST,     G(operators),              "[]", LIST_OF(api_key, struct operator_key) },
	{ "control.socket",      C_PATH,     G(control.socket),         "run/control.sock" },
	{ "control.heartbeat",   C_DURATION, G(control.heartbeat_ms),   "1s", 50, 2000 },
	{ "store.url",           C_TEXT,     G(store.url),              "sqlite:data/handback.db" },
	{ "store.retention",     C_DURATION, G(store.retention_ms),     "30d", 60000, 100 * YEAR },
	{ "secrets.key_file",    C_PATH,     G(secrets.key_file),       "data/secret.key" },
	{ "sip.listen",          C_LIST,     G(sip.listen),
	  "[ \"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\" ]", LIST_OF(sip_address, struct sip_listen) },
	{ "sip.tls.certificate",    C_PATH,  G(sip.tls_certificate),    NULL },
	{ "sip.tls.key",            C_PATH,  G(sip.tls_key),            NULL },
	{ "sip.tls.ca",             C_PATH,  G(sip.tls_ca),             NULL },
	{ "sip.tls.verify_clients", C_BOOL,  G(sip.tls_verify_clients), "false" },
	{ "sip.tls.verify_servers", C_BOOL,  G(sip.tls_verify_servers), "true" },
	{ "sip.public_address",  C_LIST,     G(sip.public_address),     "[]", LIST_OF(host, struct addr) },
	{ "sip.realm",           C_TEXT,     G(sip.realm),              "handback" },
	{ "sip.challenge",       C_INT32,    G(sip.challenge),          "401", 401, 407 },
	{ "sip.digest",          C_ENUMS,    G(sip.digest),             "[ MD5, SHA-256 ]", .names = digest_names, .count_offset = G(sip.digest_count) },
	{ "sip.unknown_sources", C_CHOICE,   G(sip.unknown_drop),       "drop", .names = source_names },
	{ "sip.session_expires", C_SECONDS,  G(sip.session_expires_s),  "30m", 90, 86400 },
	{ "sip.min_se",          C_SECONDS,  G(sip.min_se_s),           "90s", 90, 86400 },
	{ "sip.max_message",     C_SIZE,     G(sip.max_message),        "64KiB", 2048, 1 << 20 },
	{ "worker.name",         C_TEXT,     G(worker.name),            "HOSTNAME" },
	{ "worker.spool",        C_PATH,     G(worker.spool),           "data/spool" },
	{ "worker.max_calls",    C_INT,      G(worker.max_calls),       "2000", 1, 100000 },
	{ "worker.memory_limit", C_SIZE,     G(worker.memory_limit),    "0", 0, INT64_C(1) << 50 },
	{ "worker.drain",        C_DURATION, G(worker.drain_ms),        "30m", 0, 30 * DAY },
	{ "media.address",       C_LIST,     G(media.address),          "[ 127.0.0.1 ]", LIST_OF(host, struct addr) },
	{ "media.public_address", C_LIST,    G(media.public_address),   "[]", LIST_OF(host, struct addr) },
	{ "media.ports",         C_PORTS,    G(media.port_first),       "20000-29999" },
	{ "media.codecs",        C_ENUMS,    G(media.codecs),           "[ PCMU, PCMA ]", .names = codec_names, .count_offset = G(media.codec_count) },
	{ "media.srtp",          C_ENUM,     G(media.srtp),             "optional", .names = srtp_names },
	{ "media.timeout",       C_DURATION, G(media.timeout_ms),       "30s", 1000, DAY },
	{ "media.latch",         C_DURATION, G(media.latch_ms),         "5s", 0, 600000 },
	{ "media.threads",       C_INT,      G(media.threads),          "0", 0, 256 },
	{ "transfers.expire_after", C_DURATION, G(transfers.expire_after_ms), "60s", 1000, YEAR },
	{ "transfers.body_limit",   C_SIZE,     G(transfers.body_limit),      "1MiB", 1024, 3 << 20 },
	{ "transfers.caller_disconnect_context", C_BOOL, G(transfers.caller_disconnect_context), "false" },
	{ "accounts",            C_LIST,     G(accounts),               "[]", LIST_OF(account, struct account) },
	{ "agents",              C_LIST,     G(agent_files),            "[]", LIST_OF(path, char *) },
};
const size_t config_row_count = ARRAY_LEN(config_rows);
/* clang-format on */
