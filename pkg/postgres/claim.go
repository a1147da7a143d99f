package postgres

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Holder is who works on a data directory: a supervisor, or mcctl init.
type Holder struct {
	Dir  string // its management directory; empty: it could not be said
	PID  int    // 0: the same; Claim fills it in
	Init bool   // mcctl init
}

// ClaimedError tells that another one works on a data directory.
type ClaimedError struct {
	Holder
	Data string
}

func (e *ClaimedError) Error() string {
	who, whose := "another supervisor", ""
	if e.Init {
		who = "mcctl init"
	}
	if e.Dir != "" {
		whose = ", of " + e.Dir + ","
	}
	return fmt.Sprintf("%s%s works on %s", who, whose, e.Data)
}

// claimPatience is how long a holder is waited for that is just ending, or only looks:
// it lets go at once, but a program that it was just starting holds on a moment longer.
const claimPatience = 200 * time.Millisecond

// Claim makes sure that one works on a data directory of this host, whatever management
// directories name it: two supervisors would start, stop and rewind it against each
// other, and mcctl init would take settings out of use that a supervisor relies on. The
// lock is a file beside it, since a rebuild replaces the directory itself. Where nothing
// can be made beside it, as on a mount point, nothing replaces it either, and it is
// locked itself. The kernel takes the lock away from a process that dies; the file stays,
// or two processes might hold two files of one name.
func (in *Instance) Claim(by Holder) (release func(), err error) {
	f, beside, err := in.openClaim(os.O_CREATE | os.O_RDWR)
	if f == nil {
		return func() {}, err // nothing there, and nothing can be put there
	}
	if err := in.take(f, beside); err != nil {
		_ = f.Close()
		return nil, err
	}
	if beside { // only for whoever is refused
		_ = f.Truncate(0)
		by.PID = os.Getpid()
		_, _ = f.WriteAt(by.text(), 0)
	}
	return func() { _ = f.Close() }, nil
}

// Claimed is Claim's error, if it had one now. It makes nothing and holds nothing.
func (in *Instance) Claimed() error {
	f, beside, err := in.openClaim(os.O_RDONLY)
	if f == nil {
		return err
	}
	defer f.Close()
	return in.take(f, beside)
}

// LastHolder is who worked on the data directory last, or does now, as far as it could
// say so.
func (in *Instance) LastHolder() Holder {
	f, beside, err := in.openClaim(os.O_RDONLY)
	if err != nil || f == nil {
		return Holder{}
	}
	defer f.Close()
	return heldBy(f, beside)
}

// openClaim opens what is locked. No file and no error: there is nothing.
func (in *Instance) openClaim(how int) (f *os.File, beside bool, err error) {
	data := in.Data
	if at, err := filepath.EvalSymlinks(data); err == nil {
		data = at
	}
	dir, name := filepath.Split(data)
	f, err = os.OpenFile(filepath.Join(dir, "."+name+".mcctl-lock"), how|syscall.O_CLOEXEC, 0o600)
	beside = err == nil
	if !beside {
		if f, err = os.Open(data); errors.Is(err, fs.ErrNotExist) {
			return nil, false, nil
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("lock data directory: %w", err)
	}
	return f, beside, nil
}

func (in *Instance) take(f *os.File, beside bool) error {
	for end := time.Now().Add(claimPatience); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("lock data directory: %w", err)
		case time.Now().Before(end):
			continue
		}
		return &ClaimedError{Data: in.Data, Holder: heldBy(f, beside)}
	}
}

// heldBy reads the lock, which a data directory that is locked itself has not got.
func heldBy(f *os.File, beside bool) Holder {
	if !beside {
		return Holder{}
	}
	text, err := io.ReadAll(io.LimitReader(f, 8192))
	if err != nil {
		return Holder{}
	}
	return holderOf(string(text))
}

const initMark = "mcctl init"

func (h Holder) text() []byte {
	mark := ""
	if h.Init {
		mark = initMark
	}
	return fmt.Appendf(nil, "%s\n%d\n%s\n", h.Dir, h.PID, mark)
}

// holderOf reads what a holder has written: a full disk may have kept it from that.
func holderOf(text string) (h Holder) {
	lines := append(strings.Split(text, "\n"), "", "")
	h.Dir, h.Init = lines[0], lines[2] == initMark
	h.PID, _ = strconv.Atoi(lines[1])
	return h
}
