/* The texts of a diagnosis: evidence line by line, and what would change the verdict. PURE. */
#include "plan/diagnose_text.h"

#include "plan/sight.h"

static const char *io_text(enum view_io io)
{
    switch (io) {
    case VIEW_IO_NO: return "stopped";
    case VIEW_IO_CONNECTING: return "connecting";
    case VIEW_IO_YES: return "connected";
    }
    return "?";
}

static void add_age(struct text *t, int64_t age_ms)
{
    if (age_ms < 0) text_add(t, " (never)");
    else text_addf(t, " (age %lld ms)", (long long)age_ms);
}

static void add_manager(struct text *t, const struct fsm_cluster *cluster, const struct view *view, uint8_t m,
                        uint8_t server)
{
    const struct view_manager *manager = &view->managers[m];
    const struct view_observation *o = &manager->servers[server];
    text_addf(t, "%s -> %s: ", manager->name, cluster->servers[server].name);
    if (!sight_heard(view, m)) {
        text_add(t, "not heard from\n");
        return;
    }
    if (o->outcome == VIEW_REFUSED) {
        text_addf(t, "refused %ux in %lld ms", o->refused_n, (long long)o->refused_span_ms);
    } else {
        text_add(t, view_outcome_text(o->outcome));
    }
    if (o->outcome == VIEW_OK && o->facts.set) text_add(t, o->facts.read_only ? ", read-only" : ", writable");
    if (o->outcome == VIEW_OK && sight_is_foreign(cluster, server, &o->facts)) {
        text_add(t, ", another server than the one enrolled");
    }
    if (o->outcome == VIEW_OK && o->facts.wait_sessions > 0) {
        text_addf(t, ", %u commits wait, %u ackers", o->facts.wait_sessions, o->facts.source_clients);
        if (o->facts.stalled_ms > 0)
            text_addf(t, ", none acknowledged for %lld ms", (long long)o->facts.stalled_ms);
    }
    if (!view_outcome_is_alive(o->outcome) && o->failing_ms > 0) {
        text_addf(t, ", no answer for %lld ms", (long long)o->failing_ms);
    }
    add_age(t, o->age_ms);
    text_add(t, "\n");
}

static void add_channel(struct text *t, const char *name, const struct view_channel *ch, int64_t age_ms)
{
    text_addf(t, "%s receiver: %s", name, io_text(ch->io));
    if (ch->io != VIEW_IO_YES && ch->io_errno != 0) text_addf(t, ", errno %u", ch->io_errno);
    if (ch->idle_ms >= 0) text_addf(t, ", idle %lld ms", (long long)ch->idle_ms);
    add_age(t, age_ms);
    text_add(t, "\n");
    if (ch->applier) return;
    text_addf(t, "%s applier: stopped", name);
    if (ch->sql_errno != 0) text_addf(t, ", errno %u", ch->sql_errno);
    text_add(t, " (no reason to replace the master)\n");
}

static void add_follower(struct text *t, const struct fsm_cluster *cluster, const struct view *view, uint8_t server,
                         uint8_t master)
{
    const char *name = cluster->servers[server].name;
    const struct view_observation *best = sight_best(cluster, view, server);
    if (best == NULL) {
        const struct view_observation *o = sight_self(view, server);
        text_addf(t, "%s: cannot be read, %s", name, view_outcome_text(o->outcome));
        add_age(t, o->age_ms);
        text_add(t, "\n");
        return;
    }
    const struct view_channel *ch = sight_channel_from(cluster, &best->facts, master);
    if (ch != NULL) add_channel(t, name, ch, best->age_ms);
    else text_addf(t, "%s: no channel from %s\n", name, cluster->servers[master].name);
}

void diagnosis_evidence(const struct fsm_cluster *cluster, const struct view *view, uint8_t master, struct text *t)
{
    if (master >= cluster->servers_n) return;
    for (uint8_t m = 0; m < view->managers_n; m++) add_manager(t, cluster, view, m, master);
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (i != master) add_follower(t, cluster, view, i, master);
    }
}

static const char *change_of_row(enum diagnosis_row row)
{
    switch (row) {
    case DIAGNOSIS_NOT_ENROLLED: return "a readable, writable declared master whose replicas follow it";
    case DIAGNOSIS_PAUSED: return "an operator resumes the cluster";
    case DIAGNOSIS_RESTARTED: return "a majority of the managers reads it writable";
    case DIAGNOSIS_CLOSED:
        return "an operator opens it again (SET GLOBAL read_only = 0), or replaces it: regent failover";
    case DIAGNOSIS_BLOCKED:
        return "an acker attaches to the master, a commit is acknowledged, or the waiting commits end";
    case DIAGNOSIS_ALARM: return "the alarm is cured (account, connection limit), or the master stops answering";
    case DIAGNOSIS_GONE: return "one reachable follower still connected to the master, or an answer to a majority";
    case DIAGNOSIS_SILENT: return "an event or heartbeat at one reachable follower, or an answer to a majority";
    case DIAGNOSIS_RECEIVERS_ALIVE: return "all reachable followers lose the master, or hear nothing for the timeout";
    case DIAGNOSIS_BLIND: return "a majority of the managers reports on the master";
    case DIAGNOSIS_OK:
    case DIAGNOSIS_MINORITY:
    case DIAGNOSIS_WAITING:
    case DIAGNOSIS_ROWS_N: break;
    }
    return NULL;
}

void diagnosis_change(const struct fsm_cluster *cluster, const struct view *view, enum diagnosis_row row,
                      struct text *t)
{
    const char *text = change_of_row(row);
    if (text != NULL) {
        text_add(t, text);
    } else if (row == DIAGNOSIS_WAITING) {
        text_addf(t, "two refusals 20 ms apart at %u managers, or no answer for %u ms; and a readable follower that "
                     "has lost the master", sight_majority(view), cluster->timeout_ms);
    } else {
        text_addf(t, "%u of %u managers refused twice or without an answer for %u ms, and no reachable follower that "
                     "still hears the master", sight_majority(view), view->managers_n, cluster->timeout_ms);
    }
}
