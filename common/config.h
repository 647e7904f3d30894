/* config.h - the one YAML file of both programs (DESIGN.md 3), read into a plain struct.
 *
 * Built once, then const; SIGHUP builds a second one and swaps.  Whoever loaded it owns it and
 * everything it points to.  Errors name file, line, key and what was expected.  Any thread may
 * read a finished config. */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include "common/addr.h"
#include "common/agentdef/agentdef.h"
#include "common/base.h"
#include "common/err.h"
#include "common/secret.h"
#include "common/str.h"

enum return_type { RETURN_BYE, RETURN_REFER, RETURN_INVITE };
extern const char *const return_type_names[]; /* "BYE", "REFER", "INVITE", NULL */

enum srtp_policy { SRTP_OFF, SRTP_OPTIONAL, SRTP_REQUIRED };
enum codec { CODEC_PCMU, CODEC_PCMA, CODEC_COUNT };
extern const char *const codec_names[]; /* "PCMU", "PCMA", NULL */
enum digest_alg { DIGEST_MD5, DIGEST_SHA256, DIGEST_ALG_COUNT };
enum sip_transport { SIP_UDP, SIP_TCP, SIP_TLS };
enum on_failure { FAIL_BYE, FAIL_AGENT };
enum caller_id { CALLER_ORIGINAL, CALLER_OWN };

struct text_list {
	char **items;
	size_t count;
};
struct cidr_list {
	struct cidr *items;
	size_t count;
};
struct addr_list {
	struct addr *items;
	size_t count;
};

struct api_key {
	char *id;
	struct secret secret;
};

struct sip_user {
	char *username;
	struct secret password;
};

struct account {
	char *name;
	struct api_key *api_keys;
	size_t api_key_count;
	struct {
		char *domain; /* "": any Request-URI host */
		struct cidr_list allow;
		struct sip_user *users;
		size_t user_count;
		bool headers_mode;
		bool nat;
	} sip;
	struct {
		enum return_type type;
		char *uri; /* "": none */
		char *auth_realm, *auth_username;
		struct secret auth_password;
		enum caller_id caller_id;
		int64_t ring_timeout_ms, refer_timeout_ms, refer_ring_timeout_ms;
		enum on_failure on_failure;
		bool has_allowed_targets; /* absent differs from empty */
		struct text_list allowed_targets;
	} returns;
	char *agent;                      /* name of a definition in config.agents */
	const struct agentdef *agent_def; /* resolved at load */
	int64_t agent_start_timeout_ms;
	int64_t max_calls; /* 0: no limit */
};

struct operator_key {
	char *id;
	struct secret secret;
};

struct sip_listen {
	enum sip_transport transport;
	struct addr addr;
};

struct config {
	char *file; /* path it came from, NULL: embedded defaults */

	struct {
		struct addr listen;
		char *tls_certificate, *tls_key; /* NULL: plain HTTP */
		int64_t max_connections;
		int64_t request_timeout_ms;
		int64_t rate_limit; /* per second and key, 0: none */
		struct cidr_list metrics_allow;
	} api;
	struct operator_key *operators;
	size_t operator_count;
	struct {
		char *socket;
		int64_t heartbeat_ms;
	} control;
	struct {
		char *url;         /* as written */
		char *sqlite_path; /* file of sqlite:PATH, resolved */
		int64_t retention_ms;
	} store;
	struct {
		char *key_file;
	} secrets;
	struct {
		struct sip_listen *listen;
		size_t listen_count;
		char *tls_certificate, *tls_key, *tls_ca;
		bool tls_verify_clients, tls_verify_servers;
		struct addr_list public_address;
		char *realm;
		int challenge;                            /* 401 or 407 */
		enum digest_alg digest[DIGEST_ALG_COUNT]; /* offered in this order */
		size_t digest_count;
		bool unknown_drop; /* unknown_sources: drop; else 403 */
		int64_t session_expires_s, min_se_s;
		int64_t max_message; /* bytes */
	} sip;
	struct {
		char *name;
		char *spool;
		int64_t max_calls;
		int64_t memory_limit; /* bytes, 0: none */
		int64_t drain_ms;
	} worker;
	struct {
		struct addr_list address;
		struct addr_list public_address;
		uint16_t port_first, port_last;
		enum codec codecs[CODEC_COUNT]; /* preference order */
		size_t codec_count;
		enum srtp_policy srtp;
		int64_t timeout_ms, latch_ms;
		int64_t threads; /* 0: one per core */
	} media;
	struct {
		int64_t expire_after_ms;
		int64_t body_limit; /* bytes */
		bool caller_disconnect_context;
	} transfers;

	struct account *accounts;
	size_t account_count;
	struct text_list agent_files; /* as written; empty: the embedded front desk alone */
	struct agentdef **agents;
	size_t agent_count;
	char agents_version[17]; /* hex digest over all agent files: hello compares it */
};

/* file NULL: ./handback.yaml if it is there, else the embedded defaults.  On error f names
 * file:line, key and what was expected; NULL is returned. */
struct config *config_load(const char *file, struct fault *f);
void config_destroy(struct config *c); /* NULL ok; wipes secrets */
/* --print-config: every key with its value in force, secrets as "********". */
void config_print(const struct config *c, struct buf *out);
/* Warnings worth a line at start (BYE in header mode, …): fn is called for each. */
void config_warnings(const struct config *c, void (*fn)(const char *text, void *arg), void *arg);

const struct account *config_account(const struct config *c, const char *name); /* NULL: none */
const struct agentdef *config_agent(const struct config *c, const char *name);

/* One file = one YAML text in memory, for the fuzzer and for tests; dir resolves relative paths. */
struct config *
config_parse(const char *text, size_t len, const char *name, const char *dir, struct fault *f);

/* Options both programs share. */
struct cli {
	const char *config_file; /* --config */
	bool check_config, print_config;
	const char *worker_name;    /* sip-worker: --name */
	const char *sip_listen[16]; /* sip-worker: --sip-listen, repeatable */
	size_t sip_listen_count;
	bool ping; /* sip-worker: --ping */
};
/* Handles --help, --version (prints, exits 0) and mistakes (stderr, exits 2) itself. */
void cli_parse(struct cli *cli, int argc, char **argv, bool is_worker);
/* Loads, applies cli's overrides; on --check-config and --print-config or a mistake it prints and
 * exits (0 or 2), so what it returns is valid. */
struct config *cli_config(const struct cli *cli);

#endif
