package session

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What happens while a session is worked for is worked for after that, once.
func TestJobsMissNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var worked, now atomic.Int64
		j := jobs{mine: func(ID) bool { return true }}
		j.work = func(context.Context, ID, *effort) time.Time {
			if now.Add(1) > 1 {
				t.Error("worked for twice at once")
			}
			defer now.Add(-1)
			worked.Add(1)
			time.Sleep(time.Second)
			return time.Time{}
		}
		j.enqueue("s1") // closed: nobody works
		j.open(t.Context())
		j.enqueue("s1")
		synctest.Wait()
		for range 5 {
			j.enqueue("s1")
		}
		time.Sleep(time.Minute)
		if n := worked.Load(); n != 2 {
			t.Errorf("worked %d times, want 2", n)
		}
		j.close()
		j.enqueue("s1")
		if n := len(j.all); n != 0 {
			t.Errorf("%d jobs are remembered when nothing is to be done", n)
		}
	})
}

// A session is looked at again when its time has come, and not before.
func TestJobsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var worked atomic.Int64
		j := jobs{mine: func(ID) bool { return true }}
		j.work = func(context.Context, ID, *effort) time.Time {
			worked.Add(1)
			return begun.Add(time.Minute)
		}
		j.open(t.Context())
		j.enqueue("s1")
		for _, want := range []int64{1, 2} {
			synctest.Wait()
			j.due(begun.Add(time.Duration(want)*30*time.Second - time.Second))
			synctest.Wait()
			if n := worked.Load(); n != want {
				t.Errorf("worked %d times, want %d", n, want)
			}
			j.due(begun.Add(time.Minute))
		}
		j.close()
	})
}

// No more than parallel sessions are worked for at one time, and all in the end.
func TestJobsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, all atomic.Int64
		j := jobs{mine: func(ID) bool { return true }}
		j.work = func(context.Context, ID, *effort) time.Time {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			all.Add(1)
			return time.Time{}
		}
		j.open(t.Context())
		for n := range 3 * parallel {
			j.enqueue(ID(fmt.Sprint("s", n)))
		}
		time.Sleep(time.Minute)
		if most.Load() != parallel || all.Load() != 3*parallel {
			t.Errorf("%d at once, %d in all", most.Load(), all.Load())
		}
		j.close()
	})
}
