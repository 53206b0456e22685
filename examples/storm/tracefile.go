package main

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// columns are those of a trace's file: who comes, from when to when in seconds of
// the trace, and with how much. Times may have thousandths, and processors too.
var columns = []string{"user", "start_s", "end_s", "vcpus", "memory_mib", "gpus"}

// longestTrace is how much time a trace may take.
const longestTrace = 366 * 24 * time.Hour

// readTrace reads a trace as CSV, in the order of arrival. It reports everything
// wrong with it at once, by line, also sessions that no host type holds.
func readTrace(in io.Reader) ([]Visit, error) {
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1 // it is told by line
	header, err := r.Read()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err // it says in which line
	}
	if !slices.Equal(header, columns) {
		return nil, fmt.Errorf("line 1: header %.80q: want %q", strings.Join(header, ","), strings.Join(columns, ","))
	}
	var trace []Visit
	var problems []error
	for {
		fields, err := r.Read()
		parse, broken := errors.AsType[*csv.ParseError](err)
		switch {
		case err == nil:
			v, err := parseVisit(fields)
			if err != nil {
				line, _ := r.FieldPos(0)
				problems = append(problems, fmt.Errorf("line %d: %s", line, strings.ReplaceAll(err.Error(), "\n", "; ")))
			}
			trace = append(trace, v)
			continue
		case broken: // the next line may be right
			problems = append(problems, fmt.Errorf("line %d: column %d: %w", parse.Line, parse.Column, parse.Err))
			continue
		case !errors.Is(err, io.EOF):
			problems = append(problems, err)
		}
		break
	}
	if len(trace) == 0 && problems == nil {
		problems = append(problems, errors.New("no sessions: want a line for each after the header"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	slices.SortStableFunc(trace, func(a, b Visit) int { return cmp.Compare(a.Start, b.Start) })
	return trace, nil
}

// parseVisit reads a line of a trace.
func parseVisit(fields []string) (v Visit, err error) {
	if len(fields) != len(columns) {
		return v, fmt.Errorf("%d fields: want %d", len(fields), len(columns))
	}
	var problems []error
	// thousandths reads a number of a column that is a whole number of thousandths
	// of its unit, from least to most.
	thousandths := func(column int, least, most int64) int64 {
		x, err := strconv.ParseFloat(fields[column], 64)
		n := math.Round(x * 1000)
		if err != nil || !(n >= float64(least) && n <= float64(most)) || math.Abs(x*1000-n) > 1e-4 {
			problems = append(problems, fmt.Errorf("%s %.40q: want a number from %s to %d, with thousandths at most",
				columns[column], fields[column], strconv.FormatFloat(float64(least)/1000, 'f', -1, 64), most/1000))
			return 0
		}
		return int64(n)
	}
	whole := func(column int, least int64) int64 {
		n, err := strconv.ParseInt(fields[column], 10, 64)
		if err != nil || n < least {
			problems = append(problems, fmt.Errorf("%s %.40q: want a whole number from %d", columns[column], fields[column], least))
		}
		return n
	}
	if v.User = fields[0]; v.User == "" {
		problems = append(problems, errors.New("user is empty"))
	}
	v.Start = time.Duration(thousandths(1, 0, longestTrace.Milliseconds())) * time.Millisecond
	v.End = time.Duration(thousandths(2, 0, longestTrace.Milliseconds())) * time.Millisecond
	v.Size = launcher.Resources{MilliCPU: thousandths(3, 1, 1e9), MemoryMiB: whole(4, 1), GPUs: whole(5, 0)}
	if problems == nil && v.End <= v.Start {
		problems = append(problems, fmt.Errorf("end_s %s: want more than start_s, which is %s", fields[2], fields[1]))
	}
	if problems == nil {
		problems = append(problems, fits(v.Size)...)
	}
	return v, errors.Join(problems...)
}

// fits reports why no host type holds a session.
func fits(size launcher.Resources) (problems []error) {
	if size.GPUs > 0 {
		return []error{fmt.Errorf("gpus %d: none of the host types has a GPU (%s): want 0", size.GPUs, strings.Join(hostTypes, ", "))}
	}
	var cpu, memory float64
	for _, name := range hostTypes {
		c, m := room(name, 1)
		if float64(size.MilliCPU) <= c && float64(size.MemoryMiB) <= m {
			return nil
		}
		cpu, memory = max(cpu, c), max(memory, m)
	}
	return []error{fmt.Errorf("%v: no host type holds it; the largest has %v for sessions", size, launcher.Resources{MilliCPU: int64(cpu), MemoryMiB: int64(memory)})}
}
