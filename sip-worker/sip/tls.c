#include "sip-worker/sip/tls.h"

#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"

#define ADOPTED_MAX  64 /* contexts of the library: one a listener */
#define VERIFY_DEPTH 5
#define REFUSED_RATE 5 /* lines a second about handshakes that failed */

/* --- OpenSSL's own functions, under our names in this program --- */

static struct {
	SSL *(*new)(SSL_CTX *ctx);
	SSL_CTX *(*ctx_new)(const SSL_METHOD *method);
	int (*accept)(SSL *ssl);
	int (*connect)(SSL *ssl);
	int (*read)(SSL *ssl, void *buf, int num);
	int (*write)(SSL *ssl, const void *buf, int num);
	int (*shutdown)(SSL *ssl);
	X509 *(*get1_peer_certificate)(const SSL *ssl);
} real;

/* Before main(): other libraries may open TLS connections from any thread. */
__attribute__((constructor)) static void
find_real(void)
{
	static const struct {
		const char *name;
		void *at;
	} all[] = {
		{ "SSL_new", &real.new },
		{ "SSL_CTX_new", &real.ctx_new },
		{ "SSL_accept", &real.accept },
		{ "SSL_connect", &real.connect },
		{ "SSL_read", &real.read },
		{ "SSL_write", &real.write },
		{ "SSL_shutdown", &real.shutdown },
		{ "SSL_get1_peer_certificate", &real.get1_peer_certificate },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		void *function = dlsym(RTLD_NEXT, all[i].name);

		if (!function)
			abort();
		memcpy(all[i].at, &function, sizeof function);
	}
}

/* --- what is in force --- */

static struct {
	SSL_CTX *server, *client; /* of the connections to come */
	bool verify_servers;
	const char *dialling;
	struct log_limit limit;
} tls;

/* Looked at from any thread that uses OpenSSL; the library's contexts are only compared. */
static _Atomic(SSL_CTX *) adopted[ADOPTED_MAX];
static atomic_int role_index = -1;

/* Of the signalling thread, while it makes a listener. */
static _Thread_local bool adopting;

/* An SSL object of ours carries its role. */
static const char role_server[] = "server", role_client[] = "client";

static const char *
role_of(const SSL *ssl)
{
	int index = role_index;

	return index < 0 ? NULL : SSL_get_ex_data(ssl, index);
}

static bool
is_adopted(const SSL_CTX *ctx)
{
	for (size_t i = 0; i < ADOPTED_MAX && adopted[i]; i++)
		if (adopted[i] == ctx)
			return true;
	return false;
}

static void
adopt(SSL_CTX *ctx)
{
	size_t i = 0;

	while (i < ADOPTED_MAX - 1 && adopted[i])
		i++;
	adopted[i] = ctx;
}

void
tls_adopt(bool on)
{
	adopting = on;
}

void
tls_dialling(const char *name)
{
	tls.dialling = name;
}

void
tls_dialled(void)
{
	tls.dialling = NULL;
}

/* --- contexts --- */

static const char *
why_failed(void)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	return why ? why : "unknown error";
}

/* Never ask on the terminal. */
static int
no_password(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return 0;
}

static SSL_CTX *
new_context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = real.ctx_new(method);

	if (!ctx)
		return NULL;
	/* Nothing is resumed: each connection proves itself to the certificates of now, and idle
	 * ones hold no buffers.  A peer that just closes is one that closed. */
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_default_passwd_cb(ctx, no_password);
	SSL_CTX_set_verify_depth(ctx, VERIFY_DEPTH);
	return ctx;
}

static bool
use_certificate(SSL_CTX *ctx, const struct config *cfg, struct fault *f)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, cfg->sip.tls_certificate) != 1) {
		fault_set(f, "sip.tls.certificate", "%s: %s", cfg->sip.tls_certificate,
			  why_failed());
		return false;
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, cfg->sip.tls_key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1) {
		fault_set(f, "sip.tls.key", "%s: %s", cfg->sip.tls_key, why_failed());
		return false;
	}
	return true;
}

static bool
use_authorities(SSL_CTX *ctx, const struct config *cfg, struct fault *f)
{
	if (!cfg->sip.tls_ca)
		return SSL_CTX_set_default_verify_paths(ctx) == 1;
	if (SSL_CTX_load_verify_locations(ctx, cfg->sip.tls_ca, NULL) == 1)
		return true;
	fault_set(f, "sip.tls.ca", "%s: %s", cfg->sip.tls_ca, why_failed());
	return false;
}

/* Our own certificate is a good client's too: --ping has no other. */
static int
verify_client(int ok, X509_STORE_CTX *store)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const X509 *own = ssl ? SSL_get_certificate(ssl) : NULL;

	if (ok || !own || X509_STORE_CTX_get_error_depth(store) != 0 ||
	    X509_cmp(X509_STORE_CTX_get_current_cert(store), own) != 0)
		return ok;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

static bool
make_server(SSL_CTX *ctx, const struct config *cfg, struct fault *f)
{
	STACK_OF(X509_NAME) * names;

	if (!use_certificate(ctx, cfg, f))
		return false;
	if (!cfg->sip.tls_verify_clients)
		return true;
	if (!use_authorities(ctx, cfg, f))
		return false;
	names = SSL_load_client_CA_file(cfg->sip.tls_ca);
	if (!names) {
		fault_set(f, "sip.tls.ca", "%s: %s", cfg->sip.tls_ca, why_failed());
		return false;
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_client);
	return true;
}

static bool
make_client(SSL_CTX *ctx, const struct config *cfg, struct fault *f)
{
	if (!use_certificate(ctx, cfg, f))
		return false;
	if (!cfg->sip.tls_verify_servers)
		return true;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return use_authorities(ctx, cfg, f);
}

/* Listeners stay over a reload, whatever the new file says of them. */
static bool
is_wanted(const struct config *cfg)
{
	if (tls.server)
		return true;
	for (size_t i = 0; i < cfg->sip.listen_count; i++)
		if (cfg->sip.listen[i].transport == SIP_TLS)
			return true;
	return false;
}

static bool
make_contexts(const struct config *cfg, SSL_CTX **server, SSL_CTX **client, struct fault *f)
{
	bool ok;

	if (!cfg->sip.tls_certificate || !cfg->sip.tls_key) {
		fault_set(f, "sip.tls", "a tls listener needs sip.tls.certificate and sip.tls.key");
		return false;
	}
	fault_set(f, "sip.tls", "out of memory");
	*server = new_context(TLS_method());
	*client = new_context(TLS_method());
	ERR_clear_error();
	ok = *server && *client && make_server(*server, cfg, f) && make_client(*client, cfg, f);
	ERR_clear_error();
	if (!ok) {
		SSL_CTX_free(*server);
		SSL_CTX_free(*client);
	}
	return ok;
}

bool
tls_check(const struct config *cfg, struct fault *f)
{
	SSL_CTX *server, *client;

	if (!is_wanted(cfg))
		return true;
	if (!make_contexts(cfg, &server, &client, f))
		return false;
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	return true;
}

bool
tls_load(const struct config *cfg, struct fault *f)
{
	SSL_CTX *server, *client;

	if (!is_wanted(cfg))
		return true;
	if (role_index < 0)
		role_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (!make_contexts(cfg, &server, &client, f))
		return false;
	SSL_CTX_free(tls.server);
	SSL_CTX_free(tls.client);
	tls.server = server;
	tls.client = client;
	tls.verify_servers = cfg->sip.tls_verify_servers;
	return true;
}

void
tls_unload(void)
{
	SSL_CTX_free(tls.server);
	SSL_CTX_free(tls.client);
	tls.server = tls.client = NULL;
	for (size_t i = 0; i < ADOPTED_MAX; i++)
		adopted[i] = NULL;
}

/* --- connections of the library --- */

SSL_CTX *
SSL_CTX_new(const SSL_METHOD *method)
{
	SSL_CTX *ctx = real.ctx_new(method);

	if (ctx && adopting)
		adopt(ctx);
	return ctx;
}

/* Whom we dial must prove the name we dialled, in its certificate; SNI tells it which. */
static bool
expect_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct addr a;
	char host[ADDR_TEXT_SIZE];

	if (addr_parse(name, 0, &a))
		return X509_VERIFY_PARAM_set1_ip_asc(param, addr_host(&a, host)) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 &&
	       SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)name) == 1;
}

SSL *
SSL_new(SSL_CTX *ctx)
{
	const char *role = tls.dialling ? role_client : role_server;
	SSL *ssl;

	if (!is_adopted(ctx))
		return real.new(ctx);
	/* The library gives back a reference for each connection that it never took. */
	SSL_CTX_up_ref(ctx);
	ssl = real.new(tls.dialling ? tls.client : tls.server);
	if (ssl && SSL_set_ex_data(ssl, role_index, (void *)(uintptr_t)role) &&
	    (!tls.dialling || expect_name(ssl, tls.dialling)))
		return ssl;
	SSL_free(ssl);
	return NULL;
}

/* What an earlier connection left in the thread's queue would count as an error of this one, so
 * each function below begins with an empty queue. */

static int
handshake_result(SSL *ssl, const char *role, int ret)
{
	int error;

	if (ret > 0 || !role)
		return ret;
	error = SSL_get_error(ssl, ret);
	if (error == SSL_ERROR_SSL && log_allowed(&tls.limit, REFUSED_RATE)) {
		struct addr peer = { 0 };
		socklen_t len = sizeof peer;
		char text[ADDR_TEXT_SIZE] = "-";
		long verified = SSL_get_verify_result(ssl);

		if (getpeername(SSL_get_fd(ssl), &peer.sa, &len) == 0)
			addr_text(&peer, text);
		log_info("sip", "tls-failed", "role=%s peer=%s why=%s verify=%s", role, text,
			 log_quote(why_failed()),
			 log_quote(X509_verify_cert_error_string(verified)));
	}
	return ret;
}

int
SSL_accept(SSL *ssl)
{
	ERR_clear_error();
	return handshake_result(ssl, role_of(ssl), real.accept(ssl));
}

int
SSL_connect(SSL *ssl)
{
	const char *role = role_of(ssl);

	ERR_clear_error();
	if (role == role_server) {
		/* The library dials by itself, to a Via or after a connection broke: whom, it
		 * cannot tell us. */
		if (tls.verify_servers) {
			log_info("sip", "tls-failed", "role=client why=\"no name to verify\"");
			return -1;
		}
		SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	}
	return handshake_result(ssl, role, real.connect(ssl));
}

int
SSL_read(SSL *ssl, void *buf, int num)
{
	ERR_clear_error();
	return real.read(ssl, buf, num);
}

int
SSL_write(SSL *ssl, const void *buf, int num)
{
	ERR_clear_error();
	return real.write(ssl, buf, num);
}

/* The library would read names out of it, badly: what it makes of a subjectAltName it neither checks
 * nor frees.  Who the peer is was settled in the handshake. */
X509 *
SSL_get1_peer_certificate(const SSL *ssl)
{
	return role_of(ssl) ? NULL : real.get1_peer_certificate(ssl);
}

/* The last that the library does with a connection, before it frees the BIO but never the SSL. */
int
SSL_shutdown(SSL *ssl)
{
	int ret;

	ERR_clear_error();
	ret = real.shutdown(ssl);
	if (!role_of(ssl))
		return ret;
	ERR_clear_error();
	BIO_up_ref(SSL_get_rbio(ssl));
	SSL_free(ssl);
	return ret;
}
