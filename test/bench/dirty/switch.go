package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mcctl/pkg/lab"
	"mcctl/pkg/pair"
	"mcctl/pkg/probe"
	"mcctl/test/bench/floor"
	"mcctl/test/bench/stage"
)

// byHand: two CHECKPOINTs, a fast shutdown, a promotion.
func byHand(ctx context.Context, bare *floor.Pair) (switched, error) {
	results, err := floor.Measure(ctx, bare, floor.Switch, 1)
	if err != nil {
		return switched{}, err
	}
	return judged(results[0], string(floor.Switch))
}

func ours(ctx context.Context, s *stage.Stage) (switched, error) {
	st, err := s.Await(ctx, 0)
	if err != nil {
		return switched{}, err
	}
	w, err := probe.Start(ctx, s.Writers())
	if err != nil {
		return switched{}, err
	}
	err = handOver(ctx, s, st.Record.Primary, w)
	if err == nil {
		_, err = s.Await(ctx, st.Record.Term+1)
	}
	r, errStop := w.Stop()
	if err = errors.Join(err, errStop); err != nil {
		return switched{}, err
	}
	return judged(r, string(floor.Switch))
}

func handOver(ctx context.Context, s *stage.Stage, primary pair.Server, w *probe.Probe) error {
	calm, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := w.WaitCalm(calm, 1500*time.Millisecond); err != nil {
		return err
	}
	w.Mark(string(floor.Switch))
	if _, err := s.Run(ctx, primary, "switch"); err != nil {
		return err
	}
	return w.WaitCalm(calm, 1500*time.Millisecond)
}

func judged(r *probe.Result, mark string) (switched, error) {
	if r.Check == nil {
		return switched{}, fmt.Errorf("the rows could not be read back: %s", r.CheckError)
	}
	m, seen := r.Mark(mark)
	if !seen {
		return switched{}, fmt.Errorf("no gap was seen around %q", mark)
	}
	return switched{gap: time.Duration(m.Gap.Length), lost: r.Check.Lost}, nil
}

// superuser is how pgbench reaches the lab's primary: it has to see the buffer pool.
func superuser(s *stage.Stage) string {
	var hosts, ports []string
	for _, server := range []pair.Server{lab.Server1, lab.Server2} {
		hosts = append(hosts, filepath.Join(s.Lab.Dir, string(server), "run"))
		ports = append(ports, strconv.Itoa(s.Lab.ClientPort(server)))
	}
	return fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres target_session_attrs=read-write", strings.Join(hosts, ","), strings.Join(ports, ","))
}
