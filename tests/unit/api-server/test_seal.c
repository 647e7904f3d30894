/* Sealed credentials: whose key it is, whose row it is, and nothing else opens them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api-server/domain/seal.h"
#include "common/str.h"
#include "tests/fakes/oom.h"
#include "tests/fakes/tmpdir.h"

static char dir[64], key[128];
static struct transfer *t;
static struct transfer_auth auth;

static int
setup(void **state)
{
	(void)state;
	tmpdir_make(dir, sizeof(dir));
	snprintf(key, sizeof(key), "%s/data/secret.key", dir);
	t = transfer_create();
	assert_non_null(t);
	t->account = strdup("demo");
	t->id = strdup("i");
	assert_true(secret_set(&auth.username, "user", 4));
	assert_true(secret_set(&auth.password, "pass word", 9));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	transfer_destroy(t);
	secret_finish(&auth.username);
	secret_finish(&auth.password);
	tmpdir_remove(dir);
	return 0;
}

static struct seal *
open_ok(void)
{
	struct fault f = { .where = "" };
	struct seal *s = seal_open(key, &f);

	if (!s)
		fprintf(stderr, "%s: %s\n", f.where, f.what);
	assert_non_null(s);
	return s;
}

static void
write_file(const char *text, mode_t mode)
{
	FILE *file = fopen(key, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(key, mode), 0);
}

static void
assert_opens(const struct seal *s)
{
	struct transfer_auth out = { { 0 }, { 0 } };

	assert_int_equal(seal_open_auth(s, t, &out), ERR_OK);
	assert_string_equal(out.username.text, "user");
	assert_string_equal(out.password.text, "pass word");
	secret_finish(&out.username);
	secret_finish(&out.password);
}

static void
assert_stays_shut(const struct seal *s)
{
	struct transfer_auth out = { { 0 }, { 0 } };

	assert_int_equal(seal_open_auth(s, t, &out), ERR_INTERNAL);
	assert_null(out.username.text);
	assert_null(out.password.text);
}

static void
test_there_and_back(void **state)
{
	struct seal *s = open_ok();
	struct stat st;
	void *once;

	(void)state;
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(seal_auth(s, &auth, t), ERR_OK);
	assert_null(memmem(t->sealed_auth, t->sealed_auth_len, "user", 4));
	assert_null(memmem(t->sealed_auth, t->sealed_auth_len, "pass", 4));
	assert_opens(s);
	once = malloc(t->sealed_auth_len);
	assert_non_null(once);
	memcpy(once, t->sealed_auth, t->sealed_auth_len);
	assert_int_equal(seal_auth(s, &auth, t), ERR_OK);
	assert_memory_not_equal(once, t->sealed_auth,
				t->sealed_auth_len); /* never the same twice */
	free(once);
	seal_close(s);
	s = open_ok(); /* the same key at the next start */
	assert_opens(s);
	seal_close(s);
}

static void
test_bound_to_its_row(void **state)
{
	struct seal *s = open_ok();

	(void)state;
	assert_int_equal(seal_auth(s, &auth, t), ERR_OK);
	t->id[0] = 'j';
	assert_stays_shut(s);
	t->id[0] = 'i';
	t->account[0] = 'D';
	assert_stays_shut(s);
	t->account[0] = 'd';
	/* Account and id are two things: "demoi" + "" is not "demo" + "i". */
	free(t->account);
	free(t->id);
	t->account = strdup("demoi");
	t->id = strdup("");
	assert_stays_shut(s);
	seal_close(s);
}

static void
test_every_changed_byte_is_seen(void **state)
{
	struct seal *s = open_ok();
	size_t whole;

	(void)state;
	assert_int_equal(seal_auth(s, &auth, t), ERR_OK);
	for (size_t i = 0; i < t->sealed_auth_len; i++) {
		((unsigned char *)t->sealed_auth)[i] ^= 1;
		assert_stays_shut(s);
		((unsigned char *)t->sealed_auth)[i] ^= 1;
	}
	whole = t->sealed_auth_len;
	for (t->sealed_auth_len = 0; t->sealed_auth_len < whole; t->sealed_auth_len++)
		assert_stays_shut(s);
	assert_opens(s);
	seal_close(s);
}

static void
test_another_key(void **state)
{
	struct seal *s = open_ok();

	(void)state;
	assert_int_equal(seal_auth(s, &auth, t), ERR_OK);
	seal_close(s);
	unlink(key);
	s = open_ok();
	assert_stays_shut(s);
	seal_close(s);
}

static void
test_nothing_to_seal(void **state)
{
	struct seal *s = open_ok();
	struct transfer_auth none = { { 0 }, { 0 } };

	(void)state;
	assert_int_equal(seal_auth(s, &none, t), ERR_INVALID);
	assert_null(t->sealed_auth);
	assert_stays_shut(s);
	seal_close(s);
}

static void
assert_refused(const char *why)
{
	struct fault f = { .where = "" };

	assert_null(seal_open(key, &f));
	if (!strstr(f.what, why))
		fprintf(stderr, "%s\n", f.what);
	assert_non_null(strstr(f.what, why));
	assert_null(seal_open(key, NULL));
}

static void
test_bad_key_files(void **state)
{
	char long_text[200];

	(void)state;
	seal_close(open_ok());
	assert_int_equal(chmod(key, 0640), 0);
	assert_refused("others must not read it");
	assert_int_equal(chmod(key, 0604), 0);
	assert_refused("others must not read it");
	write_file("", 0600);
	assert_refused("expected 64 hexadecimal digits");
	write_file("12345", 0600);
	assert_refused("expected 64 hexadecimal digits");
	memset(long_text, 'a', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	write_file(long_text, 0600);
	assert_refused("expected 64 hexadecimal digits");
	long_text[64] = '\0';
	long_text[10] = 'g';
	write_file(long_text, 0600);
	assert_refused("expected 64 hexadecimal digits");
	long_text[10] = 'b';
	write_file(long_text, 0600); /* without the newline */
	seal_close(open_ok());
	unlink(key);
	assert_int_equal(mkdir(key, 0700), 0);
	assert_refused("not a regular file");
	rmdir(key);
}

static void
test_no_folder(void **state)
{
	(void)state;
	snprintf(key, sizeof(key), "/proc/nowhere/secret.key");
	assert_refused("/proc/nowhere");
}

/* Two first starts at once end with one key and nothing else in the folder. */
static void
test_two_first_starts(void **state)
{
	pid_t pids[8];
	char folder[80];
	int files = 0;
	struct dirent *e;
	DIR *d;

	(void)state;
	for (int i = 0; i < 8; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			struct seal *s = seal_open(key, NULL);

			_exit(s ? 0 : 1);
		}
	}
	for (int i = 0; i < 8; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	snprintf(folder, sizeof(folder), "%s/data", dir);
	d = opendir(folder);
	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			assert_string_equal(e->d_name, "secret.key");
			files++;
		}
	closedir(d);
	assert_int_equal(files, 1);
}

static struct seal *oom_seal;

static bool
seal_and_open(void *arg)
{
	struct transfer_auth out = { { 0 }, { 0 } };
	bool ok;

	(void)arg;
	ok = seal_auth(oom_seal, &auth, t) == ERR_OK && seal_open_auth(oom_seal, t, &out) == ERR_OK;
	secret_finish(&out.username);
	secret_finish(&out.password);
	return ok;
}

static void
test_out_of_memory(void **state)
{
	(void)state;
	oom_seal = open_ok();
	assert_true(oom_run(seal_and_open, NULL) > 0);
	seal_close(oom_seal);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_there_and_back),
		T(test_bound_to_its_row),
		T(test_every_changed_byte_is_seen),
		T(test_another_key),
		T(test_nothing_to_seal),
		T(test_bad_key_files),
		T(test_no_folder),
		T(test_two_first_starts),
		T(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
