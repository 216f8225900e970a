/* Answers about members and tokens: the part of manager/answer.c that decides who may become a member or leave. */
#ifndef REGENT_MANAGER_ANSWER_MEMBER_H
#define REGENT_MANAGER_ANSWER_MEMBER_H

#include "manager/answer.h"

/* True for TOKEN_CREATE, TOKEN_REVOKE, MEMBER_SET and MEMBER_JOIN. */
bool answer_is_member(enum client_op op);

/* As answer_request(), for those: fills 'command', or refuses. The secret of a join is checked here, in constant time,
 * and goes no further. */
enum answer_kind answer_member(const struct answer_world *world, const struct client_request *request,
                               struct fsm_command *command, struct client_answer *answer);

/* The answer to one of those that was applied. */
void answer_member_applied(const struct answer_world *world, const struct client_request *request,
                           const struct fsm_result *result, struct client_answer *answer);

/* MEMBER_TRANSFER: ANSWER_TRANSFER with the id in '*target' (0: any), or a refusal. */
enum answer_kind answer_member_transfer(const struct answer_world *world, const struct client_request *request,
                                        struct client_answer *answer, uint64_t *target);

#endif
