/* Challenges to our INVITE: credentials are for this leg alone, once per nonce, and the realm that
 * asked first is the only one that gets them. */
#include <string.h>

#include "sip-worker/sip/dialling.h"

#define TIMES_MAX 2 /* the second only if the nonce was too old */

static struct dial_login *
login_for(struct dialling *d, int status)
{
	return &d->logins[status == 407];
}

static struct digest_login
credentials(const struct dialling *d, const struct dial_login *l)
{
	return (struct digest_login){
		.realm = d->realm && d->realm[0] ? d->realm : l->realm,
		.username = d->username,
		.password = d->password.text,
	};
}

bool
dial_challenged(struct dialling *d, const sip_t *reply)
{
	struct dial_login *l = login_for(d, reply->sip_status->st_status);
	const struct digest_login login = credentials(d, l);
	struct digest_challenge c;

	if (!d->username || !d->password.text || l->times == TIMES_MAX ||
	    !challenge_find(reply, &login, &c))
		return false;
	if (l->times > 0 && (!c.stale || strcmp(c.nonce, l->challenge.nonce) == 0))
		return false;
	l->challenge = c;
	l->count = 0;
	l->times++;
	str_copy(l->realm, sizeof l->realm, c.realm);
	return true;
}

bool
dial_add_logins(struct dialling *d, msg_t *request)
{
	for (int status = 401; status <= 407; status += 6) {
		struct dial_login *l = login_for(d, status);
		const struct digest_login login = credentials(d, l);

		if (l->times > 0 &&
		    !challenge_answer(request, status, &l->challenge, &login, ++l->count))
			return false;
	}
	return true;
}
