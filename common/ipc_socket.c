/* Where the control link's descriptors come from. */
#include "common/ipc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/str.h"

#define BACKLOG 128

static int
new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static bool
fill(struct sockaddr_un *sun, const char *path)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (*path != '\0' && str_copy(sun->sun_path, sizeof(sun->sun_path), path))
		return true;
	errno = ENAMETOOLONG;
	return false;
}

int
ipc_connect(const char *path)
{
	struct sockaddr_un sun;
	int fd, saved;

	if (!fill(&sun, path))
		return -1;
	fd = new_socket();
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* A socket file that nobody listens on is left from a killed process; anything else stays. */
static bool
remove_stale(const char *path, struct fault *f)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) != 0)
		return true; /* bind() says what is wrong */
	if (!S_ISSOCK(st.st_mode)) {
		fault_set(f, path, "exists and is not a socket");
		return false;
	}
	fd = ipc_connect(path);
	if (fd >= 0 || errno != ECONNREFUSED) {
		if (fd >= 0)
			close(fd);
		fault_set(f, path, "another process listens there");
		return false;
	}
	if (unlink(path) == 0)
		return true;
	fault_set(f, path, "cannot remove the stale socket: %s", strerror(errno));
	return false;
}

/* One level, for a first start with a relative path; bind() says so if it did not help. */
static void
make_folder(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	if (!str_copy(folder, sizeof(folder), path))
		return;
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return;
	*slash = '\0';
	(void)!mkdir(folder, 0750);
}

int
ipc_listen(const char *path, struct fault *f)
{
	struct sockaddr_un sun;
	int fd;

	if (!fill(&sun, path)) {
		fault_set(f, path, "path is empty or longer than %zu bytes",
			  sizeof(sun.sun_path) - 1);
		return -1;
	}
	make_folder(path);
	if (!remove_stale(path, f))
		return -1;
	fd = new_socket();
	if (fd < 0) {
		fault_set(f, path, "socket: %s", strerror(errno));
		return -1;
	}
	/* Nobody but us from the first moment, the group once it is ours to open. */
	if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0) {
		fault_set(f, path, "bind: %s", strerror(errno));
		close(fd);
		return -1;
	}
	if (chmod(path, 0660) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	fault_set(f, path, "listen: %s", strerror(errno));
	(void)unlink(path);
	close(fd);
	return -1;
}

int
ipc_accept(int listen_fd)
{
	int fd;

	do
		fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd;
}
