/* rtp_load - the far side of N calls: sends 20 ms of G.711 on each and measures what comes back.
 *
 *   rtp_load calls=400 host=127.0.0.2 port=36000 to=127.0.0.1 to_port=36000 seconds=8
 *
 * Call i is at port + i and sends to to_port + 2i until it hears from another port; then there.
 * to_port=0: it waits to hear first.  srtp=80 or srtp=32: encrypted.  One line of JSON: spacing of what arrives (kernel time
 * stamps) and, with echo=1, the delay of its own audio coming back, sample by sample. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "tests/bench/sip-worker/bench.h"

#define PACKET 172
#define ROOM   (PACKET + SRTP_TRAILER)
#define READY  256
#define BINS   20000 /* of 10 microseconds: 200 ms */
#define BIN_US 10

/* Payload bytes that name a packet: 1..100, none of which is silence or near it. */
#define MARKS 100

struct call {
	int fd;
	struct addr to;
	bool known;
	uint16_t seq;
	uint32_t ts;
	int64_t last_ns;        /* kernel time of the last packet heard */
	int64_t sent_ns[MARKS]; /* when the packet with this mark left */
	uint8_t heard_mark;     /* last mark that came back */
	struct srtp_session *srtp;
};

struct histogram {
	uint64_t bin[BINS], count;
};

struct load {
	int epoll, calls;
	bool echo;
	struct call *call;
	int64_t measure_from;
	uint64_t sent, received;
	struct histogram spacing, delay;
};

static void
histogram_add(struct histogram *h, int64_t us)
{
	int64_t i = us / BIN_US;

	h->bin[i < 0 ? 0 : i >= BINS ? BINS - 1 : i]++;
	h->count++;
}

static double
histogram_at(const struct histogram *h, double share)
{
	uint64_t need = (uint64_t)((double)h->count * share), sum = 0;

	for (int i = 0; i < BINS; i++) {
		sum += h->bin[i];
		if (sum > need)
			return i * BIN_US / 1000.0;
	}
	return 0;
}

static int64_t
wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t); /* the clock of SO_TIMESTAMPNS */
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void
load_encrypt(struct load *l, const struct srtp_key *key)
{
	for (int i = 0; i < l->calls; i++) {
		struct srtp_session *s = srtp_session_create();

		if (!s)
			exit(1);
		srtp_session_send_key(s, key);
		srtp_session_hear_key(s, key);
		l->call[i].srtp = s;
	}
}

static void
load_open(struct load *l, const char *host, int64_t port, const char *to, int64_t to_port)
{
	int one = 1;

	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->call = calloc((size_t)l->calls, sizeof(*l->call));
	if (l->epoll < 0 || !l->call)
		exit(1);
	for (int i = 0; i < l->calls; i++) {
		struct addr a = bench_addr(host, port + i);
		struct call *c = &l->call[i];
		struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)i };

		c->fd = socket(addr_family(&a), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (c->fd < 0 || bind(c->fd, &a.sa, addr_len(&a)) != 0 ||
		    setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) != 0 ||
		    epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0) {
			perror("rtp_load: socket");
			exit(1);
		}
		if (to_port > 0) {
			c->to = bench_addr(to, to_port + 2 * i);
			c->known = true;
		}
	}
}

static void
call_send(struct load *l, struct call *c)
{
	uint8_t data[ROOM] = { 0x80, 0 };
	size_t len = PACKET;
	uint8_t mark = (uint8_t)(c->seq % MARKS);

	if (!c->known)
		return;
	data[2] = (uint8_t)(c->seq >> 8);
	data[3] = (uint8_t)c->seq;
	data[4] = (uint8_t)(c->ts >> 24);
	data[5] = (uint8_t)(c->ts >> 16);
	data[6] = (uint8_t)(c->ts >> 8);
	data[7] = (uint8_t)c->ts;
	memcpy(data + 8, &c->fd, 4); /* SSRC: any */
	memset(data + 12, mark + 1, PACKET - 12);
	if (srtp_session_sends(c->srtp))
		len = srtp_session_seal_rtp(c->srtp, data, len);
	c->sent_ns[mark] = wall_ns();
	l->sent += sendto(c->fd, data, len, MSG_NOSIGNAL, &c->to.sa, addr_len(&c->to)) > 0;
	c->seq++;
	c->ts += 160;
}

/* Where in the payload does the audio of another packet of ours begin? */
static void
call_delay(struct load *l, struct call *c, const uint8_t *payload, size_t len, int64_t ns)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t mark = payload[i];

		if (mark == 0 || mark > MARKS || mark == c->heard_mark)
			continue;
		c->heard_mark = mark;
		if (ns >= l->measure_from && c->sent_ns[mark - 1] != 0)
			histogram_add(&l->delay,
				      (ns - c->sent_ns[mark - 1]) / 1000 + (int64_t)i * 125);
	}
}

static int64_t
message_time(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct timespec t;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		return t.tv_sec * 1000000000LL + t.tv_nsec;
	}
	return wall_ns();
}

static void
call_recv(struct load *l, struct call *c)
{
	uint8_t data[1600];
	struct addr from;
	_Alignas(struct cmsghdr) char control[128];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = { .msg_name = &from,
			    .msg_namelen = sizeof(from),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(c->fd, &m, 0);
	size_t len = n > 0 ? (size_t)n : 0;
	int64_t ns;

	if (n < 12 || (data[1] >= 192 && data[1] <= 223))
		return;
	ns = message_time(&m);
	c->to = from;
	c->known = true;
	if (ns >= l->measure_from) {
		l->received++;
		if (c->last_ns >= l->measure_from)
			histogram_add(&l->spacing, (ns - c->last_ns) / 1000);
	}
	c->last_ns = ns;
	if (!l->echo || (srtp_session_hears(c->srtp) &&
			 srtp_session_open_rtp(c->srtp, data, &len) != SRTP_TAKE))
		return;
	call_delay(l, c, data + 12, len - 12, ns);
}

static void
load_recv(struct load *l)
{
	struct epoll_event ready[READY];
	int n;

	do {
		n = epoll_wait(l->epoll, ready, READY, 0);
		for (int i = 0; i < n; i++)
			call_recv(l, &l->call[ready[i].data.u32]);
	} while (n == READY);
}

static void
print_figures(const char *name, const struct histogram *h)
{
	printf(",\"%s_ms\":{\"count\":%llu,\"p1\":%.2f,\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f}",
	       name, (unsigned long long)h->count, histogram_at(h, 0.01), histogram_at(h, 0.5),
	       histogram_at(h, 0.99), histogram_at(h, 0.999));
}

int
main(int argc, char **argv)
{
	static struct load l;
	int64_t seconds = bench_number(argc, argv, "seconds", 8);
	const char *host = bench_text(argc, argv, "host");
	const char *to = bench_text(argc, argv, "to");
	struct srtp_key key;
	int64_t next, end;

	l.echo = bench_number(argc, argv, "echo", 0);
	l.calls = (int)bench_number(argc, argv, "calls", 400);
	bench_raise_files();
	bench_priority();
	prctl(PR_SET_TIMERSLACK, 1000UL);
	load_open(&l, host ? host : "127.0.0.2", bench_number(argc, argv, "port", 36000),
		  to ? to : "127.0.0.1", bench_number(argc, argv, "to_port", 36000));
	key = bench_key(argc, argv);
	load_encrypt(&l, &key);
	next = clock_mono_ns();
	end = next + seconds * 1000000000;
	l.measure_from = wall_ns() + 1500000000;
	/* Calls are spread over 20 turns of a millisecond. */
	for (int turn = 0; next < end; turn = (turn + 1) % 20, next += 1000000) {
		bench_sleep_until(next);
		for (int i = turn; i < l.calls; i += 20)
			call_send(&l, &l.call[i]);
		if (turn % 5 == 4)
			load_recv(&l);
	}
	printf("{\"program\":\"rtp_load\",\"calls\":%d,\"sent\":%llu,\"received\":%llu", l.calls,
	       (unsigned long long)l.sent, (unsigned long long)l.received);
	print_figures("spacing", &l.spacing);
	if (l.echo)
		print_figures("delay", &l.delay);
	printf("}\n");
	return 0;
}
