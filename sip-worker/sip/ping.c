/* --ping: one OPTIONS by a plain socket, for health checks. */
#include "sip-worker/sip/sip.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/id.h"
#include "sip-worker/sip/tls.h"

#define PING_MS   2000
#define RESEND_MS 500

static int
open_socket(const struct addr *to, bool stream, struct addr *own)
{
	socklen_t len = sizeof *own;
	int fd = socket(addr_family(to), (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* From that address to itself, so that the worker knows whose question it is; one that
	 * cannot be bound is left to the kernel. */
	*own = *to;
	addr_set_port(own, 0);
	ignore_err(bind(fd, &own->sa, addr_len(own)) == 0 ? ERR_OK : ERR_IO);
	*own = (struct addr){ 0 };
	if (connect(fd, &to->sa, addr_len(to)) != 0 || getsockname(fd, &own->sa, &len) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool
write_request(char *out, size_t size, const struct addr *to, const struct addr *own,
	      const char *transport)
{
	char to_text[ADDR_TEXT_SIZE], own_text[ADDR_TEXT_SIZE], token[ID_TOKEN_SIZE];

	addr_text(to, to_text);
	addr_text(own, own_text);
	id_token(token);
	return str_print(out, size,
			 "OPTIONS sip:%s SIP/2.0\r\n"
			 "Via: SIP/2.0/%s %s;rport;branch=z9hG4bK%s\r\n"
			 "Max-Forwards: 1\r\n"
			 "From: <sip:ping@%s>;tag=%.8s\r\n"
			 "To: <sip:%s>\r\n"
			 "Call-ID: %s\r\n"
			 "CSeq: 1 OPTIONS\r\n"
			 "Content-Length: 0\r\n\r\n",
			 to_text, transport, own_text, token, own_text, token, to_text, token);
}

/* 1: a 200 came, 0: another final answer, -1: nothing yet. */
static int
read_answer(int fd)
{
	char text[2048];
	ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);

	if (n <= 0)
		return -1;
	text[n] = '\0';
	if (!str_starts(text, "SIP/2.0 ") || text[8] == '1')
		return -1;
	return str_starts(text + 8, "200 ");
}

static int
ask(int fd, const char *request, bool stream)
{
	int64_t end = clock_mono_ms() + PING_MS, now, resend = 0;

	while ((now = clock_mono_ms()) < end) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t until;
		int answer;

		if (now >= resend) {
			if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 && stream)
				return 1;
			resend = stream ? end : now + RESEND_MS;
		}
		until = resend < end ? resend : end;
		if (poll(&p, 1, (int)(until - now)) <= 0)
			continue;
		answer = read_answer(fd);
		if (answer >= 0)
			return answer ? 0 : 1;
		/* A closed stream stays readable. */
		if (stream && !(p.revents & POLLIN))
			return 1;
	}
	return 1;
}

static void
loopback_if_any(struct addr *a)
{
	uint16_t port = addr_port(a);

	if (addr_is_any(a) &&
	    !addr_parse(addr_family(a) == AF_INET6 ? "::1" : "127.0.0.1", port, a))
		addr_set_port(a, port);
}

/* What needs no handshake comes first. */
static const struct sip_listen *
listener_to_ask(const struct config *cfg)
{
	for (size_t i = 0; i < cfg->sip.listen_count; i++)
		if (cfg->sip.listen[i].transport != SIP_TLS)
			return &cfg->sip.listen[i];
	return cfg->sip.listen_count ? &cfg->sip.listen[0] : NULL;
}

static int
ask_tls(const struct config *cfg, int fd, const char *request)
{
	const struct timeval wait = { .tv_sec = PING_MS / 1000 };
	char answer[2048];
	sigset_t pipe;

	/* OpenSSL writes without MSG_NOSIGNAL. */
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigprocmask(SIG_BLOCK, &pipe, NULL);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0 ||
	    !tls_ask(cfg, fd, request, answer, sizeof answer))
		return 1;
	return str_starts(answer, "SIP/2.0 200 ") ? 0 : 1;
}

int
sip_ping(const struct config *cfg)
{
	static const char *const names[] = {
		[SIP_UDP] = "UDP",
		[SIP_TCP] = "TCP",
		[SIP_TLS] = "TLS",
	};
	const struct sip_listen *l = listener_to_ask(cfg);
	struct addr to, own;
	char request[1024];
	bool stream;
	int fd, result = 1;

	if (!l)
		return 1;
	to = l->addr;
	stream = l->transport != SIP_UDP;
	loopback_if_any(&to);
	fd = open_socket(&to, stream, &own);
	if (fd < 0)
		return 1;
	if (write_request(request, sizeof request, &to, &own, names[l->transport]))
		result = l->transport == SIP_TLS ? ask_tls(cfg, fd, request)
						 : ask(fd, request, stream);
	close(fd);
	return result;
}
