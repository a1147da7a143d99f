package arbiter

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"

	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// TryWitness reads a pair's record from a witness that is not its keeper, and tells it
// nothing. Whose record it is, is in the certificate.
func TryWitness(ctx context.Context, addr string, config *tls.Config) (record.Record, error) {
	var r record.Record
	conn, err := wire.Dial(ctx, "tcp", addr, config)
	if err != nil {
		return r, fmt.Errorf("try the witness at %s: %w", addr, err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Call(ctx, wire.KindRead, nil, &r); err != nil {
		return r, fmt.Errorf("try the witness at %s: %w", addr, err)
	}
	return r, nil
}

// TryEtcd reads a pair's record from an etcd that is not its keeper, and proves that
// this server may write there: a key of its own, which says nothing of the pair, under
// a lease that is given back.
func TryEtcd(ctx context.Context, cfg EtcdConfig) (record.Record, error) {
	e, err := newEtcd(EtcdWorld{}, cfg)
	if err != nil {
		return record.Record{}, err
	}
	e.tell = func() {}
	r, err := e.try(ctx)
	if err != nil {
		return r, errors.New("try etcd: " + e.client.plain(err))
	}
	return r, nil
}

// try is TryEtcd without its words.
func (e *etcd) try(ctx context.Context) (record.Record, error) {
	v, err := e.look(ctx)
	if err != nil {
		return v.record, err
	}
	l, err := e.grant(ctx)
	if err != nil {
		return v.record, err
	}
	e.lease = l.ID
	defer e.part(context.WithoutCancel(ctx))
	key := []byte(e.keys.base + "tries/" + string(e.cfg.Me))
	value, err := json.Marshal("may " + string(e.cfg.Me) + " write here?")
	if err != nil {
		return v.record, err
	}
	txn := etcdTxn{[]etcdCompare{}, []etcdOp{{Put: &etcdPut{Key: key, Value: value, Lease: l.ID}}}}
	var answer etcdTxnAnswer
	return v.record, e.client.call(ctx, "/v3/kv/txn", txn, &answer, false)
}
