/*
The rules of certificates (package witness) as a model for spin: reports, cosignatures, going back,
crashes, times. model_test.go has the configurations that are searched exhaustively, and the rules
that can be switched off and must then be found.

PROMISES  No two certificates disagree, and no certificate disagrees with itself at one size
          (assert(agreement)). No honest frontend says two things of one size (assert(honest == 1)).
          TIMES: whoever takes a certificate for as fresh as T has every round that was certified
          before T, and no entry that two honest frontends applied has waited for longer than W
          (assert(fresh)).

COVERED   Three honest frontends, and a corrupt one that may have said anything to anybody: it
          needs no process. A quorum is three of four, so two honest reports are a proof for who
          also hears the corrupt one, and two honest cosignatures are a certificate that it can
          show. Messages come late, never, or in any order: a frontend learns of any proof that
          there is at any time, or not.
          Masters, honest or not, two at a time or one: each frontend may have any of the
          histories at each size, whatever it had before, so all that logs can do to it, splits,
          and going back are steps that it can take at any time. Only what it says is bound by the
          rules. CRASHES: a frontend forgets all that it does not save.

Three histories of up to three rounds: 0 and 1 are the same in the first round, 2 differs from there. A
root stands for its history up to a size. Rounds may be skipped.

NOT HERE  Liveness; the simulation has that. More than four frontends. Signatures cannot be forged.

What the model taught beyond the design, each with a switch that breaks it:
  COSIGN   a cosignature is saved too, not only the report: one write a round is not enough
  LEAVE    what was cosigned is left only for a history that has a higher proven round; to know of
           a higher proof is not enough, because it may agree with what was cosigned
A frontend is bound by what it cosigned, not by every proof that it knows. If it were, a corrupt
frontend could show one of them a proof of a round that the two others have just left, and none
could ever agree again. Learning of a lower proof is harmless.

Look at what spin found with
  spin -DBREAK_LATE -a certificates.pml && gcc -O2 -DSAFETY -DNOREDUCE -o pan pan.c && ./pan
  spin -DBREAK_LATE -p -g -t certificates.pml
*/

#ifndef ROUNDS
#define ROUNDS 3
#endif

#define N 3
#define at(i, s) ((i) * 3 + (s) - 1)
#define bit(h) (1 << (h))
/* whether two histories have the same root at a size */
#define same(s, a, b) ((a) == (b) || ((s) == 1 && (a) != 2 && (b) != 2))

/* what frontends have said: for each frontend and size a set of histories */
byte reports[9], cosigns[9];
/* what they have on the disk or know: a size, 0 for nothing, and a history */
byte repS[N], repH[N], cosS[N], cosH[N], topS[N], topH[N];

#define votes(of, s, h) \
	(((of[at(0, s)] >> (h)) & 1) + ((of[at(1, s)] >> (h)) & 1) + ((of[at(2, s)] >> (h)) & 1))

#ifdef BREAK_TWO
#define proven(s, h) (votes(reports, s, h) >= 1)
#else
#define proven(s, h) (votes(reports, s, h) >= 2)
#endif
#ifdef BREAK_READER
#define certified(s, h) (votes(cosigns, s, h) >= 1)
#else
#define certified(s, h) (votes(cosigns, s, h) >= 2)
#endif

/* R1 */
#ifdef BREAK_ONCE
#define rises(s) ((s) >= repS[i])
#else
#define rises(s) ((s) > repS[i])
#endif

/* R2: a history has what was cosigned, or R4: a higher proven round */
#ifdef BREAK_HISTORY
#define bound(s, h) true
#else
#ifdef BREAK_LEAVE
#define refuted(s, h) (topS[i] > cosS[i])
#else
#define refuted(s, h) (topS[i] > cosS[i] && topS[i] <= (s) && same(topS[i], topH[i], h))
#endif
#define bound(s, h) (cosS[i] == 0 || same(cosS[i], cosH[i], h) || refuted(s, h))
#endif

#define mayreport(s, h) (rises(s) && bound(s, h) && (reports[at(i, s)] & bit(h)) == 0)

/* R3: only with the proof, and only the own last report */
#ifdef BREAK_LATE
#define islast(s, h) ((reports[at(i, s)] & bit(h)) != 0)
#else
#define islast(s, h) (repS[i] == (s) && repH[i] == (h))
#endif
#define maycosign(s, h) (topS[i] == (s) && topH[i] == (h) && islast(s, h) && cosS[i] < (s))

#define maylearn(s, h) (topS[i] < (s) && proven(s, h))

#ifdef TIMES
#ifndef W
#define W 1
#endif
#define LAST 2
byte now;
byte signedAt[9];    /* the newest time that a frontend signed, by size, counted from 1 */
byte certAt[3];      /* for each size, when it was first certified, counted from 1 */
byte applied[N];     /* when a frontend applied the entry that round 2 has, counted from 1 */
#define TIME(s) signedAt[at(i, s)] = (patient(s) -> now + 1 : applied[i] + W)

/* the second of the honest times: the corrupt one signs any */
#define max2(a, b) ((a) > (b) -> (a) : (b))
#define min2(a, b) ((a) < (b) -> (a) : (b))
#define second3(a, b, c) max2(min2(a, b), min2(max2(a, b), c))
#define shown(s) second3(signedAt[at(0, s)], signedAt[at(1, s)], signedAt[at(2, s)])
#define waits(a, b) \
	(applied[a] > 0 && applied[b] > 0 && shown(1) > max2(applied[a], applied[b]) + W)
#define fresh \
	((certAt[1] == 0 || shown(1) <= certAt[1]) && \
	 !waits(0, 1) && !waits(0, 2) && !waits(1, 2))
#ifdef BREAK_OLDER
#define largest(s) ((cosigns[at(i, s)]) != 0)
#else
#define largest(s) (cosS[i] == (s))
#endif
#ifdef BREAK_WAIT
#define patient(s) true
#else
#define patient(s) ((s) > 1 || applied[i] == 0 || now + 1 <= applied[i] + W)
#endif
#else
#define TIME(s) skip
#define fresh true
#endif

hidden byte a, b, g, j;
hidden byte agreement, honest;

/* Compares all certificates with each other, and what each frontend said of one size. */
inline check() {
	agreement = 1; honest = 1;
	a = 1;
	do
	:: a > 3 -> break
	:: else ->
		g = 0;
		do
		:: g > 2 -> break
		:: else ->
			if
			:: certified(a, g) ->
#ifdef TIMES
				if :: certAt[a - 1] == 0 -> certAt[a - 1] = now + 1 :: else fi;
#endif
				b = a;
				do
				:: b > 3 -> break
				:: else ->
					j = 0;
					do
					:: j > 2 -> break
					:: else ->
						if :: certified(b, j) && !same(a, g, j) -> agreement = 0 :: else fi;
						j++
					od;
					b++
				od
			:: else
			fi;
			g++
		od;
		j = 0;
		do
		:: j >= N -> break
		:: else ->
			/* at most one bit is set, and what is cosigned was reported */
			if
			:: (reports[at(j, a)] & (reports[at(j, a)] - 1)) != 0 -> honest = 0
			:: (cosigns[at(j, a)] & ~reports[at(j, a)]) != 0 -> honest = 0
			:: else
			fi;
			j++
		od;
		a++
	od;
	a = 0; b = 0; g = 0; j = 0
}

/* The tests of broken rules look for one of the promises. */
inline promise() {
	check();
#ifndef ONLY_AGREEMENT
	assert(honest == 1);
	assert(fresh);
#endif
	assert(agreement == 1)
}

/* A report is saved before it is sent. */
#define REPORT(s, h) \
	:: atomic { mayreport(s, h) -> d_step { \
		reports[at(i, s)] = reports[at(i, s)] | bit(h); repS[i] = s; repH[i] = h; promise() } }

#define COSIGN(s, h) \
	:: atomic { maycosign(s, h) -> d_step { \
		cosigns[at(i, s)] = cosigns[at(i, s)] | bit(h); cosS[i] = s; cosH[i] = h; TIME(s); promise() } }

#define LEARN(s, h) \
	:: atomic { maylearn(s, h) -> d_step { topS[i] = s; topH[i] = h } }

#if ROUNDS > 2
#define EACH(STEP) \
	STEP(1, 0) STEP(1, 2) STEP(2, 0) STEP(2, 1) STEP(2, 2) STEP(3, 0) STEP(3, 1) STEP(3, 2)
#else
#define EACH(STEP) STEP(1, 0) STEP(1, 2) STEP(2, 0) STEP(2, 1) STEP(2, 2)
#endif

proctype Frontend(byte i) {
end:	do
#ifdef TIMES
	/* one history is enough for times */
	REPORT(1, 0) REPORT(2, 0)
	COSIGN(1, 0) COSIGN(2, 0)
	LEARN(1, 0) LEARN(2, 0)
	/* a new time: R5 and R6 */
	:: atomic { cosS[i] > 0 && largest(1) && patient(1) -> d_step { TIME(1); promise() } }
	:: atomic { cosS[i] > 0 && largest(2) -> d_step { TIME(2); promise() } }
	:: atomic { applied[i] == 0 && cosS[i] < 2 -> d_step { applied[i] = now + 1 } }
#else
	EACH(REPORT)
	EACH(COSIGN)
	EACH(LEARN)
#endif
#ifdef CRASHES
	:: atomic { topS[i] > 0 -> d_step {
		topS[i] = cosS[i]; topH[i] = cosH[i];
#ifdef BREAK_REPORT
		repS[i] = cosS[i]; repH[i] = cosH[i];
#endif
#ifdef BREAK_COSIGN
		cosS[i] = 0; cosH[i] = 0; topS[i] = 0; topH[i] = 0;
#endif
#ifdef BREAK_FORGET
		repS[i] = 0; repH[i] = 0; cosS[i] = 0; cosH[i] = 0; topS[i] = 0; topH[i] = 0;
#endif
		a = 0 } }
#endif
	od
}

#ifdef TIMES
proctype Clock() {
end:	do
	:: atomic { now < LAST -> d_step { now++ } }
	od
}
#endif

init {
	atomic {
		run Frontend(0); run Frontend(1); run Frontend(2);
#ifdef TIMES
		run Clock()
#endif
	}
}
