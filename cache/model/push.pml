/*
The push protocol of Laurel (packages cache and cluster) as a model for spin: writes, reads, leases,
changes of master, hand-overs, crashes. model_test.go has the configurations ("worlds") that are
searched exhaustively, and the rules that can be switched off and must then be found.

PROMISES  A linearizable read never returns less than what a bard was acked, or a reader was
          answered, before the read began (the assert in Reader). R <= P wherever there is a lease
          (assert(within)). Every step can happen: the test refuses steps that pan did not reach.

COVERED   Three voters. Any of them may be elected at any time, by itself and any other. A deposed
          master does not know, and goes on with what it may do: late acks, releases, grants from a
          lease that it still has. Streams keep their order. They end at any time, at one side
          first, and what was on its way is lost or still read. Pauses: every step may come late or
          never while time goes on. Evictions. Reads that wait between any two of their steps.
          HANDING: leases recalled or waited for, then Retire, then an election or new rounds.
          CRASHES: a frontend forgets its cache, lease, epoch and acks.

The observer. One frontend has a cache and a lease. It may be any of the three, so it may also be a
master. The leases and caches of the two others only make a release, or a retirement, wait for them
too. The model lets a release come at any time, as if they had none, so whatever the observer can see
in a real group it can see here. What readers elsewhere were told is at most the R of a master, and
counts as seen as soon as R rises. (Where a broken rule lets the others answer more, a step says so.)

Raft is abstract. An election takes one step. The winner has all that was committed, and its barrier
is that same step. Entries that were in the log but not committed count as written by the next
master. A commit needs a majority that has not voted since. A load may find any committed revision
not below its floor, so the lag of a state machine needs no variable. A frontend here may accept a
Hello before its Raft knows of the term. The code accepts one only from the member that its Raft
follows in that term, so the behaviour of the code is a part of what is searched. The model has no
two masters of one term: the code refuses the second one.

Time is a tick for all processes at once. L is 1 or 2 ticks, and any number of steps fit between two
ticks. Clock drift is left out: with clocks off by at most rho, and both sides shortening by rho, a
lease ends at its holder no later than in the master's count, and the holder may stop reading earlier
here as well. For the same reason the ack timeout (tau) is left out: a grant may always be withheld.
Acks of pushes, a voter's Welcome and Returned reach the master at once or not at all, because the
master may act on them as late as it likes. Only Returned is followed on its way, because a later
grant must void it. One heartbeat, ack or grant at a time is on its way between the observer and each
master.

NOT HERE  Membership changes, pull mode, and more than one key. Keys affect each other only through P
          and R; a push that names a tag is a push and an eviction here. Clocks that stop. Liveness:
          nothing is forced to happen, so there is no deadlock to look for. Those are for the tests
          of the code and for the histories of real processes.

What the model taught beyond the design, each with a switch that breaks it:
  PUT       a load that began before an eviction or a new session must not be stored if it is below P
  RECALL    a Recall is answered only after the grants before it were taken
  RETURNED  a Returned that passes a new grant on its way counts for nothing
  RESUME    after a hand-over that was cancelled, the leases and rounds of before are void
  RESTART   a frontend that restarts says that it acked just now
  ROUND     an ack counts only for its own round

Measured on one core beside another task (states stored, seconds, MiB):
  leases that overlap       EPOCHS=2 WRITES=1 L=2                    3,538,626    9   656
  two writes                EPOCHS=2 WRITES=2 L=1                    2,008,257    5   433
  two master changes        EPOCHS=3 WRITES=1 L=1                    3,494,078   11   756
  handing over and crashes  EPOCHS=2 WRITES=1 L=1 HANDING CRASHES    7,067,091   31  1169
Handing over with L=2 has more than 15 million states (over 2.4 GiB) and was not searched to the end.
With it the broken rules RECALL and RETURNED are found.

To look at what spin found:
  spin -DBREAK_ACKS -a push.pml && gcc -O2 -DSAFETY -DNOREDUCE -o pan pan.c && ./pan -m500000
  spin -DBREAK_ACKS -p -g -t push.pml
(pan -i, built with -DREACH, finds a shorter way.) A step is atomic { guard -> d_step { ... } },
because pan lists the steps that it did not reach only if they are no whole d_step options.
*/

#ifndef EPOCHS
#define EPOCHS 2
#endif
#ifndef WRITES
#define WRITES 2
#endif
#ifndef L
#define L 2
#endif

#define N      3
#define LAST   (1 + WRITES)
#define SILENT (L + 1)

/* what is on the wire between the observer and a master: heartbeats and their answers */
#define FREE  0
#define ASKED 1 /* an ack that asks for a lease, and counts for no round */
#define VOTED 2 /* an ack that counts for the round */
#define GRANT 3

/* the stream between them */
#define DOWN   0
#define UP     1
#define UNSEEN 2 /* lost, and the frontend still reads what has come */
#define HALF   3 /* lost, and the master does not know yet */

/* the slow reader */
#define IDLE    0
#define CHECKED 1
#define LOADING 2
#define FOUND   3

/* a master */
#define RULING  0
#define RECALL  1
#define RETIRED 2

/* The members as voters. acked: for how long a later master must still wait for this voter's acks. */
byte term[N], epoch[N], acked[N];

/* The observer: the frontend whose cache and lease are followed. */
byte obs, P, R, entry, lease;
byte phase, floor, need, value;

typedef leadership {
	byte master, own, round, P, R, handing;
	bool leads, serving;
	byte wait[N];      /* what each voter said of its older acks; SILENT: it has not answered */
	byte stream, wire; /* to the observer */
	byte left;         /* of an ack: L less its age; of a grant: what remains of it now */
	byte acks, upper;  /* what the master knows of the observer: P, and the end of its lease */
	bool returned      /* Returned is on its way, and still counts */
};
leadership m[EPOCHS + 1];

byte top, committed;
byte seen; /* the highest revision that any bard or reader was told of */

hidden byte k, voter, was;

#define RAISE(a, b) a = (a < (b) -> (b) : a)
#define LOWER(a)    a = (a > 0 -> a - 1 : 0)
#define M m[e]

#ifdef BREAK_WAIT
#define waited true
#else
#define both(a, b) (M.wait[a] == 0 && M.wait[b] == 0)
#define waited     (both(0, 1) || both(0, 2) || both(1, 2))
#endif

#ifdef BREAK_ACKS
#define holds false
#else
#ifdef BREAK_UPPER
#define holds (M.upper > 0 && M.acks <= M.R && (M.stream == UP || M.stream == HALF))
#else
#define holds (M.upper > 0 && M.acks <= M.R)
#endif
#endif

#define fed(e)  (m[e].stream == UP || m[e].stream == UNSEEN)
#define synced  (fed(epoch[obs]))

#ifdef BREAK_CHECK
#define mayread synced
#else
#define mayread (lease > 0)
#endif

#ifdef BREAK_LOAD
#define knows true
#else
#define knows synced
#endif

#ifdef BREAK_FSM
#define released (value <= R || m[epoch[obs]].leads && m[epoch[obs]].master == obs)
#else
#ifdef BREAK_GATE
#define released true
#else
#define released (value <= R)
#endif
#endif

#ifdef BREAK_RETIRE
#define leaseless true
#else
#define leaseless (M.upper == 0)
#endif

#ifdef BREAK_RECALL
#define inorder true
#else
#define inorder (M.wire != GRANT)
#endif

#define within (lease == 0 || R <= P)

/* Resets what no process can receive any more, so that equal states are equal. */
inline tidy(e) {
	if
	:: !m[e].leads && epoch[obs] != e -> m[e].P = 0; m[e].R = 0; m[e].master = 0
	:: else
	fi
}

/* A master learns that it is deposed. What it sent before may still arrive: P, R and a grant stay. */
inline depose(e) {
	m[e].leads = false; m[e].serving = false; m[e].own = 0; m[e].round = 0; m[e].handing = RULING;
	m[e].wait[0] = 0; m[e].wait[1] = 0; m[e].wait[2] = 0;
	m[e].acks = 0; m[e].upper = 0; m[e].returned = false;
	if :: m[e].wire != GRANT -> m[e].wire = FREE; m[e].left = 0 :: else fi;
	if
	:: m[e].stream == UP -> m[e].stream = UNSEEN
	:: m[e].stream == HALF -> m[e].stream = DOWN
	:: else
	fi;
	tidy(e)
}

inline learn(n, t) {
	if
	:: term[n] < t ->
		was = term[n]; term[n] = t;
		if :: m[was].leads && m[was].master == n -> depose(was) :: else fi
	:: else
	fi
}

/* The observer closes its end of its stream. */
inline lose() {
	was = epoch[obs];
	if
	:: m[was].stream == UP -> m[was].stream = HALF
	:: m[was].stream == UNSEEN -> m[was].stream = DOWN
	:: else
	fi;
	if :: m[was].wire == GRANT -> m[was].wire = FREE; m[was].left = 0 :: else fi;
	P = 0; lease = 0;
	if :: phase == LOADING -> phase = CHECKED; need = 0 :: else fi
}

/* Member n receives a Hello of a higher epoch. */
inline enter(n, e) {
	if
	:: n == obs ->
		lose(); R = 0;
#ifndef BREAK_EPOCH
		entry = 0;
#endif
		epoch[n] = e; tidy(was)
	:: else -> epoch[n] = e
	fi
}

/* No master follows the last one, so what was acked does not matter any more. */
#define noted(e) (e < EPOCHS -> L : 0)
inline spent(n, e) {
	if :: e == EPOCHS -> acked[n] = 0 :: else fi
}

inline quit() { phase = IDLE; floor = 0; need = 0; value = 0 }

inline elect(n) {
	top++;
	learn(n, top); learn(voter, top);
	m[top].master = n; m[top].leads = true; m[top].P = committed;
	enter(n, top);
	m[top].wait[0] = SILENT; m[top].wait[1] = SILENT; m[top].wait[2] = SILENT;
	m[top].wait[n] = acked[n];
	spent(n, top)
}

inline commit() { learn(voter, e); committed++; M.P = committed }

/* Acks on the wire answered an earlier round. */
inline newround() {
#ifndef BREAK_ROUND
	if :: M.wire == VOTED -> M.wire = ASKED :: else fi;
#endif
	was = 0
}

/* Members 1 and 2 are alike until one of them is master or observer, so the observer is 0 or 1. */
proctype Member(byte n; byte a; byte b) {
	do
	:: atomic { top < EPOCHS -> d_step { voter = a; elect(n); was = 0 } }
	:: atomic { top < EPOCHS -> d_step { voter = b; elect(n); was = 0 } }
#ifdef CRASHES
	:: atomic { epoch[n] > 0 -> d_step {
		if :: m[term[n]].leads && m[term[n]].master == n -> k = term[n]; depose(k) :: else fi;
		enter(n, 0);
		if :: n == obs -> entry = 0; quit() :: else fi;
#ifdef BREAK_RESTART
		acked[n] = 0;
#else
		acked[n] = L;
#endif
		was = 0 } }
#endif
	od
}

inline found() {
	phase = FOUND; need = 0;
#ifdef BREAK_PUT
	if :: value > entry -> entry = value :: else fi
#else
	if :: value > entry && value >= P -> entry = value :: else fi
#endif
}

/* One read after the other, each as slow as it likes. Other reads matter only where they raise seen. */
proctype Reader() {
	do
	:: atomic { phase == IDLE && mayread -> d_step {
		floor = seen; phase = CHECKED;
#ifdef BREAK_FSM
		if :: m[epoch[obs]].serving && m[epoch[obs]].master == obs -> value = m[epoch[obs]].P; phase = FOUND :: else fi;
#endif
		was = 0 } }
	:: atomic { phase == CHECKED && entry > 0 -> d_step { value = entry; phase = FOUND } }
	:: atomic { phase == CHECKED && entry == 0 && knows -> d_step {
#ifndef BREAK_LOAD
		need = P;
#endif
		phase = LOADING } }
	/* the local state machine has applied as much as it likes, but no less than was needed */
	:: atomic { phase == LOADING && need <= 1 -> d_step { value = 1; found(); was = 0 } }
	:: atomic { phase == LOADING && need <= 2 && committed >= 2 -> d_step { value = 2; found(); was = 0 } }
#if WRITES > 1
	:: atomic { phase == LOADING && committed >= 3 -> d_step { value = 3; found(); was = 0 } }
#endif
	:: atomic { phase == FOUND && released -> d_step {
		assert(value >= floor);
		RAISE(seen, value);
		quit() } }
	:: atomic { entry > 0 -> d_step { entry = 0 } }
	od
}

proctype Master(byte e) {
	do
	:: atomic { M.leads && !M.serving && waited -> d_step {
		M.serving = true; M.R = M.P;
		M.wait[0] = 0; M.wait[1] = 0; M.wait[2] = 0;
		RAISE(seen, M.R) } }
	/* a commit needs one more member that has not voted for a later master */
	:: atomic { M.leads && M.serving && committed < LAST && term[(M.master + 1) % N] <= e -> d_step { voter = (M.master + 1) % N; commit() } }
	:: atomic { M.leads && M.serving && committed < LAST && term[(M.master + 2) % N] <= e -> d_step { voter = (M.master + 2) % N; commit() } }
	:: atomic { M.leads && M.handing == RULING && M.round < L -> d_step {
		M.round = L;
#ifndef BREAK_SELF
		acked[M.master] = noted(e);
#endif
		newround() } }
	:: atomic { M.serving && M.R < M.P && !holds -> d_step { M.R++; RAISE(seen, M.R) } }
#if defined(BREAK_GATE) || defined(BREAK_FSM)
	/* another frontend with a lease, or this master, answers what is not released */
	:: atomic { M.serving && M.own > 0 && seen < M.P -> d_step { seen = M.P } }
#endif
#ifdef HANDING
	:: atomic { M.serving && M.handing == RULING && e < EPOCHS -> d_step { M.handing = RECALL;
#ifndef BREAK_RESUME
		M.round = 0;
#endif
		newround() } }
	:: atomic { M.handing == RECALL && leaseless -> d_step { M.handing = RETIRED;
#ifndef BREAK_RESUME
		M.own = 0;
#endif
		was = 0 } }
	:: atomic { M.handing != RULING -> d_step { M.handing = RULING } }
#endif
	od
}

/* The messages between a master and any member. */
proctype Voter(byte e; byte n) {
	do
	:: atomic { epoch[n] < e && e <= top -> d_step {
		enter(n, e);
		if :: M.leads && !M.serving -> M.wait[n] = acked[n] :: else fi;
		spent(n, e);
		was = 0 } }
	/* the ack of a round; that of the observer may be slow, and is in Stream */
	:: atomic { M.leads && n != obs && n != M.master && epoch[n] == e && M.round > 0 && term[n] <= e -> d_step {
		learn(n, e);
		acked[n] = noted(e);
		RAISE(M.own, M.round) } }
#ifdef HANDING
	:: atomic { M.leads && M.handing == RETIRED && epoch[n] == e && acked[n] > 0 -> d_step { acked[n] = 0 } }
#endif
	od
}

/* The messages between a master and the observer. */
proctype Stream(byte e) {
	do
	/* a session: the cache is empty, P starts where the master stands */
	:: atomic { M.serving && epoch[obs] == e && M.stream == DOWN -> d_step {
		M.stream = UP; M.acks = M.P; P = M.P; RAISE(R, M.R) } }
	:: atomic { epoch[obs] == e && fed(e) -> d_step {
		lose();
#ifndef BREAK_SESSION
		entry = 0;
#endif
		was = 0 } }
	:: atomic { M.leads && (M.stream == UP || M.stream == HALF) -> d_step {
		M.stream = (M.stream == UP -> UNSEEN : DOWN);
		M.returned = false;
		if :: M.wire != GRANT -> M.wire = FREE; M.left = 0 :: else fi;
		was = 0 } }
	/* a push and its ack */
	:: atomic { epoch[obs] == e && fed(e) && P < M.P -> d_step {
		P++;
		RAISE(entry, P);
		M.acks = (M.stream == UP -> P : M.acks) } }
	/* a Release */
	:: atomic { epoch[obs] == e && fed(e) && R < M.R -> d_step { R++; assert(within) } }
	/* a heartbeat comes, an ack goes */
	:: atomic { M.leads && epoch[obs] == e && M.round > 0 && M.wire == FREE && (M.stream == UP || M.stream == DOWN) -> d_step {
		learn(obs, e);
		M.left = L;
		M.wire = (term[obs] == e -> VOTED : ASKED);
#ifdef BREAK_SELF
		acked[obs] = (term[obs] == e && obs != M.master -> noted(e) : acked[obs])
#else
		acked[obs] = (term[obs] == e -> noted(e) : acked[obs])
#endif
 } }
	/* the ack comes; no grant goes */
	:: atomic { M.leads && (M.wire == ASKED || M.wire == VOTED) -> d_step {
		if :: M.wire == VOTED && obs != M.master -> RAISE(M.own, M.round) :: else fi;
		M.wire = FREE; M.left = 0 } }
	/* the ack comes; a grant goes */
	:: atomic { M.serving && M.handing == RULING && M.stream == UP && M.acks >= M.R && (M.wire == ASKED || M.wire == VOTED) && (M.own > 0 || M.wire == VOTED && obs != M.master && M.round > 0) -> d_step {
		if :: M.wire == VOTED && obs != M.master -> RAISE(M.own, M.round) :: else fi;
		RAISE(M.upper, M.own);
#ifndef BREAK_RETURNED
		M.returned = false;
#endif
#ifdef BREAK_ANCHOR
		M.left = M.own;
#else
		M.left = (M.own + M.left > L -> M.own + M.left - L : 0);
#endif
		M.wire = (M.left > 0 -> GRANT : FREE) } }
	:: atomic { epoch[obs] == e && M.wire == GRANT && fed(e) -> d_step {
		RAISE(lease, M.left);
		M.wire = FREE; M.left = 0;
		assert(within) } }
#ifdef HANDING
	/* a Recall comes, after the grants before it, and Returned goes */
	:: atomic { M.handing == RECALL && epoch[obs] == e && M.stream == UP && inorder && M.upper > 0 && !M.returned -> d_step {
		lease = 0; M.returned = true } }
	:: atomic { M.returned -> d_step { M.returned = false; M.upper = 0 } }
#endif
	od
}

#ifdef BREAK_ANCHOR
#define ages(e) (m[e].wire == ASKED || m[e].wire == VOTED)
#else
#define ages(e) (m[e].wire != FREE)
#endif

inline tick(e) {
	LOWER(m[e].own); LOWER(m[e].round); LOWER(m[e].upper);
	m[e].wait[0] = (m[e].wait[0] == SILENT || m[e].wait[0] == 0 -> m[e].wait[0] : m[e].wait[0] - 1);
	m[e].wait[1] = (m[e].wait[1] == SILENT || m[e].wait[1] == 0 -> m[e].wait[1] : m[e].wait[1] - 1);
	m[e].wait[2] = (m[e].wait[2] == SILENT || m[e].wait[2] == 0 -> m[e].wait[2] : m[e].wait[2] - 1);
	if :: ages(e) -> m[e].left-- :: else fi;
	if :: m[e].left == 0 -> m[e].wire = FREE :: else fi
}

proctype Clock() {
	do
	:: atomic { true -> d_step {
		LOWER(lease); LOWER(acked[0]); LOWER(acked[1]); LOWER(acked[2]);
		tick(1);
#if EPOCHS > 1
		tick(2);
#endif
#if EPOCHS > 2
		tick(3);
#endif
		was = 0 } }
	od
}

init {
	atomic {
		top = 1; committed = 1; seen = 1;
		term[0] = 1; term[1] = 1; term[2] = 1;
		epoch[0] = 1; epoch[1] = 1; epoch[2] = 1;
		m[1].leads = true; m[1].serving = true; m[1].P = 1; m[1].R = 1;
		if :: obs = 0 :: obs = 1 fi;
		run Clock(); run Reader();
		run Member(0, 1, 2); run Member(1, 2, 0); run Member(2, 0, 1);
		run Master(1); run Stream(1); run Voter(1, 0); run Voter(1, 1); run Voter(1, 2)
#if EPOCHS > 1
		; run Master(2); run Stream(2); run Voter(2, 0); run Voter(2, 1); run Voter(2, 2)
#endif
#if EPOCHS > 2
		; run Master(3); run Stream(3); run Voter(3, 0); run Voter(3, 1); run Voter(3, 2)
#endif
	}
}
