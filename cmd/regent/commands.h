/* What `regent` can do: one table of commands and one of options.
 *
 * --help, usage errors and the man page come of these tables. */
#ifndef REGENT_CMD_COMMANDS_H
#define REGENT_CMD_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/client.h"

#define CONNECT_DEFAULT "/run/regent/regentd.sock"
#define TLS_DIR_DEFAULT "/etc/regent/tls"

/* X(id, option, argument or NULL, what it does) */
#define OPTIONS(X)                                                                                                    \
    X(FOLLOW, "follow", NULL, "keep printing events as they happen, until Ctrl-C")                                    \
    X(LAST, "last", "N", "only the last N events")                                                                    \
    X(TO, "to", "SERVER", "promote this server instead of the one that the plan would choose")                        \
    X(DRY_RUN, "dry-run", NULL, "show what would be done, and do nothing")                                            \
    X(ACCEPT_LOSS, "accept-loss", NULL,                                                                               \
      "go on although it cannot be proven that no acknowledged write is lost; what may be lost is reported")          \
    X(YES, "yes", NULL, "do not ask for confirmation")                                                                \
    X(DIR, "dir", "DIR", "directory of the CA, /etc/regent/pki unless given")                                         \
    X(HOST, "host", "HOST", "host name or address to stand in the certificate; again, or several with commas")        \
    X(ID, "id", "N", "Raft id of the manager; unless given, the next one that this CA never gave")                    \
    X(DAYS, "days", "N", "how long it is valid: 397 days, a CA 3650, unless given")                                   \
    X(TTL, "ttl", "TIME", "how long the token can be used: 90s, 30m, 1h (the default) to 30d")                         \
    X(DATA_DIR, "data-dir", "DIR", "data directory of a manager that does not run")                                   \
    X(SURVIVOR, "survivor", NULL, "make a new group of this one manager; the rest of the old one is lost for ever")   \
    X(CONNECT, "connect", "ADDR",                                                                                     \
      "manager to talk to: HOST:PORT, or the path of its socket; several with commas; any member finds the leader")   \
    X(TLS_DIR, "tls-dir", "DIR",                                                                                      \
      "certificates to connect with (ca.crt, operator.crt, operator.key); '' for none: plaintext, this machine only") \
    X(JSON, "json", NULL, "print JSON of a stable shape instead of text")                                             \
    X(HELP, "help", NULL, "print help, of one command when one is named")                                             \
    X(MAN, "man", NULL, "print the manual page (roff) and exit")

enum option {
#define X(id, name, argument, text) OPTION_##id,
    OPTIONS(X)
#undef X
    OPTIONS_N
};

#define OPTION_BIT(id) (1u << OPTION_##id)
#define OPTIONS_GLOBAL                                                                                                \
    (OPTION_BIT(CONNECT) | OPTION_BIT(TLS_DIR) | OPTION_BIT(JSON) | OPTION_BIT(HELP) | OPTION_BIT(MAN))

#define OPTS_EVENTS (OPTION_BIT(FOLLOW) | OPTION_BIT(LAST))
#define OPTS_ISSUE (OPTION_BIT(DIR) | OPTION_BIT(HOST) | OPTION_BIT(ID) | OPTION_BIT(DAYS))
#define OPTS_RENEW (OPTION_BIT(DIR) | OPTION_BIT(DAYS))
#define OPTS_RECOVER (OPTION_BIT(DATA_DIR) | OPTION_BIT(SURVIVOR))
#define OPTS_FAILOVER (OPTION_BIT(TO) | OPTION_BIT(DRY_RUN) | OPTION_BIT(ACCEPT_LOSS) | OPTION_BIT(YES))

/* X(function, words, arguments, least and most of them, options, summary, more for the man page) */
#define COMMANDS(X)                                                                                                   \
    X(run_status, "status", "[CLUSTER]", 0, 1, 0, "show every cluster: state, master, servers, what is wrong",        \
      "The state of a cluster is ok, degraded (it works, something is missing), stalled (commits wait for an "        \
      "acker), failing_over, no_master, paused or quarantined (an operator is needed). Without a leader the answer "  \
      "is what one manager remembers: it is marked as stale and the exit code is 3.")                                 \
    X(run_topology, "topology", "[CLUSTER]", 0, 1, 0, "show who replicates from whom, as a tree",                     \
      "A server marked 'acks' is the one whose acknowledgement a commit waits for.")                                  \
    X(run_events, "events", "[CLUSTER]", 0, 1, OPTS_EVENTS, "show what happened, with the evidence",                  \
      "With --json one object a line.")                                                                               \
    X(run_explain, "explain", "CLUSTER", 1, 1, 0, "show the verdict on the master, why, and what would change it",    \
      "")                                                                                                             \
    X(run_failover, "failover", "CLUSTER", 1, 1, OPTS_FAILOVER, "replace the master now",                             \
      "Shows the plan, asks, begins it and follows it to its end. Without a terminal it needs --yes. What a safety "  \
      "rule refuses ends with exit code 5 and changes nothing.")                                                      \
    X(run_plan_list, "plan list", "[CLUSTER]", 0, 1, 0, "list the plans, youngest first", "")                         \
    X(run_plan_show, "plan show", "TOKEN", 1, 1, 0, "show one plan: its steps, times, findings, fence", "")           \
    X(run_plan_abort, "plan abort", "TOKEN", 1, 1, 0, "end a running plan before the new master is established",      \
      "Refused (exit code 5) from the step 'establish' on: the plan then goes on to its end.")                        \
    X(run_note, "note", "[CLUSTER] TEXT", 1, 2, 0, "write a note into the events of a cluster or the group",           \
      "For those who read the events later: what was done, and by whom.")                                             \
    X(run_member_list, "member list", "", 0, 0, 0, "list the managers of the group",                                  \
      "Who votes, who stands by, how far each is behind the leader and when it was heard last. Match index, lag and " \
      "last contact are known to the leader alone.")                                                                  \
    X(run_token_create, "token create", "NAME", 1, 1, OPTION_BIT(TTL),                                                \
      "reserve an id for a manager to come, and print its token once",                                                \
      "The token goes into a file that only regentd of that host can read: regentd --join ADDR --token-file FILE. "   \
      "It works once, for that name, until it expires. With TLS the certificate of the manager must have the "        \
      "reserved id: regent pki issue manager NAME --id N.")                                                           \
    X(run_token_list, "token list", "", 0, 0, 0, "list the tokens that were not used yet",                            \
      "With --json as member list, which has them as tokens[]. A token's secret is known to nobody but who made it.") \
    X(run_token_revoke, "token revoke", "NAME", 1, 1, 0, "void the unused token of NAME",                             \
      "Its id is not given again. A token that was used is a member: member remove takes it out of the group.")       \
    X(run_member_add, "member add", "NAME ADDRESS", 2, 2, OPTION_BIT(TTL),                                            \
      "as token create, for a manager that will listen at ADDRESS, and tell what is to be done on its host", "")      \
    X(run_member_promote, "member promote", "NAME", 1, 1, 0, "make a standby a voter",                                \
      "It becomes one when it answers and has caught up.")                                                            \
    X(run_member_demote, "member demote", "NAME", 1, 1, 0, "make a voter a standby: it keeps the log, without a vote", \
      "Refused (exit code 5) when the remaining voters that answer would be no majority. A leader hands over first.") \
    X(run_member_remove, "member remove", "NAME", 1, 1, 0, "take a manager out of the group for good",                \
      "Refused (exit code 5) when the remaining voters that answer would be no majority. A leader hands over first. " \
      "Its id is never given again, and its data directory is of no more use.")                                       \
    X(run_member_replace, "member replace", "OLD NEW ADDRESS", 3, 3, OPTION_BIT(TTL),                                 \
      "remove a manager that is dead, then do as member add for its successor",                                       \
      "Refused (exit code 5) while OLD answers: then add the new one first, and remove the old one after that.")      \
    X(run_member_set_address, "member set-address", "NAME ADDRESS", 2, 2, 0,                                          \
      "tell the group where a manager listens now",                                                                   \
      "Change `listen` in its configuration and restart it, too; the order does not matter.")                         \
    X(run_member_transfer, "member transfer", "[NAME]", 0, 1, 0, "hand the leadership over, to NAME or to any voter", \
      "Also in the middle of a plan: the next leader carries it on.")                                                 \
    X(run_cluster_add, "cluster add", "FILE", 1, 1, 0, "declare a new cluster by its cluster file",                   \
      "The servers are examined first; nothing is written to one that is not understood.")                            \
    X(run_cluster_apply, "cluster apply", "FILE", 1, 1, 0, "change a declared cluster to what the file says", "")     \
    X(run_cluster_show, "cluster show", "CLUSTER", 1, 1, 0, "print the declaration as a cluster file", "")            \
    X(run_pki_init, "pki init", "[NAME]", 0, 1, OPTS_RENEW, "make a CA for the certificates of a group",              \
      "The pki commands need no manager. The directory gets ca.crt, ca.key, an empty crl.pem and an index; what is "  \
      "issued lies beside them as NAME.crt and NAME.key. Moving the CA's key offline, rotation, revocation and the "  \
      "use of another CA are told in docs/tls.md.")                                                                   \
    X(run_pki_issue, "pki issue", "ROLE NAME", 2, 2, OPTS_ISSUE, "issue a key and a certificate",                     \
      "ROLE is manager, agent or operator. Refused (exit code 5) when the name or the id has a current certificate.") \
    X(run_pki_renew, "pki renew", "NAME", 1, 1, OPTS_RENEW, "issue a new key and certificate to a known name",        \
      "Role, name, id and hosts stay. The old certificate is valid until its end, so nothing is interrupted; "        \
      "revoke it by its serial number if its key may be known to others.")                                            \
    X(run_pki_revoke, "pki revoke", "NAME", 1, 1, OPTION_BIT(DIR), "revoke what was issued to a name",                \
      "With a serial number instead of a name, only that certificate. Then crl.pem has to reach the managers, "       \
      "who end connections of what it names within seconds, without a restart.")                                      \
    X(run_pki_show, "pki show", "", 0, 0, OPTION_BIT(DIR), "list what was issued, with the days left",                \
      "Warns of what ends within 30 days.")                                                                           \
    X(run_log_dump, "log dump", "DIR", 1, 1, 0, "print the log of a stopped manager, one line an entry",               \
      "DIR is its data_dir; no manager may run on it. The snapshot that its state begins with comes first, the node "  \
      "last. With --json one object a line. Damage is told, and ends with exit code 1 after what can be read.")       \
    X(run_log_check, "log check", "DIR [DIR ...]", 1, 7, 0, "check that the logs of stopped managers agree",           \
      "Compares the entries that the directories share, and the states that follow from them. The last line is "      \
      "'logs agree: N entries, digest X' (exit code 0) or 'differ at index N' (exit code 1) after what differs. See " \
      "docs/log.md.")                                                                                                  \
    X(run_cluster_pause, "cluster pause", "CLUSTER", 1, 1, 0, "begin no plan by itself until it is resumed", "")      \
    X(run_cluster_resume, "cluster resume", "CLUSTER", 1, 1, 0, "begin plans by itself again", "")                    \
    X(run_state_export, "state export", "", 0, 0, 0, "print the declarations of all clusters, for a backup",          \
      "One JSON object. It holds what was declared and who the managers are, no secrets, and not the history.")       \
    X(run_state_import, "state import", "FILE", 1, 1, 0, "declare the clusters of an export that are not declared",   \
      "Each is examined and enrolled as with cluster add. Those that exist are left alone and told.")                 \
    X(run_recover, "recover", "", 0, 0, OPTS_RECOVER, "make a new group when the majority is lost for ever",          \
      "On the host of the one manager that is left, while it does not run: regent recover --data-dir DIR --survivor. "\
      "It asks for the id of the old group, keeps a copy of the directory, and gives the group a new id; the old "    \
      "managers and the new group refuse each other. All clusters come up paused. Read docs/recover.md first.")       \
    X(run_version, "version", "", 0, 0, 0, "show the version of this program and of the manager it reaches", "")

struct command;

/* The command line, understood. Points into argv. */
struct cli {
    const struct command *command;
    const char *args[7];
    unsigned args_n;
    const char *connect; /* --connect, else REGENT_CONNECT, else CONNECT_DEFAULT */
    const char *tls_dir; /* --tls-dir, else REGENT_TLS_DIR, else TLS_DIR_DEFAULT if it is there, else "" */
    const char *to;
    uint64_t last; /* 0: all */
    const char *dir;       /* NULL: not given, as with the next ones. */
    const char *data_dir;
    const char *hosts[16]; /* Each perhaps several, with commas. */
    unsigned hosts_n;
    uint64_t id, days;
    uint64_t ttl_s; /* 0: not given. */
    bool json, follow, dry_run, accept_loss, yes, survivor;
};

typedef enum client_code command_fn(const struct cli *cli);

struct command {
    command_fn *run;
    const char *words; /* One or two, with one space. */
    const char *args;
    unsigned args_min, args_max;
    unsigned options; /* OPTION_BIT, beside the global ones. */
    const char *summary, *detail;
};

struct option_text {
    const char *name, *argument, *text;
};

extern const struct command commands[];
extern const unsigned commands_n;
extern const struct option_text option_texts[OPTIONS_N];

#define X(function, ...) command_fn function;
COMMANDS(X)
#undef X

/* Parses argv into '*cli'. Returns CLIENT_OK; or CLIENT_USAGE after saying on stderr what is wrong and what was
 * probably meant. '*done' true: help or the man page was printed, exit 0. */
enum client_code parse_command_line(struct cli *cli, int argc, char **argv, bool *done);

/* help.c */
void print_help(FILE *out);
void print_command_help(FILE *out, const struct command *command);
void print_man(FILE *out);
/* The word of commands or options that is nearest to 'word' and near enough to be meant; else NULL. */
const char *nearest_command(const char *word);
const char *nearest_option(const char *word);

#endif
