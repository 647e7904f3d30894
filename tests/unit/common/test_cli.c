/* Options, in a child each: most of them end the process. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/config.h"
#include "common/id.h"
#include "tests/fakes/tmpdir.h"

static char dir[64], output[65536];

/* What a program's main() does with its options; "running NAME LISTENERS" when it would go on. */
static void
child(bool is_worker, char **argv, int fd)
{
	struct cli cli;
	struct config *c;
	int argc = 0;

	while (argv[argc])
		argc++;
	dup2(fd, 1);
	dup2(fd, 2);
	if (chdir(dir) != 0)
		_exit(99);
	cli_parse(&cli, argc, argv, is_worker);
	c = cli_config(&cli);
	printf("running %s %zu%s\n", c->worker.name, c->sip.listen_count, cli.ping ? " ping" : "");
	config_destroy(c);
	fflush(stdout);
	_exit(0);
}

/* The exit code; what it printed is in output. */
static int
run(bool is_worker, const char *const *args)
{
	char *argv[16] = { (char *)(uintptr_t) "prog" };
	int status = -1, fds[2];
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	for (int i = 0; args[i]; i++)
		argv[i + 1] = (char *)(uintptr_t)args[i];
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child(is_worker, argv, fds[1]);
	close(fds[1]);
	while ((n = read(fds[0], output + len, sizeof(output) - 1 - len)) > 0)
		len += (size_t)n;
	output[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NONE      ((const char *const[]){ NULL })

static void
assert_says(const char *what)
{
	if (!strstr(output, what))
		fail_msg("\"%s\" is not in: %s", what, output);
}

static void
test_help_and_version(void **state)
{
	(void)state;
	assert_int_equal(run(false, ARGS("--help")), 0);
	assert_says("api-server");
	assert_null(strstr(output, "--sip-listen"));
	assert_int_equal(run(true, ARGS("--help")), 0);
	assert_says("--sip-listen");
	assert_says("--ping");
	assert_int_equal(run(true, ARGS("--version")), 0);
	assert_string_equal(output, "handback " HANDBACK_VERSION "\n");
}

static void
test_mistakes(void **state)
{
	(void)state;
	assert_int_equal(run(true, ARGS("--nonsense")), 2);
	assert_int_equal(run(true, ARGS("extra")), 2);
	assert_says("unexpected argument");
	assert_int_equal(run(false, ARGS("--ping")), 2);
	assert_says("sip-worker's");
	assert_int_equal(run(true, ARGS("--config", "nowhere.yaml")), 2);
	assert_says("nowhere.yaml: No such file or directory");
	assert_int_equal(run(true, ARGS("--sip-listen", "ftp:1.2.3.4:5")), 2);
	assert_says(
		"--sip-listen: expected udp:HOST:PORT or tcp:HOST:PORT, found \"ftp:1.2.3.4:5\"");
	assert_int_equal(run(true, ARGS("--name", "a b")), 2);
	assert_says("--name: expected 1 to 63 characters");
}

static void
test_overrides(void **state)
{
	(void)state;
	assert_int_equal(run(true, ARGS("--name", "w7", "--sip-listen", "udp:127.0.0.1:5070")), 0);
	assert_string_equal(output, "running w7 1\n");
	assert_int_equal(run(true, ARGS("--sip-listen", "udp:127.0.0.1:5070", "--sip-listen",
					"tcp:[::1]:5071", "--name=w8", "--ping")),
			 0);
	assert_string_equal(output, "running w8 2 ping\n");
	assert_int_equal(run(false, NONE), 0);
	assert_says("running ");
}

static void
test_check_and_print(void **state)
{
	char path[96];
	int fd;

	(void)state;
	assert_int_equal(run(false, ARGS("--check-config")), 0);
	assert_says("built-in defaults: ok, 1 account(s), 1 agent(s)");
	assert_says("warning: account demo");
	assert_int_equal(run(false, ARGS("--print-config")), 0);
	assert_says("realm: \"handback\"");
	assert_null(strstr(output, "demo-secret"));

	/* ./handback.yaml is found, and its mistake named. */
	str_print(path, sizeof(path), "%s/handback.yaml", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "api:\n  lissten: x\n", 18), 18);
	close(fd);
	assert_int_equal(run(false, ARGS("--check-config")), 2);
	assert_says("handback.yaml:2: unknown key \"api.lissten\"");
	unlink(path);
}

static int
setup(void **state)
{
	(void)state;
	tmpdir_make(dir, sizeof(dir));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	tmpdir_remove(dir);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_overrides),
		cmocka_unit_test(test_check_and_print),
	};

	if (!id_init())
		return 1;
	return cmocka_run_group_tests(tests, setup, teardown);
}
