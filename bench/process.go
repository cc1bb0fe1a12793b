//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// family lists a process and everything that it has started: masters, workers, managers.
func family(pid int) []int {
	parents := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		if child, parent, ok := readStat(file); ok {
			parents[parent] = append(parents[parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, parents[all[i]]...)
	}
	return all
}

// readStat takes a process and its parent from /proc/PID/stat. The name in parentheses may contain anything.
func readStat(file string) (pid, parent int, ok bool) {
	b, err := os.ReadFile(file)
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if err != nil || open < 1 || end < open {
		return 0, 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(b[:open])))
	fields := strings.Fields(string(b[end+1:]))
	if err != nil || len(fields) < 2 {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return pid, parent, err == nil
}

// memory is what a family of processes occupies.
type memory struct {
	RSS int64 // bytes; pages shared between processes count in each
	PSS int64 // bytes; shared pages are divided among those who share them
}

func memoryOf(pids []int) (m memory, err error) {
	for _, pid := range pids {
		if err := addRollup(pid, &m); err != nil {
			return m, fmt.Errorf("cannot read the memory of process %d: %w", pid, err)
		}
	}
	return m, nil
}

func addRollup(pid int, m *memory) error {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != "kB" {
			continue
		}
		kb, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return err
		}
		switch name {
		case "Rss":
			m.RSS += kb << 10
		case "Pss":
			m.PSS += kb << 10
		}
	}
	return lines.Err()
}

// machine describes where the bench ran.
type machine struct {
	CPU, Kernel, System, Go string
	Cores                   int
	MemoryGiB               float64
	LoadBefore, LoadAfter   string
}

func (m *machine) describe() {
	m.CPU = field("/proc/cpuinfo", "model name")
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	m.System = strings.Trim(valueAfter("/etc/os-release", "PRETTY_NAME="), `"`)
	var kb float64
	_, _ = fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%f", &kb)
	m.MemoryGiB = kb / (1 << 20)
}

func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(b))
	if len(f) < 3 {
		return "unknown"
	}
	return strings.Join(f[:3], " ")
}

func field(file, name string) string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(valueAfter(file, name)), ":"))
}

// valueAfter returns the rest of the first line that begins with prefix.
func valueAfter(file, prefix string) string {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
