package main

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc, USER_HZ, which is 100 on every
// Linux that people run (time(7)).
const clockTick = 10 * time.Millisecond

// cpuOf is the time that processes have spent, user and system together; those that
// are gone count nothing.
func cpuOf(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		stat, err := os.ReadFile(procFile(pid, "stat"))
		if err != nil {
			continue
		}
		// utime and stime are fields 14 and 15; counting begins behind the name,
		// which is field 2 (proc_pid_stat(5)).
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for _, f := range fields[11:13] {
			ticks, _ := strconv.Atoi(f)
			sum += time.Duration(ticks) * clockTick
		}
	}
	return sum
}

// memoryOf sums a line of a file in /proc, in MB.
func memoryOf(pids []int, file, line string) (sum float64) {
	for _, pid := range pids {
		text, err := os.ReadFile(procFile(pid, file))
		if err != nil {
			continue
		}
		_, rest, found := strings.Cut(string(text), "\n"+line)
		if fields := strings.Fields(rest); found && len(fields) > 0 {
			kib, _ := strconv.ParseFloat(fields[0], 64)
			sum += kib * 1024 / 1e6
		}
	}
	return sum
}

func procFile(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }
