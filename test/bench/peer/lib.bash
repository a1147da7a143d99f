# shellcheck shell=bash
# What the drivers of the other tools share. A driver is called by test/bench as the
# user that runs PostgreSQL, with one word:
#
#   up      make a synchronous pair from nothing
#   heal    bring it back to that
#   ready   say which node is primary (1 or 2); fails unless the pair is whole
#   switch  N  hand over from node N, in good order
#   kill-postmaster N, kill-server N   kill -9, as the event of that name on mcctl
#   down    end everything
#
# $DIR is a directory of the driver's own, $BASE a block of ten free ports, of which
# $BASE+1 and +2 are PostgreSQL's, $PG_BIN its programs. All trust 127.0.0.1.
#
# A driver defines up, heal, whole, hand_over FROM TO and helpers (the pids of
# processes that belong to no node).
set -u
export PATH=$PG_BIN:$PATH PGUSER=postgres PGDATABASE=postgres PGCONNECT_TIMEOUT=2 LC_ALL=C HOME=$DIR TMPDIR=$DIR/tmp
mkdir -p "$TMPDIR"
cd "$DIR" || exit 1

port() { echo $((BASE + $1)); }
data() { echo "$DIR/n$1"; }
sql() { psql -XAtq -h 127.0.0.1 -p "$1" -c "$2" 2>/dev/null; }
is_primary() { [ "$(sql "$(port "$1")" 'select pg_is_in_recovery()')" = f ]; }
primary() { local n; for n in 1 2; do is_primary $n && echo $n && return; done; return 1; }
has_sync() {
  [ "$(sql "$(port "$1")" "select count(*) > 0 from pg_stat_replication where state = 'streaming' and sync_state in ('sync', 'quorum')")" = t ]
}
synchronous() { local n; n=$(primary) && has_sync "$n"; }

postmaster() { head -1 "$(data "$1")/postmaster.pid" 2>/dev/null; }
agent() { [ -f "$DIR/agent$1" ] && [ -d "/proc/$(cat "$DIR/agent$1")" ] && cat "$DIR/agent$1"; }
background() { # background LOG COMMAND...: prints the pid
  local log=$1
  shift
  setsid "$@" >>"$log" 2>&1 </dev/null &
  echo $!
}
tree() { # the given processes and all below them
  ps -eo pid=,ppid= | awk -v roots="$*" '
    BEGIN { n = split(roots, r, " "); for (i in r) mine[r[i]] = 1 }
    { up[$1] = $2 }
    END { for (p in up) { q = p; while (q > 1 && !(q in mine)) q = up[q]; if (q in mine) print p } }'
}
end() { local p; for p; do kill -9 "$p" 2>/dev/null; done; return 0; }
wait_for() { # wait_for SECONDS COMMAND...
  local until=$(($(date +%s) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ "$(date +%s)" -ge "$until" ]; then
      echo "still not so: $*" >&2
      return 1
    fi
    sleep 0.2
  done
}

# A killed postmaster leaves shared memory that the next start would free.
sweep() { [ ! -f "$(data "$1")/postmaster.pid" ] || postgres --single -D "$(data "$1")" postgres </dev/null >/dev/null 2>&1; }

down() {
  local roots
  roots="$(agent 1) $(agent 2) $(helpers) $(postmaster 1) $(postmaster 2)"
  # shellcheck disable=SC2046,SC2086 # lists of pids
  end $roots $(tree $roots)
  sleep 1
  sweep 1
  sweep 2
}

# shellcheck disable=SC2046 # lists of pids
kill_server() { kill -9 $(tree $(agent "$1") $(postmaster "$1")); }

main() {
  case ${1:-} in
    up | heal | down) "$1" ;;
    ready) whole && primary ;;
    switch) hand_over "$2" $((3 - $2)) ;;
    kill-postmaster) kill -9 "$(postmaster "$2")" ;;
    kill-server) kill_server "$2" ;;
    *) echo "usage: $0 up|heal|ready|switch N|kill-postmaster N|kill-server N|down" >&2; return 2 ;;
  esac
}
