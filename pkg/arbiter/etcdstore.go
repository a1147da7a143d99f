package arbiter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"mcctl/pkg/pair"
	"mcctl/pkg/record"
	"mcctl/pkg/wire"
)

// The messages of etcd's JSON API that are used here. []byte is base64 in it, as in
// encoding/json, and 64-bit numbers are strings.
type (
	etcdHeader struct {
		Revision int64 `json:"revision,string"`
	}
	etcdRange struct {
		Key []byte `json:"key"`
		End []byte `json:"range_end,omitempty"`
	}
	etcdPut struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
		Lease int64  `json:"lease,string,omitempty"`
	}
	etcdCompare struct {
		Key    []byte `json:"key"`
		Target string `json:"target"`
		Result string `json:"result"`
		Mod    *int64 `json:"mod_revision,string,omitempty"`
		Lease  *int64 `json:"lease,string,omitempty"`
	}
	etcdOp struct {
		Put *etcdPut `json:"request_put,omitempty"`
	}
	etcdTxn struct {
		Compare []etcdCompare `json:"compare"`
		Success []etcdOp      `json:"success"`
	}
	etcdTxnAnswer struct {
		Header    etcdHeader `json:"header"`
		Succeeded bool       `json:"succeeded"`
	}
	etcdRangeAnswer struct {
		Header etcdHeader `json:"header"`
		KVs    []struct {
			Key   []byte `json:"key"`
			Value []byte `json:"value"`
			Mod   int64  `json:"mod_revision,string"`
			Lease int64  `json:"lease,string"`
		} `json:"kvs"`
	}
	etcdLease struct {
		ID  int64 `json:"ID,string,omitempty"`
		TTL int64 `json:"TTL,string,omitempty"`
	}
	etcdKeptAlive struct {
		Result etcdLease `json:"result"`
	}
)

// etcdKeys are where a pair's keys are.
type etcdKeys struct{ base string }

func (k etcdKeys) record() []byte              { return []byte(k.base + "record") }
func (k etcdKeys) server(s pair.Server) []byte { return []byte(k.base + "servers/" + string(s)) }

// all is the range of everything below the base, which ends with a slash.
func (k etcdKeys) all() etcdRange {
	return etcdRange{Key: []byte(k.base), End: []byte(strings.TrimSuffix(k.base, "/") + "0")}
}

// etcdView is all that etcd holds of a pair, at one revision of the store.
type etcdView struct {
	revision int64
	// record is zero when there is none, or when it is older than what a server knows:
	// then etcd has lost changes, and nothing may be judged by it.
	record    record.Record
	old       record.Record // such a one
	recordMod int64
	servers   map[pair.Server]etcdServer
}

// etcdServer is what a server with a living lease has said.
type etcdServer struct {
	report     wire.WitnessReport
	mod, lease int64
}

func (v etcdView) heard(s pair.Server) bool { _, here := v.servers[s]; return here }
func (v etcdView) down(s pair.Server) bool  { return v.servers[s].report.Postgres == wire.WitnessDown }

// look reads everything in one linearizable read.
func (e *etcd) look(ctx context.Context) (etcdView, error) {
	var answer etcdRangeAnswer
	if err := e.client.call(ctx, "/v3/kv/range", e.keys.all(), &answer, false); err != nil {
		return etcdView{}, err
	}
	v := etcdView{revision: answer.Header.Revision, servers: map[pair.Server]etcdServer{}}
	for _, kv := range answer.KVs {
		if string(kv.Key) == string(e.keys.record()) {
			v.recordMod = kv.Mod
			if err := json.Unmarshal(kv.Value, &v.record); err != nil || v.record.Pair != e.cfg.Pair || !v.record.Exists() {
				return v, fmt.Errorf("the key %s holds no record of pair %s; delete it, and it is found again from what the servers know", kv.Key, e.cfg.Pair)
			}
			continue
		}
		name, ok := strings.CutPrefix(string(kv.Key), e.keys.base+"servers/")
		s := etcdServer{mod: kv.Mod, lease: kv.Lease}
		if !ok || json.Unmarshal(kv.Value, &s.report) != nil || kv.Lease == 0 {
			continue // not ours
		}
		v.servers[pair.Server(name)] = s
	}
	if v.outlived() {
		v.old, v.record = v.record, record.Record{}
	}
	return v, nil
}

// outlived: a record that is older than what a server knows has lost changes; one that
// was closed only when both have come back to it.
func (v etcdView) outlived() bool {
	known := map[pair.Server]record.Record{}
	newer := false
	for name, s := range v.servers {
		known[name] = s.report.Known
		newer = newer || s.report.Known.NewerThan(v.record)
	}
	if v.record.Moved != "" {
		return v.record.Outlived(known)
	}
	return v.record.Exists() && newer
}

func sameMod(key []byte, mod int64) etcdCompare {
	return etcdCompare{Key: key, Target: "MOD", Result: "EQUAL", Mod: &mod}
}

// mine holds while this session lasts: the key of this server hangs on its lease,
// which no other store, such as one that was emptied, can know.
func (e *etcd) mine(lease int64) etcdCompare {
	return etcdCompare{Key: e.keys.server(e.cfg.Me), Target: "LEASE", Result: "EQUAL", Lease: &lease}
}

// swap puts the record if everything that it was judged by is as it was. In the same
// transaction this server's key comes to know it: were the record deleted before the
// answer arrives, it would be found again with this change.
func (e *etcd) swap(ctx context.Context, next record.Record, lease int64, compare ...etcdCompare) (etcdTxnAnswer, error) {
	var answer etcdTxnAnswer
	report := e.newest()
	if next.Moved == "" {
		report.Known = next
	}
	said, err := json.Marshal(report)
	if err != nil {
		return answer, fmt.Errorf("encode report: %w", err)
	}
	value, err := json.Marshal(next)
	if err != nil {
		return answer, fmt.Errorf("encode record: %w", err)
	}
	txn := etcdTxn{append(compare, e.mine(lease)), []etcdOp{
		{Put: &etcdPut{Key: e.keys.record(), Value: value}},
		{Put: &etcdPut{Key: e.keys.server(e.cfg.Me), Value: said, Lease: lease}},
	}}
	return answer, e.client.call(ctx, "/v3/kv/txn", txn, &answer, true)
}

// find makes a lost or first record from what both servers know (record.FromKnown).
func (e *etcd) find(ctx context.Context, v etcdView, lease int64) error {
	mine, theirs := v.servers[e.cfg.Me], v.servers[e.cfg.Other]
	found, err := record.FromKnown(map[pair.Server]record.Record{e.cfg.Me: mine.report.Known, e.cfg.Other: theirs.report.Known, "": v.old})
	if err != nil {
		return fmt.Errorf("etcd holds no record of the pair: %w", err)
	}
	found.Pair = e.cfg.Pair
	// The other server may have done it a moment before: that is as good.
	_, err = e.swap(ctx, found, lease, sameMod(e.keys.record(), v.recordMod),
		sameMod(e.keys.server(e.cfg.Me), mine.mod), sameMod(e.keys.server(e.cfg.Other), theirs.mod))
	return err
}

// say puts this server's report under its lease, unless the key has changed since v.
func (e *etcd) say(ctx context.Context, v etcdView, r wire.WitnessReport, lease int64) error {
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	key := e.keys.server(e.cfg.Me)
	txn := etcdTxn{[]etcdCompare{sameMod(key, v.servers[e.cfg.Me].mod)}, []etcdOp{{Put: &etcdPut{Key: key, Value: value, Lease: lease}}}}
	var answer etcdTxnAnswer
	return e.client.call(ctx, "/v3/kv/txn", txn, &answer, false)
}

// grant gets a lease. etcd makes it no shorter than one and a half of its election
// timeout, rounded up to seconds: 2 seconds unless set otherwise.
func (e *etcd) grant(ctx context.Context) (etcdLease, error) {
	var l etcdLease
	ttl := max(1, int64((e.cfg.Timeout+time.Second-1)/time.Second))
	if err := e.client.call(ctx, "/v3/lease/grant", etcdLease{TTL: ttl}, &l, false); err != nil {
		return l, err
	}
	if l.ID == 0 || l.TTL <= 0 {
		return l, errors.New("etcd granted a lease without a number or a time")
	}
	return l, nil
}

// refresh keeps a lease alive; false: it has run out.
func (e *etcd) refresh(ctx context.Context, lease int64) (bool, error) {
	var answer etcdKeptAlive
	err := e.client.call(ctx, "/v3/lease/keepalive", etcdLease{ID: lease}, &answer, false)
	return answer.Result.TTL > 0, err
}
