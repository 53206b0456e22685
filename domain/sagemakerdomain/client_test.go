package sagemakerdomain_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

func TestNew(t *testing.T) {
	_, err := sagemakerdomain.New("", sagemakerdomain.Services{}, sagemakerdomain.Config{Timeouts: sagemakerdomain.Timeouts{Domain: -1, Profile: -1, Space: -1, App: -1, Image: -1}})
	if !errors.Is(err, domain.ErrInvalid) {
		t.Fatal(err)
	}
	for _, word := range []string{"region", "SageMaker", "EC2", "EFS", "IAM", "Licenses", "Quotas", "Images", "a domain", "a profile", "a space", "a app", "a image"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

// Waits tell how they come on, have a limit, and end with their context.
func TestWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		var told []string
		var logged strings.Builder
		c, err := sagemakerdomain.NewFromConfig(w.cloud.Config(), sagemakerdomain.Config{
			Progress: func(p sagemakerdomain.Progress) { told = append(told, p.String()) },
			Logger:   slog.New(slog.NewTextHandler(&logged, nil)), Timeouts: sagemakerdomain.Timeouts{Domain: time.Minute},
		})
		w.must(err)
		_, err = c.CreateDomain(t.Context(), w.request())
		w.is(err, domain.ErrState, "is still Pending after", "call again to go on waiting")
		if text := strings.Join(told, "\n"); !strings.Contains(text, ": domain: d-") || !strings.Contains(text, " Pending, ") {
			t.Errorf("told\n%s", text)
		}
		if !strings.Contains(logged.String(), "domain created") {
			t.Errorf("logged\n%s", logged.String())
		}
		short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begun := time.Now()
		if _, err := w.client().CreateDomain(short, w.request()); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 11*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		w.domain()
	})
}

// Looks that fail because AWS is busy are repeated, and others are not.
func TestWaitsOutlastTrouble(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow(fakeaws.Fault{Action: "sagemaker:Describe*", Rate: 0.4}, fakeaws.Fault{Action: "sagemaker:*", Rate: 0.2, Status: 400, Code: "ThrottlingException"}))
		w.domain()
		if w.cloud.Injected() == 0 {
			t.Error("nothing was injected")
		}
	})
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow(fakeaws.Fault{Action: "sagemaker:DescribeDomain", Status: 400, Code: "AccessDeniedException"}))
		_, err := w.client().CreateDomain(t.Context(), w.request())
		w.is(err, domain.ErrDenied, "Policy lists")
	})
}
