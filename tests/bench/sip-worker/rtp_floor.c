/* rtp_floor - the least a media server can cost: every 5 ms it reads what came at the sockets of
 * N calls and sends each packet back.  It looks at nothing.
 *
 *   rtp_floor calls=400 host=127.0.0.1 port=36000 seconds=5
 *
 * Call i listens on port + 2i.  A second after the first packet the measurement starts; one line
 * of JSON at its end.  rtp_load makes the calls. */
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "tests/bench/sip-worker/bench.h"

#define READY 256

struct floor {
	int epoll;
	bool *connected;
	int *fd;
	uint64_t in, out;
};

static int
floor_socket(const struct addr *a)
{
	int fd = socket(addr_family(a), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, &a->sa, addr_len(a)) != 0) {
		perror("rtp_floor: bind");
		exit(1);
	}
	return fd;
}

static void
floor_open(struct floor *f, int calls, const char *host, int64_t port)
{
	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	f->connected = calloc((size_t)calls, sizeof(*f->connected));
	f->fd = calloc((size_t)calls, sizeof(*f->fd));
	if (f->epoll < 0 || !f->connected || !f->fd)
		exit(1);
	for (int i = 0; i < calls; i++) {
		struct addr a = bench_addr(host, port + 2 * i);
		struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)i };

		f->fd[i] = floor_socket(&a);
		if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->fd[i], &e) != 0)
			exit(1);
	}
}

static void
floor_call(struct floor *f, uint32_t i)
{
	uint8_t data[1600];
	struct addr from;
	socklen_t len = sizeof(from);
	ssize_t n;

	if (!f->connected[i]) {
		n = recvfrom(f->fd[i], data, sizeof(data), 0, &from.sa, &len);
		if (n > 0 && connect(f->fd[i], &from.sa, len) == 0)
			f->connected[i] = true;
	} else {
		n = recv(f->fd[i], data, sizeof(data), 0);
	}
	if (n <= 0)
		return;
	f->in++;
	f->out += send(f->fd[i], data, (size_t)n, MSG_NOSIGNAL) > 0;
}

static void
floor_tick(struct floor *f)
{
	struct epoll_event ready[READY];
	int n;

	do {
		n = epoll_wait(f->epoll, ready, READY, 0);
		for (int i = 0; i < n; i++)
			floor_call(f, ready[i].data.u32);
	} while (n == READY);
}

int
main(int argc, char **argv)
{
	int calls = (int)bench_number(argc, argv, "calls", 400);
	int64_t seconds = bench_number(argc, argv, "seconds", 5);
	const char *host = bench_text(argc, argv, "host");
	struct floor f = { 0 };
	int64_t next, begin = 0, end = 0, cpu = 0, give_up;
	uint64_t in = 0, out = 0;

	bench_raise_files();
	bench_priority();
	prctl(PR_SET_TIMERSLACK, 1000UL);
	floor_open(&f, calls, host ? host : "127.0.0.1", bench_number(argc, argv, "port", 36000));
	next = clock_mono_ns();
	give_up = next + 30000000000;
	for (; end == 0 || next < end; next += BENCH_TICK_NS) {
		bench_sleep_until(next);
		floor_tick(&f);
		if (begin == 0 && f.in > 0)
			begin = next + 1000000000;
		if (begin != 0 && end == 0 && next >= begin) {
			end = next + seconds * 1000000000;
			cpu = bench_cpu_us();
			in = f.in;
			out = f.out;
		}
		if (begin == 0 && next > give_up)
			return 1;
	}
	cpu = bench_cpu_us() - cpu;
	in = f.in - in;
	out = f.out - out;
	printf("{\"program\":\"rtp_floor\",\"calls\":%d,\"seconds\":%lld,\"packets_in\":%llu,"
	       "\"packets_out\":%llu,\"cpu_us\":%lld,\"cpu_percent_per_call\":%.5f}\n",
	       calls, (long long)seconds, (unsigned long long)in, (unsigned long long)out,
	       (long long)cpu, (double)cpu / ((double)seconds * 10000.0) / calls);
	return 0;
}
