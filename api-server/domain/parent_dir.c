#include "api-server/domain/parent_dir.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "common/str.h"

bool
parent_dir_make(const char *path, struct fault *f)
{
	char dir[PATH_MAX];

	if (!str_copy(dir, sizeof(dir), path)) {
		fault_set(f, "", "path is too long");
		return false;
	}
	for (char *p = strchr(dir + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(dir, 0750) != 0 && errno != EEXIST) {
			fault_set(f, "", "%.200s: %s", dir, strerror(errno));
			return false;
		}
		*p = '/';
	}
	return true;
}
