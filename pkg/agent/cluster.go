package agent

import (
	"errors"
	"fmt"
	"io/fs"

	"mcctl/pkg/durable"
)

// cluster is cluster.json: which database cluster this server has always been of. Where
// an arbiter keeps the record, it also says that this server has met it.
type cluster struct {
	SystemID uint64 `json:"system_identifier"`
}

// sameCluster refuses a data directory of another cluster than before. The record
// names servers, not clusters: a data_directory that leads elsewhere by mistake would
// be opened to clients as the primary, with other people's data in it. The first start,
// or the first meeting with the arbiter, notes the cluster; a directory without a control
// file is not judged.
func (a *Agent) sameCluster() error {
	control, err := a.postgres.Control()
	if err != nil {
		return nil // half copied or damaged: the table decides
	}
	var known cluster
	path := a.config.Path(clusterFile)
	err = durable.ReadJSON(path, &known)
	switch {
	case errors.Is(err, fs.ErrNotExist) && a.config.Pair.Arbiter.Apart():
		a.unmet.Store(true)
	case errors.Is(err, fs.ErrNotExist):
		return a.noteCluster()
	case err != nil:
		return fmt.Errorf("read which cluster this server is of: %w", err)
	case known.SystemID != control.SystemID:
		return fmt.Errorf("data directory %s is of cluster %d, but this server has been of cluster %d: check data_directory in server.toml; if the cluster was replaced on purpose, remove %s on both servers",
			a.postgres.Data, control.SystemID, known.SystemID, path)
	}
	return nil
}

const clusterFile = "cluster.json"

func (a *Agent) noteCluster() error {
	control, err := a.postgres.Control()
	if err != nil {
		return err
	}
	return durable.WriteJSON(a.config.Path(clusterFile), cluster{control.SystemID}, 0o600)
}
