/* The counting half of oom.h; it does not include it, since that defines malloc. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

bool oom_turn(void);
void oom_fail(unsigned n, bool onwards);
bool oom_stop(void);
int oom_run(bool (*fn)(void *arg), void *arg);

#define RUNS_MAX 20000u

static _Thread_local struct {
	unsigned left; /* allocations until the one that fails; 0: not armed, or all fail */
	bool armed, onwards, failed;
} plan;

/* Uninstrumented, as oom.h says. */
__attribute__((no_sanitize("thread"))) bool
oom_turn(void)
{
	if (!plan.armed)
		return false;
	if (plan.left > 1) {
		plan.left--;
		return false;
	}
	plan.failed = true;
	plan.armed = plan.onwards;
	errno = ENOMEM;
	return true;
}

void
oom_fail(unsigned n, bool onwards)
{
	plan.left = n;
	plan.onwards = onwards;
	plan.failed = false;
	plan.armed = true;
}

bool
oom_stop(void)
{
	plan.armed = false;
	return plan.failed;
}

static int
walk(bool (*fn)(void *arg), void *arg, bool onwards)
{
	for (unsigned n = 1; n < RUNS_MAX; n++) {
		bool passed, failed;

		oom_fail(n, onwards);
		passed = fn(arg);
		failed = oom_stop();
		if (failed)
			continue;
		if (passed)
			return (int)n - 1;
		fprintf(stderr, "oom: reported no memory though allocation %u succeeded\n", n);
		return -1;
	}
	fprintf(stderr, "oom: no end after %u allocations\n", RUNS_MAX);
	return -1;
}

int
oom_run(bool (*fn)(void *arg), void *arg)
{
	int one, all;

	if (!fn(arg)) {
		fprintf(stderr, "oom: fails with all the memory it wants\n");
		return -1;
	}
	one = walk(fn, arg, false);
	all = one < 0 ? -1 : walk(fn, arg, true);
	return all < 0 ? -1 : one + all;
}
