package act

import (
	"context"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/postgres"
	"mcctl/pkg/settings"
)

// Postgres is the local PostgreSQL as the actions need it: the verbs of
// postgres.Instance, whose comments say what each does.
type Postgres interface {
	Postmaster() (pid int, running bool)
	Control() (postgres.Control, error)
	Connect(ctx context.Context) (Session, error)
	StartCanary(ctx context.Context) (Canary, error)

	Start(opt postgres.StartOptions) (pid int, err error)
	WaitReady(ctx context.Context) error
	Stop(ctx context.Context, pid int, mode postgres.StopMode) error
	Shut(ctx context.Context, pid int) error
	Kill(pid int) error
	KillLeftovers() error
	Lingers(pid int) bool
	AwaitsSenders(pid int) bool
	Senders(pid int) map[int]string
	EndSender(sender int) error
	Reload(pid int) error
	AskPromotion(pid int) error

	MarkStandby() error
	MarkedStandby() bool
	ClearStandby() error
	TimelineAt(at pair.LSN) (pair.Timeline, error)
	History(tli pair.Timeline) ([]postgres.Fork, error)
	Lacks() (pair.LSN, error)

	Rewind(ctx context.Context, source postgres.Source, opt postgres.RewindOptions) error
	RestoreKept(dir string) error
	DropKept(dir string) error
	BaseBackup(ctx context.Context, source postgres.Source, opt postgres.BackupOptions) error
	BaseBackupInPlace(ctx context.Context, source postgres.Source, keepDir string, opt postgres.BackupOptions) error
	CanCopyBeside(ctx context.Context, source postgres.Source, known postgres.Layout) error
	Rooms(ctx context.Context, source postgres.Source, known postgres.Layout, has postgres.Holdings, inPlace bool) ([]postgres.Room, error)
	HasCopy() bool
	DropCopy() error
	BeginSwap(half, keep bool) error
	Swapping() bool
	RecoverSwap() error
	DropOld() error
	KeptOld() string
	OldIsWanted() bool
	Empty() bool
	Unmounted(known postgres.Layout) string
	SaveOwn(dir string) (large []string, err error)

	TailBeyond(forks []postgres.Fork, timeline pair.Timeline, insert pair.LSN) (postgres.Tail, error)
	ReadWAL(ctx context.Context, dir string, of pair.Timeline, from, until pair.LSN, most int) (postgres.WALContent, error)
}

// Session is a connection to it, as postgres.Session.
type Session interface {
	Look(ctx context.Context, peerName string) (postgres.Look, error)
	Checkpoint(ctx context.Context) error
	EndSegment(ctx context.Context) (ended bool, err error)
	EnsureSlot(ctx context.Context, name string) error
	DropSlot(ctx context.Context, name string) error
	FreeSlot(ctx context.Context, name string, age time.Duration) (freed bool, err error)
	InForce(ctx context.Context, names []string) ([]postgres.InForce, error)
	FileFaults(ctx context.Context) (refused bool, faults []postgres.FileFault, err error)
	HBAFaults(ctx context.Context) (faults []postgres.FileFault, err error)
	PauseReplay(ctx context.Context) error
	ResumeReplay(ctx context.Context) error
	EndReaders(ctx context.Context) (ended int, err error)
	Applied(ctx context.Context) (received, replayed pair.LSN, err error)
	AwaitsLog(ctx context.Context) (bool, error)
	OldestWAL(ctx context.Context) (pair.LSN, error)
	Holdings(ctx context.Context) (postgres.Holdings, error)
	Alive() bool
	Close()
}

// Canary is a commit that shows whether commits wait, as postgres.Canary.
type Canary interface {
	InForce() bool
	Finish(ctx context.Context) error
}

// Site is what the actions read and write in files beside PostgreSQL: its
// configuration and the gate.
type Site interface {
	// Edit makes the configuration say what is wanted and lists what would have won over it.
	Edit(ctx context.Context, w settings.Wanted) (overrides []settings.Fault, err error)
	// Faults lists what it says otherwise.
	Faults(w settings.Wanted) ([]settings.Fault, error)
	// Stamp changes whenever one of the files does.
	Stamp() string
	// CloseGate makes the gate to start PostgreSQL behind.
	CloseGate() (Gate, error)
	// TurnGate leads the gate to the site's own file; a reload then opens it.
	TurnGate() error
	// GateIsOpen notes that this postmaster goes by the site's file.
	GateIsOpen(pid int) error
	// Gated reports whether this postmaster was started behind the gate and is not
	// known to have opened it.
	Gated(pid int) bool
}

// On is the PostgreSQL of this machine.
func On(in *postgres.Instance) Postgres { return instance{in} }

type instance struct{ *postgres.Instance }

func (in instance) Connect(ctx context.Context) (Session, error) {
	s, err := in.Instance.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (in instance) StartCanary(ctx context.Context) (Canary, error) {
	c, err := in.Instance.StartCanary(ctx)
	if err != nil {
		return nil, err
	}
	return c, nil
}
