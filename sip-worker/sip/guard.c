/* What stands between the network and the library: address list, rate and connection limits
 * before a message is parsed or a connection exists.
 *
 * The library takes datagrams with recvmsg() and connections with accept(), both by way of the
 * dynamic symbol table, so the functions of these names in the program are the ones it calls.
 * For every descriptor that is not a listener of ours they are the system calls they seem. */
#include "sip-worker/sip/internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FD_SCAN_MAX     4096 /* listeners are bound early, among the first descriptors */
#define CONNECTIONS_MAX 4096
#define ACCEPT_BATCH    64
#define BACKLOG         1024
#define SWEEP_MS        1000
#define SILENT_MS       15000   /* a new connection must have said something valid by then */
#define IDLE_MS         1800000 /* and one that is used, again within this */

struct connection {
	int fd; /* the library's: only looked at, never closed here */
	struct addr peer;
	int64_t accepted_ms, alive_ms; /* alive_ms 0: never */
	bool told;                     /* shut down; the library closes it */
};

/* One stack per process: the functions below have no argument of ours. */
static struct guard {
	struct sip *s;
	int udp[SIP_LISTEN_MAX], tcp[SIP_LISTEN_MAX];
	size_t udp_count, tcp_count;
	struct connection *connections;
	size_t count, max;
	int spare; /* given up for a moment when descriptors run out */
	struct loop_timer sweep;
	struct log_limit limit;
} guard = { .spare = -1 };

static bool
covers(const int *fds, size_t count, int fd)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i] == fd)
			return true;
	return false;
}

/* --- datagrams --- */

ssize_t recvmsg(int fd, struct msghdr *msg, int flags);

ssize_t
recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, msg, flags);
	struct addr source = { 0 };

	if (n <= 0 || !covers(guard.udp, guard.udp_count, fd) || !msg->msg_name ||
	    msg->msg_namelen > sizeof source || msg->msg_iovlen == 0)
		return n;
	guard.s->work++;
	memcpy(&source, msg->msg_name, msg->msg_namelen);
	if (admission_datagram(guard.s, &source, msg->msg_iov[0].iov_base, (size_t)n))
		return n;
	/* Nothing there: the library comes back when there is more. */
	errno = EAGAIN;
	return -1;
}

/* --- connections --- */

/* Descriptors are used again: is this one still the connection it was? */
static bool
still_there(const struct connection *c)
{
	struct addr peer = { 0 };
	socklen_t len = sizeof peer;

	return getpeername(c->fd, &peer.sa, &len) == 0 && addr_equal(&peer, &c->peer);
}

static void
forget(size_t i)
{
	guard.connections[i] = guard.connections[--guard.count];
}

/* Keep-alives count too, of a connection that proved itself. */
static bool
heard_lately(const struct connection *c)
{
	struct tcp_info info;
	socklen_t len = sizeof info;

	return c->alive_ms && getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_last_data_recv < IDLE_MS;
}

static void
on_sweep(struct loop_timer *t)
{
	int64_t now = loop_now(guard.s->loop);

	for (size_t i = guard.count; i-- > 0;) {
		struct connection *c = &guard.connections[i];
		int64_t deadline = c->alive_ms ? c->alive_ms + IDLE_MS : c->accepted_ms + SILENT_MS;

		if (!still_there(c)) {
			forget(i);
		} else if (now >= deadline && !c->told && !heard_lately(c)) {
			/* The library sees the end of the stream and closes. */
			shutdown(c->fd, SHUT_RDWR);
			c->told = true;
		}
	}
	if (!loop_timer_set(guard.s->loop, t, SWEEP_MS, on_sweep))
		log_warn("sip", "sweep", "why=\"out of memory\"");
}

void
guard_alive(const struct addr *peer)
{
	guard.s->work++;
	for (size_t i = 0; i < guard.count; i++)
		if (addr_equal(&guard.connections[i].peer, peer)) {
			guard.connections[i].alive_ms = loop_now(guard.s->loop);
			return;
		}
}

static size_t
open_from(const struct addr *peer)
{
	size_t n = 0;

	for (size_t i = 0; i < guard.count; i++)
		n += addr_equal_host(&guard.connections[i].peer, peer);
	return n;
}

/* No descriptor left: take the connection with the spare one, only to close it.  Left in the
 * queue it would keep the listener ready and the loop busy. */
static void
turn_away(int listener)
{
	int fd;

	if (guard.spare < 0)
		return;
	close(guard.spare);
	fd = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	guard.spare = dup(STDERR_FILENO);
}

static bool
admit(int fd, const struct addr *peer)
{
	size_t open = open_from(peer);

	if (guard.count >= guard.max || !admission_connection(guard.s, peer, open)) {
		char text[ADDR_TEXT_SIZE];

		guard.s->stats.dropped_source++;
		if (log_allowed(&guard.limit, 5))
			log_info("sip", "connection-refused", "from=%s open=%zu",
				 addr_text(peer, text), open);
		return false;
	}
	guard.connections[guard.count++] = (struct connection){
		.fd = fd, .peer = *peer, .accepted_ms = loop_now(guard.s->loop)
	};
	return true;
}

int accept(int listener, __SOCKADDR_ARG address, socklen_t *restrict len);

int
accept(int listener, __SOCKADDR_ARG address, socklen_t *restrict len)
{
	struct sockaddr *out = address.__sockaddr__;

	if (!covers(guard.tcp, guard.tcp_count, listener))
		return (int)syscall(SYS_accept4, listener, out, len, 0);
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct addr peer = { 0 };
		socklen_t n = sizeof peer;
		int fd = (int)syscall(SYS_accept4, listener, &peer.sa, &n, SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			turn_away(listener);
			errno = EAGAIN;
		}
		if (fd < 0)
			return -1;
		guard.s->work++;
		if (admit(fd, &peer)) {
			if (out && len) {
				memcpy(out, &peer, n < *len ? n : *len);
				*len = n;
			}
			return fd;
		}
		close(fd);
	}
	errno = EAGAIN;
	return -1;
}

/* --- life --- */

static void
note_listener(const struct sip *s, int fd)
{
	struct addr bound = { 0 };
	socklen_t len = sizeof bound;
	int type = 0, listening = 0;
	socklen_t int_len = sizeof type;

	if (getsockname(fd, &bound.sa, &len) != 0 ||
	    (bound.sa.sa_family != AF_INET && bound.sa.sa_family != AF_INET6) ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &int_len) != 0)
		return;
	int_len = sizeof listening;
	if (type == SOCK_STREAM &&
	    (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_len) != 0 || !listening))
		return;
	for (size_t i = 0; i < s->listener_count; i++) {
		const struct listener *l = &s->listeners[i];

		if (!addr_equal(&l->addr, &bound) ||
		    (type == SOCK_DGRAM) != (l->transport == SIP_UDP))
			continue;
		if (type == SOCK_DGRAM) {
			guard.udp[guard.udp_count++] = fd;
		} else {
			/* The library lets 64 wait; the rest of a burst would try again in 1 s. */
			listen(fd, BACKLOG);
			guard.tcp[guard.tcp_count++] = fd;
		}
		return;
	}
}

bool
guard_create(struct sip *s, struct fault *f)
{
	struct rlimit files = { .rlim_cur = CONNECTIONS_MAX };

	assert(!guard.s);
	getrlimit(RLIMIT_NOFILE, &files);
	guard.max = files.rlim_cur / 4 < CONNECTIONS_MAX ? (size_t)files.rlim_cur / 4
							 : CONNECTIONS_MAX;
	guard.connections = calloc(guard.max, sizeof *guard.connections);
	guard.s = s;
	guard.spare = dup(STDERR_FILENO);
	for (int fd = 3; fd < FD_SCAN_MAX && guard.udp_count + guard.tcp_count < s->listener_count;
	     fd++)
		note_listener(s, fd);
	if (guard.udp_count + guard.tcp_count != s->listener_count) {
		fault_set(f, "sip.listen", "a listener has no descriptor");
		return false;
	}
	if (!guard.connections || !loop_timer_set(s->loop, &guard.sweep, SWEEP_MS, on_sweep)) {
		fault_set(f, "sip", "out of memory");
		return false;
	}
	return true;
}

void
guard_destroy(void)
{
	if (!guard.s)
		return;
	loop_timer_cancel(guard.s->loop, &guard.sweep);
	if (guard.spare >= 0)
		close(guard.spare);
	free(guard.connections);
	memset(&guard, 0, sizeof guard);
	guard.spare = -1;
}
