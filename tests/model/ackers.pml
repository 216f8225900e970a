/* One reign: the set of ackers A, the number k that must acknowledge, and the ways they change (DESIGN §6: A1 grow, A2
 * shrink, A7 degrade and restore, A9 k), while a failover that rests on F1 alone (A3, A4) may begin at any moment.
 *
 * What stands for what
 * - The master is a position: 'pos' writes are in its binlog, 'acked' of them were answered OK. It lives, cut off from
 *   all but its followers, and is never fenced by other means: F1 alone must do.
 * - Three followers: what each received, its flag, its connection (it takes the flag as it is when it begins, and may
 *   end and begin anew at any time), whether its replication account is locked on the master, what the master heard.
 * - A leader makes one change at a time. It forgets it at any moment (crash, pause, election: FAULT_MCRASH), and the
 *   next one begins with what was committed. A verb runs at once, or stays in the socket of a server that stands still,
 *   for ever or until the next control session there begins (FAULT_PAUSE): its token is then an old one.
 * - Any follower crashes at any moment, with its un-synced relay log (FAULT_CRASH); it boots with its flag and
 *   replication off.
 * - Acknowledgements arrive or are lost (FAULT_LOSS).
 * - A failover revokes members one after another; with |A|-k+1 that prove, the target is what these received.
 *
 * Property S2 (F1): from that moment on, and for ever, no more than the target was or is answered OK. */

#ifndef WRITES
#define WRITES 3
#endif
#define F 3 /* followers */
#define M F /* the master, as an index of sockets */
#define BIT(i) (1 << (i))
#define COUNT(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1))

/* Changes. */
#define IDLE 0
#define GROW 1
#define SHRINK 2
#define DEGRADE 3
#define RESTORE 4
#define LOWER 5
#define RAISE 6
#define CLEAN 7

/* Statements. */
#define Q_NONE 0
#define Q_ACK 1    /* flag on, receiver restarted */
#define Q_PLAIN 2  /* flag off, receiver restarted */
#define Q_STOP 3   /* flag off, receiver stopped: revoked */
#define Q_ON 4     /* semi-sync on the master */
#define Q_OFF 5
#define Q_K1 6
#define Q_K2 7

/* Connection of a follower. */
#define C_NONE 0
#define C_PLAIN 1
#define C_ACK 2

/* ---- committed ---- */
unsigned A : 3 = 1;
unsigned k : 2 = 1;
unsigned lossless : 1 = 1;
unsigned unproven : 3; /* members that restarted since they were last seen attached and caught up (A4) */
unsigned failover : 2; /* 0 none, 1 revoking, 2 the target is known */

/* ---- the leader's change; gone with the leader ---- */
unsigned op : 3;
unsigned stage : 2;
unsigned on : 2;       /* the follower that it is about */
unsigned g : 2;        /* position of the master that was read */
unsigned told : 3;
unsigned target : 2;

/* ---- servers ---- */
unsigned pos : 2;
unsigned acked : 2;
unsigned semisync : 1 = 1;
unsigned klive : 2 = 1;
unsigned locked : 3;   /* replication accounts that are locked on the master */
unsigned flag : 3 = 1;
unsigned receiver : 3 = 7;
byte conn[F], got[F], heard[F];
byte stmt[4];

hidden byte s, q, p; /* not set in a d_step */
hidden byte x, n;    /* only in one */

/* Members that have position 'at'. */
#define HAVE(set, at) \
  ((((set) & 1) && got[0] >= (at)) + (((set) & 2) && got[1] >= (at)) + (((set) & 4) && got[2] >= (at)))
#define HEARD(at) ((heard[0] >= (at)) + (heard[1] >= (at)) + (heard[2] >= (at)))
#define TO_REVOKE (COUNT(A) - k + 1)

/* The master answers who need not wait any longer. */
inline answer() {
  if
  :: !semisync -> acked = pos
  :: else ->
     do
     :: acked < pos && HEARD(acked + 1) >= klive -> acked++
     :: else -> break
     od
  fi;
  /* What is no more than answered is as good as nothing. */
  n = 0;
  do
  :: n < F ->
     if
     :: heard[n] <= acked -> heard[n] = 0
     :: else -> skip
     fi;
     n++
  :: else -> break
  od;
  assert(failover != 2 || acked <= target)
}

inline connect(f) {
  if
  :: !(receiver & BIT(f)) || (locked & BIT(f)) -> conn[f] = C_NONE
  :: else ->
     if
     :: flag & BIT(f) -> conn[f] = C_ACK
     :: else -> conn[f] = C_PLAIN
     fi
  fi
}

/* Statement x runs on server f. */
inline run_it(f) {
  if
  :: x == Q_ACK -> flag = flag | BIT(f); receiver = receiver | BIT(f); connect(f)
  :: x == Q_PLAIN ->
     flag = flag & ~BIT(f); receiver = receiver | BIT(f);
#ifndef BREAK_SHRINK_FLAG
     connect(f)
#else
     skip
#endif
  :: x == Q_STOP -> flag = flag & ~BIT(f); receiver = receiver & ~BIT(f); connect(f)
  :: x == Q_ON -> semisync = 1
  :: x == Q_OFF -> semisync = 0
  :: x == Q_K1 -> klive = 1
  :: x == Q_K2 -> klive = 2
  fi;
  answer()
}

/* The leader takes the control session of server f and performs statement what: the one before it can never run. It is
 * heard (stage becomes 'then'), or lies in the socket. */
inline perform(f, what, then) {
  if
  :: d_step { stmt[f] = Q_NONE; x = what; run_it(f); stage = then }
#ifdef FAULT_PAUSE
  :: d_step { stmt[f] = what; skip }
#endif
  fi
}

inline idle() {
  op = IDLE; stage = 0; on = 0; g = 0
}

proctype Follower(byte me) {
end:
  do
  :: atomic { stmt[me] != Q_NONE -> d_step { x = stmt[me]; stmt[me] = Q_NONE; run_it(me); skip } }
  /* It receives the next write, and acknowledges. */
  :: atomic {
       conn[me] != C_NONE && got[me] < pos ->
       got[me]++;
       if
       :: conn[me] == C_ACK -> d_step { heard[me] = got[me]; answer(); skip }
#ifdef FAULT_LOSS
       :: conn[me] == C_ACK -> skip
#endif
       :: conn[me] == C_PLAIN -> skip
       fi
     }
  /* The connection breaks, and comes back with the flag as it is then. MySQL: its position counts as acknowledged. */
  :: d_step { conn[me] != C_NONE -> conn[me] = C_NONE }
  :: d_step {
       conn[me] == C_NONE && (receiver & BIT(me)) && !(locked & BIT(me)) ->
       connect(me);
       if
       :: conn[me] == C_ACK && acked < got[me] -> heard[me] = got[me]; answer()
       :: else -> skip
       fi;
       skip
     }
#ifdef FAULT_CRASH
  :: atomic {
       (receiver & BIT(me)) || stmt[me] != Q_NONE ->
       if
       :: p = got[me]
       :: got[me] > 0 -> p = got[me] - 1
       :: got[me] > 1 -> p = 0
       fi;
       d_step {
         got[me] = p;
         flag = flag & ~BIT(me); receiver = receiver & ~BIT(me); conn[me] = C_NONE; stmt[me] = Q_NONE;
         if
         :: A & BIT(me) -> unproven = unproven | BIT(me)
         :: else -> skip
         fi;
         if
         :: op != IDLE && on == me -> idle() /* its incarnation is another: the change begins anew */
         :: else -> skip
         fi;
         skip
       }
     }
#endif
  od
}

proctype Master() {
end:
  do
  :: d_step { pos < WRITES -> pos++; answer(); skip }
  :: d_step { stmt[M] != Q_NONE -> x = stmt[M]; stmt[M] = Q_NONE; run_it(M); skip }
  od
}

/* A follower, any. */
inline any_of(set) {
  if
  :: (set) & 1 -> s = 0
  :: (set) & 2 -> s = 1
  :: (set) & 4 -> s = 2
  fi
}

proctype Leader() {
end:
  do
  /* --- a change begins --- */
  :: atomic { op == IDLE && !failover && A != 7 -> any_of(7 & ~A); d_step { op = GROW; on = s } }
  :: atomic { op == IDLE && !failover && COUNT(A) > k -> any_of(A); d_step { op = SHRINK; on = s } }
  :: atomic { op == IDLE && !failover && unproven -> any_of(unproven); d_step { op = CLEAN; on = s } }
  :: d_step { op == IDLE && !failover && lossless -> op = DEGRADE }
  :: d_step { op == IDLE && !failover && !lossless -> op = RESTORE }
  :: d_step { op == IDLE && !failover && k == 2 -> op = LOWER }
  :: d_step { op == IDLE && !failover && k == 1 && COUNT(A) >= 2 -> op = RAISE }

  /* --- A1 --- */
#ifdef BREAK_LIFT_EARLY /* as DESIGN A2 had it: the lock is lifted before s is grown in again */
  :: d_step { op == GROW && stage == 0 && (locked & BIT(on)) -> locked = locked & ~BIT(on) }
  :: d_step { op == GROW && stage == 0 && !(locked & BIT(on)) -> A = A | BIT(on); stage = 1 }
#else
#ifdef BREAK_GROW_LATE
  :: d_step { op == GROW && stage == 0 -> locked = locked & ~BIT(on); stage = 1 }
#else
  :: d_step {
       op == GROW && stage == 0 ->
       A = A | BIT(on);
       locked = locked & ~BIT(on);
       stage = 1
     }
#endif
#endif
  :: atomic { op == GROW && stage == 1 -> perform(on, Q_ACK, 2) }
#ifdef BREAK_GROW_LATE
  :: d_step { op == GROW && stage == 2 -> A = A | BIT(on); idle(); skip }
#else
  :: d_step { op == GROW && stage == 2 -> idle(); skip }
#endif

  /* --- A4: a member that proves nothing is attached, and proves again with what the master had after that --- */
  :: atomic { op == CLEAN && stage == 0 -> perform(on, Q_ACK, 1) }
  :: d_step { op == CLEAN && stage == 1 -> g = pos; stage = 2 }
#ifdef BREAK_CLEAN_EARLY
  :: d_step { op == CLEAN && stage == 2 -> unproven = unproven & ~BIT(on); idle(); skip }
#else
  :: d_step { op == CLEAN && stage == 2 && got[on] >= g -> unproven = unproven & ~BIT(on); idle(); skip }
#endif

  /* --- A2: by the follower itself, or on the master --- */
  :: atomic { op == SHRINK && stage == 0 -> perform(on, Q_PLAIN, 1) }
#ifdef BREAK_SHRINK_KILL
  :: d_step { op == SHRINK && stage == 0 -> conn[on] = C_NONE; stage = 1 } /* killed, not locked: it comes back */
#else
  :: d_step { op == SHRINK && stage == 0 -> locked = locked | BIT(on); conn[on] = C_NONE; stage = 1 }
#endif
  :: d_step { op == SHRINK && stage == 1 -> g = pos; stage = 2 }
  :: d_step {
#ifdef BREAK_SHRINK_NO_WAIT
       op == SHRINK && stage == 2 ->
#else
       op == SHRINK && stage == 2 && HAVE(A & ~BIT(on) & ~unproven, g) >= k ->
#endif
       A = A & ~BIT(on);
       unproven = unproven & ~BIT(on);
       idle();
       skip
     }

  /* --- A7 --- */
#ifdef BREAK_DEGRADE_LATE
  :: atomic { op == DEGRADE && stage == 0 -> perform(M, Q_OFF, 1) }
  :: d_step { op == DEGRADE && stage == 1 -> lossless = 0; idle(); skip }
#else
  :: d_step { op == DEGRADE && stage == 0 -> lossless = 0; stage = 1 }
  :: atomic { op == DEGRADE && stage == 1 -> perform(M, Q_OFF, 2) }
  :: d_step { op == DEGRADE && stage == 2 -> idle(); skip }
#endif
  :: atomic { op == RESTORE && stage == 0 -> perform(M, Q_ON, 1) }
  :: d_step { op == RESTORE && stage == 1 -> g = pos; stage = 2 }
#ifdef BREAK_RESTORE_EARLY
  :: d_step { op == RESTORE && stage == 2 -> lossless = 1; idle(); skip }
#else
  :: d_step { op == RESTORE && stage == 2 && HAVE(A & ~unproven, g) >= k -> lossless = 1; idle(); skip }
#endif

  /* --- A9 --- */
#ifdef BREAK_LOWER_LATE
  :: atomic { op == LOWER && stage == 0 -> perform(M, Q_K1, 1) }
  :: d_step { op == LOWER && stage == 1 -> k = 1; idle(); skip }
#else
  :: d_step { op == LOWER && stage == 0 -> k = 1; stage = 1 }
  :: atomic { op == LOWER && stage == 1 -> perform(M, Q_K1, 2) }
  :: d_step { op == LOWER && stage == 2 -> idle(); skip }
#endif
  :: atomic { op == RAISE && stage == 0 -> perform(M, Q_K2, 1) }
  :: d_step { op == RAISE && stage == 1 -> g = pos; stage = 2 }
#ifdef BREAK_RAISE_EARLY
  :: d_step { op == RAISE && stage == 2 -> k = 2; idle(); skip }
#else
  :: d_step { op == RAISE && stage == 2 && HAVE(A & ~unproven, g) >= 2 -> k = 2; idle(); skip }
#endif

#ifdef FAULT_MCRASH
  /* It is gone, or gives the change up. */
  :: d_step { op != IDLE -> idle(); skip }
#endif

  /* --- a failover: F1 is counted in a lossless reign only --- */
#ifdef BREAK_F1_ASYNC
  :: d_step { !failover && A != 0 -> idle(); failover = 1 }
#else
  :: d_step { !failover && lossless && A != 0 -> idle(); failover = 1 }
#endif
  :: atomic {
       failover == 1 && (A & ~told) ->
       any_of(A & ~told);
       if
       :: d_step {
            stmt[s] = Q_NONE;
            x = Q_STOP;
            run_it(s);
#ifndef BREAK_INCARNATION
            if
            :: !(unproven & BIT(s)) ->
#else
            if
            :: true ->
#endif
               told = told | BIT(s);
               if
               :: got[s] > target -> target = got[s]
               :: else -> skip
               fi
            :: else -> skip
            fi;
            skip
          }
#ifdef FAULT_PAUSE
       :: d_step { stmt[s] = Q_STOP; skip }
#endif
       fi
     }
#ifdef BREAK_TOO_FEW
  :: d_step { failover == 1 && COUNT(told) >= 1 && COUNT(told) >= TO_REVOKE - 1 -> failover = 2; answer(); skip }
#else
  :: d_step { failover == 1 && COUNT(told) >= TO_REVOKE -> failover = 2; answer(); skip }
#endif
  od
}

init {
  atomic {
    conn[0] = C_ACK; conn[1] = C_PLAIN; conn[2] = C_PLAIN;
    run Follower(0); run Follower(1); run Follower(2);
    run Master(); run Leader()
  }
}
