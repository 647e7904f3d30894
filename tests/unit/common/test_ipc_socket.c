#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ipc.h"
#include "common/str.h"

static void
listening(void **state)
{
	char dir[] = "/tmp/handback-ipc-XXXXXX", path[64], below[64], other[64], longer[300];
	struct fault f;
	struct stat st;
	int fd, client, server;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_true(str_print(below, sizeof(below), "%s/run", dir));
	assert_true(str_print(path, sizeof(path), "%s/run/c.sock", dir));
	assert_true(str_print(other, sizeof(other), "%s/file", dir));
	errno = 0;
	assert_int_equal(ipc_connect(path), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(ipc_accept(-1), -1);

	fd = ipc_listen(path, &f);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(ipc_accept(fd), -1); /* would block */
	client = ipc_connect(path);
	server = ipc_accept(fd);
	assert_true(client >= 0 && server >= 0);
	assert_true(fcntl(server, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(server, F_GETFD) & FD_CLOEXEC);
	close(client);
	close(server);

	/* A second one does not steal it; a stale one is replaced. */
	assert_int_equal(ipc_listen(path, &f), -1);
	assert_string_equal(f.where, path);
	assert_non_null(strstr(f.what, "another process"));
	close(fd);
	assert_int_equal(ipc_connect(path), -1);
	assert_int_equal(errno, ECONNREFUSED);
	fd = ipc_listen(path, &f);
	assert_true(fd >= 0);
	close(fd);

	/* A file that is no socket is somebody's. */
	fd = open(other, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(ipc_listen(other, &f), -1);
	assert_non_null(strstr(f.what, "not a socket"));
	assert_int_equal(stat(other, &st), 0);

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(ipc_listen(longer, &f), -1);
	assert_int_equal(ipc_connect(longer), -1);
	assert_int_equal(ipc_listen("", &f), -1);
	assert_int_equal(ipc_listen("/nonexistent/x/y/z.sock", &f), -1);
	unlink(path);
	unlink(other);
	rmdir(below);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
