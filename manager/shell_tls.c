/* The shell, part three: certificates that change while the manager runs.
 *
 * Happy path: each second the files are looked at, SIGHUP reads them at once; what is read is in force for connections
 * from then on, those that stand are checked again, and the ones that we made are made anew when our own certificate is
 * another one. Failure modes: files that do not fit together: the old ones stay in force, told in the log; a
 * certificate of another node: told in the log, since the others would refuse us; a connection whose certificate has
 * expired or was revoked meanwhile: cut off. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "lib/log.h"
#include "manager/shell_private.h"

enum { LOOK_MS = 1000, CHECK_EVERY = 10 }; /* Looks between two checks of all connections. */

static void tell_reloaded(const struct tls_identity *self)
{
    log_info("tls.reloaded", "name=%s id=%llu serial=%s valid_until_s=%lld", self->name,
             (unsigned long long)self->id, self->serial, (long long)self->not_after_s);
}

static void reload(struct shell *s)
{
    struct err e = {0};
    const struct tls_identity before = *tls_self(s->net.tls);
    if (tls_reload(s->net.tls, &e) != 0) {
        log_err("tls.reload", "text=\"%s: the certificates of before stay in force\"", e.text);
        return;
    }
    const struct tls_identity *self = tls_self(s->net.tls);
    tell_reloaded(self);
    if (self->role != TLS_MANAGER || self->id != before.id)
        log_err("tls.wrong_id", "text=\"the new certificate is of %s with id %llu, this is node %llu: the others will "
                "refuse it; issue one with the id of this node\"", self->name, (unsigned long long)self->id,
                (unsigned long long)before.id);
    conn_net_check(&s->net);
    if (strcmp(self->serial, before.serial) != 0) conn_net_renew(&s->net);
}

static void on_look(uv_timer_t *timer)
{
    struct shell *s = timer->data;
    s->tls_looks++;
    if (tls_files_changed(s->net.tls)) reload(s);
    else if (s->tls_looks % CHECK_EVERY == 0) conn_net_check(&s->net);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct shell *s = handle->data;
    (void)number;
    if (s->net.tls) reload(s);
    else log_info("regentd.hangup", "text=\"SIGHUP reads certificates again, and this manager has none\"");
}

void shell_tls_init(struct shell *s)
{
    uv_timer_init(&s->loop, &s->tls_timer);
    uv_signal_init(&s->loop, &s->sighup);
    s->tls_timer.data = s->sighup.data = s;
    conn_net_init(&s->net, &s->loop, NULL);
    uv_signal_start(&s->sighup, on_hangup, SIGHUP);
}

int shell_tls_open(struct shell *s, struct err *e)
{
    if (s->config->tls.ca[0] == '\0') {
        log_warn("regentd.plaintext", "text=\"insecure_loopback: every process of this host can steer this manager\"");
        return 0;
    }
    s->net.tls = tls_open(&s->config->tls, e);
    if (!s->net.tls) return e->code;
    uv_timer_start(&s->tls_timer, on_look, LOOK_MS, LOOK_MS);
    return 0;
}

void shell_tls_stop(struct shell *s)
{
    uv_close((uv_handle_t *)&s->tls_timer, NULL);
    uv_close((uv_handle_t *)&s->sighup, NULL);
}
