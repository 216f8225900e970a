/* Diagnosis: the table of DESIGN §8 as code, one function a row. PURE.
 *
 * Happy path: count what the managers saw of the master, ask each follower's receiver, take the first row that
 * matches. Failure modes: too few managers, stale or contradicting evidence; each ends in a row that does not act. A
 * row acts only on evidence that excludes a master which commits its clients' writes (S6). */
#include "plan/diagnose.h"

#include "lib/base/mark.h"
#include "lib/base/mutant.h"
#include "plan/diagnose_text.h"
#include "plan/sight.h"

enum {
    REFUSED_SPAN_MS = 20,
    REFUSED_N = 2,
    /* An ack takes a round trip and one fsync. Where none came for so long, and the acker is lost, it will not come. */
    BLOCKED_MS = 1000,
};

/* What the managers saw of the master. Counts are of managers, by their newest attempt. */
struct tally {
    unsigned majority;
    unsigned heard;
    unsigned alive;     /* Got an answer of any kind. */
    unsigned ok;        /* Read it. */
    unsigned read_only; /* Read it, and it was read-only. */
    unsigned restarted; /* The same, and in another incarnation than the one that the reign rests on. */
    unsigned fails;     /* Got no answer. */
    unsigned refused;   /* Refused twice, far enough apart. */
    unsigned silent;    /* No answer for the timeout. */
    int64_t refused_since_ms;   /* How long ago a majority had been refused for the first time. */
    int64_t newest_alive_ms;    /* Age of the newest answer, which it may have given till then; INT64_MAX: none. */
    const struct view_facts *facts; /* Of the newest successful probe, or NULL. */
};

/* What the followers know of the master. */
struct witnesses {
    unsigned lost;  /* Readable, and without the master. */
    unsigned hears; /* Readable, and the master is there. */
    unsigned stale; /* Readable, but what they said is too old to tell. */
};

/* The age below which 'need' of the 'n' ages lie above or at it: when the need-th manager joined in. */
static int64_t nth_oldest(int64_t *ages, unsigned n, unsigned need)
{
    if (n < need || need == 0) return 0;
    for (unsigned i = 1; i < n; i++) {
        for (unsigned j = i; j > 0 && ages[j] > ages[j - 1]; j--) {
            int64_t swap = ages[j];
            ages[j] = ages[j - 1];
            ages[j - 1] = swap;
        }
    }
    return ages[need - 1];
}

static bool is_refused(const struct view_observation *o)
{
    return o->outcome == VIEW_REFUSED && o->refused_n >= REFUSED_N && o->refused_span_ms >= REFUSED_SPAN_MS;
}

/* An incarnation that nobody has written down counts as another one. */
static bool is_other_incarnation(const struct fsm_cluster *cluster, const struct view_facts *facts)
{
    const struct fsm_reign *reign = fsm_reign_current(cluster);
    return reign == NULL || reign->started_s[cluster->master] != facts->started_s;
}

/* A failover was begun and did not come to its end: it may have closed the master (F2); nobody else would open it. */
static bool has_unfinished_failover(const struct fsm_cluster *cluster)
{
    return cluster->epoch_used > cluster->epoch;
}

static void count(struct tally *t, const struct fsm_cluster *cluster, const struct view_observation *o)
{
    if (sight_fails(cluster, o)) {
        t->fails++;
        if (o->failing_ms >= cluster->timeout_ms) t->silent++;
        return;
    }
    if (o->age_ms < 0 || o->age_ms > sight_fresh_ms(cluster) || !view_outcome_is_alive(o->outcome)) return;
    t->alive++;
    if (o->age_ms < t->newest_alive_ms) t->newest_alive_ms = o->age_ms;
    /* Something answers at that address, but it is not the master: an alarm, whatever it says of itself. */
    if (!sight_ok(cluster, o)) {
        MARK(diagnose_alive_unread);
        return;
    }
    if (sight_is_foreign(cluster, cluster->master, &o->facts)) {
        MARK(diagnose_foreign_master);
        return;
    }
    t->ok++;
    if (!o->facts.read_only) return;
    t->read_only++;
    t->restarted += is_other_incarnation(cluster, &o->facts);
}

/* Managers that must have lost the master before it counts as lost. */
static unsigned needed(const struct tally *t)
{
    return MUTANT(one_view) ? 1 : t->majority;
}

static void tally_master(struct tally *t, const struct fsm_cluster *cluster, const struct view *view)
{
    int64_t refused[VIEW_MANAGERS_MAX];
    *t = (struct tally){.majority = sight_majority(view), .newest_alive_ms = INT64_MAX};
    for (uint8_t m = 0; m < view->managers_n; m++) {
        const struct view_observation *o = &view->managers[m].servers[cluster->master];
        if (!sight_heard(view, m)) continue;
        t->heard++;
        count(t, cluster, o);
        if (sight_fails(cluster, o) && is_refused(o)) refused[t->refused++] = o->age_ms + o->refused_span_ms;
    }
    t->refused_since_ms = nth_oldest(refused, t->refused, needed(t));
    const struct view_observation *best = sight_best(cluster, view, cluster->master);
    bool is_master = best != NULL && !sight_is_foreign(cluster, cluster->master, &best->facts);
    t->facts = is_master ? &best->facts : NULL;
}

enum witness { WITNESS_NONE, WITNESS_STALE, WITNESS_LOST, WITNESS_HEARS };

/* It is to acknowledge for a reign that is proven lossless, and has no channel from its master, as after a failover
 * that did not come to its end: through it nothing is committed. Of any other server the same says nothing. */
static bool is_idle_acker(const struct fsm_cluster *cluster, uint8_t server, const struct view_facts *facts)
{
    const struct fsm_reign *reign = fsm_reign_current(cluster);
    if (reign == NULL || !reign->lossless || !fsm_set_has(reign->ackers, server)) return false;
    return facts->channels_n <= VIEW_CHANNELS_MAX && text_equal(facts->identity, cluster->servers[server].identity);
}

/* What a follower says that has no channel from the master. */
static enum witness apart_witness(const struct fsm_cluster *cluster, uint8_t server, const struct view_facts *facts)
{
    if (!is_idle_acker(cluster, server, facts)) return WITNESS_NONE;
    MARK(witness_idle_acker);
    return WITNESS_LOST;
}

/* What a follower says whose newest answer is older than 'within_ms'. One that cannot be read any more is no witness;
 * one that could be read, but was not since, is stale. */
static enum witness late_witness(const struct fsm_cluster *cluster, const struct view *view, uint8_t server,
                                 int64_t within_ms)
{
    return sight_failed_within(cluster, view, server, within_ms) ? WITNESS_NONE : WITNESS_STALE;
}

static bool is_connected(const struct fsm_cluster *cluster, const struct view_observation *o)
{
    const struct view_channel *ch = sight_channel_from(cluster, &o->facts, cluster->master);
    return ch != NULL && ch->io == VIEW_IO_YES;
}

/* Gone: the probe began after the refusals, and the receiver is not connected; nor may it be by the newest answer,
 * whenever that was asked for. */
static enum witness witness_of_death(const struct fsm_cluster *cluster, const struct view *view, uint8_t server,
                                     int64_t within_ms)
{
    const struct view_observation *o = sight_asked_last(cluster, view, server);
    const struct view_observation *newest = sight_best(cluster, view, server);
    if (o == NULL) return WITNESS_NONE;
    if (newest->age_ms <= within_ms && is_connected(cluster, newest)) return WITNESS_HEARS;
    if (!sight_is_after(o, within_ms)) return late_witness(cluster, view, server, within_ms);
    const struct view_channel *ch = sight_channel_from(cluster, &o->facts, cluster->master);
    if (ch == NULL) return apart_witness(cluster, server, &o->facts);
    return ch->io == VIEW_IO_YES ? WITNESS_HEARS : WITNESS_LOST;
}

/* For how long nothing had arrived when the probe looked. What came since is unknown: it does not count as silence. */
static int64_t idle_when_probed_ms(const struct view_observation *o, const struct view_channel *ch)
{
    return ch->idle_ms < 0 ? -1 : ch->idle_ms - o->age_ms;
}

/* A connection on which heartbeats come rarely, or never, may be idle and healthy. */
static bool tells_silence(const struct fsm_cluster *cluster, const struct view_channel *ch)
{
    return ch->heartbeat_period_ms > 0 && ch->heartbeat_period_ms <= cluster->timeout_ms / 4;
}

/* Silent: nothing arrived for the timeout, whatever the state of the connection. It is counted up to the question, so
 * an answer that was long under way tells it, too: or a follower that is always slow would veto for ever. */
static enum witness witness_of_silence(const struct fsm_cluster *cluster, const struct view *view, uint8_t server,
                                       int64_t within_ms)
{
    const struct view_observation *o = sight_best(cluster, view, server);
    if (o == NULL) return WITNESS_NONE;
    if (o->age_ms > within_ms) return late_witness(cluster, view, server, within_ms);
    const struct view_channel *ch = sight_channel_from(cluster, &o->facts, cluster->master);
    if (ch == NULL) return apart_witness(cluster, server, &o->facts);
    if (idle_when_probed_ms(o, ch) >= cluster->timeout_ms) {
        return ch->io != VIEW_IO_YES || tells_silence(cluster, ch) ? WITNESS_LOST : WITNESS_STALE;
    }
    if (ch->io == VIEW_IO_YES) return ch->idle_ms >= 0 ? WITNESS_HEARS : WITNESS_STALE;
    return ch->idle_ms < 0 ? WITNESS_LOST : WITNESS_STALE;
}

typedef enum witness witness_fn(const struct fsm_cluster *cluster, const struct view *view, uint8_t server,
                                int64_t within_ms);

static struct witnesses ask_followers(const struct fsm_cluster *cluster, const struct view *view, witness_fn *ask,
                                      int64_t within_ms)
{
    struct witnesses w = {0};
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (i == cluster->master) continue;
        switch (ask(cluster, view, i, within_ms)) {
        case WITNESS_LOST: w.lost++; break;
        case WITNESS_HEARS: w.hears++; break;
        case WITNESS_STALE: w.stale++; break;
        case WITNESS_NONE: break;
        }
    }
    return w;
}

static bool all_lost(struct witnesses w)
{
    if (MUTANT(ignore_followers)) return true;
    return w.lost > 0 && w.hears == 0 && w.stale == 0;
}

static bool is_gone(const struct fsm_cluster *cluster, const struct view *view, const struct tally *t)
{
    if (t->refused < needed(t)) return false;
    /* Somebody got an answer after the others were refused: contradiction, not death. */
    if (t->newest_alive_ms <= t->refused_since_ms) {
        MARK(gone_veto_contradiction);
        return false;
    }
    struct witnesses w = ask_followers(cluster, view, witness_of_death, t->refused_since_ms);
    if (w.hears > 0) MARK(gone_veto_receiver);
    if (w.hears == 0 && w.stale > 0) MARK(gone_veto_stale);
    if (w.hears == 0 && w.stale == 0 && w.lost == 0) MARK(gone_veto_no_witness);
    return all_lost(w);
}

static bool is_silent(const struct fsm_cluster *cluster, const struct view *view, const struct tally *t)
{
    if (t->silent < needed(t)) return false;
    /* "Before acting the reachable ackers are asked": what followers say must be young against the timeout. */
    struct witnesses w = ask_followers(cluster, view, witness_of_silence, (int64_t)cluster->timeout_ms / 4);
    if (w.hears > 0) MARK(silent_veto_receiver);
    if (w.hears == 0 && w.stale > 0) MARK(silent_veto_stale);
    if (w.hears == 0 && w.stale == 0 && w.lost == 0) MARK(silent_veto_no_witness);
    return all_lost(w);
}

/* Managers that lost it. To find that out anew may take longer than a probe counts as fresh, so that does not count. */
static unsigned failing(const struct view *view, uint8_t server)
{
    unsigned n = 0;
    for (uint8_t m = 0; m < view->managers_n; m++) {
        const struct view_observation *o = &view->managers[m].servers[server];
        n += sight_heard(view, m) && o->outcome != VIEW_NONE && !view_outcome_is_alive(o->outcome);
    }
    return n;
}

/* It says itself that nothing of the master reaches it, or that it does not acknowledge that. */
static bool is_detached(const struct fsm_cluster *cluster, const struct view *view, uint8_t server)
{
    const struct view_observation *o = sight_best(cluster, view, server);
    const struct view_channel *ch = o != NULL ? sight_channel_from(cluster, &o->facts, cluster->master) : NULL;
    return o != NULL && (ch == NULL || ch->io != VIEW_IO_YES || !o->facts.replica_on);
}

/* Ackers that a majority of the managers have lost, that have lost the master, or that follow it as plain replicas.
 * That one counts the connection of one that lost its power, or that the network cut off, until it is given up, minutes
 * later. */
static unsigned lost_ackers(const struct fsm_cluster *cluster, const struct view *view, fsm_set ackers)
{
    unsigned n = 0;
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (!fsm_set_has(ackers, i)) continue;
        n += failing(view, i) >= sight_majority(view) || is_detached(cluster, view, i);
    }
    return n;
}

/* No commit was acknowledged for so long while some waited, by whoever of the managers has seen most of it; unless the
 * count has moved since, in the youngest answer. -1: who got that one cannot tell. */
static int64_t stalled_ms(const struct fsm_cluster *cluster, const struct view *view, const struct view_facts *youngest)
{
    int64_t longest_ms = youngest->stalled_ms;
    if (longest_ms < 0) return -1;
    for (uint8_t m = 0; m < view->managers_n; m++) {
        const struct view_observation *o = &view->managers[m].servers[cluster->master];
        if (!sight_heard(view, m) || !sight_ok(cluster, o)) continue;
        bool is_same = o->facts.started_s == youngest->started_s && o->facts.yes_tx == youngest->yes_tx;
        if (is_same && o->facts.stalled_ms > longest_ms) longest_ms = o->facts.stalled_ms;
    }
    return longest_ms;
}

/* That some wait tells nothing by itself: on a busy master some do at nearly every moment, and yet commits flow, also
 * when the managers cannot reach an acker that the master reaches. */
static bool is_standing_still(const struct fsm_cluster *cluster, const struct view *view, const struct tally *t)
{
    int64_t ms = stalled_ms(cluster, view, t->facts);
    return ms < 0 || ms >= BLOCKED_MS;
}

static bool is_blocked(const struct fsm_cluster *cluster, const struct view *view, const struct tally *t)
{
    const struct fsm_reign *reign = fsm_reign_current(cluster);
    if (t->alive < t->majority || t->facts == NULL) return false;
    if (!t->facts->source_enabled || t->facts->wait_sessions == 0) return false;
    /* Also where nobody is to acknowledge: semi-sync was switched on there by somebody else. */
    if (reign == NULL || reign->k == 0) return t->facts->source_clients < 1;
    if (t->facts->source_clients < reign->k) return true;
    unsigned lost = lost_ackers(cluster, view, reign->ackers);
    return fsm_set_count(reign->ackers) < reign->k + lost && is_standing_still(cluster, view, t);
}

static bool is_heard_by_follower(const struct fsm_cluster *cluster, const struct view *view)
{
    return ask_followers(cluster, view, witness_of_silence, sight_fresh_ms(cluster)).hears > 0;
}

/* A majority reads it, and it is read-only. */
static enum diagnosis_row match_closed(const struct fsm_cluster *cluster, const struct tally *t)
{
    if (t->restarted >= t->majority) return DIAGNOSIS_RESTARTED;
    if (!has_unfinished_failover(cluster)) return DIAGNOSIS_CLOSED;
    MARK(closed_by_failover);
    return DIAGNOSIS_RESTARTED;
}

static enum diagnosis_row match(const struct fsm_cluster *cluster, const struct view *view, const struct tally *t)
{
    if (t->read_only >= t->majority) return match_closed(cluster, t);
    if (is_blocked(cluster, view, t)) return DIAGNOSIS_BLOCKED;
    if (t->alive >= t->majority && t->ok < t->majority) return DIAGNOSIS_ALARM;
    if (t->ok >= t->majority && !(MUTANT(one_view) && t->fails > 0)) return DIAGNOSIS_OK;
    if (is_gone(cluster, view, t)) return DIAGNOSIS_GONE;
    if (is_silent(cluster, view, t)) return DIAGNOSIS_SILENT;
    if (t->heard >= t->majority && t->fails > 0 && t->fails < t->majority) return DIAGNOSIS_MINORITY;
    if (t->fails >= t->majority && is_heard_by_follower(cluster, view)) return DIAGNOSIS_RECEIVERS_ALIVE;
    if (t->fails >= t->majority) return DIAGNOSIS_WAITING;
    return DIAGNOSIS_BLIND;
}

static bool row_acts(enum diagnosis_row row)
{
    static const bool acts[] = {
#define X(id, name, does_act, text) does_act,
        DIAGNOSIS_ROWS(X)
#undef X
    };
    MUST((size_t)row < ARRAY_LEN(acts));
    return acts[row];
}

/* A follower that tries to reconnect, or that misses heartbeats: the earliest signs there are. */
static bool has_lost_receiver(const struct fsm_cluster *cluster, const struct view *view)
{
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (i == cluster->master || cluster->servers[i].state != SERVER_MEMBER) continue;
        const struct view_observation *best = sight_best(cluster, view, i);
        const struct view_channel *ch =
            best != NULL ? sight_channel_from(cluster, &best->facts, cluster->master) : NULL;
        if (ch == NULL) continue;
        if (ch->io == VIEW_IO_CONNECTING) return true;
        bool misses_heartbeats = ch->io == VIEW_IO_YES && tells_silence(cluster, ch) &&
                                 idle_when_probed_ms(best, ch) >= cluster->timeout_ms / 2;
        if (misses_heartbeats) return true;
    }
    return false;
}

static uint8_t declared_master(const struct fsm_cluster *cluster)
{
    for (uint8_t i = 0; i < cluster->servers_n; i++) {
        if (cluster->servers[i].declared == ROLE_MASTER) return i;
    }
    return FSM_SERVER_NONE;
}

/* The rows that nobody acts on, and that are easily never seen. */
static void mark_row(enum diagnosis_row row)
{
    if (row == DIAGNOSIS_BLOCKED) MARK(diagnose_blocked);
    if (row == DIAGNOSIS_ALARM) MARK(diagnose_alarm);
    if (row == DIAGNOSIS_MINORITY) MARK(diagnose_minority);
    if (row == DIAGNOSIS_RECEIVERS_ALIVE) MARK(diagnose_receivers_alive);
    if (row == DIAGNOSIS_WAITING) MARK(diagnose_waiting);
    if (row == DIAGNOSIS_BLIND) MARK(diagnose_blind);
    if (row == DIAGNOSIS_PAUSED) MARK(diagnose_paused);
}

static bool is_enrolled(const struct fsm_cluster *cluster)
{
    return cluster->epoch > 0 && cluster->master < cluster->servers_n;
}

void diagnose_verdict(const struct fsm_cluster *cluster, const struct view *view, struct diagnosis *out)
{
    out->row = DIAGNOSIS_NOT_ENROLLED;
    out->suspicious = false;
    out->evidence[0] = out->change[0] = '\0';
    if (is_enrolled(cluster)) {
        struct tally t;
        tally_master(&t, cluster, view);
        out->row = cluster->paused ? DIAGNOSIS_PAUSED : match(cluster, view, &t);
        out->suspicious = t.fails > 0 || has_lost_receiver(cluster, view);
    } else if (cluster->paused) {
        out->row = DIAGNOSIS_PAUSED;
    }
    mark_row(out->row);
    out->acts = row_acts(out->row);
}

void diagnose_tell(const struct fsm_cluster *cluster, const struct view *view, struct diagnosis *out)
{
    struct text evidence = TEXT_ON(out->evidence);
    struct text change = TEXT_ON(out->change);
    diagnosis_evidence(cluster, view, is_enrolled(cluster) ? cluster->master : declared_master(cluster), &evidence);
    diagnosis_change(cluster, view, out->row, &change);
}

void diagnose(const struct fsm_cluster *cluster, const struct view *view, struct diagnosis *out)
{
    diagnose_verdict(cluster, view, out);
    diagnose_tell(cluster, view, out);
}

/* What is wrong with a replica's channel from the master, by the order in which one would repair it. */
static const char *channel_trouble(const struct view_channel *ch)
{
    if (ch == NULL) return "does not replicate from the master";
    if (ch->io == VIEW_IO_NO) return "receiver stopped";
    if (ch->io == VIEW_IO_CONNECTING) return "receiver cannot connect to the master";
    if (!ch->applier) return ch->sql_errno != 0 ? "applier stopped on an error" : "applier stopped";
    if (!ch->gtid) return "replicates without GTID";
    return NULL;
}

static const char *unread_trouble(const struct view_observation *o)
{
    switch (o->outcome) {
    case VIEW_NONE: return "not probed yet";
    case VIEW_LOGIN_REFUSED: return "login refused: check the account in the credentials file";
    case VIEW_TOO_MANY: return "too many connections";
    case VIEW_UNSUPPORTED: return "version not supported";
    case VIEW_UNREACHABLE: return "host unknown or unreachable";
    case VIEW_OK:
    case VIEW_REFUSED:
    case VIEW_TIMED_OUT:
    case VIEW_LOST:
    case VIEW_FAILED:
    case VIEW_OUTCOMES_N: break;
    }
    return "cannot be read";
}

const char *diagnose_server(const struct fsm_cluster *cluster, const struct view *view, uint8_t server)
{
    if (server >= cluster->servers_n || server == cluster->master) return NULL;
    const struct view_observation *best = sight_best(cluster, view, server);
    if (best == NULL) return unread_trouble(sight_self(view, server));
    if (cluster->epoch == 0) return NULL;

    const struct fsm_server *s = &cluster->servers[server];
    const struct view_facts *facts = &best->facts;
    const struct fsm_reign *reign = fsm_reign_current(cluster);
    if (!facts->read_only) return "writable, but not the master";
    if (s->identity[0] != '\0' && !text_equal(s->identity, facts->identity)) return "not the server that was enrolled";
    const char *trouble = channel_trouble(sight_channel_from(cluster, facts, cluster->master));
    if (trouble != NULL) return trouble;
    bool is_acker = reign != NULL && fsm_set_has(reign->ackers, server);
    if (is_acker && !facts->replica_on) return "an acker that does not acknowledge";
    if (!is_acker && facts->replica_enabled) return "may acknowledge, but is no acker: its semi-sync flag is on";
    if (is_acker && !facts->relay_durable) return "an acker without sync_relay_log=1";
    return NULL;
}
