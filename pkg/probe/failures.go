package probe

// failed counts what went wrong, by phase and class, with the first text of each.
func (l *ledger) failed(phase string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	reasons := []error{err}
	if phase == "connect" {
		reasons = perHost(err)
	}
	for _, reason := range reasons {
		l.count(phase, classify(reason), reason.Error())
	}
}

func (l *ledger) count(phase, class, text string) {
	for i := range l.errors {
		if e := &l.errors[i]; e.Phase == phase && e.Class == class {
			e.Count++
			return
		}
	}
	l.errors = append(l.errors, ErrorCount{Phase: phase, Class: class, Count: 1, Example: text})
}

func (l *ledger) connected(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connects++
	// The weakest promise seen is the one to report.
	if l.commit == "" || s.synchronousCommit == "off" || s.synchronousCommit == "local" {
		l.commit = s.synchronousCommit
	}
}
