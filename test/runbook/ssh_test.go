package runbook

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const sshd = "/usr/sbin/sshd"

// hostBarman has the catalog that server1 made be that of a Barman elsewhere, which is
// reached by ssh only, and reaches the servers so. All of them are this machine: each
// ssh has an sshd of its own, which finds that Barman's files at home.
func (s *stage) hostBarman() {
	s.Helper()
	home := filepath.Join(s.clean, "host")
	key, config := filepath.Join(home, "key"), filepath.Join(home, "sshd_config")
	write := func(path, text string, mode os.FileMode) {
		s.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			s.Fatal(err)
		}
	}
	if err := os.Mkdir(home, 0o700); err != nil {
		s.Fatal(err)
	}
	if out, err := exec.CommandContext(s.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		s.Fatalf("%v: %s", err, out)
	}
	path := filepath.Join(s.clean, "bin") + ":" + os.Getenv("PATH")
	write(config, fmt.Sprintf("HostKey %[1]s\nAuthorizedKeysFile %[1]s.pub\nStrictModes no\nUsePAM no\nLogLevel ERROR\nSetEnv HOME=%[2]s PATH=%[3]s\n", key, home, path), 0o600)
	write(filepath.Join(home, "ssh_config"), fmt.Sprintf("ProxyCommand %s -i -f %s\nIdentityFile %s\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\nBatchMode yes\n", sshd, config, key), 0o600)
	write(filepath.Join(s.clean, "bin", "ssh"), fmt.Sprintf("#!/bin/sh\nexec /usr/bin/ssh -F %s/ssh_config \"$@\"\n", home), 0o755)
	if err := os.Rename(s.variables[one]["BARMANCONF"], filepath.Join(home, ".barman.conf")); err != nil {
		s.Fatal(err)
	}
	if err := os.Remove(s.variables[two]["BARMANCONF"]); err != nil {
		s.Fatal(err)
	}
}
