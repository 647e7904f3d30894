/* call_act.h - the actions of a call's rules, for call_fsm.c alone.  owner: struct call; arg: what the
 * event carries, NULL but for OUTCOME (struct outcome, taken) and REFER_PROGRESS (struct sip_refer). */
#ifndef SIP_WORKER_CALL_ACT_H
#define SIP_WORKER_CALL_ACT_H

#include "sip-worker/call.h"

void act_claim(void *owner, const void *arg);
void act_start(void *owner, const void *arg);
void act_refuse_claim(void *owner, const void *arg);
void act_claim_timeout(void *owner, const void *arg);
void act_refuse_agent(void *owner, const void *arg);
void act_abandon(void *owner, const void *arg);
void act_answer(void *owner, const void *arg);
void act_begin(void *owner, const void *arg);
void act_commit(void *owner, const void *arg);
void act_commit_timeout(void *owner, const void *arg);
void act_spool(void *owner, const void *arg);
void act_hand_over(void *owner, const void *arg);
void act_hand_over_spooled(void *owner, const void *arg);
void act_hand_over_anyway(void *owner, const void *arg);
void act_bye(void *owner, const void *arg);
void act_refer(void *owner, const void *arg);
void act_refer_progress(void *owner, const void *arg);
void act_refer_silent(void *owner, const void *arg);
void act_refer_peer_bye(void *owner, const void *arg);
void act_dial(void *owner, const void *arg);
void act_dial_timeout(void *owner, const void *arg);
void act_bridge(void *owner, const void *arg);
void act_return_failed(void *owner, const void *arg);
void act_resume(void *owner, const void *arg);
void act_far_gone(void *owner, const void *arg);
void act_bridge_silent(void *owner, const void *arg);
void act_caller_left(void *owner, const void *arg);
void act_caller_gone(void *owner, const void *arg);
void act_lost(void *owner, const void *arg);
void act_given_up(void *owner, const void *arg);
void act_refuse_given_up(void *owner, const void *arg);
void act_hand_back(void *owner, const void *arg);
void act_close(void *owner, const void *arg);
void act_end(void *owner, const void *arg);

#endif
