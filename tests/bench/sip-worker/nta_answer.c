/* nta_answer - the floor under sip_answer: the library alone answers every INVITE with the same
 * 100 and 200 and every BYE with 200, and looks at nothing.
 *
 *   nta_answer HOST:PORT */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sofia-sip/su_wait.h>

#define NTA_INCOMING_MAGIC_T void
#include <sofia-sip/nta.h>
#include <sofia-sip/nta_stateless.h>
#include <sofia-sip/nta_tag.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/tport_tag.h>

static volatile sig_atomic_t stopping;
static sip_contact_t *contact;
static sip_content_type_t *content_type;
static sip_payload_t *payload;
static const char sdp[] =
	"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
	"m=audio 30000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
	"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
	"a=sendrecv\r\n";

static void
on_signal(int signo)
{
	(void)signo;
	stopping = 1;
}

static int
on_ack(void *magic, nta_incoming_t *irq, const sip_t *sip)
{
	(void)magic;
	(void)sip;
	nta_incoming_destroy(irq);
	return 0;
}

static int
on_message(nta_agent_magic_t *magic, nta_agent_t *agent, msg_t *msg, sip_t *sip)
{
	nta_incoming_t *irq;

	(void)magic;
	if (!sip->sip_request || sip->sip_request->rq_method == sip_method_ack) {
		nta_msg_discard(agent, msg);
		return 0;
	}
	irq = nta_incoming_create(agent, NULL, msg, sip, TAG_END());
	if (sip->sip_request->rq_method != sip_method_invite) {
		nta_incoming_treply(irq, SIP_200_OK, TAG_END());
		nta_incoming_destroy(irq);
		return 0;
	}
	nta_incoming_bind(irq, on_ack, NULL);
	nta_incoming_treply(irq, SIP_100_TRYING, TAG_END());
	nta_incoming_treply(irq, SIP_200_OK, SIPTAG_CONTACT(contact),
			    SIPTAG_CONTENT_TYPE(content_type), SIPTAG_PAYLOAD(payload), TAG_END());
	return 0;
}

int
main(int argc, char **argv)
{
	su_home_t home[1] = { SU_HOME_INIT(home) };
	struct sigaction sa = { .sa_handler = on_signal };
	char url[128];
	su_root_t *root;
	nta_agent_t *agent;

	if (argc != 2 || strlen(argv[1]) > 64) {
		fprintf(stderr, "usage: nta_answer HOST:PORT\n");
		return 2;
	}
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	su_init();
	su_home_init(home);
	snprintf(url, sizeof url, "sip:%s;transport=udp", argv[1]);
	contact = sip_contact_format(home, "<sip:%s>", argv[1]);
	content_type = sip_content_type_make(home, "application/sdp");
	payload = sip_payload_make(home, sdp);
	root = su_root_create(NULL);
	su_root_threading(root, 0);
	agent = nta_agent_create(root, URL_STRING_MAKE(url), on_message, NULL, NTATAG_UA(1),
				 NTATAG_UDP_MTU(65535), TPTAG_STUN_SERVER(0),
				 TPTAG_UDP_RMEM(4194304), TPTAG_UDP_WMEM(4194304), TAG_END());
	if (!agent) {
		fprintf(stderr, "nta_answer: cannot bind %s\n", url);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	while (!stopping)
		su_root_step(root, 1000);
	nta_agent_destroy(agent);
	su_root_destroy(root);
	su_home_deinit(home);
	return 0;
}
