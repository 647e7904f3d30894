/* tmpdir.h - a folder for one test. */
#ifndef TESTS_FAKES_TMPDIR_H
#define TESTS_FAKES_TMPDIR_H

#include <stddef.h>

/* Makes /tmp/handback-XXXXXX; asserts on failure. */
void tmpdir_make(char *out, size_t size);
/* With everything in it. */
void tmpdir_remove(const char *dir);

#endif
