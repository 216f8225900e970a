/* One replication cluster, two managers, three servers: the rules of DESIGN §6 and §7 that a failover rests on.
 *
 * Faults have no budget. At any moment, as often as it likes and all together: a server crashes (FAULT_CRASH), a
 * manager crashes (FAULT_MCRASH), a manager stands still within a verb until after it was deposed (FAULT_MPAUSE), a
 * server stands still with a statement in its socket (FAULT_PAUSE), a message is lost on the channel from a manager to
 * a server, from a server to a manager, from an acker to its master (FAULT_LOSS). Any process may also stand still
 * between two of its steps for as long as all the others like. A budget would need a counter, and so more states.
 *
 * What stands for what
 * - Raft is an oracle: term and committed state are global; only the leader of the term commits. What it heard of verbs
 *   is gone with its term. A manager that was deposed goes on with the verb that it is at.
 * - A server's data is a set of bits: the writes of clients, and the reign rows. 'exec' is in its binlog, 'relay' is
 *   received and not executed. A follower attaches only when its master has all that it has (MariaDB: error 1236).
 * - An acknowledgement counts as arrived when it is sent, or is lost: the earliest moment is the hardest for S2. The
 *   next one covers the waiters that a lost one left.
 * - A verb is a statement in the socket of a control session: it runs at once, later or never, but only under the guard
 *   of §7 (this session holds regent.control, the stored token and term are those of the verb). One whose lock was
 *   taken by another session can never pass it again, as the stored stamp only rises: it is forgotten at that moment.
 * - Clocks: none; the deadline of a verb only makes fewer things happen.
 * - A variable that nobody can read any more is set to 0, so that states that behave alike are one state.
 *
 * Properties (-DPROP_x), the knobs and the breaks (-DBREAK_x): README.md and tests/model/run. */

#ifndef WRITES
#define WRITES 3
#endif
#ifndef PLANS
#define PLANS 2
#endif
#ifndef TERMS
#define TERMS 2
#endif
#ifndef SERVERS
#define SERVERS 3
#endif

#define NONE 15
#define BIT(i) (1 << (i))
#define ROW(e) BIT(1 + (e)) /* reign row of epoch e = 2, 3: bits 3, 4; writes are bits 0 to 2 */
#define WRITTEN 7           /* by clients */
#define HAS(set, sub) (((set) & (sub)) == (sub))
#define LEADER ((term - 1) & 1)
#define STAMP (plans * 4 + term) /* of the newest plan; compares as (token, term) does */
#define PLAIN 4                  /* source + PLAIN: follows it without acknowledging */

/* Steps of a plan. A step is the committed intent; its verbs may be performed, no others. */
#define REVOKE 1
#define APPLY 2
#define PROMOTE 3
#define ESTABLISH 4
#define OPEN 5

/* Verbs. */
#define V_NONE 0
#define V_REVOKE 1  /* stop the receiver; tells what was received */
#define V_APPLY 2   /* execute what was received, fetch the rest from the holder */
#define V_PROMOTE 3 /* stop replicating */
#define V_FOLLOW 4  /* attach as acker of 'arg' */
#define V_ROW 5     /* write the reign row */
#define V_OPEN 6    /* accept writes */
#define V_CLOSE 7   /* end all clients, read-only: F2 */

/* ---- the group: committed state ---- */
unsigned term : 3 = 1;
unsigned plans : 2;   /* begun */
unsigned token : 2;   /* running plan, 0: none; the n-th plan has token n and epoch n + 1 */
unsigned step : 3;
unsigned to : 2;      /* of the plan */
unsigned acker : 2;
unsigned target : 5;
unsigned listed : 4;  /* A8: epochs that may still acknowledge, as a set */
unsigned past : 4;    /* taken off the list by the running plan, back if it fails */
unsigned certain : 4; /* epochs whose acker's incarnation is known, so that what it tells is a proof (A4) ... */
unsigned broken : 4;  /* ... and whose acker restarted since */
byte rmaster[4], racker[4]; /* by epoch */
#ifdef BREAK_LEAVE_CLOSED /* what a closed master has is left behind where the ackers prove its reign */
unsigned tail : 5;
#define NEEDS_CLOSED(r) ((listed & BIT(r)) && rmaster[r] != to && !(sure & BIT(r)))
#endif
#ifdef RULE_SHUT
unsigned shut : 4;    /* epochs whose master was sent a CLOSE */
#endif
unsigned master : 2;  /* of the newest reign whose OPEN is done */

/* What the leader has heard of the verbs of the step; gone with its term, or with the step. */
unsigned found : 4;   /* revoked, as a set of servers */
unsigned closed : 4;  /* read-only without clients */
unsigned sure : 4;    /* epochs whose acker told in the incarnation that proves */
unsigned all : 5;     /* union of what these told (A4) */
unsigned did : 1;     /* the verb of the step is done (of ESTABLISH: FOLLOW) */
unsigned same : 1;    /* the acker has not restarted since FOLLOW */
unsigned rowok : 1;   /* the reign row of the plan was acknowledged */

/* ---- servers ---- */
unsigned open : 4;    /* a set; the others are read-only */
byte exec[SERVERS], relay[SERVERS];
byte source[SERVERS]; /* it is an acker there; + PLAIN: it only follows; NONE */
byte waits[SERVERS];  /* writes that wait for an acknowledgement */
byte stored[SERVERS]; /* stamp of the control session that holds the lock */
byte stmt[SERVERS];   /* verb + 8 * argument in the socket of that session */
#ifdef BREAK_GUARD
byte ghost[SERVERS];  /* the same of an older session */
byte ghost_stamp[SERVERS];
#endif
#ifdef BREAK_SELF_START
byte was[SERVERS];    /* source before the receiver was stopped */
#endif

/* ---- managers that stand still within a verb: after the first look at the stored token, before the lock ---- */
byte late[2];         /* verb + 8 * argument */
byte late_at[2], late_stamp[2];

/* ---- history, for the properties ---- */
unsigned next_write : 2;
unsigned acked : 3;
byte epoch_of[SERVERS]; /* reign under which an open server was opened */
byte newest[SERVERS];   /* term that has taken the server last */

/* ---- scratch, used within one atomic step ---- */
hidden byte v, a, s, w, k, more; /* never set in a d_step: spin does not restore them after one ... */
hidden byte e, x, well;          /* ... so these are, and are read in no other */

#define ACKS(f, m) (source[f] == (m) && f != m && HAS(exec[m], exec[f]))
#if SERVERS == 4
#define ACKABLE(m) ((open & BIT(m)) && (ACKS(0, m) || ACKS(1, m) || ACKS(2, m) || ACKS(3, m)))
#else
#define ACKABLE(m) ((open & BIT(m)) && (ACKS(0, m) || ACKS(1, m) || ACKS(2, m)))
#endif
/* Stronger than 'two of them': the older one is not to be acknowledged either while the newer one has no acker yet. */
#define TWO(m, n) \
  ((open & BIT(m)) && (open & BIT(n)) && \
   ((ACKABLE(m) && (ACKABLE(n) || epoch_of[n] > epoch_of[m])) || (ACKABLE(n) && epoch_of[m] > epoch_of[n])))
#if SERVERS == 4
#define MANY_REIGNS (TWO(0, 1) || TWO(0, 2) || TWO(1, 2) || TWO(0, 3) || TWO(1, 3) || TWO(2, 3))
#else
#define MANY_REIGNS (TWO(0, 1) || TWO(0, 2) || TWO(1, 2))
#endif

/* The proof of reign r rests on what server i tells, which has not restarted. */
#define RESTS_ON(r, i) ((certain & BIT(r)) && !(broken & BIT(r)) && racker[r] == (i))

inline stop_receiver(f) {
#ifdef BREAK_SELF_START
  if
  :: source[f] < PLAIN -> was[f] = source[f]
  :: else -> skip
  fi;
#endif
  source[f] = NONE
}

inline forget() {
  found = 0; closed = 0; sure = 0; all = 0; did = 0
}

/* Waiters 'set' of server m get their OK. */
inline acknowledge(m, set) {
  waits[m] = waits[m] & ~(set);
#ifdef PROP_S2
  acked = acked | ((set) & WRITTEN);
  e = 0;
  do
  :: e < SERVERS ->
     assert(((set) & WRITTEN) == 0 || e == m || !(open & BIT(e)) || epoch_of[e] <= epoch_of[m] ||
            HAS(exec[e], (set) & WRITTEN));
     e++
  :: else -> break
  od;
#endif
  if
  :: step == ESTABLISH && m == to && ((set) & ROW(token + 1)) -> rowok = 1
  :: else -> skip
  fi
}

/* The guard let statement v (argument a) of a session with this stamp act on server s. 'more': a plain replica has
 * received the rest before it stops. */
inline act(stamp) {
#ifdef PROP_S3
  assert((stamp & 3) >= newest[s]);
#endif
  well = true;
  if
  :: v == V_REVOKE ->
     if
     :: more -> exec[s] = exec[source[s] - PLAIN]
     :: else -> skip
     fi;
#ifdef BREAK_FLAG_ONLY
     skip /* the flag alone: the receiver goes on acknowledging */
#else
     stop_receiver(s)
#endif
  :: v == V_APPLY ->
#ifdef BREAK_STOP_START
     relay[s] = 0; /* both threads stopped and one started: MariaDB throws the relay log away */
#endif
     exec[s] = exec[s] | relay[s];
     relay[s] = 0;
     if
     :: a != NONE -> exec[s] = exec[s] | ((exec[a] | relay[a]) & target)
     :: else -> skip
     fi;
     well = HAS(exec[s], target)
  :: v == V_PROMOTE ->
     if
#ifdef BREAK_OPEN_CANDIDATE
     :: HAS(exec[s], target) -> stop_receiver(s)
#else
     :: HAS(exec[s], target) && !(open & BIT(s)) -> stop_receiver(s) /* one that is open has writes nobody knows of */
#endif
     :: else -> well = false
     fi
  :: v == V_FOLLOW ->
     if
     :: HAS(exec[a], exec[s]) ->
        relay[s] = 0; /* CHANGE MASTER: what was not executed is fetched again */
        source[s] = a
     :: else -> well = false
     fi
  :: v == V_ROW ->
     exec[s] = exec[s] | ROW(a);
     waits[s] = waits[s] | ROW(a)
  :: v == V_OPEN ->
     open = open | BIT(s);
#ifndef PROP_S3
     epoch_of[s] = a;
#endif
     assert(HAS(exec[s], acked)) /* S2 */
  :: v == V_CLOSE ->
#ifdef FALSE_OK
     x = waits[s] & WRITTEN;
     acknowledge(s, x); /* the leader of a commit group is killed: the others are told OK */
#endif
     waits[s] = 0; /* KILL CONNECTION: they commit locally, nobody is told OK */
     open = open & ~BIT(s);
     epoch_of[s] = 0
  fi
}

/* Of a plain replica it matters only what it has when it is asked: all that its source has, or none of it yet. */
inline receive_more() {
  if
  :: v == V_REVOKE && source[s] >= PLAIN && source[s] != NONE && HAS(exec[source[s] - PLAIN], exec[s]) &&
     exec[s] != exec[source[s] - PLAIN] -> more = true
  :: more = false
  fi
}

/* A stored stamp is compared only with those of statements and of managers that stand still. */
inline settle(at) {
  if
  :: stmt[at] == 0 && !(late[0] && late_at[0] == at) && !(late[1] && late_at[1] == at) ->
     stored[at] = 0;
     newest[at] = 0
  :: else -> skip
  fi
}

/* ---- a server: statements, replication, acknowledgements, crash and boot ---- */

proctype Server(byte me) {
end:
  do
  /* A statement that lay in the socket. Its manager does not wait for it any more. */
  :: atomic {
       stmt[me] != 0 ->
       s = me; v = stmt[me] & 7; a = stmt[me] >> 3;
       receive_more();
       d_step { stmt[me] = 0; act(stored[me]); settle(me); skip }
     }
#ifdef BREAK_GUARD
  :: atomic {
       ghost[me] != 0 ->
       s = me; v = ghost[me] & 7; a = ghost[me] >> 3;
       receive_more();
       d_step { x = ghost_stamp[me]; ghost[me] = 0; ghost_stamp[me] = 0; act(x); settle(me); skip }
     }
#endif

  /* The acker's receiver takes all that its source has. (A part of it is what it took before the rest was written.) */
  :: atomic {
       source[me] < PLAIN && HAS(exec[source[me]], exec[me]) && !HAS(exec[me] | relay[me], exec[source[me]]) ->
       s = source[me];
       w = exec[s] & ~(exec[me] | relay[me]);
       if
       :: relay[me] = relay[me] | w /* not executed before the verb APPLY */
       :: relay[me] == 0 -> exec[me] = exec[me] | w /* executed at once */
       fi;
       if
       :: d_step { x = waits[s]; acknowledge(s, x); skip }
#ifdef FAULT_LOSS
       :: waits[s] != 0 -> skip /* the acknowledgement is lost */
#endif
       fi
     }

#ifdef FAULT_CRASH
  /* A crash of the process, or of the host with the un-synced tail of the relay log. It boots read-only and follows
   * nobody. One that stays down does what a paused one does: nothing. */
  :: atomic {
       (open & BIT(me)) || source[me] != NONE || stmt[me] || relay[me] || waits[me] || (same && me == acker) ||
       RESTS_ON(1, me) || RESTS_ON(2, me) || RESTS_ON(3, me) -> /* else nothing would change */
       if
       :: relay[me] != 0 -> more = true
       :: more = false
       fi;
       d_step {
#ifdef BREAK_SIGTERM
         x = waits[me];
         acknowledge(me, x); /* every waiter is answered OK */
#endif
         open = open & ~BIT(me);
         epoch_of[me] = 0;
         waits[me] = 0;
         stmt[me] = 0;
         if
         :: more -> relay[me] = 0
         :: else -> skip
         fi;
         e = 1;
         do
         :: e < 4 ->
            if
            :: RESTS_ON(e, me) -> broken = broken | BIT(e)
            :: else -> skip
            fi;
            e++
         :: else -> break
         od;
         if
         :: step == ESTABLISH && me == acker -> same = 0
         :: else -> skip
         fi;
#ifdef BREAK_SELF_START
         if
         :: source[me] < PLAIN -> skip /* replication starts by itself */
         :: else -> source[me] = was[me]
         fi;
#else
         stop_receiver(me);
#endif
         settle(me);
         skip
       }
     }
#endif
  od
}

/* Clients: each write goes to any server that is open; nobody waits for the one before. */
proctype Clients() {
end:
  do
  :: atomic {
       next_write < WRITES && open != 0 ->
       if
       :: open & 1 -> s = 0
       :: open & 2 -> s = 1
       :: open & 4 -> s = 2
       :: open & 8 -> s = 3
       fi;
       d_step {
         exec[s] = exec[s] | BIT(next_write);
         waits[s] = waits[s] | BIT(next_write);
         next_write++
       }
     }
  od
}

/* ---- managers ---- */

/* Is reign r proven to acknowledge no more (A3, A4)? 'found' were revoked, 'closed' are read-only without clients. A
 * reign that was never to be opened (not certain) has nothing to prove. */
#define FENCED(r) (rmaster[r] == to || ACKER_PROVES(r) || (closed & BIT(rmaster[r])))
#ifdef BREAK_ONE_REIGN
#define PROVEN(r) (!(listed & BIT(r)) || rmaster[r] != master || FENCED(r)) /* only of the master that is open */
#else
#define PROVEN(r) (!(listed & BIT(r)) || FENCED(r))
#endif
#ifdef RULE_SHUT /* committed before a CLOSE is sent: the reign is proven by its closed master, and by nothing else */
#define ACKER_PROVES(r) ((sure & BIT(r)) && !(shut & BIT(r)))
#define SHUT(r) shut = shut | BIT(r)
#else
#define ACKER_PROVES(r) (sure & BIT(r))
#define SHUT(r) skip
#endif
#ifdef BREAK_INCARNATION
#define INTACT(r) true
#else
#define INTACT(r) (!(certain & BIT(r)) || !(broken & BIT(r)))
#endif

/* A server that has what the candidate lacks of the target. */
#define HOLDS(i) (to != i && ((exec[i] | relay[i]) & target & ~(exec[to] | relay[to])) != 0)
#define TO_REVOKE(r) (step == REVOKE && (listed & BIT(r)) && !(found & BIT(racker[r])))
#define TO_CLOSE(r) (step == REVOKE && (listed & BIT(r)) && rmaster[r] != to && !(closed & BIT(rmaster[r])))

/* The verbs of the step, and of no other; which of them, on which server, is free. */
inline choose_verb() {
  a = 0;
  if
  :: step == REVOKE && !(found & BIT(to)) -> v = V_REVOKE; s = to
  :: TO_REVOKE(1) -> v = V_REVOKE; s = racker[1]
  :: TO_REVOKE(2) -> v = V_REVOKE; s = racker[2]
  :: TO_REVOKE(3) -> v = V_REVOKE; s = racker[3]
  :: step == REVOKE && !(found & BIT(acker)) -> v = V_REVOKE; s = acker
  :: TO_CLOSE(1) -> v = V_CLOSE; s = rmaster[1]; SHUT(1)
  :: TO_CLOSE(2) -> v = V_CLOSE; s = rmaster[2]; SHUT(2)
  :: TO_CLOSE(3) -> v = V_CLOSE; s = rmaster[3]; SHUT(3)
  :: step == APPLY && !did -> v = V_APPLY; s = to; a = NONE;
     if
     :: HOLDS(0) -> a = 0
     :: HOLDS(1) -> a = 1
     :: HOLDS(2) -> a = 2
#if SERVERS == 4
     :: HOLDS(3) -> a = 3
#endif
     :: else -> skip
     fi
  :: step == PROMOTE && !did -> v = V_PROMOTE; s = to
  :: step == ESTABLISH && !did -> v = V_FOLLOW; s = acker; a = to
  :: step == ESTABLISH && !rowok -> v = V_ROW; s = to; a = token + 1
  :: step == OPEN && !did -> v = V_OPEN; s = to; a = token + 1
#ifdef BREAK_INTENT
  :: step == PROMOTE -> v = V_FOLLOW; s = acker; a = to
  :: step == PROMOTE -> v = V_ROW; s = to; a = token + 1
  :: step == ESTABLISH && rowok -> v = V_OPEN; s = to; a = token + 1
#endif
  :: else -> v = V_NONE
  fi
}

#ifdef BREAK_EXECUTED
#define TOLD(i) exec[i] /* what was executed, not what was received */
#else
#define TOLD(i) (exec[i] | relay[i])
#endif

inline tell(r) {
  if
  :: (listed & BIT(r)) && racker[r] == s && INTACT(r) -> sure = sure | BIT(r)
  :: else -> skip
  fi
}

/* The answer to a verb that was performed. */
inline record() {
  if
  :: !well -> skip
  :: well && v == V_REVOKE -> found = found | BIT(s); all = all | TOLD(s); tell(1); tell(2); tell(3)
#ifdef BREAK_LEAVE_CLOSED
  :: well && v == V_CLOSE -> closed = closed | BIT(s); tail = tail | TOLD(s)
#else
  :: well && v == V_CLOSE -> closed = closed | BIT(s); all = all | TOLD(s)
#endif
  :: well && v == V_FOLLOW -> did = 1; same = 1
  :: well && v == V_ROW -> skip
  :: else -> did = 1
  fi
}

/* Verb v (argument a) on server s by manager me with this stamp, from the lock on: kills the other control sessions,
 * takes the lock, reads the stored token again, stores its own, sends the statement, hears what came of it. */
inline perform(stamp) {
  if
#ifdef BREAK_RECHECK
  :: true ->
#else
  :: stamp >= stored[s] ->
#endif
     d_step {
#ifdef BREAK_GUARD
       if
       :: stmt[s] != 0 -> ghost[s] = stmt[s]; ghost_stamp[s] = stored[s]
       :: else -> skip
       fi;
#endif
       stored[s] = stamp;
       stmt[s] = 0;
#ifdef PROP_S3
       if
       :: newest[s] < (stamp & 3) -> newest[s] = stamp & 3
       :: else -> skip
       fi;
#endif
       skip
     };
     if
     :: receive_more();
        d_step {
          act(stamp);
          if
          :: LEADER == me && stamp == STAMP && token != 0 -> record()
          :: else -> skip
          fi;
          skip
        }
#ifdef FAULT_PAUSE
     /* The server stands still and the statement lies in its socket; or it is lost: it never runs; or its answer is
      * lost: it runs, and nobody hears of it. */
     :: stmt[s] = v + 8 * a
#endif
     fi
  :: else -> stmt[s] = 0
  fi;
  settle(s)
}

inline end_plan() {
  token = 0; step = 0; to = 0; acker = 0; target = 0; past = 0; same = 0; rowok = 0;
  forget();
  e = 1;
  do
  :: e < 4 ->
     if
     :: !(listed & BIT(e)) -> rmaster[e] = 0; racker[e] = 0; certain = certain & ~BIT(e); broken = broken & ~BIT(e)
     :: else -> skip
     fi;
     e++
  :: else -> break
  od
}

proctype Manager(byte me) {
end:
  do
  :: atomic {
       LEADER == me && late[me] == 0 && token == 0 && plans < PLANS ->
       plans++;
       token = plans; step = REVOKE;
       if
       :: master != 0 -> to = 0
       :: master != 1 -> to = 1
       :: master != 2 -> to = 2
#if SERVERS == 4
       :: master != 3 -> to = 3
#endif
       fi;
       if
       :: master != 0 && to != 0 -> acker = 0
       :: master != 1 && to != 1 -> acker = 1
       :: master != 2 && to != 2 -> acker = 2
#if SERVERS == 4
       :: master != 3 && to != 3 -> acker = 3
#endif
       fi
     }
  :: atomic {
       LEADER == me && late[me] == 0 && token != 0 ->
       choose_verb();
       if
       :: v != V_NONE -> perform(STAMP)
       :: else -> skip
       fi
     }

#ifdef CLOSE_REPLACED
  /* A replaced master that is open, as it comes back. */
  :: atomic {
       LEADER == me && late[me] == 0 && token == 0 && (open & ~BIT(master)) ->
       v = V_CLOSE; a = 0;
       if
       :: (open & 1) && master != 0 -> s = 0
       :: (open & 2) && master != 1 -> s = 1
       :: (open & 4) && master != 2 -> s = 2
       fi;
       perform(STAMP)
     }
#endif

  /* The end of a step is the intent of the next. */
  :: d_step {
       LEADER == me && late[me] == 0 && step == REVOKE && (found & BIT(to)) && PROVEN(1) && PROVEN(2) && PROVEN(3) ->
#ifdef BREAK_LEAVE_CLOSED
       target = all | ((NEEDS_CLOSED(1) || NEEDS_CLOSED(2) || NEEDS_CLOSED(3)) -> tail : 0);
       tail = 0;
#else
       target = all;
#endif
       past = listed;
       listed = 0;
       step = APPLY;
       forget()
     }
  :: d_step { LEADER == me && late[me] == 0 && step == APPLY && did -> step = PROMOTE; forget() }
  :: d_step {
       LEADER == me && late[me] == 0 && step == PROMOTE && did ->
       step = ESTABLISH;
       target = 0;
       forget();
       listed = listed | BIT(token + 1); rmaster[token + 1] = to; racker[token + 1] = acker
     }
  :: d_step {
       LEADER == me && late[me] == 0 && step == ESTABLISH && did && rowok ->
       step = OPEN;
       certain = certain | BIT(token + 1);
       if
       :: !same -> broken = broken | BIT(token + 1)
       :: else -> skip
       fi;
       same = 0;
       forget()
     }
  :: d_step { LEADER == me && late[me] == 0 && step == OPEN && did -> master = to; end_plan(); skip }
  /* The plan fails: what it took off the list comes back, beside the reign that it listed. */
  :: d_step { LEADER == me && late[me] == 0 && token != 0 && token < PLANS -> listed = listed | past; end_plan(); skip }

#ifdef FAULT_MPAUSE
  /* It goes on with the verb at which it stood still. */
  :: atomic {
       late[me] != 0 ->
       s = late_at[me]; v = late[me] & 7; a = late[me] >> 3; k = late_stamp[me];
       late[me] = 0; late_at[me] = 0; late_stamp[me] = 0;
       perform(k)
     }
#endif
#ifdef FAULT_MCRASH
  /* A crash: what it knew is gone; its statements are not. */
  :: d_step {
       late[me] != 0 || (LEADER == me && (found || closed || did)) -> /* else nothing would change */
       if
       :: LEADER == me -> forget()
       :: else -> skip
       fi;
       if
       :: late[me] != 0 -> x = late_at[me]; late[me] = 0; late_at[me] = 0; late_stamp[me] = 0; settle(x)
       :: else -> skip
       fi;
       skip
     }
#endif
  od
}

/* Elections. The leader that is deposed may stand still within a verb. */
proctype Raft() {
end:
  do
  :: atomic {
       term < TERMS ->
       if
       :: skip
#ifdef FAULT_MPAUSE
       :: token != 0 && late[LEADER] == 0 ->
          choose_verb();
          if
          :: v != V_NONE ->
             late[LEADER] = v + 8 * a; late_at[LEADER] = s; late_stamp[LEADER] = STAMP
          :: else -> skip
          fi
#endif
       fi;
       d_step { term++; forget() }
     }
  od
}

#ifdef PROP_S1
proctype Monitor() {
end:
  do
  :: atomic { MANY_REIGNS -> assert(false) }
  od
}
#endif

init {
  atomic {
    open = BIT(0);
    source[0] = NONE; source[2] = PLAIN; /* 1 is the acker of 0 */
#if SERVERS == 4
    source[3] = PLAIN;
#endif
#ifdef BREAK_SELF_START
    was[0] = NONE; was[1] = NONE; was[2] = NONE;
#endif
#ifndef PROP_S3
    epoch_of[0] = 1;
#endif
    listed = BIT(1); certain = BIT(1); racker[1] = 1;
    run Server(0); run Server(1); run Server(2);
#if SERVERS == 4
    run Server(3);
#endif
    run Clients(); run Raft();
    run Manager(0); run Manager(1);
#ifdef PROP_S1
    run Monitor()
#endif
  }
}
