#include "sip-worker/sip/challenge.h"

#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>

#include "common/id.h"

#define CHALLENGE_TEXT_MAX 4096

static bool
parse(const msg_auth_t *au, struct digest_challenge *out)
{
	struct buf b;
	bool ok;

	if (!str_eq_nocase(au->au_scheme, "Digest"))
		return false;
	buf_init(&b, CHALLENGE_TEXT_MAX);
	for (size_t i = 0; au->au_params && au->au_params[i]; i++) {
		buf_add_str(&b, i ? ", " : "");
		buf_add_str(&b, au->au_params[i]);
	}
	ok = !b.failed && b.len && digest_challenge_parse(b.data, out);
	buf_finish(&b);
	return ok;
}

bool
challenge_find(const sip_t *reply, const struct digest_login *login, struct digest_challenge *out)
{
	const msg_auth_t *au = reply->sip_status->st_status == 407 ? reply->sip_proxy_authenticate
								   : reply->sip_www_authenticate;

	for (; au; au = au->au_next)
		if (parse(au, out) && digest_login_fits(login, out))
			return true;
	return false;
}

bool
challenge_answer(msg_t *request, int status, const struct digest_challenge *c,
		 const struct digest_login *login, uint32_t nc)
{
	su_home_t *home = msg_home(request);
	sip_t *sip = sip_object(request);
	char cnonce[ID_TOKEN_SIZE];
	struct digest_use use = {
		.method = sip->sip_request->rq_method_name,
		.uri = url_as_string(home, sip->sip_request->rq_url),
		.cnonce = id_token(cnonce),
		.nc = nc,
	};
	sip_header_t *header = NULL;
	struct buf b;

	if (!use.uri)
		return false;
	buf_init(&b, DIGEST_ANSWER_MAX);
	digest_answer(&b, c, login, &use);
	if (!b.failed)
		header = status == 407 ? (sip_header_t *)sip_proxy_authorization_make(home, b.data)
				       : (sip_header_t *)sip_authorization_make(home, b.data);
	buf_finish(&b);
	return header && msg_header_insert(request, (msg_pub_t *)sip, (msg_header_t *)header) >= 0;
}
