/* One replication cluster, two managers, three servers: the rules of DESIGN §6 and §7 that a failover rests on.
 *
 * What stands for what
 * - Raft is an oracle: leader, term and the committed state are global; a commit succeeds only for the leader of the
 *   term. A manager that was deposed does not know it until it commits: it goes on with what it had decided.
 * - A pause needs no words: any process may stand still between any two steps for as long as all others like.
 *   What a pause leaves behind is bounded: statements in sockets, and managers that stood still within a verb (PAUSES
 *   of each). So are crashes of servers (CRASHES in all), of managers (MCRASHES) and lost acknowledgements (LOSSES).
 * - A server's data is a set of bits: the writes of clients, and the reign rows. 'exec' is in its binlog, 'relay' is
 *   received and not executed. A follower attaches only when its master has all that it has (MariaDB: error 1236).
 * - A verb is a statement in the socket of a control session: it may run at any time later, or never, but only under
 *   the guard of DESIGN §7: this session holds regent.control, and the stored token and term are those of the verb.
 * - A clock is not modelled: the deadline of a verb only makes fewer things happen.
 *
 * Properties (-DPROP_x): S1 at most one server is open and can have a write acknowledged, and none can once a newer
 * reign is open; S2 no acknowledged write is missing on a server that is opened, and none is acknowledged behind the
 * back of an open successor; S3 no statement of a deposed leader acts on a server that a newer leader has taken.
 *
 * Breaks (-DBREAK_x), each found by the property and in the configuration named in tests/model/run. */

#ifndef WRITES
#define WRITES 3
#endif
#ifndef PLANS
#define PLANS 2
#endif
#ifndef TERMS
#define TERMS 2
#endif

#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef MCRASHES
#define MCRASHES 1
#endif
#ifndef PAUSES
#define PAUSES 1
#endif
#ifndef LOSSES
#define LOSSES 1
#endif

#define M 2 /* managers */
#define N 3 /* servers; 0 is the first master, 1 its backup and acker */
#define NONE 7
#define BIT(i) (1 << (i))
#define ROW(e) BIT(2 + (e)) /* reign row of epoch e = 2, 3: bits 4, 5; writes are bits 0..3 */
#define HAS(set, sub) (((set) & (sub)) == (sub))

/* Steps of a plan. A step is the committed intent; its verbs may be performed, no others. */
#define REVOKE 1
#define APPLY 2
#define PROMOTE 3
#define ESTABLISH 4
#define OPEN 5
#define DONE 6

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
byte leader = 0;
byte term = 1;
byte token = 0;       /* running plan, 0: none; the n-th plan has token n and epoch n + 1 */
byte plans = 0;       /* begun */
byte step = 0;
byte to, acker;       /* of the plan */
byte target;
bool listed[4];       /* A8: reigns that may still acknowledge; index = epoch */
bool past[4];         /* taken off the list by the running plan, back if it fails */
byte rmaster[4], racker[4], rinc[4]; /* rinc: incarnation of the acker that the proof rests on */
byte master = 0;      /* of the newest reign whose OPEN is done */
byte rowok;           /* epochs whose reign row was acknowledged, as a set */

/* What the leader has heard of the verbs of the step; gone with its term, or with the step. */
byte found, closed;   /* revoked; read-only without clients, as sets of servers */
byte all;             /* union of what these told (A4) */
byte did;             /* verbs that are done, as a set */
byte finc[N];         /* incarnations of those that told */

/* ---- servers ---- */
byte exec[N], relay[N];
bool ro[N], receiver[N], attached[N]; /* attached: it acknowledges on this channel */
byte source[N];
byte inc[N];
byte waits[N];        /* writes that wait for an acknowledgement */
byte acks[N];         /* acknowledgements on their way to this server */
byte epoch_of[N];     /* reign under which it was opened last (history, for S1 and S2) */
/* control session: who holds the lock, what is stored */
byte holder[N], tok[N], trm[N];
/* one statement per manager and server in the socket */
byte verb[6], varg[6], vtok[6], vtrm[6];
#define SLOT(m, s) ((m) * N + (s))

/* ---- bounds and history ---- */
byte next_write = 0;
byte acked = 0;
byte crashes = 0;     /* of servers */
byte mcrashes = 0;    /* of managers */
byte spaused = 0;     /* statements that were left in the socket of a server that was paused */
byte mpaused = 0;     /* managers that were paused within a verb */
byte lost = 0;        /* acknowledgements */
byte newest[N];       /* term that has taken the server last (history, for S3) */

#define CAN_ACK(f, s) (receiver[f] && attached[f] && source[f] == (s) && f != s && HAS(exec[s], exec[f]))
#define ACKABLE(s) (!ro[s] && (CAN_ACK(0, s) || CAN_ACK(1, s) || CAN_ACK(2, s)))

/* Stronger than 'two of them': the older one is not to be acknowledged either while the newer one has no acker yet. */
#define OUTLIVED(s, n) (ACKABLE(s) && !ro[n] && epoch_of[n] > epoch_of[s])
inline check_s1() {
#ifdef PROP_S1
  assert(!(ACKABLE(0) && ACKABLE(1)) && !(ACKABLE(0) && ACKABLE(2)) && !(ACKABLE(1) && ACKABLE(2)));
  assert(!OUTLIVED(0, 1) && !OUTLIVED(0, 2) && !OUTLIVED(1, 0) && !OUTLIVED(1, 2) && !OUTLIVED(2, 0) &&
         !OUTLIVED(2, 1));
#endif
  skip
}

/* Does the guard of §7 let the statement act? */
#ifdef BREAK_GUARD
#define GUARD(m, s, k) true
#else
#define GUARD(m, s, k) (holder[s] == (m) && tok[s] == vtok[k] && trm[s] == vtrm[k])
#endif

inline stop_receiver(s) {
  receiver[s] = false;
  attached[s] = false
}

inline drop(k) {
  verb[k] = V_NONE;
  varg[k] = 0;
  vtok[k] = 0;
  vtrm[k] = 0
}

/* The statement in slot k of server s is executed. */
inline perform(m, s, k) {
  if
  :: GUARD(m, s, k) ->
#ifdef PROP_S3
     assert(vtrm[k] >= newest[s]);
#endif
     if
     :: verb[k] == V_REVOKE ->
        if
        :: receiver[s] && !attached[s] && source[s] != NONE && HAS(exec[source[s]], exec[s]) ->
           exec[s] = exec[source[s]]
        :: skip
        fi;
#ifdef BREAK_FLAG_ONLY
        skip; /* the flag alone: the receiver goes on acknowledging */
#else
        stop_receiver(s);
#endif
        done = true
     :: verb[k] == V_APPLY ->
#ifdef BREAK_STOP_START
        relay[s] = 0; /* both threads stopped and one started: MariaDB throws the relay log away */
#endif
        exec[s] = exec[s] | relay[s];
        relay[s] = 0;
        if
        :: varg[k] != NONE ->
           exec[s] = exec[s] | ((exec[varg[k]] | relay[varg[k]]) & target)
        :: else -> skip
        fi;
        if
        :: HAS(exec[s], target) -> done = true
        :: else -> skip
        fi
     :: verb[k] == V_PROMOTE ->
        if
#ifdef BREAK_OPEN_CANDIDATE
        :: HAS(exec[s], target) ->
#else
        :: HAS(exec[s], target) && ro[s] -> /* one that is open may have writes that nobody knows of */
#endif
           stop_receiver(s); source[s] = NONE; done = true
        :: else -> skip
        fi
     :: verb[k] == V_FOLLOW ->
        if
        :: HAS(exec[varg[k]], exec[s]) ->
           relay[s] = 0; /* CHANGE MASTER: what was not executed is fetched again */
           source[s] = varg[k];
           receiver[s] = true;
           attached[s] = true;
           done = true
        :: else -> skip
        fi
     :: verb[k] == V_ROW ->
        exec[s] = exec[s] | ROW(varg[k]);
        waits[s] = waits[s] | ROW(varg[k]);
        done = true
     :: verb[k] == V_OPEN ->
        ro[s] = false;
#ifndef PROP_S3
        epoch_of[s] = varg[k];
#endif
        done = true;
#ifdef PROP_S2
        assert(HAS(exec[s], acked & 15));
#endif
     :: verb[k] == V_CLOSE ->
        waits[s] = 0; /* KILL CONNECTION: they commit locally, nobody is told OK */
        acks[s] = 0;
        ro[s] = true;
        done = true
     fi
  :: else -> skip
  fi;
  drop(k);
  check_s1()
}

/* ---- a server: statements, replication, acknowledgements, crash and boot ---- */

proctype Server(byte s) {
  byte w, e;
  bool done;
end:
  do
  /* A statement that lay in the socket. */
  :: atomic { verb[SLOT(0, s)] != V_NONE -> perform(0, s, SLOT(0, s)); done = false }
  :: atomic { verb[SLOT(1, s)] != V_NONE -> perform(1, s, SLOT(1, s)); done = false }

  /* The acker's receiver takes all that its source has. (A part of it is what it took before the rest was written.)
   * What a plain replica has matters only when it is asked, so it takes all or nothing then (V_REVOKE). */
  :: atomic {
       receiver[s] && attached[s] && source[s] != NONE && HAS(exec[source[s]], exec[s]) &&
       !HAS(exec[s] | relay[s], exec[source[s]]) ->
       w = exec[source[s]] & ~(exec[s] | relay[s]);
       if
       :: relay[s] = relay[s] | w /* not executed before the verb APPLY */
       :: relay[s] == 0 -> exec[s] = exec[s] | w /* executed at once */
       fi;
       if
       :: acks[source[s]] = acks[source[s]] | w
       :: lost < LOSSES -> lost++ /* the acknowledgement is lost */
       fi;
       w = 0
     }

  /* Acknowledgements arrive: the waiters get their OK. */
  :: atomic {
       acks[s] != 0 ->
       w = waits[s] & acks[s];
       waits[s] = waits[s] & ~w;
       acks[s] = 0;
#ifdef PROP_S2
       acked = acked | (w & 15);
#endif
       if
       :: w & ROW(2) -> rowok = rowok | BIT(2)
       :: else -> skip
       fi;
       if
       :: w & ROW(3) -> rowok = rowok | BIT(3)
       :: else -> skip
       fi;
#ifdef PROP_S2
       e = 0;
       do
       :: e < N ->
          assert(w == 0 || e == s || ro[e] || epoch_of[e] <= epoch_of[s] || HAS(exec[e], w & 15));
          e++
       :: else -> break
       od;
       e = 0;
#endif
       w = 0
     }

  /* One crash: of the process, or of the host with the un-synced tail of the relay log. It boots read-only and follows
   * nobody. One that stays down does what a paused one does: nothing. */
  :: atomic {
       crashes < CRASHES ->
       crashes++;
#ifdef BREAK_SIGTERM
       acked = acked | waits[s]; /* every waiter is answered OK */
#endif
       ro[s] = true;
       waits[s] = 0;
       acks[s] = 0;
       holder[s] = NONE;
       inc[s] = 1;
       drop(SLOT(0, s));
       drop(SLOT(1, s));
#ifdef BREAK_SELF_START
       if
       :: source[s] != NONE -> receiver[s] = true; attached[s] = true /* replication starts by itself */
       :: else -> skip
       fi;
#else
       stop_receiver(s);
#endif
       if
       :: relay[s] != 0 -> relay[s] = 0
       :: skip
       fi
     }
  od
}

/* Clients: each write goes to any server that is open; nobody waits for the one before. */
proctype Clients() {
  byte s;
end:
  do
  :: atomic {
       next_write < WRITES && (!ro[0] || !ro[1] || !ro[2]) ->
       if
       :: !ro[0] -> s = 0
       :: !ro[1] -> s = 1
       :: !ro[2] -> s = 2
       fi;
       exec[s] = exec[s] | BIT(next_write);
       waits[s] = waits[s] | BIT(next_write);
       next_write++;
       s = 0
     }
  od
}

inline forget() {
  found = 0; closed = 0; all = 0; did = 0;
  finc[0] = 0; finc[1] = 0; finc[2] = 0
}

/* Elections. */
proctype Raft() {
end:
  do
  :: atomic { term < TERMS -> term++; leader = 1 - leader; forget() }
  od
}

/* ---- a manager ---- */

/* Is reign e proven to acknowledge no more (A3, A4)? 'found' were revoked, 'closed' are read-only without clients. A
 * reign that was never to be opened (rinc NONE) has nothing to prove. */
#ifdef BREAK_INCARNATION
#define INTACT(e) true
#else
#define INTACT(e) (rinc[e] == NONE || finc[racker[e]] == rinc[e])
#endif
#define FENCED(e) (rmaster[e] == to || ((found & BIT(racker[e])) && INTACT(e)) || (closed & BIT(rmaster[e])))
#define PROVEN(e) (!listed[e] || FENCED(e))

/* A server that has what the candidate lacks of the target. */
#define HOLDS(i) (to != i && ((exec[i] | relay[i]) & target & ~(exec[to] | relay[to])) != 0)

/* The verbs of the step, and of no other; which of them, on which server, is free. */
inline choose_verb() {
  if
  :: step == REVOKE && !(found & BIT(to)) -> v = V_REVOKE; s = to
  :: step == REVOKE && !(found & BIT(acker)) -> v = V_REVOKE; s = acker
  :: step == REVOKE && !(closed & BIT(master)) && master != to -> v = V_CLOSE; s = master
  :: step == REVOKE && listed[2] && rmaster[2] != to && !(closed & BIT(rmaster[2])) -> v = V_CLOSE; s = rmaster[2]
  :: step == APPLY && !(did & BIT(V_APPLY)) -> v = V_APPLY; s = to;
     if
     :: HAS(exec[to] | relay[to], target) -> a = NONE
     :: else ->
        if
        :: HOLDS(0) -> a = 0
        :: HOLDS(1) -> a = 1
        :: HOLDS(2) -> a = 2
        :: else -> a = NONE
        fi
     fi
  :: step == PROMOTE && !(did & BIT(V_PROMOTE)) -> v = V_PROMOTE; s = to
  :: step == ESTABLISH && !(did & BIT(V_FOLLOW)) -> v = V_FOLLOW; s = acker; a = to
  :: step == ESTABLISH && !(did & BIT(V_ROW)) -> v = V_ROW; s = to; a = token + 1
  :: step == OPEN && !(did & BIT(V_OPEN)) -> v = V_OPEN; s = to; a = token + 1
#ifdef BREAK_INTENT
  :: step == PROMOTE -> v = V_FOLLOW; s = acker; a = to
  :: step == PROMOTE -> v = V_ROW; s = to; a = token + 1
  :: step == PROMOTE && (rowok & BIT(token + 1)) -> v = V_OPEN; s = to; a = token + 1
#endif
  :: else -> v = V_NONE
  fi
}

#ifdef BREAK_EXECUTED
#define TOLD(s) exec[s] /* what was executed, not what was received */
#else
#define TOLD(s) (exec[s] | relay[s])
#endif

/* The answer to a verb that was performed. */
inline record() {
  if
  :: done ->
     did = did | BIT(v);
     if
     :: v == V_REVOKE -> found = found | BIT(s); all = all | TOLD(s); finc[s] = inc[s]
     :: v == V_CLOSE -> closed = closed | BIT(s); all = all | TOLD(s)
     :: v == V_FOLLOW -> finc[s] = inc[s]
     :: else -> skip
     fi
  :: else -> skip
  fi
}

#define OLDER(s) (tok[s] < my_token || (tok[s] == my_token && trm[s] <= my_term))

proctype Manager(byte me) {
  byte my_term, my_token, my_step; /* while it is at a verb */
  byte s, a, v, k;
  bool done;
end:
  do
  :: atomic {
       leader == me && token == 0 && plans < PLANS ->
       plans++;
       token = plans; step = REVOKE;
       if
       :: to = (master + 1) % 3; acker = (master + 2) % 3
       :: to = (master + 2) % 3; acker = (master + 1) % 3
       fi
     }
  /* A verb of the step: reads the stored token, kills the other control sessions, takes the lock, reads the token
   * again, stores its own, sends the statement, hears what came of it. All at once, but for the pauses: the manager may
   * stand still after the first read, the server with the statement in its socket. */
  :: atomic {
       leader == me && token != 0 ->
       my_term = term; my_token = token; my_step = step;
       choose_verb();
       if
       :: v == V_NONE || !OLDER(s) -> goto next
       :: else -> skip
       fi;
       k = SLOT(me, s);
       if
       :: skip
       :: TERMS > 1 && mpaused < PAUSES -> mpaused++; goto paused
       fi
     }
take:
     atomic {
       holder[s] = me;
       if
#ifdef BREAK_RECHECK
       :: true ->
#else
       :: OLDER(s) ->
#endif
          tok[s] = my_token; trm[s] = my_term;
#ifdef PROP_S3
          if
          :: newest[s] < my_term -> newest[s] = my_term
          :: else -> skip
          fi;
#endif
          verb[k] = v; varg[k] = a; vtok[k] = my_token; vtrm[k] = my_term;
          if
          :: perform(me, s, k);
             if
             :: leader == me && term == my_term && token == my_token && my_step == step -> record()
             :: else -> skip
             fi;
             done = false
          :: spaused < PAUSES -> spaused++
          fi
       :: else -> skip
       fi;
next:
       s = 0; a = 0; v = V_NONE; k = 0; my_term = 0; my_token = 0; my_step = 0
     }

  /* The end of a step is the intent of the next. */
  :: atomic {
       leader == me && step == REVOKE && (found & BIT(to)) && PROVEN(1) && PROVEN(2) && PROVEN(3) ->
       target = all;
       past[1] = listed[1]; past[2] = listed[2]; past[3] = listed[3];
       listed[1] = false; listed[2] = false; listed[3] = false;
       step = APPLY;
       forget()
     }
  :: atomic { leader == me && step == APPLY && (did & BIT(V_APPLY)) -> step = PROMOTE; forget() }
  :: atomic {
       leader == me && step == PROMOTE && (did & BIT(V_PROMOTE)) ->
       step = ESTABLISH;
       forget();
       listed[token + 1] = true; rmaster[token + 1] = to; racker[token + 1] = acker; rinc[token + 1] = NONE
     }
  :: atomic {
       leader == me && step == ESTABLISH && (did & BIT(V_FOLLOW)) && (rowok & BIT(token + 1)) ->
       step = OPEN;
       rinc[token + 1] = finc[acker];
       forget()
     }
  :: atomic {
       leader == me && step == OPEN && (did & BIT(V_OPEN)) ->
       master = to;
       past[1] = false; past[2] = false; past[3] = false;
       token = 0; step = 0; to = 0; acker = 0; target = 0;
       forget()
     }
  /* The plan fails: what it took off the list comes back, beside the reign that it listed. */
  :: atomic {
       leader == me && token != 0 && token < PLANS ->
       listed[1] = listed[1] || past[1]; listed[2] = listed[2] || past[2]; listed[3] = listed[3] || past[3];
       past[1] = false; past[2] = false; past[3] = false;
       token = 0; step = 0; to = 0; acker = 0; target = 0;
       forget()
     }
  /* One crash: what it knew is gone; its statements are not. */
  :: atomic { leader == me && mcrashes < MCRASHES -> mcrashes++; forget() }
  od;
paused:
  goto take
}

init {
  atomic {
    ro[1] = true; ro[2] = true;
    source[0] = NONE; source[1] = 0; source[2] = 0;
    receiver[1] = true; receiver[2] = true; attached[1] = true;
    holder[0] = NONE; holder[1] = NONE; holder[2] = NONE;
    epoch_of[0] = 1;
    listed[1] = true; rmaster[1] = 0; racker[1] = 1; rinc[1] = 0;
    run Server(0); run Server(1); run Server(2);
    run Clients(); run Raft();
    run Manager(0); run Manager(1)
  }
}
