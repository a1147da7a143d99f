package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	registerKeys    = 24               // at a time
	registerEpoch   = 15 * time.Second // after which other keys are used: short histories are quickly judged
	registerTimeout = time.Second
	registerPace    = 30 * time.Millisecond
)

// registers is a workload of single rows that are read and written by key, through
// whichever server is open, and the history of it. A history must be linearizable:
// there is an order of all operations, each within its own time, in which every read
// gives what was written last. A read writes its row too: a server that does not know
// yet that it was replaced still answers plain reads, and nobody promises otherwise.
//
// Two clients go to the pair. One goes to each server alone, whatever its role: those of
// the pair stay where they are, and would not see that the other one acknowledges as well.
type registers struct {
	began time.Time
	stop  context.CancelFunc
	group sync.WaitGroup

	mu    sync.Mutex
	value int64 // written last; every write has its own
	ops   []porcupine.Operation
	open  int // writes of which nobody knows whether they were done
}

// access is the input of an operation.
type access struct {
	key   string
	write bool
	value int64
}

func startRegisters(ctx context.Context, pair string, alone ...string) (*registers, error) {
	var configs []*pgconn.Config // of each client
	for _, uri := range append([]string{pair, pair}, alone...) {
		config, err := registerConfig(uri)
		if err != nil {
			return nil, err
		}
		configs = append(configs, config)
	}
	r := &registers{began: time.Now()}
	conn, err := pgconn.ConnectConfig(ctx, configs[0])
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, "create table if not exists registers (k text primary key, v bigint not null)").ReadAll()
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return nil, fmt.Errorf("make table of registers: %w", err)
	}
	ctx, r.stop = context.WithCancel(ctx)
	for id, config := range configs {
		r.group.Go(func() {
			askAgainAndAgain(ctx, config, registerPace, func(conn *pgconn.PgConn) bool { return r.operate(conn, id) })
		})
	}
	return r, nil
}

func registerConfig(uri string) (*pgconn.Config, error) {
	config, err := pgconn.ParseConfig(uri)
	if err != nil {
		return nil, err
	}
	config.ConnectTimeout = 300 * time.Millisecond
	config.OnNotice = func(c *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" { // done here, but not known to be done there
			c.CustomData()["warned"] = true
		}
	}
	return config, nil
}

// operate does one operation and reports whether the connection is good.
func (r *registers) operate(conn *pgconn.PgConn, id int) bool {
	a := r.draw()
	ctx, cancel := context.WithTimeout(context.Background(), registerTimeout)
	defer cancel()
	set := "registers.v"
	if a.write {
		set = "excluded.v"
	}
	call := time.Since(r.began).Nanoseconds()
	result := conn.ExecParams(ctx, "insert into registers values ($1, $2::bigint) on conflict (k) do update set v = "+set+" returning v",
		[][]byte{[]byte(a.key), fmt.Append(nil, a.value)}, nil, nil, nil).Read()
	back := time.Since(r.began).Nanoseconds()
	warned := conn.CustomData()["warned"] != nil
	delete(conn.CustomData(), "warned")
	if refused(result.Err) {
		return true
	}
	op := porcupine.Operation{ClientId: id, Input: a, Call: call, Return: back}
	known := result.Err == nil && !warned && len(result.Rows) == 1
	if known {
		var v int64
		_, _ = fmt.Sscan(string(result.Rows[0][0]), &v)
		op.Output = v
	}
	r.note(op, known)
	return result.Err == nil
}

// refused: a standby does nothing of the kind, and says so. That is no operation.
func refused(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.Code == "25006" // read_only_sql_transaction
}

func (r *registers) draw() access {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := access{key: fmt.Sprintf("%d-%d", time.Since(r.began)/registerEpoch, rand.IntN(registerKeys)), write: rand.IntN(2) == 0}
	if a.write {
		r.value++
		a.value = r.value
	}
	return a
}

// note keeps what is known. A write without an answer may still be done, at any time;
// a read without one tells nothing.
func (r *registers) note(op porcupine.Operation, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !known {
		if !op.Input.(access).write {
			return
		}
		op.Return, op.Output = math.MaxInt64, op.Input.(access).value
		r.open++
	}
	r.ops = append(r.ops, op)
}

// end stops the clients and judges the history.
func (r *registers) end() (text string, err error) {
	r.stop()
	r.group.Wait()
	text = fmt.Sprintf("%d operations on registers, %d without an answer", len(r.ops), r.open)
	switch judge(r.ops) {
	case porcupine.Ok:
		return text + ", linearizable", nil
	case porcupine.Unknown:
		return text, fmt.Errorf("%s: whether they are linearizable could not be told in time", text)
	}
	return text, fmt.Errorf("%s: NOT linearizable: a read did not give what was written last", text)
}

func judge(ops []porcupine.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(registerModel(), ops, 2*time.Minute)
}

// registerModel is a register for each key, 0 at first.
func registerModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[string][]porcupine.Operation{}
			for _, op := range history {
				key := op.Input.(access).key
				byKey[key] = append(byKey[key], op)
			}
			var parts [][]porcupine.Operation
			for _, part := range byKey {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return int64(0) },
		Step: func(state, input, output any) (bool, any) {
			if a := input.(access); a.write {
				return true, a.value
			}
			return output.(int64) == state.(int64), state
		},
	}
}
