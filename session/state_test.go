package session

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var update = flag.Bool("update", false, "rewrite what is compared with generated text")

// table is the machine as the package documentation shows it.
func table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "event")
	for _, s := range states() {
		fmt.Fprintf(w, "\t%s", s)
	}
	fmt.Fprintln(w)
	for e := range eventCount {
		fmt.Fprint(w, e)
		for _, s := range states() {
			o := machine[s].on[e]
			switch {
			case o.refuse != "":
				fmt.Fprint(w, "\tErrState")
			case o.kill && o.to == s:
				fmt.Fprint(w, "\tkill")
			case o.to == s:
				fmt.Fprint(w, "\t-")
			default:
				fmt.Fprintf(w, "\t%s", o.to)
			}
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "lasts at most")
	for _, s := range states() {
		if limit := machine[s].limit; limit != "" {
			fmt.Fprintf(w, "\t%s", limit)
		} else {
			fmt.Fprint(w, "\t-")
		}
	}
	fmt.Fprintln(w)
	w.Flush()
	var lines []string
	for line := range strings.Lines(b.String()) {
		lines = append(lines, "//\t"+strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestDocumentationHasTheMachine(t *testing.T) { documented(t, table()) }

// documented checks that the package documentation has a table. With -update it is
// put in the place of the one that begins with the same word.
func documented(t *testing.T, table string) {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), table) {
		return
	}
	if !*update {
		t.Fatalf("doc.go does not have this table; run the test with -update\n%s", table)
	}
	head, _, _ := strings.Cut(table, " ")
	var kept []string
	within := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, head+" ") {
			kept, within = append(kept, table), true
		}
		within = within && strings.HasPrefix(line, "//\t")
		if !within {
			kept = append(kept, line)
		}
	}
	if err := os.WriteFile("doc.go", []byte(strings.Join(kept, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every pair of a state and an event has one result, and the results keep the
// promises of the package.
func TestMachineIsComplete(t *testing.T) {
	if len(machine) != len(states()) {
		t.Fatalf("%d states in the machine, %d listed", len(machine), len(states()))
	}
	for _, s := range states() {
		for e := range eventCount {
			o := machine[s].on[e]
			name := fmt.Sprintf("%s on %s", s, e)
			if !o.defined() || o.to != "" && !o.to.valid() {
				t.Errorf("%s: no result: %+v", name, o)
			}
			if o.refuse != "" && e > askKill {
				t.Errorf("%s: what happens cannot be refused", name)
			}
			if e == askKill && (o.refuse != "" || o.to != Stopping && s != Suspended && !s.Ended() || o.kill != (o.to == Stopping)) {
				t.Errorf("%s: a caller's kill leads to %+v", name, o)
			}
			if o.refuse != "" && !strings.ContainsAny(o.refuse, ";") {
				t.Errorf("%s: %q does not say what to do", name, o.refuse)
			}
			if s.Ended() && o.to != "" && o.to != s {
				t.Errorf("%s: leaves a final state for %s", name, o.to)
			}
			if o.to == Pending && s != Pending && s != Suspended {
				t.Errorf("%s: a generation begins before the old one has ended", name)
			}
			if exits := []event{sawExit, sawInterrupted, sawFailure, sawSaved}; o.to == Suspended && s != Suspended && !slices.Contains(exits, e) {
				t.Errorf("%s: suspended without an exit seen", name)
			}
			if e == goesOn && o.to != s && s != Suspended {
				t.Errorf("%s: resumed by itself without having been suspended", name)
			}
			if e == sawInterrupted && o.to == Failed && s != Failed {
				t.Errorf("%s: failed for an interruption", name)
			}
		}
		transient := machine[s].deadline != nil
		if transient != (machine[s].limit != "") {
			t.Errorf("%s: deadline and its words disagree", s)
		}
		if want := slices.Contains([]State{Pending, Starting, Suspending, Stopping}, s); transient != want {
			t.Errorf("%s: has a deadline: %v, want %v", s, transient, want)
		}
		if late := machine[s].on[passedDeadline]; transient && late.stays(s) {
			t.Errorf("%s: its deadline has no way out", s)
		}
		if late := machine[s].on[passedKill]; transient && late.to != Failed {
			t.Errorf("%s: nothing after killing", s)
		}
	}
}

// From every state a final one is reached by deadlines alone, if nothing else
// happens, or the state may be stayed in.
func TestDeadlinesLeadOut(t *testing.T) {
	d := Deadlines{}.withDefaults()
	for _, s := range states() {
		r := record{State: s, Request: StartRequest{Kind: RStudio()}}
		now := time.Now()
		if limit := machine[s].deadline; limit != nil {
			r.Deadline = now.Add(limit(d, r.Request.Kind))
		}
		for range 3 {
			if r.Deadline.IsZero() {
				break
			}
			now = r.Deadline
			e := passedDeadline
			if r.Killed {
				e = passedKill
			}
			if err := r.apply(e, now, d); err != nil {
				t.Fatal(err)
			}
		}
		if !r.Deadline.IsZero() {
			t.Errorf("%s: still %s after three deadlines", s, r.State)
		}
	}
}

func TestRefusalsAreStateErrors(t *testing.T) {
	for _, s := range states() {
		for e := range eventCount {
			r := record{State: s}
			before := r
			err := r.apply(e, time.Now(), Deadlines{}.withDefaults())
			o := machine[s].on[e]
			if (err != nil) != (o.refuse != "") {
				t.Errorf("%s on %s: %v", s, e, err)
			}
			if err != nil && (r.State != before.State || !strings.Contains(err.Error(), string(s))) {
				t.Errorf("%s on %s: refused with %v, and left %s", s, e, err, r.State)
			}
			if o.stays(s) && !r.Since.IsZero() {
				t.Errorf("%s on %s: touched what stays", s, e)
			}
		}
	}
}

// That a session is to be resumed by itself is forgotten with its suspension,
// or it would hold for the next.
func TestGoOnEndsWithTheSuspension(t *testing.T) {
	for _, s := range states() {
		for e := range eventCount {
			r := record{State: s, GoOn: s == Suspending || s == Suspended}
			_ = r.apply(e, time.Now(), Deadlines{}.withDefaults()) // a refusal changes nothing
			if r.GoOn && r.State != Suspending && r.State != Suspended {
				t.Errorf("%s on %s: still to go on when %s", s, e, r.State)
			}
		}
	}
}
