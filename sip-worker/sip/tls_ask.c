/* A TLS client in a few lines, for --ping. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "common/str.h"
#include "sip-worker/sip/tls.h"

static SSL *
connected(SSL_CTX *ctx, const struct config *cfg, int fd)
{
	SSL *ssl;

	/* Where clients are verified, our own certificate is let in. */
	if (cfg->sip.tls_certificate && cfg->sip.tls_key &&
	    (SSL_CTX_use_certificate_file(ctx, cfg->sip.tls_certificate, SSL_FILETYPE_PEM) != 1 ||
	     SSL_CTX_use_PrivateKey_file(ctx, cfg->sip.tls_key, SSL_FILETYPE_PEM) != 1))
		ERR_clear_error();
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
	ssl = SSL_new(ctx);
	if (ssl && SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

bool
tls_ask(const struct config *cfg, int fd, const char *request, char *answer, size_t size)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? connected(ctx, cfg, fd) : NULL;
	int n = -1;

	if (ssl && SSL_write(ssl, request, (int)strlen(request)) > 0)
		n = SSL_read(ssl, answer, (int)size - 1);
	answer[n > 0 ? n : 0] = '\0';
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return n > 0;
}
