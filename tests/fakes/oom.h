/* oom.h - fails each allocation in turn: "if it is not tested failing, it does not work".
 *
 * Include it in exactly one .c file of a test binary (it defines malloc and its kin there, which
 * then serve the whole process, libraries too) and call
 *
 *	static bool make_one(void *arg)      // true: did its work; false: reported "no memory"
 *	{
 *		struct map *m = map_create();
 *		bool ok = m && map_put(m, "key", arg);
 *		map_destroy(m);
 *		return ok;
 *	}
 *	…
 *	assert_true(oom_run(make_one, &x) > 0);
 *
 * oom_run() calls fn once undisturbed (it must pass, and may fill caches), then with the 1st, 2nd,
 * 3rd … allocation of this thread failing, first that one alone, then that one and all after it,
 * until fn gets through without meeting a failure.  fn must pass whenever none was met, must leave
 * nothing behind, and must not crash: run it under SAN=address,undefined, where what it leaks is
 * reported at exit.  fn may pass despite a failure (a table that did not widen).  No cmocka
 * assertion inside fn: it would jump out of an armed run; return false and check outside.
 * Returns the number of allocations that were failed, -1 if fn broke a rule (told on stderr).
 * Other threads are never disturbed.  Works with gcc and clang, plain and under sanitizers. */
#ifndef TESTS_FAKES_OOM_H
#define TESTS_FAKES_OOM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int oom_run(bool (*fn)(void *arg), void *arg);

/* For tests that walk by themselves: from now on the n-th allocation of this thread fails (and
 * all after it with `onwards`); oom_stop() says whether one did. */
void oom_fail(unsigned n, bool onwards);
bool oom_stop(void);

/* The thread sanitizer is not there yet when the first allocations come. */
#define OOM_PLAIN __attribute__((no_sanitize("thread")))

/* Is it this allocation's turn to fail? */
bool oom_turn(void);

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OOM_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OOM_SANITIZED 1
#endif

#ifdef OOM_SANITIZED
#define OOM_REAL(name) __interceptor_##name
#else
#define OOM_REAL(name) __libc_##name
#endif

void *OOM_REAL(malloc)(size_t size);
void *OOM_REAL(calloc)(size_t n, size_t size);
void *OOM_REAL(realloc)(void *p, size_t size);
#ifdef OOM_SANITIZED
void *OOM_REAL(aligned_alloc)(size_t align, size_t size);
#else
void *__libc_memalign(size_t align, size_t size);
#endif

OOM_PLAIN void *
malloc(size_t size)
{
	return oom_turn() ? NULL : OOM_REAL(malloc)(size);
}

OOM_PLAIN void *
calloc(size_t n, size_t size)
{
	return oom_turn() ? NULL : OOM_REAL(calloc)(n, size);
}

OOM_PLAIN void *
realloc(void *p, size_t size)
{
	return oom_turn() ? NULL : OOM_REAL(realloc)(p, size);
}

OOM_PLAIN void *
aligned_alloc(size_t align, size_t size)
{
	if (oom_turn())
		return NULL;
#ifdef OOM_SANITIZED
	return OOM_REAL(aligned_alloc)(align, size);
#else
	return __libc_memalign(align, size);
#endif
}

/* The sanitizers have their own of these two, which would not pass through malloc above. */
OOM_PLAIN char *
strndup(const char *s, size_t max)
{
	size_t len = strnlen(s, max);
	char *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

OOM_PLAIN char *
strdup(const char *s)
{
	return strndup(s, strlen(s));
}

#endif
