/* parent_dir.h - the folders above a file that is about to be made. */
#ifndef API_SERVER_DOMAIN_PARENT_DIR_H
#define API_SERVER_DOMAIN_PARENT_DIR_H

#include "common/base.h"
#include "common/err.h"

/* Makes what is missing with mode 0750; f names the folder that could not be made. */
MUST_USE bool parent_dir_make(const char *path, struct fault *f);

#endif
