/* mhd_floor.c - the smallest libmicrohttpd server that answers what api-server answers: reads a
 * POST's body, returns a fixed transfer for POST and GET.  One epoll thread, no key, no store:
 * what HTTP itself costs, and so the floor under our figures.
 *
 * usage: mhd_floor ADDRESS PORT   (IPv4; ends on SIGTERM) */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MAX 1000
#define BODY_MAX        (1u << 20)

static char reply[] =
	"{\"id\":\"0867617078-0032318833-2221801472-0002236962\","
	"\"externalConversationId\":\"0867617078-0032318833-2221801472-0002236962\","
	"\"status\":\"ACTIVE\",\"type\":\"SIP\",\"sip\":{\"returnTransferType\":\"BYE\"},"
	"\"inputContext\":{\"taskName\":\"call_routing\",\"inputVariables\":{\"name\":\"John "
	"Doe\"}},"
	"\"createdAt\":\"2025-01-15T13:06:00Z\"}";

struct request {
	size_t body;
};

static enum MHD_Result
answer(struct MHD_Connection *connection)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(strlen(reply), reply,
									MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result = MHD_NO;

	if (response) {
		(void)MHD_add_response_header(response, "Content-Type", "application/json");
		result = MHD_queue_response(connection, MHD_HTTP_OK, response);
		MHD_destroy_response(response);
	}
	return result;
}

/* libmicrohttpd sets the signature. */
static enum MHD_Result
on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
	   const char *version, const char *data, size_t *size, void **state)
{
	struct request *r = *state;

	(void)cls;
	(void)url;
	(void)method;
	(void)version;
	(void)data;
	if (!r) {
		*state = calloc(1, sizeof *r);
		return *state ? MHD_YES : MHD_NO;
	}
	r->body += *size;
	if (r->body > BODY_MAX)
		return MHD_NO;
	if (*size == 0)
		return answer(connection);
	*size = 0;
	return MHD_YES;
}

static void
on_done(void *cls, struct MHD_Connection *connection, void **state,
	enum MHD_RequestTerminationCode why)
{
	(void)cls;
	(void)connection;
	(void)why;
	free(*state);
	*state = NULL;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct MHD_Daemon *daemon;
	char *end;
	long port;
	sigset_t set;
	int number;

	if (argc != 3 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1) {
		fprintf(stderr, "usage: mhd_floor ADDRESS PORT\n");
		return 2;
	}
	port = strtol(argv[2], &end, 10);
	if (*end || port < 1 || port > 65535)
		return 2;
	at.sin_port = htons((uint16_t)port);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL,
				  on_request, NULL, MHD_OPTION_SOCK_ADDR, &at,
				  MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL,
				  MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_END);
	if (!daemon) {
		perror("mhd_floor");
		return 1;
	}
	fprintf(stderr, "event=ready\n");
	sigwait(&set, &number);
	MHD_stop_daemon(daemon);
	return 0;
}
