package decide

// promises are the guarantees of docs/guarantees.md that the table alone can keep
// or break, in these words. Each is apart from the rows. First what must not be
// done, then what must: a table that only waits would keep all of the former.
var promises = []struct {
	name string
	kept func(*Facts, Action) bool
}{
	{"opens only where the record names it primary; behind the gate also where the own copy claims it and the standby is here", func(f *Facts, a Action) bool {
		return !opens(a) || f.Record == RecordMine || a == StartGated && f.Record == RecordClaimed && f.Peer == PeerHere && f.PeerPG == PeerPGStandby
	}},
	{"opens without the standby only when alone", func(f *Facts, a Action) bool {
		return (a != StartOpen && a != Promote) || f.Mode == Alone
	}},
	{"opens a gate only when alone or with the standby close", func(f *Facts, a Action) bool {
		return a != OpenGate || f.Mode == Alone || f.Stream == StreamClose
	}},
	{"takes over only from a paired record, with the keeper's word, and never from an open primary that is heard", func(f *Facts, a Action) bool {
		return a != TakeOver || (f.Record == RecordTheirs && f.Mode == Paired && f.Keeper == KeeperReached && f.PeerPG != PeerPGOpen && f.PeerPG != PeerPGResting)
	}},
	{"hands over only from a paired record, to a standby whose supervisor is here", func(f *Facts, a Action) bool {
		return (a != HandOver && a != Switch) || (f.Record == RecordMine && f.Mode == Paired && f.Peer == PeerHere && f.PeerPG == PeerPGStandby)
	}},
	{"changes the record only with the keeper reached", func(f *Facts, a Action) bool {
		switch a {
		case Detach, Attach, TakeOver, HandOver, Switch:
			return f.Keeper == KeeperReached
		}
		return true
	}},
	{"rewinds or copies only while alone, and from a primary that is reached and open", func(f *Facts, a Action) bool {
		return a != Rejoin && a != Rebuild || (f.Record == RecordTheirs && f.Mode == Alone && f.Keeper == KeeperReached && f.Peer == PeerHere && f.PeerPG == PeerPGOpen)
	}},
	{"takes over only with leave, and goes alone without it only to ask the standby's supervisor for its word", func(f *Facts, a Action) bool {
		return f.Leave == LeaveGiven || a != TakeOver && (a != Detach || f.Peer == PeerHere || f.PeerPG == PeerPGLeaving || f.Task == TaskDetach)
	}},
	{"fences only where leave is needed, while paired, with the keeper's word, and never a server whose supervisor is here", func(f *Facts, a Action) bool {
		return a != Fence || f.Leave == LeaveNeeded && f.Mode != Alone && f.Keeper == KeeperReached && f.Peer != PeerHere && (f.Record == RecordMine || f.Record == RecordTheirs && f.Postgres == PostgresStandby)
	}},
	{"neither stays open nor comes to open when the record names the other", func(f *Facts, a Action) bool {
		return f.Record != RecordTheirs || !runs(f) && !comesUp(f) || a == Retire || a == Stop
	}},
	{"changes no role by itself while failover is off", func(f *Facts, a Action) bool {
		return f.Failover == FailoverOn || (a != TakeOver && a != HandOver && a != Fence)
	}},
	{"where the record names the other, starts and rejoins on disks that work only", func(f *Facts, a Action) bool {
		return f.Record != RecordTheirs || f.Disk != DiskFailed || a != Rejoin && a != StartStandby
	}},
	{"switches by itself only for want of room, from an open primary to a standby that is close", func(f *Facts, a Action) bool {
		return a != Switch || f.Task == TaskSwitch || f.Failover == FailoverOn && f.Disk == DiskFilling && f.Stream == StreamClose && Switchable.Misses(*f) == ""
	}},
	{"begins no switch on a disk that fails, from a PostgreSQL that does not answer, or while commits stall", func(f *Facts, a Action) bool {
		return a != Switch || f.Disk != DiskFailed && f.Postgres != PostgresHung && f.Stall == NoStall
	}},
	{"never moves a data directory that is half made but by rejoin", func(f *Facts, a Action) bool {
		return f.Postgres != PostgresDown || f.Data != DataBroken || (a != StartOpen && a != StartGated && a != StartStandby)
	}},
	{"never starts a standby's data as a primary", func(f *Facts, a Action) bool {
		return f.Data != DataFollower || (a != StartOpen && a != StartGated)
	}},

	{"does what an operator asks as soon as it may: stops, switches, detaches, rebuilds", func(f *Facts, a Action) bool {
		switch f.Task {
		case TaskStop:
			return a == Stop
		case TaskSwitch:
			return a == Switch || !standbyHere(f) || f.Postgres == PostgresStandby || f.Postgres == PostgresHung || f.Disk == DiskFailed || f.Stall == Stalled
		case TaskDetach: // and nothing that leads away from it more urgently
			return a == Detach || a == Fence || a == HandOver || a == Switch || !bound(f) || !runs(f)
		case TaskRebuild:
			return a == Rebuild || !primaryHere(f) || runs(f) || comesUp(f) || f.Postgres == PostgresHung
		}
		return true
	}},
	{"waits for no standby that is gone, says goodbye or keeps commits waiting: goes alone, or fences first where leave is needed", func(f *Facts, a Action) bool {
		lost := gone(f) || f.Stall == Stalled
		if !runs(f) { // a start behind the gate comes first, unless nobody can be there to open it
			lost = f.Postgres == PostgresDown && primarysData(f) && gone(f) && f.Peer != PeerHere
		}
		due := bound(f) && (f.PeerPG == PeerPGLeaving && runs(f) || lost && f.Failover == FailoverOn && (f.Leave != LeaveDenied || f.Peer == PeerHere))
		return !due || a == Detach || a == Fence || a == HandOver || a == Stop
	}},
	{"takes over from a primary that is gone, or fences it first where leave is needed", func(f *Facts, a Action) bool {
		due := f.Record == RecordTheirs && f.Mode == Paired && f.Keeper == KeeperReached && f.Postgres == PostgresStandby && gone(f) && f.Failover == FailoverOn
		return !due || a == Stop || f.Leave == LeaveDenied || f.Leave == LeaveNeeded && f.Peer == PeerHere || a == TakeOver || a == Fence
	}},
	{"hands over when PostgreSQL dies, hangs or has lost its data, or a disk fails, and the standby is here", func(f *Facts, a Action) bool {
		failed := f.Disk == DiskFailed && f.Postgres != PostgresStandby || f.Postgres == PostgresHung || f.Postgres == PostgresDown && (f.Data == DataCrashed || f.Data == DataBroken)
		return !failed || !standbyHere(f) || f.Failover == FailoverOff || a == HandOver || a == Stop || a == Switch && f.Task == TaskSwitch
	}},
	{"switches for want of room when the standby is close", func(f *Facts, a Action) bool {
		return f.Disk != DiskFilling || f.Stream != StreamClose || f.Failover == FailoverOff || Switchable.Misses(*f) != "" || a == Switch || a == Stop
	}},
	{"opens by itself when alone, whatever else is", func(f *Facts, a Action) bool {
		if f.Record != RecordMine || f.Mode != Alone || a == Stop {
			return true
		}
		switch f.Postgres {
		case PostgresDown:
			return a == StartOpen || !primarysData(f)
		case PostgresStandby:
			return a == Promote
		case PostgresGated:
			return a == OpenGate
		}
		return true
	}},
	{"never rests where the record names it and its PostgreSQL is down, hung, in recovery or behind the gate while something can be done", func(f *Facts, a Action) bool {
		due := false
		switch f.Postgres {
		case PostgresDown: // what is half made is an operator's
			due = f.Record == RecordMine && f.Data != DataBroken || f.Record == RecordClaimed && primarysData(f) && f.Peer == PeerHere && f.PeerPG == PeerPGStandby
		case PostgresHung:
			due = f.Record == RecordMine && f.Failover == FailoverOn
		case PostgresStandby:
			due = bound(f) && (f.Leave == LeaveGiven || f.Peer == PeerHere)
			return !due || a == Detach || a == Stop
		case PostgresGated:
			due = f.Record == RecordMine && f.Stream == StreamClose
		}
		return !due || !rests(a)
	}},
	{"closes when it is cut off from the standby and the keeper", func(f *Facts, a Action) bool {
		return f.Record != RecordMine || f.Mode == Alone || f.Postgres != PostgresOpen || f.Keeper != KeeperIsolated || a == Close || a == Stop
	}},
	{"as a standby follows, and comes back by itself when it cannot", func(f *Facts, a Action) bool {
		due := false
		switch f.Postgres {
		case PostgresHung:
			due = f.Record == RecordTheirs
		case PostgresDown:
			due = f.Record == RecordTheirs && f.Disk != DiskFailed && (f.Data == DataFollower || primaryHere(f))
		case PostgresStarting:
			due = primaryHere(f) && f.Disk != DiskFailed && f.Stream == StreamStranded
		case PostgresStandby:
			due = primaryHere(f) && f.Disk != DiskFailed && (f.Stream == StreamDiverged || f.Stream == StreamStranded)
		}
		return !due || !rests(a)
	}},
	{"attaches a standby that is close and steady, unless an operator holds it off", func(f *Facts, a Action) bool {
		due := f.Record == RecordMine && f.Mode != Paired && f.Postgres == PostgresOpen && f.Keeper == KeeperReached && f.Peer == PeerHere && f.PeerPG == PeerPGStandby &&
			f.Stream == StreamClose && f.Attach == AttachAllowed && f.Settings == SettingsRight && (f.Mode == Alone || f.Stall == NoStall && f.Task != TaskDetach)
		return !due || a == Attach || a == Stop
	}},
	{"puts settings right that do not fit, unless something else is to be done", func(f *Facts, a Action) bool {
		due := f.Settings == SettingsWrong && (f.Record == RecordMine && runs(f) || f.Record == RecordTheirs && f.Postgres == PostgresStandby)
		return !due || a != Wait && a != Attach
	}},
}

func opens(a Action) bool {
	switch a {
	case StartOpen, StartGated, OpenGate, Promote:
		return true
	}
	return false
}

// rests: what is found down, or behind the gate, stays so.
func rests(a Action) bool { return a == Wait || a == PutRight }

// runs: PostgreSQL is a primary, be it for clients or behind the gate.
func runs(f *Facts) bool { return f.Postgres == PostgresOpen || f.Postgres == PostgresGated }

// comesUp: PostgreSQL starts as a primary.
func comesUp(f *Facts) bool { return f.Postgres == PostgresStarting && primarysData(f) }

func primarysData(f *Facts) bool { return f.Data == DataClean || f.Data == DataCrashed }

// bound: this primary waits for the standby, and may ask to go alone.
func bound(f *Facts) bool {
	return f.Record == RecordMine && f.Mode != Alone && f.Keeper == KeeperReached
}

// standbyHere: the standby of this paired primary can have the reign at once.
func standbyHere(f *Facts) bool {
	return bound(f) && f.Mode == Paired && f.Peer == PeerHere && f.PeerPG == PeerPGStandby
}

// primaryHere: this server can come back as the standby of a primary that is alone.
func primaryHere(f *Facts) bool {
	return f.Record == RecordTheirs && f.Mode == Alone && f.Keeper == KeeperReached && f.Peer == PeerHere && f.PeerPG == PeerPGOpen
}

// gone: the other server's PostgreSQL is dead, by the signs that count. Its supervisor
// says so, both of its ports refuse, or its supervisor is silent and PostgreSQL does not
// answer either. One that answers, or of which nothing is known yet, is not gone.
func gone(f *Facts) bool {
	switch f.Peer {
	case PeerHere, PeerRefused:
		return f.PeerPG == PeerPGDown
	case PeerLost:
		return f.PeerPG == PeerPGSilent || f.PeerPG == PeerPGDown
	}
	return false
}
