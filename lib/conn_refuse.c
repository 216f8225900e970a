/* Who was refused and why: in the log, once for what lasts and limited per kind of reason; and what it costs the
 * address that it came from. See conn.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/conn_private.h"
#include "lib/log.h"

static const char *const protocol_names[] = {
    [FRAME_RAFT] = "raft", [FRAME_PEER] = "peer", [FRAME_CLIENT] = "client"};

const char *conn_name(const struct conn *conn)
{
    static _Thread_local char name[CONN_TEXT_SIZE];
    static const char *const roles[] = {
        [TLS_NOBODY] = "", [TLS_MANAGER] = "manager", [TLS_AGENT] = "agent", [TLS_OPERATOR] = "operator"};
    const struct tls_identity *who = &conn->identity;
    struct text text = TEXT_ON(name);
    if (who->role != TLS_NOBODY) text_addf(&text, "%s %s", roles[who->role], who->name);
    if (who->id != 0) text_addf(&text, " (id %llu)", (unsigned long long)who->id);
    text_addf(&text, "%s%s", who->role != TLS_NOBODY ? " at " : "", conn->peer);
    return name;
}

/* A handshake that has begun has cost us its cryptography. Those that were turned away before are not counted again, or
 * an address that keeps coming would never be heard. */
static void hold_to_account(struct conn *conn, enum conn_refusal kind)
{
    if (!conn->admitted || kind == CONN_REFUSED_LIMIT || kind == CONN_REFUSED_PACE) return;
    conn_pace_failed(&conn->net->pace, &conn->from, uv_now(conn->net->loop));
}

static uint64_t digest(uint64_t so_far, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) so_far = (so_far ^ bytes[i]) * UINT64_C(0x100000001b3); /* FNV-1a. */
    return so_far;
}

/* Host and certificate, without the port: the same at each attempt. */
static uint64_t digest_of_peer(const struct conn *conn)
{
    const struct tls_identity *who = &conn->identity;
    const char *port = strrchr(conn->peer, ':');
    size_t host_size = port != NULL ? (size_t)(port - conn->peer) : strlen(conn->peer);
    uint64_t sum = digest(UINT64_C(0xcbf29ce484222325), conn->peer, host_size);
    sum = digest(sum, &who->role, sizeof who->role);
    sum = digest(sum, &who->id, sizeof who->id);
    return digest(sum, who->name, strlen(who->name));
}

void conn_note_welcome(struct conn *conn)
{
    conn_told_forget(&conn->net->told, digest_of_peer(conn));
}

/* Whether this is news of that peer; '*again_n' is how often it was not. */
static bool is_news(struct conn *conn, enum conn_refusal kind, const char *why, uint32_t *again_n)
{
    bool is_lasting = kind == CONN_REFUSED_TLS || kind == CONN_REFUSED_ID || kind == CONN_REFUSED_GROUP ||
                      kind == CONN_REFUSED_REMOVED || kind == CONN_REFUSED_LATER;
    *again_n = 0;
    if (!is_lasting) return true;
    uint64_t what = digest(digest(UINT64_C(0xcbf29ce484222325), &kind, sizeof kind), why, strlen(why));
    return conn_told_is_due(&conn->net->told, digest_of_peer(conn), what, uv_now(conn->net->loop), again_n);
}

void conn_note_refused(struct conn *conn, enum conn_refusal kind, const char *why)
{
    static struct log_limit limits[CONN_REFUSALS_N];
    struct log_limit *limit = &limits[kind];
    const char *protocol = NULL;
    if (conn->state == CONN_READY && conn->protocol < ARRAY_LEN(protocol_names))
        protocol = protocol_names[conn->protocol];
    uint32_t again_n;
    hold_to_account(conn, kind);
    if (!is_news(conn, kind, why, &again_n)) return;
    limit->burst = 5;
    limit->per_ms = 10000;
    if (!log_limit_pass(limit, "conn.refused")) return;
    if (protocol == NULL) protocol = "none";
    char again[32] = "";
    if (again_n != 0) (void)snprintf(again, sizeof again, " again=%u", again_n);
    log_warn("conn.refused", "peer=\"%s\" protocol=%s%s text=\"%s\"", conn_name(conn), protocol, again, why);
}

void conn_refuse(struct conn *conn, enum conn_refusal kind, const char *format, ...)
{
    char why[CONN_TEXT_SIZE];
    va_list ap;
    if (conn->closing) return;
    va_start(ap, format);
    (void)vsnprintf(why, sizeof why, format, ap);
    va_end(ap);
    conn_note_refused(conn, kind, why);
    conn_close(conn, why);
}
