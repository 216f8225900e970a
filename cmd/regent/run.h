/* What the commands share: one question to the group, and its answer shown or its failure told. */
#ifndef REGENT_CMD_RUN_H
#define REGENT_CMD_RUN_H

#include <jansson.h>

#include "client/ask.h"
#include "cmd/regent/commands.h"

/* Prints the text of an answer that is not OK to stderr, with the command's name. Returns its code, as an exit code. */
enum client_code tell(const struct client_answer *a);

/* The answer's JSON as an object to be released, or NULL after saying on stderr that it is none. */
json_t *answer_json(const struct client_answer *a);

/* Prints for --json: one object, indented, with a newline. */
void print_json(json_t *json);

/* Starts an asker for cli->connect. False after telling why not (exit code 2). */
bool start_asker(const struct cli *cli, struct asker *k);

/* Asks for a change and tells what became of it: the text (or with --json the JSON) to stdout when it is done, to
 * stderr when not. Returns the exit code. */
enum client_code ask_change(const struct cli *cli, struct client_request *r);

/* Copies a name of the command line into a field of a request. False after telling that it is too long. */
bool take_name(char to[FSM_NAME_SIZE], const char *name);

#endif
