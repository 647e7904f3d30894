#include "tests/fakes/tmpdir.h"

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/str.h"

void
tmpdir_make(char *out, size_t size)
{
	bool fits = str_copy(out, size, "/tmp/handback-XXXXXX");

	assert(fits);
	if (!mkdtemp(out))
		abort();
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

void
tmpdir_remove(const char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
