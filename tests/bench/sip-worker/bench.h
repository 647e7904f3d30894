/* bench.h - what the media benchmarks share: options NAME=NUMBER and CPU time. */
#ifndef TESTS_BENCH_SIP_WORKER_BENCH_H
#define TESTS_BENCH_SIP_WORKER_BENCH_H

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "common/addr.h"
#include "common/clock.h"
#include "common/str.h"
#include "sip-worker/media/srtp.h"

#define BENCH_TICK_NS 5000000

/* The argument "name=…" or NULL. */
static inline const char *
bench_text(int argc, char **argv, const char *name)
{
	size_t len = strlen(name);

	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=')
			return argv[i] + len + 1;
	return NULL;
}

static inline int64_t
bench_number(int argc, char **argv, const char *name, int64_t fallback)
{
	const char *text = bench_text(argc, argv, name);
	int64_t n = fallback;

	if (text && !str_to_int64(text, 0, 1000000, &n)) {
		fprintf(stderr, "%s: %s is not a number\n", argv[0], name);
		exit(2);
	}
	return n;
}

static inline struct addr
bench_addr(const char *host, int64_t port)
{
	struct addr a;

	if (!addr_parse(host, (uint16_t)port, &a)) {
		fprintf(stderr, "%s is not an address\n", host);
		exit(2);
	}
	return a;
}

/* srtp=80 or srtp=32: a key that all sides of a benchmark know; else none. */
static inline struct srtp_key
bench_key(int argc, char **argv)
{
	int64_t tag = bench_number(argc, argv, "srtp", 0);
	struct srtp_key k = { .suite = tag == 80   ? SRTP_SUITE_80
				       : tag == 32 ? SRTP_SUITE_32
						   : SRTP_SUITE_NONE };

	memset(k.material, 7, k.suite ? sizeof(k.material) : 0);
	return k;
}

/* User and system time of this process, microseconds. */
static inline int64_t
bench_cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

static inline void
bench_sleep_until(int64_t ns)
{
	struct timespec at = { ns / 1000000000, ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
		;
}

/* The class the engine's threads ask for, so that floor, load and engine are measured alike. */
static inline void
bench_priority(void)
{
	struct sched_param lowest = { .sched_priority = 1 };

	sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest);
}

/* Room for two sockets a call. */
static inline void
bench_raise_files(void)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

#endif
