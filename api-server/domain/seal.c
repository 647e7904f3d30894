#include "api-server/domain/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api-server/domain/parent_dir.h"
#include "common/str.h"

/* Sealed: version, nonce, then the ciphertext of "username NUL password NUL".
 * Key file: the key in hex and a newline. */
#define VERSION     1
#define KEY_BYTES   crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES   crypto_aead_xchacha20poly1305_ietf_ABYTES
#define HEAD_BYTES  (1 + NONCE_BYTES)
#define HEX_BYTES   (2 * KEY_BYTES)
#define CLEAR_MAX   4096

struct seal {
	unsigned char key[KEY_BYTES];
};

/* --- the key file --- */

static bool
write_key(int fd)
{
	unsigned char key[KEY_BYTES];
	char text[HEX_BYTES + 1];
	bool ok;

	randombytes_buf(key, sizeof(key));
	sodium_bin2hex(text, sizeof(text), key, sizeof(key));
	text[HEX_BYTES] = '\n';
	ok = write(fd, text, sizeof(text)) == (ssize_t)sizeof(text) && fsync(fd) == 0;
	sodium_memzero(key, sizeof(key));
	sodium_memzero(text, sizeof(text));
	return ok;
}

static void
sync_dir(const char *path)
{
	char dir[4096];
	char *slash;
	int fd;

	if (!str_copy(dir, sizeof(dir), path))
		return;
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	fd = open(slash ? (*dir ? dir : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!fsync(fd);
	close(fd);
}

/* Whole or not at all, and never over another one: two that start at once end with one key. */
static bool
make_key_file(const char *path, struct fault *f)
{
	char tmp[4096];
	bool ok;
	int fd;

	if (!str_print(tmp, sizeof(tmp), "%s.XXXXXX", path) || !parent_dir_make(path, f))
		return false;
	fd = mkostemp(tmp, O_CLOEXEC); /* mode 0600 */
	if (fd < 0) {
		fault_set(f, "secrets.key_file", "%.200s: %s", path, strerror(errno));
		return false;
	}
	ok = write_key(fd) && (link(tmp, path) == 0 || errno == EEXIST);
	if (!ok)
		fault_set(f, "secrets.key_file", "%.200s: %s", path, strerror(errno));
	close(fd);
	unlink(tmp);
	sync_dir(path);
	return ok;
}

static bool
check_private(int fd, const char *path, struct fault *f)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		fault_set(f, "secrets.key_file", "%.200s: not a regular file", path);
		return false;
	}
	if (st.st_mode & 077) {
		fault_set(f, "secrets.key_file",
			  "%.200s: mode %04o, others must not read it (chmod 600)", path,
			  st.st_mode & 07777);
		return false;
	}
	return true;
}

static bool
read_key(int fd, struct seal *s)
{
	char text[HEX_BYTES + 2];
	ssize_t n = read(fd, text, sizeof(text));
	size_t len = 0;
	bool ok = n == HEX_BYTES || (n == HEX_BYTES + 1 && text[HEX_BYTES] == '\n');

	ok = ok && sodium_hex2bin(s->key, sizeof(s->key), text, HEX_BYTES, NULL, &len, NULL) == 0 &&
	     len == sizeof(s->key);
	sodium_memzero(text, sizeof(text));
	return ok;
}

static bool
load_key(const char *path, struct seal *s, struct fault *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0 && errno == ENOENT && make_key_file(path, f))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (!f || !f->what[0])
			fault_set(f, "secrets.key_file", "%.200s: %s", path, strerror(errno));
		return false;
	}
	ok = check_private(fd, path, f);
	if (ok && !read_key(fd, s)) {
		fault_set(f, "secrets.key_file", "%.200s: expected %d hexadecimal digits", path,
			  (int)HEX_BYTES);
		ok = false;
	}
	close(fd);
	return ok;
}

struct seal *
seal_open(const char *key_file, struct fault *f)
{
	struct fault own = { .where = "" };
	struct seal *s = NULL;

	if (sodium_init() < 0)
		fault_set(&own, "", "no randomness");
	else if (!(s = sodium_malloc(sizeof(*s))))
		fault_set(&own, "", "out of memory");
	else if (load_key(key_file, s, &own))
		return s;
	seal_close(s);
	if (f)
		*f = own;
	return NULL;
}

void
seal_close(struct seal *s)
{
	sodium_free(s); /* wipes */
}

/* --- sealing --- */

/* Bound to its row: "transfer", account and id, each closed by a NUL that none of them holds. */
static bool
associate(const struct transfer *t, struct buf *out)
{
	static const char table[] = "transfer.sealed_auth";

	buf_init(out, 2048);
	buf_add(out, table, sizeof(table));
	buf_add(out, t->account, strlen(t->account) + 1);
	buf_add(out, t->id, strlen(t->id) + 1);
	return !out->failed;
}

enum err
seal_auth(const struct seal *s, const struct transfer_auth *auth, struct transfer *t)
{
	size_t user_len = auth->username.len + 1;
	size_t len = user_len + auth->password.len + 1;
	unsigned char clear[CLEAR_MAX], *sealed;
	struct buf ad = { 0 };
	enum err e = ERR_NOMEM;

	if (!auth->username.text || !auth->password.text || len > sizeof(clear))
		return ERR_INVALID;
	sealed = malloc(HEAD_BYTES + len + TAG_BYTES);
	if (sealed && associate(t, &ad)) {
		memcpy(clear, auth->username.text, user_len);
		memcpy(clear + user_len, auth->password.text, auth->password.len + 1);
		sealed[0] = VERSION;
		randombytes_buf(sealed + 1, NONCE_BYTES);
		crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + HEAD_BYTES, NULL, clear, len,
							   (unsigned char *)ad.data, ad.len, NULL,
							   sealed + 1, s->key);
		sodium_memzero(clear, len);
		free(t->sealed_auth);
		t->sealed_auth = sealed;
		t->sealed_auth_len = HEAD_BYTES + len + TAG_BYTES;
		sealed = NULL;
		e = ERR_OK;
	}
	free(sealed);
	buf_finish(&ad);
	return e;
}

/* "username NUL password NUL" */
static enum err
read_clear(const unsigned char *clear, size_t len, struct transfer_auth *out)
{
	const char *user = (const char *)clear;
	size_t user_len = strnlen(user, len);
	size_t rest = len - user_len;

	if (len < 2 || clear[len - 1] != '\0' || rest < 2)
		return ERR_INTERNAL;
	if (!secret_set(&out->username, user, user_len) ||
	    !secret_set(&out->password, user + user_len + 1, rest - 2)) {
		secret_finish(&out->username);
		return ERR_NOMEM;
	}
	return ERR_OK;
}

enum err
seal_open_auth(const struct seal *s, const struct transfer *t, struct transfer_auth *out)
{
	const unsigned char *sealed = t->sealed_auth;
	unsigned char clear[CLEAR_MAX];
	unsigned long long len = 0;
	struct buf ad = { 0 };
	enum err e = ERR_INTERNAL;

	if (!sealed || t->sealed_auth_len < HEAD_BYTES + TAG_BYTES || sealed[0] != VERSION ||
	    t->sealed_auth_len - HEAD_BYTES - TAG_BYTES > sizeof(clear))
		return ERR_INTERNAL;
	if (!associate(t, &ad))
		e = ERR_NOMEM;
	else if (crypto_aead_xchacha20poly1305_ietf_decrypt(
			 clear, &len, NULL, sealed + HEAD_BYTES, t->sealed_auth_len - HEAD_BYTES,
			 (unsigned char *)ad.data, ad.len, sealed + 1, s->key) == 0)
		e = read_clear(clear, (size_t)len, out);
	sodium_memzero(clear, sizeof(clear));
	buf_finish(&ad);
	return e;
}
