package cli

import (
	"fmt"
	"io"
	"net"
	"strings"

	"mcctl/pkg/pair"
	"mcctl/pkg/wire"
)

// The words of mc_ctl status for a server.
const (
	mcNormal   = "normal"
	mcAbnormal = "abnormal"
	mcUnknown  = "unknown"
)

// mcRow is one server in Mirroring Controller's words: host_role, host_status,
// db_proc_status and disk_status.
func mcRow(s wire.ServerStatus) (role, host, proc, disk string) {
	host, proc, disk = mcNormal, mcProc(s), mcNormal
	if s.Supervisor == "lost" {
		host = mcAbnormal // one that refuses connections answers
	}
	switch {
	case s.DiskError != "":
		disk = mcDisk(s.DiskPart)
	case s.Supervisor != "here" && s.Supervisor != "quiet":
		disk = mcUnknown
	}
	down := proc == mcDown
	switch {
	case s.Role != pair.Primary && s.Role != pair.Standby:
		role = "none(unknown)"
	case down:
		role = fmt.Sprintf("none(inactivated %s)", s.Role)
	default:
		role = string(s.Role)
	}
	return role, host, proc, disk
}

// mcDisk is the disk that fails. A supervisor that does not say which means the data's.
func mcDisk(part wire.DiskPart) string {
	switch part {
	case wire.DiskWAL:
		return "abnormal(tran_log)"
	case wire.DiskTablespace:
		return "abnormal(tablespace)"
	}
	return "abnormal(data)"
}

const (
	mcDown       = "abnormal(postmaster)"
	mcNoReceiver = "abnormal(wal_receiver)"
)

func mcProc(s wire.ServerStatus) string {
	switch s.Postgres {
	case wire.ReportDown, wire.ReportLeaving, wire.ReportResting, "hung":
		return mcDown
	case wire.ReportStandby:
		if s.Role == pair.Standby && s.Supervisor == "here" && s.Stream != "streaming" {
			return mcNoReceiver
		}
		return mcNormal
	case wire.ReportOpen, wire.ReportGated:
		return mcNormal
	}
	return mcUnknown // silent, busy, starting
}

// writeMcStatus prints the table of mc_ctl status, to the letter. hosts are the
// servers' addresses.
func writeMcStatus(w io.Writer, st wire.Status, hosts map[pair.Server]string) error {
	rows := [][]string{{"server_id", "host_role", "host", "host_status", "db_proc_status", "disk_status"}}
	for _, s := range st.Servers {
		role, host, proc, disk := mcRow(s)
		rows = append(rows, []string{string(s.Server), role, hosts[s.Server], host, proc, disk})
	}
	_, err := fmt.Fprintf(w, "mirroring status\n----------------\n%s\n%s", st.Summary, mcTable(rows))
	return err
}

// writeMcArbiter prints the table that --arbiter adds.
func writeMcArbiter(w io.Writer, a wire.ArbiterStatus) error {
	rows := [][]string{{"arbiter_id", "host", "status"}}
	if a.Address != "" {
		rows = append(rows, []string{"arbiter", hostOf(a.Address), yes(a.Reached, "online", "offline")})
	}
	_, err := fmt.Fprint(w, mcTable(rows))
	return err
}

// mcTable aligns columns as Mirroring Controller does: two blanks between them, and
// a line under the first row that is one longer than the row.
func mcTable(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		line := ""
		for i, cell := range row {
			line += fmt.Sprintf("%-*s  ", widths[i], cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		if n == 0 {
			b.WriteString(strings.Repeat("-", len(strings.TrimRight(line, " "))+1) + "\n")
		}
	}
	return b.String()
}

// hostOf is an address without its port.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
