package instrument_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/atelier-go/atelier/internal/instrument"
)

func TestErrorType(t *testing.T) {
	kind := func(err error) string {
		if err.Error() == "known" {
			return "kind"
		}
		return ""
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""}, {errors.New("known"), "kind"}, {errors.New("other"), "_OTHER"},
		{fmt.Errorf("call: %w", context.Canceled), "canceled"}, {fmt.Errorf("call: %w", context.DeadlineExceeded), "deadline exceeded"},
	} {
		if got := instrument.ErrorType(c.err, kind); got != c.want {
			t.Errorf("%v: %q; want %q", c.err, got, c.want)
		}
	}
}

// What is made is in the list, and all of the list is made.
func TestSetIsTheList(t *testing.T) {
	panics := func(what string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s is taken", what)
			}
		}()
		f()
	}
	meter := noop.Meter{}
	set := instrument.NewSet([]instrument.Spec{{Name: "a"}, {Name: "b"}})
	panics("what is not in the list", func() { instrument.Make(set, meter.Int64Counter, "c") })
	instrument.Make(set, meter.Int64Counter, "a")
	panics("an instrument made twice", func() { instrument.Make(set, meter.Int64Counter, "a") })
	panics("a list of which one is not made", func() { _ = set.Err() })
	instrument.Make(set, meter.Float64Histogram, "b")
	if err := set.Err(); err != nil {
		t.Error(err)
	}
}
