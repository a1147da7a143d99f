package hook

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"mcctl/pkg/shell"
)

// mostLinks is how many symbolic links the kernel follows (path_resolution(7)).
const mostLinks = 40

// judgeWay goes to the file as the kernel does, link by link, and refuses a directory on
// the way in which somebody else could exchange what comes next: who exchanges a link has
// another program run just as well.
func judgeWay(path string, euid int) error {
	rest := strings.Split(path, "/")
	if !filepath.IsAbs(path) {
		here, err := os.Getwd()
		if err != nil {
			return fmt.Errorf("%s cannot be looked for: %w", path, err)
		}
		rest = append(strings.Split(here, "/"), rest...)
	}
	for at, links := "/", 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at) // no link: those are behind us
			continue
		}
		next := filepath.Join(at, name)
		if err := judgeDirectory(at, next, euid); err != nil {
			return err
		}
		target, err := os.Readlink(next)
		if err != nil { // it is none
			at = next
			continue
		}
		if links++; links > mostLinks {
			return fmt.Errorf("%s cannot be found: %w", path, syscall.ELOOP)
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return nil
}

// judgeDirectory refuses a directory in which somebody else could exchange an entry. Its
// owner always can. In a sticky one, such as /tmp, beside him only the entry's owner can.
func judgeDirectory(dir, entry string, euid int) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("%s cannot be looked at: %w", dir, cause(err))
	}
	const move = "move it to a directory of root's or of user %d, who runs this"
	if owner := ownerOf(info); foreign(owner, euid) {
		return fmt.Errorf("user %d can exchange it, since directory %s belongs to that user; "+move, owner, dir, euid)
	}
	perm := info.Mode().Perm()
	if perm&0o022 == 0 {
		return nil
	}
	if info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("others can exchange it, since directory %s has mode %04o; run: chmod go-w %s", dir, perm, shell.Word(dir))
	}
	if info, err = os.Lstat(entry); err != nil {
		return fmt.Errorf("%s cannot be looked at: %w", entry, cause(err))
	}
	if owner := ownerOf(info); foreign(owner, euid) {
		return fmt.Errorf("user %d can exchange it, since %s in directory %s belongs to that user; "+move, owner, entry, dir, euid)
	}
	return nil
}

// foreign is an owner who is neither root nor the user who runs the command. Whoever owns the
// root directory can exchange everything anyhow: in a container with users of its own the
// host's root has another number.
func foreign(owner, euid int) bool {
	if euid == 0 || owner == 0 || owner == euid {
		return false
	}
	top, err := os.Stat("/")
	return err != nil || owner != ownerOf(top)
}

func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
