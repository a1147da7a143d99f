/* The protocol of docs/protocol.md for a model checker: two servers, the keeper of
 * the record, and everything that may go wrong between any two steps. Which
 * function of the code performs which step stands in docs/model.md.
 *
 * Nothing here knows a clock. Whether the other server is silent, slow or dead is
 * never asked: a server may believe it at any moment, and give up at any moment.
 * So what holds here holds whatever the timings are.
 *
 * Bounds come from the command line of spin:
 *   COMMITS  commits that clients write in all
 *   CHANGES  changes of the record in all
 *   FAULTS   processes killed and actions given up in all
 *   TERMS    the highest term
 *   KIND     WITNESS (also etcd: the same compare-and-swap), NONE, COMMAND
 *   FENCES   fencing commands called in all (COMMAND)
 *   LOSES    the keeper may lose its records once, at any moment (WITNESS)
 *   MOVES    moves to another keeper begun in all (WITNESS, NONE)
 *   TO       the kind of that other keeper (WITNESS, NONE)
 * The rule to leave out is read from the environment when the checker starts.
 */
#define WITNESS 1
#define NONE    2
#define COMMAND 3

/* Rules to leave out, by the numbers in model_test.go. */
#define NoProof        (without == 1)
#define NoPledge       (without == 2)
#define LostIsNo       (without == 3)
#define PromoteAlone   (without == 4)
#define NamesFirst     (without == 5)
#define RejoinEarly    (without == 6)
#define NoGate         (without == 7)
#define GateAnyway     (without == 8)
#define BackupCounts   (without == 9)
#define NoCompare      (without == 10)
#define PositionEarly  (without == 11)
#define PairedOpens    (without == 12)
#define HandOverAlone  (without == 13)
#define OpenUnsaved    (without == 14)
#define FoundPaired    (without == 15)
#define CopiesCount    (without == 16)
#define LateYesCounts  (without == 17)
#define ToldUnsaved    (without == 18)
#define NoWord         (without == 19)
#define ToldBefore     (without == 20)
#define FencesUnmet    (without == 21)
#define NoFence        (without == 22)
#define FenceStays     (without == 23)
#define TellsAfter     (without == 24)
#define OldTelling     (without == 25)
#define OldWord        (without == 26)
#define LeavesPaired   (without == 27)
#define OneComesBack   (without == 28)
#define OneTells       (without == 29)
#define NotClosed      (without == 30)
#define TurnsUnsaved   (without == 31)
#define GateUnproven   (without == 32)

c_decl {
\#include <stdlib.h>
}

/* PostgreSQL */
#define Down    0
#define Standby 1
#define Gated   2
#define Open    3
/* the data of a stopped one */
#define Follower 0
#define Primary  1
#define Broken   2
/* questions to the keeper and its answers */
#define Nothing  0
#define Detach   1
#define Attach   2
#define Failover 3
#define HandOver 4
#define Close    5
/* where an action stands: the step that comes next */
#define Idle         0
#define DetachSave   2
#define DetachNames  3
#define AttachProve  5
#define AttachNote   6
#define AttachWait   7
#define AttachPledge 8
#define PromoteSaved 9
#define PromoteOpen  10
#define PromoteNames 11
#define GateNote     12
#define GateWait     13
#define RejoinDo     14
#define RejoinCopy   15
#define FenceRun     16   /* a fencing command runs beside everything else */
#define DetachAsk    17   /* from here on in the order of the questions */
#define AttachAsk    18
#define TakeAsk      19
#define HandAsk      20

/* A server. Record fields: T term, M paired, R revision. The primary follows from
 * the term: every change of reign goes to the other one. */
byte pg[2];           /* PostgreSQL */
byte data[2];          /* what its data directory was last */
byte disk[2];          /* the commits in its flushed log */
byte waits[2];         /* commits whose clients wait for the standby */
bool names[2] = true;         /* synchronous_standby_names in the file */
bool flag[2] = true;          /* the checkpointer's flag in shared memory */
byte kT[2] = 1; bool kM[2] = true; byte kR[2] = 1; bool conf[2] = true; /* newest record known, confirmed in this run */
byte cT[2] = 1; bool cM[2] = true; byte cR[2] = 1;              /* the own copy on disk */
byte at[2];            /* the action under way */
byte goal[2];          /* the position noted by T2 step 4, or the copy of a rebuild */
byte late; bit lateBy; byte lateR;                /* a question that nobody waits for any more */
bool sure[2] = true;         /* the keeper has told the record in this run */
byte tl[2] = 1;        /* the timeline, by the term that began it */

/* A keeper. A pair that does not move has one. */
#if MOVES
#define KEEPERS 2
#else
#define KEEPERS 1
#define KEEPER(i) 0
#define PRESENT 0
#define APART(k) (KIND == WITNESS)
#define GRANTS(k) (!bare[k])
#endif
byte T[KEEPERS] = 1; bool M[KEEPERS] = true; byte R[KEEPERS] = 1; /* its record */
bool bare[KEEPERS];   /* it has lost its records, and not found them again */
bool yes[2];          /* the keeper has said yes, and the answer is on its way */
byte rep[2 * KEEPERS]; /* the term that a keeper without records was told by each server; 0: nothing yet */

#if MOVES
/* where a move stands: the step that comes next */
#define MovePrepare 1
#define MoveAlone   2
#define MoveClose   3
#define MoveTurn    4
#define MoveOther   5
bit file[2];           /* the keeper that pair.toml of a server names */
bit use[2];            /* the one that its supervisor goes by */
byte want[2];          /* where move.json says to go, the number of the keeper and one; 0: nowhere */
bool closed[2];        /* the keeper's record is closed */
byte mv; bit mvBy;     /* the move under way, and on which server */
byte moves;            /* moves begun so far */
byte found;            /* how often a record was found, which sets its revision */
bool put;              /* an old pair.toml was put back */
bit present;           /* whose record counts: the keeper that found it last; no server reads this */
bit lateK;             /* the keeper that was asked by who is late */
#define KEEPER(i) use[i]
#define PRESENT present
#define APART(k) ((k -> TO : KIND) == WITNESS)
#define GRANTS(k) (!bare[k] && !closed[k])
#endif

#if KIND == COMMAND
/* What a standby i may do: it was told in this run that the record it knows is paired, or
 * it has given its word since. */
#define Untold 0
#define Told   1
#define Waived 2
byte trust[2];
bool lent[2];          /* as primary: a standby may hold that, so i does not go alone */
bool fenced[2];        /* as standby: i has fenced the other one, and not met it since */
byte tellT[2]; byte tellR[2]; /* what i tells, on its way to the present run of the other one */
bool given[2];          /* the other one's word is on its way to i */
byte fences;           /* fencing commands so far */
#endif

byte hT, hM, hR, hW;  /* what is being heard */

byte without;          /* the rule left out; 0: none */

/* What the checker remembers; no server can read it. */
byte written;          /* commits so far */
byte faults;           /* crashes and actions given up so far */
byte changed;          /* changes of the record so far */
byte told;             /* commits acknowledged, or readable by a client */

#define fails (faults < FAULTS)
#define PRIM(t) (((t) + 1) & 1)
#define NEWER(t, r, u, s) ((t) > (u) || ((t) == (u) && (r) > (s)))
#define RUNS(i) (pg[i] == Gated || pg[i] == Open)
#define NAMED(i) (PRIM(kT[i]) == i)
#define PLEDGED(i) (!kM[i] && cM[i] && cT[i] == kT[i] && cR[i] >= kR[i])
#define ALONE(i) (!kM[i] && !PLEDGED(i))
#define BYCOPY(i) (!cM[i] && PRIM(cT[i]) == i && !NEWER(kT[i], kR[i], cT[i], cR[i]))
#define MINE(i) (NAMED(i) && (conf[i] || BYCOPY(i) || RUNS(i)))
#define THEIRS(i) (!NAMED(i) && !(RUNS(i) && !conf[i]))
/* o streams from i: it is a standby whose log i has, or, where that counts, a copy under way */
#define STREAMS(o, i) (RUNS(i) && tl[o] <= tl[i] && (disk[o] & ~disk[i]) == 0 && (pg[o] == Standby || (BackupCounts && at[o] == RejoinCopy)))
/* what o says in its report: a new reign only when it is on its disk */
#define SAID(o) (cT[o] == kT[o] || ToldUnsaved)
#define SAIDT(o) (SAID(o) -> kT[o] : cT[o])
#define SAIDM(o) (SAID(o) -> kM[o] : cM[o])
#define SAIDR(o) (SAID(o) -> kR[o] : cR[o])
/* who must know: the open primary, and who has just handed over (announce) */
#if KIND == COMMAND
/* nobody's report can tell a restarted primary that it still is one: it must meet the other */
#define WORD(o) (!(PRIM(SAIDT(o)) == 1 - o && SAIDM(o) && !sure[1 - o]))
#else
#define WORD(o) (!APART(KEEPER(1 - o)) || (pg[o] == Open && PRIM(SAIDT(o)) == o) || (conf[o] && SAID(o) && PRIM(kT[o]) != o))
#endif
#define HASALL(o, what) ((what & ~(at[o] == RejoinCopy && BackupCounts -> goal[o] : disk[o])) == 0)

#define S1 (bare[PRESENT] || (told & ~disk[PRIM(T[PRESENT])]) == 0)

inline acknowledge(i, c) {
	assert(!(pg[1 - i] == Open && !flag[1 - i]));  /* S2 */
	assert(tl[i] >= tl[1 - i]);                    /* S3 */
	told = told | c
}

/* opens lets clients in: they see whatever is in the log. */
inline opens(i) {
	told = told | disk[i];
	pg[i] = Open
}

inline save(i, t, m, r) {
	if
	:: NEWER(cT[i], cR[i], t, r) -> skip
	:: cT[i] == t && cR[i] == r && cM[i] && !(m) -> skip
	:: else -> cT[i] = t; cM[i] = m; cR[i] = r
	fi
}

/* heeded: a question from a record that has moved on since is refused. */
inline heeded(i) {
	if :: at[i] >= DetachAsk -> at[i] = Idle; yes[i] = false :: else -> skip fi
}

#if KIND == COMMAND
#define distrust(i) trust[i] = Untold; fenced[i] = false
#else
#define distrust(i) skip
#endif

/* learn takes a record in if it is news (board.Sight.Learn). */
inline learn(i, t, m, r, word) {
	if
	:: NEWER(t, r, kT[i], kR[i]) -> heeded(i); distrust(i); kT[i] = t; kM[i] = m; kR[i] = r; conf[i] = word
	:: t == kT[i] && r == kR[i] && (word) -> kM[i] = m; conf[i] = true
	:: else -> skip
	fi
}

#define LEGAL(k, kind, by, r) \
	((NoCompare || R[k] == r) && changed < CHANGES && GRANTS(k) && \
	((kind <= Attach && PRIM(T[k]) == by) || \
	 (kind == Failover && (M[k] || PromoteAlone) && PRIM(T[k]) != by && T[k] < TERMS) || \
	 (kind == HandOver && (M[k] || HandOverAlone) && PRIM(T[k]) == by && T[k] < TERMS) || \
	 (kind == Close && !M[k] && PRIM(T[k]) == by)))

#if MOVES
#define LATEAT lateK
#define nolate() late = Nothing; lateR = 0; lateBy = 0; lateK = 0
#else
#define LATEAT 0
#define nolate() late = Nothing; lateR = 0; lateBy = 0
#endif

/* apply is record.Record.Apply on a keeper's record. */
inline apply(k, kind) {
	changed++; R[k]++;
	if
	:: kind == Detach -> M[k] = false
	:: kind == Attach -> M[k] = true
#if MOVES
	:: kind == Close -> closed[k] = true
#endif
	:: else -> T[k]++; M[k] = false
	fi;
	/* whoever is late now starts from a revision that is gone */
	if :: NoCompare || LATEAT != k -> skip :: else -> nolate() fi
}

#if MOVES
#define islate(kind, i, r) late = kind; lateBy = i; lateR = r; lateK = use[i]
#else
#define islate(kind, i, r) late = kind; lateBy = i; lateR = r
#endif

/* forget ends the action under way. A question that was asked may still arrive, once
 * nobody waits for its answer: one such is kept for the pair, the newest. */
inline forget(i) {
	if
	:: at[i] >= DetachAsk && !yes[i] -> islate(at[i] - DetachAsk + 1, i, kR[i])
	:: else -> skip
	fi;
	at[i] = Idle; goal[i] = 0; yes[i] = false
}

#if KIND == COMMAND
/* A restarted primary whose copy says paired must meet the other one; a restarted standby
 * knows of paired what it is told from now on. What was on its way to the process that
 * died is gone with it; what that one has sent may still arrive. */
#define SURE(i) (!(cM[i] && PRIM(cT[i]) == i) || FencesUnmet)
#define forgets(i) trust[i] = (ToldBefore && cM[i] -> Told : Untold); fenced[i] = false; lent[i] = true; given[i] = false; tellT[1 - i] = 0; tellR[1 - i] = 0
#else
#define SURE(i) (!APART(KEEPER(i)))
#define forgets(i) skip
#endif

#if MOVES
/* A move dies with its supervisor, and its question may come late. The next run goes by the
 * keeper that pair.toml names; where that is the primary itself, its copy is the record from
 * now on. What the old run has told the old keeper counts until that one notices its end. */
inline anew(i) {
	if
	:: mv && mvBy == i -> givesUpMove()
	:: else -> skip
	fi;
	use[i] = file[i];
	if
	:: !APART(use[i]) && bare[use[i]] && PRIM(cT[i]) == i ->
		T[use[i]] = cT[i]; M[use[i]] = cM[i]; R[use[i]] = cR[i]; bare[use[i]] = false; present = use[i]
	:: else -> skip
	fi
}
#else
#define anew(i) rep[i] = 0
#endif

/* supervisor restarts: it knows what its disk says. */
inline restart(i) {
	forget(i); anew(i);
	kT[i] = cT[i]; kM[i] = cM[i]; kR[i] = cR[i]; conf[i] = false; sure[i] = SURE(i);
	forgets(i)
}

inline dies(i) {
	if :: RUNS(i) -> data[i] = Primary :: else -> skip fi;
	pg[i] = Down; waits[i] = 0; flag[i] = false; names[i] = false; goal[i] = 0;
	if :: at[i] >= AttachProve && at[i] <= GateWait -> at[i] = Idle :: else -> skip fi
}

inline starts(i, how) {
	pg[i] = how;
	if
	:: flag[i] = names[i]
	:: how == Gated -> flag[i] = false
	fi
}

/* reload: the checkpointer takes the file in; names taken out release who waits. */
inline reload(i) {
	flag[i] = names[i];
	if
	:: !flag[i] && waits[i] -> acknowledge(i, waits[i]); waits[i] = 0
	:: else -> skip
	fi
}

/* Without an arbiter the record is the primary's own copy, and a change is its writing. */
inline written_here(i, kind, next) {
	if
	:: LEGAL(KEEPER(i), kind, i, kR[i]) ->
		apply(KEEPER(i), kind);
		cT[i] = T[KEEPER(i)]; cM[i] = M[KEEPER(i)]; cR[i] = R[KEEPER(i)];
		learn(i, cT[i], cM[i], cR[i], true);
		at[i] = next
	:: else -> at[i] = Idle; goal[i] = 0
	fi
}

#if KIND == COMMAND
/* Each server writes on its own disk, and compares with nothing but what stands there. */
#define MAY(kind, by) (changed < CHANGES && \
	((kind <= Attach && PRIM(cT[by]) == by) || \
	 (kind == HandOver && (cM[by] || HandOverAlone) && PRIM(cT[by]) == by && cT[by] < TERMS) || \
	 (kind == Failover && PRIM(kT[by]) != by && kT[by] < TERMS)))
inline written_alone(i, kind, next) {
	if
	:: MAY(kind, i) && !NEWER(cT[i], cR[i], kT[i], kR[i]) && (kind == Failover || (cT[i] == kT[i] && cR[i] == kR[i])) ->
		changed++;
		hT = (kind > Attach -> kT[i] + 1 : kT[i]); hM = (kind == Attach); hR = kR[i] + 1;
		cT[i] = hT; cM[i] = hM; cR[i] = hR;
		learn(i, hT, hM, hR, true);
		if :: NEWER(hT, hR, T[0], R[0]) -> T[0] = hT; M[0] = hM; R[0] = hR :: else -> skip fi;
		hT = 0; hM = 0; hR = 0;
		at[i] = next
	:: else -> at[i] = Idle; goal[i] = 0
	fi
}

/* fence ends every process of a server; it may be started again at once. */
inline fence(x) {
	dies(x); restart(x)
}
#endif

#if MOVES
inline propose(i, kind, wait, next) {
	if
	:: APART(KEEPER(i)) -> at[i] = wait
	:: else -> written_here(i, kind, next)
	fi
}
#elif KIND == WITNESS
#define propose(i, kind, wait, next) at[i] = wait
#elif KIND == COMMAND
#define propose(i, kind, wait, next) written_alone(i, kind, next)
#else
#define propose(i, kind, wait, next) written_here(i, kind, next)
#endif

#if MOVES
inline givesUpMove() {
	if
	:: mv == MoveClose -> islate(Close, mvBy, kR[mvBy])
	:: else -> skip
	fi;
	mv = 0; mvBy = 0
}

/* turns writes pair.toml: whoever starts on this server from now on goes by that keeper. */
inline turns(i, k) {
	printf("server%d turns to keeper %d\n", i + 1, k + 1);
	if :: TurnsUnsaved -> skip :: else -> save(i, kT[i], kM[i], kR[i]) fi;
	file[i] = k
}

/* The primary, which has read the closed record, then saves its copy with a revision beyond
 * it; or cannot. */
inline turnsPrimary(i) {
	turns(i, want[i] - 1);
	if
	:: APART(use[i]) && closed[use[i]] -> save(i, T[use[i]], false, R[use[i]] + 1)
	:: true -> skip
	fi
}
#endif

#if KIND == COMMAND
#define LEAVE(i) (!lent[i] || NoWord)
#else
#define LEAVE(i) true
#endif

proctype server(bool i) {
#define o (1 - i)
	do
	/* ---- the record is read or told ---- */
#define k KEEPER(i)
#if KIND == WITNESS || MOVES
	:: atomic { APART(k) && GRANTS(k) && (NEWER(T[k], R[k], kT[i], kR[i]) || !sure[i] || (T[k] == kT[i] && R[k] == kR[i] && !conf[i])) ->
		printf("server%d reads the record: term %d, paired %d\n", i + 1, T[k], M[k]); learn(i, T[k], M[k], R[k], true); sure[i] = true }
#endif
#undef k
#if KIND != WITNESS || MOVES
	:: atomic { !APART(KEEPER(i)) && !conf[i] && PRIM(cT[i]) == i && sure[i] && !NEWER(kT[i], kR[i], cT[i], cR[i]) ->
		printf("server%d holds the record itself\n", i + 1); conf[i] = true }
#endif
	:: atomic { NEWER(SAIDT(o), SAIDR(o), kT[i], kR[i]) || (SAIDT(o) == kT[i] && SAIDR(o) == kR[i] && !conf[i] && WORD(o)) ->
		printf("server%d hears the other's report\n", i + 1);
		hT = SAIDT(o); hM = SAIDM(o); hR = SAIDR(o); hW = WORD(o);
		learn(i, hT, hM, hR, hW); hT = 0; hM = 0; hR = 0; hW = 0 }
	:: atomic { at[i] == Idle && NEWER(kT[i], kR[i], cT[i], cR[i]) && !(NAMED(i) && ALONE(i) && pg[i] == Standby) ->
		printf("server%d saves its copy\n", i + 1); save(i, kT[i], kM[i], kR[i]) }

	/* ---- T1 detach ---- */
	:: atomic { at[i] == Idle && MINE(i) && sure[i] && !ALONE(i) && LEAVE(i) ->
		printf("server%d: T1: asks to go alone\n", i + 1);
		if :: NamesFirst -> names[i] = false :: else -> skip fi;
		propose(i, Detach, DetachAsk, DetachSave) }
	:: atomic { at[i] == DetachSave ->
		printf("server%d: T1: saves its copy\n", i + 1); goal[i] = 0;
		save(i, kT[i], kM[i], kR[i]);
		at[i] = DetachNames }
	:: atomic { at[i] == DetachNames ->
		printf("server%d: T1: takes the names out\n", i + 1); names[i] = false; at[i] = Idle }

	/* ---- T2 attach ---- */
	:: atomic { at[i] == Idle && MINE(i) && sure[i] && !kM[i] && pg[i] == Open && STREAMS(o, i) ->
		printf("server%d: T2: puts the names in\n", i + 1); names[i] = true; at[i] = (PositionEarly -> AttachNote : AttachProve) }
	:: atomic { at[i] == AttachProve && pg[i] == Open && STREAMS(o, i) && (flag[i] || NoProof) ->
		printf("server%d: T2: a commit was seen to wait: the names are in force\n", i + 1);
		at[i] = (PositionEarly -> AttachWait : AttachNote) }
	:: atomic { at[i] == AttachNote && pg[i] == Open ->
		printf("server%d: T2: notes its position\n", i + 1); goal[i] = disk[i];
		at[i] = (PositionEarly -> AttachProve : AttachWait) }
	:: atomic { at[i] == AttachWait && pg[i] == Open && STREAMS(o, i) && HASALL(o, goal[i]) ->
		printf("server%d: T2: the standby has flushed that\n", i + 1); goal[i] = 0; at[i] = AttachPledge }
	:: atomic { at[i] == AttachPledge ->
		if
		:: NoPledge -> skip
		:: else -> save(i, kT[i], true, kR[i])
		fi;
		printf("server%d: T2: saves the pledge and asks for paired\n", i + 1);
		propose(i, Attach, AttachAsk, Idle) }
	:: atomic { at[i] == AttachAsk && LostIsNo ->
		printf("server%d: T2: takes no answer for a no\n", i + 1); forget(i); cM[i] = false; names[i] = false }

	/* ---- settings are put right (rule 260) ---- */
	:: atomic { at[i] == Idle && MINE(i) && RUNS(i) && ALONE(i) && names[i] ->
		printf("server%d puts right: saves its copy and takes the names out\n", i + 1);
		save(i, kT[i], kM[i], kR[i]); names[i] = false }
	:: atomic { at[i] == Idle && ((MINE(i) && RUNS(i) && !ALONE(i)) || (THEIRS(i) && pg[i] == Standby)) && !names[i] ->
		printf("server%d puts right: puts the names in\n", i + 1); names[i] = true }

	/* ---- T3 failover and T4 hand-over ---- */
#if KIND == WITNESS || MOVES
	:: atomic { APART(KEEPER(i)) && at[i] == Idle && THEIRS(i) && sure[i] && (kM[i] || PromoteAlone) && pg[i] == Standby ->
		printf("server%d: T3: asks to take over\n", i + 1); at[i] = TakeAsk }
#endif
#if KIND == COMMAND
	:: atomic { at[i] == Idle && THEIRS(i) && kM[i] && trust[i] == Told && (fenced[i] || NoFence) && pg[i] == Standby ->
		printf("server%d: T3: writes the next term\n", i + 1); written_alone(i, Failover, Idle) }
	/* fencing: of a standby that was told, and of a primary that has met the standby */
	:: atomic { at[i] == Idle && fences < FENCES && sure[i] &&
	            ((THEIRS(i) && kM[i] && trust[i] == Told && !fenced[i] && pg[i] == Standby) || (MINE(i) && !ALONE(i) && lent[i])) ->
		printf("server%d: calls its fencing command\n", i + 1); fences++; at[i] = FenceRun }
	:: atomic { at[i] == FenceRun -> printf("server%d: fencing fails or is given up\n", i + 1); at[i] = Idle }
	:: atomic { at[i] == FenceRun ->
		printf("server%d: fencing ends the other server, and nobody hears of it\n", i + 1); at[i] = Idle; fence(o) }
	:: atomic { at[i] == FenceRun ->
		printf("server%d: fencing ends the other server and says so\n", i + 1); at[i] = Idle; fence(o);
		if :: MINE(i) -> lent[i] = false :: else -> fenced[i] = true fi }
	/* the primary tells the standby that the record is paired; the answer is their meeting */
	:: atomic { NAMED(i) && kM[i] && cM[i] && cT[i] == kT[i] && cR[i] == kR[i] && (trust[o] != Told || fenced[o] || !sure[i]) && !(tellT[i] == kT[i] && tellR[i] == kR[i]) ->
		printf("server%d tells the standby that they are paired\n", i + 1);
		tellT[i] = kT[i]; tellR[i] = kR[i];
		if :: TellsAfter -> skip :: else -> lent[i] = true fi;
		if :: OldWord -> skip :: else -> given[i] = false fi }
	:: atomic { tellT[o] && !NEWER(kT[i], kR[i], tellT[o], tellR[o]) ->
		printf("server%d is told that they are paired\n", i + 1);
		learn(i, tellT[o], true, tellR[o], true);
		if :: trust[i] == Waived && !OldTelling -> skip :: else -> trust[i] = Told fi;
		if :: FenceStays -> skip :: else -> fenced[i] = false fi;
		/* the answer arrives, unless who asked has gone */
		if :: tellT[o] == kT[o] && tellR[o] == kR[o] -> sure[o] = true; conf[o] = true :: true -> skip fi;
		tellT[o] = 0; tellR[o] = 0 }
	:: atomic { tellT[o] && NEWER(kT[i], kR[i], tellT[o], tellR[o]) ->
		printf("server%d takes no telling of an older record\n", i + 1); tellT[o] = 0; tellR[o] = 0 }
	/* the standby's word: it will not take over from this record */
	:: atomic { at[i] == Idle && MINE(i) && sure[i] && !ALONE(i) && lent[i] && !given[i] && trust[o] != Waived && !NEWER(kT[o], kR[o], kT[i], kR[i]) ->
		printf("server%d asks for the standby's word, which is given\n", i + 1);
		learn(o, kT[i], kM[i], kR[i], true); trust[o] = Waived; fenced[o] = false;
		if :: given[i] = true :: true -> skip fi }
	:: atomic { given[i] ->
		printf("server%d hears the standby's word\n", i + 1); given[i] = false; lent[i] = false }
#endif
	:: atomic { at[i] == Idle && MINE(i) && sure[i] && (kM[i] || HandOverAlone) ->
		printf("server%d: T4: hands over\n", i + 1);
		propose(i, HandOver, HandAsk, Idle) }
	:: atomic { at[i] == Idle && MINE(i) && ALONE(i) && pg[i] == Standby ->
		printf("server%d promotes: saves its copy\n", i + 1);
		if :: OpenUnsaved -> skip :: else -> save(i, kT[i], kM[i], kR[i]) fi;
		at[i] = PromoteSaved }
	:: atomic { at[i] == PromoteSaved && pg[i] == Standby ->
		printf("server%d promotes: takes the names out first\n", i + 1); names[i] = false; at[i] = PromoteOpen }
	:: atomic { at[i] == PromoteSaved && pg[i] == Standby ->
		printf("server%d promotes: PostgreSQL ends recovery first\n", i + 1);
		data[i] = Primary; tl[i] = (NAMED(i) -> kT[i] : kT[i] - 1); opens(i); at[i] = PromoteNames }
	:: atomic { at[i] == PromoteOpen && pg[i] == Standby ->
		printf("server%d promotes: PostgreSQL ends recovery\n", i + 1); data[i] = Primary; tl[i] = (NAMED(i) -> kT[i] : kT[i] - 1); opens(i); at[i] = Idle }
	:: atomic { at[i] == PromoteNames ->
		printf("server%d promotes: takes the names out\n", i + 1); names[i] = false; at[i] = Idle }

	/* ---- T5 and T6: the start of a primary, and its gate ---- */
	:: atomic { at[i] == Idle && MINE(i) && (ALONE(i) || PairedOpens) && pg[i] == Down && data[i] == Primary ->
		printf("server%d: T5: saves its copy and starts open\n", i + 1);
		save(i, kT[i], kM[i], kR[i]); names[i] = false; starts(i, Down); opens(i) }
	:: atomic { at[i] == Idle && NAMED(i) && (MINE(i) || pg[o] == Standby || (KIND != COMMAND && !APART(KEEPER(i)))) && pg[i] == Down && data[i] == Primary && !(MINE(i) && ALONE(i)) ->
		names[i] = !ALONE(i);
		if
		:: NoGate -> printf("server%d: T6: starts without a gate\n", i + 1); starts(i, Down); opens(i)
		:: else -> printf("server%d: T6: starts behind the gate\n", i + 1); starts(i, Gated)
		fi }
	:: atomic { at[i] == Idle && MINE(i) && ALONE(i) && pg[i] == Gated ->
		printf("server%d: T5: opens the gate, being alone\n", i + 1); opens(i) }
	:: atomic { at[i] == Idle && MINE(i) && !ALONE(i) && pg[i] == Gated && (GateAnyway || (STREAMS(o, i) && (flag[i] || GateUnproven))) ->
		printf("server%d: T6: behind the gate a commit was seen to wait\n", i + 1); if :: GateAnyway -> opens(i) :: else -> at[i] = GateNote fi }
	:: atomic { at[i] == GateNote && pg[i] == Gated ->
		printf("server%d: T6: notes its position\n", i + 1); goal[i] = disk[i]; at[i] = GateWait }
	:: atomic { at[i] == GateWait && pg[i] == Gated && STREAMS(o, i) && HASALL(o, goal[i]) ->
		printf("server%d: T6: the standby has flushed that, so the gate opens\n", i + 1);
		goal[i] = 0; at[i] = Idle; opens(i) }

	/* ---- T7 retire, follow, rejoin ---- */
	:: atomic { at[i] == Idle && THEIRS(i) && RUNS(i) ->
		printf("server%d: T7: retires\n", i + 1); dies(i) }
	:: atomic { at[i] == Idle && pg[i] == Down && data[i] == Follower && (THEIRS(i) || (MINE(i) && ALONE(i))) ->
		printf("server%d starts as a standby\n", i + 1); names[i] = true; starts(i, Standby) }
	:: atomic { at[i] == Idle && THEIRS(i) && sure[i] && !kM[i] &&
	            ((pg[i] == Down && data[i] != Follower) || (pg[i] == Standby && (disk[i] & ~disk[o]) != 0)) &&
	            (RejoinEarly || (pg[o] == Open && PRIM(kT[o]) == o && kT[o] >= kT[i])) ->
		printf("server%d: T7: the other says that it is the open primary\n", i + 1);
		if :: pg[i] == Standby -> dies(i) :: else -> skip fi;
		at[i] = (data[i] == Broken -> RejoinCopy : RejoinDo) }
	:: atomic { at[i] == RejoinDo ->
		if
		:: !RejoinEarly && (tl[o] < tl[i] || (tl[o] == tl[i] && (disk[i] & ~disk[o]) != 0)) ->
			printf("server%d: T7: leaves it to an operator\n", i + 1); at[i] = Idle
		:: tl[o] >= tl[i] && (disk[i] & ~disk[o]) == 0 -> printf("server%d: T7: follows straight\n", i + 1); data[i] = Follower; at[i] = Idle
		:: else ->
			assert(bare[PRESENT] || (PRIM(T[PRESENT]) == o && !M[PRESENT] && tl[o] == T[PRESENT]));   /* S4 */
			if
			:: printf("server%d: T7: rewinds\n", i + 1); disk[i] = disk[i] & disk[o]; tl[i] = tl[o]; data[i] = Follower; at[i] = Idle
			:: printf("server%d: T7: a rewind is cut off\n", i + 1); disk[i] = disk[i] & disk[o]; tl[i] = tl[o]; data[i] = Broken; at[i] = Idle
			:: printf("server%d: T7: copies the primary anew\n", i + 1); at[i] = RejoinCopy
			fi
		fi }
	:: atomic { at[i] == RejoinCopy && RUNS(o) && goal[i] != disk[o] ->
		printf("server%d: T7: the copy goes on\n", i + 1); goal[i] = disk[o] }
	:: atomic { at[i] == RejoinCopy && pg[o] == Open && PRIM(kT[o]) == o && kT[o] >= kT[i] ->
		printf("server%d: T7: replaces its data by the copy\n", i + 1);
		assert(bare[PRESENT] || (PRIM(T[PRESENT]) == o && !M[PRESENT]));        /* S4 */
		disk[i] = goal[i]; tl[i] = tl[o]; goal[i] = 0; data[i] = Follower; at[i] = Idle }

#if MOVES
	/* ---- the move to the other keeper: on the primary, one step after the other ---- */
#define k use[i]
	:: atomic { !mv && moves < MOVES && NAMED(i) && !NAMED(o) && pg[i] == Open && (APART(k) -> sure[i] && GRANTS(k) : true) && use[i] == file[i] && !GRANTS(1 - k) &&
	            (bare[1 - k] || NEWER(kT[i], kR[i], T[1 - k], R[1 - k])) ->
		printf("server%d: move: both servers try keeper %d\n", i + 1, 2 - k); moves++; mv = MovePrepare; mvBy = i }
	:: atomic { mv == MovePrepare && mvBy == i ->
		printf("server%d: move: both save where they are to go\n", i + 1); want[o] = 2 - k;
		if :: want[i] = 2 - k; mv = MoveAlone :: true -> mv = 0; mvBy = 0 fi }
	:: atomic { mv == MoveAlone && mvBy == i && ((at[i] == Idle && MINE(i) && ALONE(i)) || LeavesPaired) ->
		printf("server%d: move: is alone\n", i + 1); mv = (APART(k) && !LeavesPaired && !NotClosed -> MoveClose : MoveTurn) }
	:: atomic { mv == MoveClose && mvBy == i ->
		if
		:: LEGAL(k, Close, i, kR[i]) ->
			printf("the record of keeper %d is closed\n", k + 1); apply(k, Close);
			if
			:: mv = MoveTurn
			:: printf("server%d: move: hears no answer\n", i + 1); mv = 0; mvBy = 0
			fi
		:: else -> printf("server%d: move: the record is not closed\n", i + 1); mv = 0; mvBy = 0
		fi }
	:: atomic { mv == MoveTurn && mvBy == i -> turnsPrimary(i); mv = MoveOther }
	:: atomic { mv == MoveOther && mvBy == i ->
		mv = 0; mvBy = 0;
		if :: !NAMED(o) && want[i] -> learn(o, kT[i], kM[i], kR[i], false); turns(o, want[i] - 1)
		:: printf("server%d: move: the other one does not turn now\n", i + 1) fi }
	/* what is left is done without an operator */
	:: atomic { want[i] && want[i] != k + 1 && !(mv && mvBy == i) && APART(k) && closed[k] && file[i] == k ->
		if :: PRIM(T[k]) == i -> turnsPrimary(i) :: else -> learn(i, T[k], false, R[k], false); turns(i, want[i] - 1) fi }
	:: atomic { want[i] == k + 1 && NAMED(i) && !NAMED(o) && file[o] != k ->
		printf("server%d asks again\n", i + 1); learn(o, kT[i], kM[i], kR[i], false); turns(o, k) }
	:: atomic { want[i] && !(mv && mvBy == i) && (want[i] == k + 1 -> (!NAMED(i) || use[o] == k) : !APART(k) || GRANTS(k)) ->
		printf("server%d forgets the move\n", i + 1); want[i] = 0 }
	:: atomic { file[i] != k -> printf("server%d begins anew, with keeper %d\n", i + 1, file[i] + 1);
		restart(i) }
	:: atomic { mv && mvBy == i -> printf("server%d: move: given up\n", i + 1); givesUpMove() }
	:: atomic { !put && file[i] == 1 && !NAMED(i) ->
		printf("server%d is started with an old pair.toml\n", i + 1); put = true; file[i] = 0; want[i] = 0; restart(i) }
#undef k
#endif

	/* ---- what may go wrong here at any moment ---- */
	:: atomic { (at[i] >= AttachProve && at[i] <= GateWait) || at[i] == RejoinCopy -> printf("server%d gives up what it does\n", i + 1); forget(i) }
	:: atomic { at[i] >= DetachAsk && fails -> faults++; printf("server%d gets no answer\n", i + 1); forget(i) }
	:: atomic { fails && (conf[i] || sure[i] || at[i] != Idle || NEWER(kT[i], kR[i], cT[i], cR[i])) -> faults++; printf("server%d restarts its supervisor\n", i + 1); restart(i) }
	:: atomic { fails && pg[i] != Down -> faults++; printf("server%d loses its PostgreSQL\n", i + 1); dies(i) }

	/* ---- PostgreSQL ---- */
	:: atomic { pg[i] == Open && written < COMMITS ->
		written++; disk[i] = disk[i] | (1 << (written - 1));
		if
		:: flag[i] -> printf("server%d writes a commit, which waits for the standby\n", i + 1); waits[i] = waits[i] | (1 << (written - 1))
		:: else -> printf("server%d writes a commit and acknowledges it\n", i + 1); acknowledge(i, 1 << (written - 1))
		fi }
	:: atomic { pg[i] != Down && flag[i] != names[i] -> printf("server%d has reloaded its configuration\n", i + 1); reload(i) }
	:: atomic { STREAMS(o, i) && pg[o] == Standby && (disk[o] != disk[i] || tl[o] != tl[i]) ->
		printf("server%d streams to the standby, which flushes it\n", i + 1); disk[o] = disk[i]; tl[o] = tl[i] }
	:: atomic { BackupCounts && at[o] == RejoinCopy && STREAMS(o, i) && (waits[i] & goal[o]) != 0 ->
		printf("server%d takes the copy for its standby and acknowledges\n", i + 1); acknowledge(i, waits[i] & goal[o]); waits[i] = waits[i] & ~goal[o] }
	:: atomic { STREAMS(o, i) && pg[o] == Standby && (waits[i] & disk[o]) != 0 ->
		printf("server%d hears what the standby flushed and acknowledges\n", i + 1); acknowledge(i, waits[i] & disk[o]); waits[i] = waits[i] & ~disk[o] }
	od
#undef o
}

/* The line to the keeper: a question may be lost, and so may its answer; then it counts
 * as late, and is granted or not. */
#define ASKS(x) (at[x] >= DetachAsk)
#define KINDOF(x) (at[x] - DetachAsk + 1)
#define FINDS(k, a, b) (APART(k) && !GRANTS(k) && ((a && b) || (((OneComesBack && closed[k]) || (OneTells && bare[k])) && (a || b))))
proctype line(bool x) {
	do
	:: atomic { ASKS(x) && !yes[x] ->
		if
		:: LEGAL(KEEPER(x), KINDOF(x), x, kR[x]) ->
			printf("the keeper says yes to server%d\n", x + 1);
			apply(KEEPER(x), KINDOF(x));
#if LOSES
			yes[x] = true
#else
			at[x] = (at[x] == DetachAsk -> DetachSave : Idle);
			learn(x, T[KEEPER(x)], M[KEEPER(x)], R[KEEPER(x)], true)
#endif
		:: else -> printf("the keeper says no to server%d\n", x + 1); at[x] = Idle
		fi }
#if LOSES
	:: atomic { yes[x] ->
		printf("server%d hears the yes\n", x + 1); yes[x] = false;
		if
		:: at[x] == DetachAsk -> at[x] = DetachSave; learn(x, kT[x], false, kR[x] + 1, true)
		:: at[x] == AttachAsk -> at[x] = Idle; learn(x, kT[x], true, kR[x] + 1, true)
		:: else -> at[x] = Idle; learn(x, kT[x] + 1, false, kR[x] + 1, true)
		fi }
	/* over a new connection: what the old one still brings is no answer */
	:: atomic { bare[0] && rep[x] != (CopiesCount -> cT[x] : kT[x]) ->
		printf("server%d tells the keeper what it knows\n", x + 1);
		if :: LateYesCounts || at[x] < DetachAsk -> skip :: else -> at[x] = Idle; yes[x] = false fi;
		rep[x] = (CopiesCount -> cT[x] : kT[x]) }
#endif
	:: atomic { late != Nothing && lateBy == x ->
		if
		:: LEGAL(LATEAT, late, x, lateR) ->
			printf("a question of server%d comes late and is granted\n", x + 1); apply(LATEAT, late)
		:: else -> skip
		fi;
		nolate() }
#if MOVES
#define k KEEPER(x)
	:: atomic { APART(k) && !GRANTS(k) && rep[2 * k + x] != kT[x] && (bare[k] || NEWER(kT[x], kR[x], T[k], R[k])) ->
		printf("server%d tells keeper %d what it knows\n", x + 1, k + 1); rep[2 * k + x] = kT[x] }
#undef k
	/* A keeper that has no record, or a closed one, finds it from what both servers tell: from
	 * a closed one only when both know something newer. The line looks after the keeper of its number. */
	:: atomic { FINDS(x, rep[2 * x], rep[2 * x + 1]) ->
		printf("keeper %d finds the record\n", x + 1); found++;
		T[x] = (rep[2 * x] > rep[2 * x + 1] -> rep[2 * x] : rep[2 * x + 1]); M[x] = false; R[x] = found * (CHANGES + 3);
		bare[x] = false; closed[x] = false; rep[2 * x] = 0; rep[2 * x + 1] = 0; present = x }
#endif
	od
}

#if LOSES
/* beyond every revision that the lost records can have had */
#define JUMP (CHANGES + 2)
#define NEWEST (rep[0] > rep[1] -> rep[0] : rep[1])

/* The keeper's disk: lost once, and found again from what both servers tell
 * (record.FromKnown): the newest term, alone. */
proctype keeper() {
	atomic { printf("the keeper loses its records\n"); bare[0] = true; T[0] = 1; M[0] = false; R[0] = 0 };
	atomic {
		rep[0] && rep[1] ->
		printf("the keeper finds the record again\n");
		T[0] = NEWEST; R[0] = JUMP;
		M[0] = (FoundPaired && (kM[PRIM(T[0])] || PLEDGED(PRIM(T[0]))));
		bare[0] = false; rep[0] = 0; rep[1] = 0
	}
}
#endif

/* in every state: S1, and that no two keepers grant */
#if MOVES
#define ONE (LeavesPaired || !(APART(0) && APART(1) && GRANTS(0) && GRANTS(1)))
#else
#define ONE true
#endif
proctype watch() {
	atomic { !S1 || !ONE ->
		if :: !S1 -> printf("S1: the server that the record names lacks what clients were told\n") :: else -> printf("two keepers grant\n") fi;
		assert(S1); assert(ONE) }
}

init {
	c_code { if (getenv("WITHOUT")) now.without = atoi(getenv("WITHOUT")); };
	atomic {
		pg[0] = Open; data[0] = Primary; pg[1] = Standby;
#if KIND == COMMAND
		lent[0] = true; lent[1] = true; trust[1] = Told;
#endif
		run server(0); run server(1); run line(0); run line(1); run watch();
#if LOSES
		run keeper()
#endif
#if MOVES
		bare[1] = true;
		if :: APART(0) -> skip :: else -> sure[0] = true fi;
#endif
	}
}
