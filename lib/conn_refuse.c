/* Who was refused and why: one line in the log a connection, limited per kind of reason; and what it costs the address
 * that it came from. See conn.h. */
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

void conn_note_refused(struct conn *conn, enum conn_refusal kind, const char *why)
{
    static struct log_limit limits[CONN_REFUSALS_N];
    struct log_limit *limit = &limits[kind];
    const char *protocol = NULL;
    if (conn->state == CONN_READY && conn->protocol < ARRAY_LEN(protocol_names))
        protocol = protocol_names[conn->protocol];
    hold_to_account(conn, kind);
    limit->burst = 5;
    limit->per_ms = 10000;
    if (!log_limit_pass(limit, "conn.refused")) return;
    log_warn("conn.refused", "peer=\"%s\" protocol=%s text=\"%s\"", conn_name(conn),
             protocol != NULL ? protocol : "none", why);
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
