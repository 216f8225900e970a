/* The lease of a master's agent in failsafe (DESIGN §7, F3): two managers, the master's host, two ackers' agents.
 *
 * What stands for what
 * - Time is a tick of the leader's clock. The master's kernel may be slower by DRIFT ticks while a leader waits. Any
 *   other delay has no bound: a message travels, and a process stands still, for as many ticks as it likes.
 * - The agent asks both managers (requests 0, 1) and both members of A (2, 3). 'left' counts from the sending.
 * - Raft is an oracle: a barrier succeeds only for the leader of the term. Elections have no bound, and may be the
 *   crash or the pause of a leader: what it heard, and its wait, are gone. A deposed leader answers as it did before.
 * - Messages are lost at any moment. The ackers' agents crash at any moment; so does the master's: its kernel goes on.
 * - A plan may be withdrawn, after which the ackers confirm again, and another begins; without bound.
 *
 * Property F3: when the new master is opened, and ever after, the old one does not serve. */

#ifndef LEASE
#define LEASE 3
#endif
#define DRIFT 1
#define CUT 1 /* ticks from the end of the lease to the closed port */
#ifdef BREAK_NO_DRIFT
#define WAIT (LEASE + CUT)
#else
#ifdef BREAK_NO_CUT
#define WAIT (LEASE + DRIFT)
#else
#define WAIT (LEASE + DRIFT + CUT)
#endif
#endif

/* Where a request is. It arrives when it is answered: the time that it lies there is time on its way. */
#define NOWHERE 0
#define SENT 1
#define ANSWERED 2

byte lease = LEASE; /* ticks of the master's kernel */
byte tail = 0;      /* of the cut */
bool out = false;   /* the lease ran out: fenced, for good */
byte place[4], left[4];

byte leader = 0;
bool decided = false;  /* committed: a plan with a new epoch */
bool recorded[2];      /* durably, at the ackers' agents */
bool old_answer = false; /* 'recorded', of a plan that was withdrawn, still on its way */
bool heard = false;    /* by this leader, of this plan */
byte wait = 0;         /* 0: has not begun; 1: is over */
byte slow = 0;
bool opened = false;

hidden byte x, y; /* within one d_step */

#define SERVES ((lease > 0 && !out) || tail > 0)
#define GOES_ON (!opened) /* after that, one that does not serve is out for good */

inline gone(r) {
  place[r] = NOWHERE;
  left[r] = 0
}

/* The lease lasts at least n more ticks. */
inline extend(n) {
  if
  :: !out && lease < (n) -> lease = n
  :: else -> skip
  fi
}

/* The kernel of the master's host. */
inline host_tick() {
  if
  :: tail > 0 -> tail--
  :: else -> skip
  fi;
  if
  :: lease > 0 ->
     lease--;
     if
     :: lease == 0 -> out = true; tail = CUT
     :: else -> skip
     fi
  :: else -> skip
  fi;
  x = 0;
  do
  :: x < 4 ->
     if
     :: left[x] > 1 -> left[x]--
#ifndef BREAK_FROM_RECEIPT
     :: left[x] == 1 -> gone(x)
#endif
     :: else -> skip
     fi;
     x++
  :: else -> break
  od
}

inline leader_tick() {
  if
  :: wait > 1 -> wait--
  :: else -> slow = 0
  fi
}

proctype Clock() provided (GOES_ON) {
end:
  do
  :: d_step { host_tick(); leader_tick(); skip }
  :: d_step { wait > 1 && slow < DRIFT -> slow++; leader_tick(); skip }
#ifdef BREAK_AGENT_TIMER
  :: d_step { wait > 1 -> leader_tick(); skip } /* the agent keeps the time, and is frozen */
#endif
  od
}

#define ASK(r) d_step { place[r] == NOWHERE && !out -> place[r] = SENT; left[r] = LEASE }
#define LOSE(r) d_step { place[r] != NOWHERE -> gone(r); skip }

proctype Agent() provided (GOES_ON) {
end:
  do
  :: ASK(0)
  :: ASK(1)
  :: ASK(2)
  :: ASK(3)
#ifdef BREAK_FROM_RECEIPT
  :: d_step { place[0] == ANSWERED -> extend(LEASE); gone(0); skip }
  :: d_step { place[1] == ANSWERED -> extend(LEASE); gone(1); skip }
#else
  :: d_step { place[0] == ANSWERED -> extend(left[0]); gone(0); skip }
  :: d_step { place[1] == ANSWERED -> extend(left[1]); gone(1); skip }
#endif
  /* Failsafe: all members of A. */
  :: d_step {
       place[2] == ANSWERED && place[3] == ANSWERED ->
       y = (left[2] < left[3] -> left[2] : left[3]);
       extend(y);
       gone(2);
       gone(3);
       skip
     }
#ifdef BREAK_ANY_CONFIRMS
  :: d_step { place[2] == ANSWERED -> extend(left[2]); gone(2); skip }
  :: d_step { place[3] == ANSWERED -> extend(left[3]); gone(3); skip }
#endif
#ifdef BREAK_NONE_CONFIRMS
  :: d_step { lease > 0 && !out -> extend(LEASE); skip } /* A is empty: all of none confirmed */
#endif
  od
}

proctype Net() provided (GOES_ON) {
end:
  do
  :: LOSE(0)
  :: LOSE(1)
  :: LOSE(2)
  :: LOSE(3)
  od
}

proctype Confirmer(byte i) provided (GOES_ON) {
end:
  do
  :: d_step { place[2 + i] == SENT && !recorded[i] -> place[2 + i] = ANSWERED }
  :: d_step { decided && !recorded[i] -> recorded[i] = true }
#ifdef BREAK_VOLATILE
  :: d_step { recorded[i] -> recorded[i] = false } /* a crash */
#endif
  :: d_step { !decided && recorded[i] -> recorded[i] = false } /* grown in again */
  od
}

proctype Manager(byte me) provided (GOES_ON) {
end:
  do
  /* A grant, after a barrier that began after the request arrived. A plan that is committed ends them. */
#ifdef BREAK_NO_BARRIER
  :: d_step { place[me] == SENT && (leader != me || !decided) -> place[me] = ANSWERED }
#else
#ifdef BREAK_GRANT_IN_PLAN
  :: d_step { place[me] == SENT && leader == me -> place[me] = ANSWERED }
#else
  :: d_step { place[me] == SENT && leader == me && !decided -> place[me] = ANSWERED }
#endif
#endif
  :: d_step { leader == me && !decided -> decided = true }
  :: d_step { leader == me && decided && !heard && (recorded[0] || recorded[1]) -> heard = true }
#ifdef BREAK_OLD_ANSWER
  :: d_step { leader == me && decided && !heard && old_answer -> heard = true; old_answer = false }
#endif
#ifdef BREAK_WAIT_FIRST
  :: d_step { leader == me && decided && wait == 0 -> wait = WAIT + 1 } /* whoever may still confirm */
#else
  :: d_step { leader == me && decided && heard && wait == 0 -> wait = WAIT + 1 }
#endif
  :: d_step { leader == me && decided && wait == 1 && !opened -> opened = true }
  /* The plan is given up. */
  :: d_step {
       leader == me && decided && !opened ->
#ifdef BREAK_OLD_ANSWER
       old_answer = old_answer || recorded[0] || recorded[1];
#endif
       decided = false; heard = false; wait = 0
     }
  /* An election. Its own first entry is committed when it leads: it waits anew. */
  :: d_step {
       leader != me ->
       leader = me;
       heard = false;
       if
#ifdef BREAK_WAIT_GOES_ON
       :: wait > 0 -> wait = 1 /* it counts from what the log says of the old leader's wait */
#endif
       :: else -> wait = 0
       fi;
       skip
     }
  od
}

proctype Monitor() {
end:
  do
  :: atomic { opened && SERVES -> assert(false) }
  od
}

init {
  atomic {
    run Clock(); run Agent(); run Net(); run Confirmer(0); run Confirmer(1);
    run Manager(0); run Manager(1); run Monitor()
  }
}
