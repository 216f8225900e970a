/* The records of a snapshot's body. Private to proto/. */
#ifndef REGENT_PROTO_SNAPSHOT_RECORD_H
#define REGENT_PROTO_SNAPSHOT_RECORD_H

#include "fsm/state.h"
#include "proto/fields.h"
#include "proto/snapshot.pb-c.h"

/* Gives each record of 'state' to 'add', in order, until one returns a non-zero value. Returns that, or 0. */
int snapshot_write_records(const struct fsm_state *state, int (*add)(void *arg, const Regent__Snapshot__Record *record),
                           void *arg) MUST_CHECK;

struct snapshot_reader {
    struct fsm_state *state; /* Fresh; filled record by record. */
    struct fields f;
    bool has_head;
    uint64_t events; /* Read so far. */
    uint64_t dedup;
};

/* Reads one record into the state; notes what is wrong. */
void snapshot_read_record(struct snapshot_reader *r, const uint8_t *data, size_t size);
/* After the last record: checks that all that the head promised was there. */
void snapshot_read_end(struct snapshot_reader *r);

#endif
