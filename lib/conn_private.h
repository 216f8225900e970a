/* What the files of lib/conn*.c share. Not for others.
 *
 * conn.c: life, reading, writing, deadlines. conn_dial.c: look-up and connecting. conn_tls.c: TLS over memory BIOs.
 * conn_refuse.c: names, the log, and what a refusal costs its address. */
#ifndef REGENT_CONN_PRIVATE_H
#define REGENT_CONN_PRIVATE_H

#include <openssl/types.h>
#include <sys/socket.h>
#include <uv.h>

#include "lib/conn.h"

enum { CONN_PIECE_SIZE = 16 << 10 }; /* What is written at a time: one TLS record. */

enum conn_state {
    CONN_DIALLING, /* Name look-up and connecting: no stream yet. */
    CONN_GREETING, /* Preamble or TLS handshake. */
    CONN_READY,
};

struct dial;

struct conn {
    struct conn_net *net;
    struct conn *next, **link; /* net->list. */
    struct conn_hooks hooks;
    uv_stream_t *stream; /* NULL: not connected yet. */
    struct dial *dial;   /* While CONN_DIALLING, else NULL. */
    uv_timer_t deadline, kick;
    const char *deadline_why; /* Once settled. */
    enum conn_refusal deadline_kind;
    SSL *ssl;                 /* NULL: plaintext. */
    enum conn_state state;
    enum frame_protocol protocol;
    struct tls_identity identity;
    bool accepted, local;
    bool admitted; /* The handshake of an accepted one has begun: whatever it comes to, it has cost us its time. */
    struct sockaddr_storage from; /* Of an accepted one that is not local. */
    bool settled; /* The owner has set a deadline of its own: the handshake is over for it too. */
    bool paused, full, finishing, closing;
    unsigned handles_n; /* Open: memory is freed with the last one. */
    struct mono begun;
    uint64_t born_ms;   /* uv_now() when ready. */
    uint8_t preamble[FRAME_PREAMBLE_SIZE];
    size_t have;        /* Bytes of it. */
    char peer[80];      /* Address and port of the other side; when dialled, what we were told. */
    char why[CONN_TEXT_SIZE];
};

/* conn.c */

/* Neither accepted nor dialled yet; its deadline runs. NULL: no memory. */
struct conn *conn_new(struct conn_net *net, const struct conn_hooks *hooks);
/* A handle of 'conn' has closed. */
void conn_unref(struct conn *conn);
/* The stream stands: tune it, begin the handshake. */
void conn_greet(struct conn *conn, uv_stream_t *stream);
/* The handshake is complete. */
void conn_become_ready(struct conn *conn);
/* Reading goes on. */
void conn_start_reading(struct conn *conn);
/* Sends bytes as they are, at once if possible. */
int conn_raw_write(struct conn *conn, const void *data, size_t size);
/* Ends the connection; within the handshake of an accepted one with a line in the log. */
void conn_fail(struct conn *conn, enum conn_refusal kind, const char *why);
/* Frees a stream that is no connection's. */
void conn_stream_freed(uv_handle_t *handle);

/* conn_dial.c */
void conn_dial_stop(struct conn *conn);
/* "127.0.0.1:80", "[::1]:80". */
void conn_sockaddr_print(const struct sockaddr_storage *sa, char *to, size_t size);

/* conn_tls.c */

/* Returns 0 or -ENOMEM. */
int conn_tls_begin(struct conn *conn);
/* Bytes from the other side. */
void conn_tls_input(struct conn *conn, const uint8_t *data, size_t size);
/* Handshake and reading go on with what is there. */
void conn_tls_run(struct conn *conn);
/* True when bytes wait that were received and not delivered. */
bool conn_tls_has_more(const struct conn *conn);
/* Encrypts and sends at most CONN_PIECE_SIZE bytes. Returns 0, -EPIPE or -ENOMEM; closes when it fails. */
int conn_tls_write(struct conn *conn, const void *data, size_t size);
/* Says good-bye as far as the kernel takes it at once. */
void conn_tls_bye(struct conn *conn);
void conn_tls_free(struct conn *conn);

/* conn_refuse.c */

/* An accepted one is let in: should it be refused later, that is news. */
void conn_note_welcome(struct conn *conn);
/* 'conn' is about to be closed for that reason: a line in the log, and its address is held to account. */
void conn_note_refused(struct conn *conn, enum conn_refusal kind, const char *why);

#endif
