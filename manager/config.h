/* regentd.yaml and cluster files as structs. Shapes are fixed: keys are added, none is changed. */
#ifndef REGENT_MANAGER_CONFIG_H
#define REGENT_MANAGER_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "fsm/command.h"
#include "lib/base/err.h"
#include "lib/tls.h"

enum { CONFIG_GROUP_MAX = 7 };

struct config_member {
    char name[FSM_NAME_SIZE];
    char address[FSM_ADDRESS_SIZE];
};

struct config {
    char node[FSM_NAME_SIZE];
    char listen[FSM_ADDRESS_SIZE];  /* host:port; with TLS the host may be 0.0.0.0 or [::] */
    char data_dir[FSM_PATH_SIZE];
    char socket[FSM_PATH_SIZE];     /* Empty: none. */
    unsigned group_n;
    struct config_member group[CONFIG_GROUP_MAX]; /* First members; contains 'node'. */
    struct tls_files tls;           /* Empty 'ca': no TLS. */
    bool insecure_loopback;         /* Plaintext; only with loopback addresses. Exactly one of the two. */
    char log_level[16];             /* err, warn, info (default), debug */
    bool log_journal;
    uint32_t heartbeat_ms;          /* raft: {heartbeat: 100ms, election: 500ms} */
    uint32_t election_ms;
};

/* Reads and checks a file. Every error is one line "FILE:LINE: what is wrong, what is expected, did you mean". */
int config_read(struct config *config, const char *path, struct err *e) MUST_CHECK;
/* Where the others reach this node: its address in 'group', else where it listens. */
const char *config_own_address(const struct config *config);
/* Prints in normal form, with defaults. */
void config_print(const struct config *config, FILE *out);
/* Reads a cluster file. Defaults: durability prefer-lossless, detect {probe: 500ms, timeout: 1s}, group "regent". */
int config_read_cluster(struct fsm_cluster_spec *spec, const char *path, struct err *e) MUST_CHECK;
void config_print_cluster(const struct fsm_cluster_spec *spec, FILE *out);

/* Splits "host:port" ("[::1]:7401" too). Returns 0 or -EINVAL. */
int config_split_address(const char *address, char *host, size_t host_size, uint16_t *port) MUST_CHECK;

#endif
