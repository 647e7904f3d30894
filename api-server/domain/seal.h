/* seal.h - stored credentials: XChaCha20-Poly1305 under the key of secrets.key_file, bound to
 * account and transfer id (rows cannot be swapped).  api-server alone holds the key. */
#ifndef API_SERVER_DOMAIN_SEAL_H
#define API_SERVER_DOMAIN_SEAL_H

#include "api-server/domain/transfer.h"
#include "common/base.h"
#include "common/err.h"

struct seal;

/* Makes the key file (0600) on first start. NULL with f set. */
struct seal *seal_open(const char *key_file, struct fault *f);
void seal_close(struct seal *s);
MUST_USE enum err
seal_auth(const struct seal *s, const struct transfer_auth *auth, struct transfer *t);
MUST_USE enum err
seal_open_auth(const struct seal *s, const struct transfer *t, struct transfer_auth *out);

#endif
