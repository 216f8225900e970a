/* The data directory of a node: DATA_DIR/lock (flock, held while the node lives), DATA_DIR/node (who this is, text with
 * a checksum) and DATA_DIR/raft/ (libraft's own files). */
#ifndef REGENT_RAFT_STORAGE_H
#define REGENT_RAFT_STORAGE_H

#include "lib/base/err.h"
#include "raft/node.h"

enum { STORAGE_PATH_MAX = 900 }; /* libraft refuses directories of about 960 bytes and more. */

struct storage_identity {
    char group_name[64];
    uint64_t group_id; /* storage_group_id() of the first configuration; stays when members change. */
    uint64_t id;
    char address[128];
    uint64_t generation; /* How often raft_node_recover() made the group anew here. */
    bool recovering;     /* It was interrupted: raft/ may still be of the old group. */
    bool joining; /* Made by a join, and nothing of the group's log is on disk yet. */
    unsigned members_n;
    struct raft_node_member members[RAFT_NODE_MEMBERS_MAX]; /* As of bootstrap or join: gives names to ids. */
};

/* Hash of the group's name and first members; two groups that share addresses by mistake do not talk to each other. */
uint64_t storage_group_id(const char *group_name, const struct raft_node_member *members, unsigned n);

/* Writes "<dir>/<name>" into 'to' of STORAGE_PATH_MAX bytes. Returns 0 or -ENAMETOOLONG. */
int storage_path(char *to, const char *dir, const char *name, struct err *e) MUST_CHECK;

/* True when 'dir' has a log of ours, so that its file 'lock' is ours too. */
bool storage_has_log(const char *dir);

/* Locks the existing directory. Returns the fd (close it to unlock), -ENOENT (no such directory), -EBUSY (in use). */
int storage_lock(const char *dir, struct err *e) MUST_CHECK;

/* Reads DATA_DIR/node, whoever it is. Returns 0; -ENOENT not bootstrapped; -EBADMSG damaged. */
int storage_read(const char *dir, struct storage_identity *out, struct err *e) MUST_CHECK;

/* Reads DATA_DIR/node and checks that it is the node 'id' at 'address'. Returns 0; -ENOENT not bootstrapped, -EPERM of
 * another node, -EBADMSG damaged. Each text says what to do. */
int storage_load(const char *dir, uint64_t id, const char *address, struct storage_identity *out,
                 struct err *e) MUST_CHECK;

/* Writes DATA_DIR/node, whole or not at all. Returns 0 or negative errno (-ENOSPC with the operator's text). */
int storage_save(const char *dir, const struct storage_identity *identity, struct err *e) MUST_CHECK;

/* -EEXIST when the directory holds a node, or anything but what an interrupted bootstrap leaves. */
int storage_check_empty(const char *dir, struct err *e) MUST_CHECK;

/* Removes the directory 'path' of files, left behind by something that was interrupted. 0 when it is not there. */
int storage_remove(const char *path, struct err *e) MUST_CHECK;

/* True when the file system of 'dir' has less than 'bytes' left for us. */
bool storage_is_full(const char *dir, uint64_t bytes);

/* Translates an error of libraft about 'dir' into code and operator text (what it says, then what to do). */
int storage_raft_error(const char *dir, int raft_code, const char *message, struct err *e);

#endif
