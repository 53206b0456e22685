package credentials

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// What fails is not kept, whatever came with it.
func TestFailuresAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c cache
		broken := errors.New("broken")
		calls := 0
		fetch := func(context.Context) (credentials, error) {
			if calls++; calls == 1 {
				return credentials{accessKeyID: "leaked", expires: time.Now().Add(time.Hour)}, broken
			}
			return credentials{accessKeyID: "good", expires: time.Now().Add(time.Hour)}, nil
		}
		if got, err := c.get(t.Context(), "token", fetch); !errors.Is(err, broken) || got != (credentials{}) {
			t.Errorf("the first gets %+v, %v", got, err)
		}
		if got, err := c.get(t.Context(), "token", fetch); err != nil || got.accessKeyID != "good" {
			t.Errorf("the second gets %+v, %v", got, err)
		}
	})
}

// What has expired is dropped, so that sessions that are gone take no room, and
// nothing is left of flights.
func TestExpiredAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c cache
		for i := range 100 {
			_, err := c.get(t.Context(), fmt.Sprint(i), func(context.Context) (credentials, error) {
				return credentials{expires: time.Now().Add(15 * time.Minute)}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if len(c.kept) > 10 || len(c.flights) != 0 {
			t.Errorf("%d are kept that last ten minutes, one is made a minute; %d flights", len(c.kept), len(c.flights))
		}
	})
}
