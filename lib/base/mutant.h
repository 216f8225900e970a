/* Mutants: places in the production code where a rule can be broken on purpose, so that the simulator proves that it
 * would notice (`make sim-mutants`).
 *
 * MUTANT(name) stands at the line that upholds the rule. It is 0 in every build but the one with MUTANTS=1 (`make
 * MUTANTS=1`), whose objects are never shipped; there it is true when regent-sim was started with --mutant NAME. */
#ifndef REGENT_MUTANT_H
#define REGENT_MUTANT_H

/* Name, the property that must catch it (DESIGN §2), what is broken. */
#define MUTANTS(X)                                                                                                     \
    X(open_unapplied, "S2", "APPLY and PROMOTE do not wait for what was received (A4)")                                \
    X(choose_executed, "S2", "what counts is what a server executed, not what it received (A4)")                       \
    X(target_own, "S2", "the candidate's own position is the target, not the union (A4)")                              \
    X(trust_restarted, "S2", "an acker that restarted proves what it held before, and forgot (A4)")                    \
    X(any_revoked, "S1 S2", "any revoked follower ends a reign, a member of A or not (A3)")                            \
    X(f1_unproven, "S1", "to stop the ackers of a reign ends it, also one that is not lossless (A7)")                  \
    X(open_unfenced, "S1 S2", "nothing proves that the older reigns ended (A8)")                                       \
    X(start_both, "S2", "REVOKE stops both threads and starts the applier: the relay log is thrown away")              \
    X(keep_receiving, "S2 L1 L3", "REVOKE reads the position and leaves the receiver running (A3)")                    \
    X(keep_proof, "S2", "the proof of a reign is never withdrawn, whatever becomes of semi-sync (A7)")                 \
    X(ignore_strangers, "S2", "nobody looks for servers that acknowledge and are no ackers (A6)")                      \
    X(kill_query, "S2", "KILL QUERY in place of KILL CONNECTION: waiting commits are told OK")                         \
    X(close_semi_sync_off, "S2", "CLOSE switches semi-sync off first: waiting commits are told OK")                    \
    X(close_by_word, "S1", "CLOSE does nothing and says that it did (F2)")                                             \
    X(act_uncommitted, "S1", "verbs are performed before their intent is committed")                                   \
    X(epoch_again, "S1", "the epoch of a plan that failed is given again")                                             \
    X(resume_wrong_step, "S1", "a new leader goes on with OPEN where ESTABLISH is committed (L3)")                     \
    X(ignore_token, "S3", "the greater token, or term, that a server holds is ignored")                                \
    X(no_lock, "S3", "a takeover neither ends the other control sessions nor takes the lock")                          \
    X(one_view, "S6", "one manager that has lost the master is enough")                                                \
    X(ignore_followers, "S6", "what followers hear of the master does not count")                                      \
    X(stale_begin, "S6", "a failover acts on the evidence of its proposal, however old that is when it is committed")  \
    X(demote_unseen, "S5 L2", "a replaced master is not quarantined, whatever it alone has")                           \
    X(never_again, "L1", "after a failover that failed none begins any more")                                          \
    X(unknown_is_done, "L1 L2 S2", "a verb without an answer counts as done")                                          \
    X(never_follows, "L2", "a server that was restarted, or left by a plan, is never made to follow again")            \
    X(begin_anew, "L3", "a new leader gives up the failover that it finds, instead of carrying it on")                 \
    X(lose_vote, "S4", "a vote is not written before it is given")                                                     \
    X(dedup_lost, "S4", "the dedup window is not in the snapshot")                                                     \
    X(dedup_half, "S4", "the dedup window knows requests by their number, whoever made them")                          \
    X(snapshot_lacks, "S4", "a snapshot does not say which followers a running plan has revoked")                      \
    X(apply_uncommitted, "S4", "the leader applies what it proposes at once")

enum mutant {
    MUTANT_none,
#define X(name, property, text) MUTANT_##name,
    MUTANTS(X)
#undef X
    MUTANTS_N
};

#ifdef REGENT_MUTANTS
extern unsigned regent_mutant; /* lib/base/mutant.c */
#define MUTANT(name) (regent_mutant == MUTANT_##name)
#else
#define MUTANT(name) 0
#endif

#endif
