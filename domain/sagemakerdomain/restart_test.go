package sagemakerdomain_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// That a server is to be made again is not forgotten by one that has read its settings before.
func TestRestartKeepsALaterIntent(t *testing.T) {
	for name, test := range map[string]struct {
		call, after string
		own         bool // the change is of the same Client, at the same time
	}{
		"while the server starts":                       {"DescribeApp", "CreateApp", false},
		"while the server starts, of one Client":        {"DescribeApp", "CreateApp", true},
		"while the intent is taken back, of one Client": {"DeleteTags", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, slow())
				d := w.domain()
				w.profile(d.ID, "alice")
				w.imageOf("one", "one")
				var c *sagemakerdomain.Client
				var other sync.WaitGroup
				attach := func(c *sagemakerdomain.Client) {
					_, err := c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "one"})
					if err != nil {
						t.Error(err)
					}
				}
				c = w.meanwhile(before(test.call, test.after, func() {
					if !test.own {
						attach(w.client())
						return
					}
					other.Go(func() { attach(c) })
					time.Sleep(time.Minute)
				}))
				w.must(c.RestartServer(t.Context(), sagemakerdomain.RestartRequest{Domain: d.ID}))
				other.Wait()
				about, err := c.Describe(t.Context(), d.ID)
				w.must(err)
				if menu, err := w.cloud.RStudioMenu(d.ID, "alice"); err != nil || len(menu.Images) > 0 || !about.RestartDue {
					t.Errorf("users see %+v, %v, and the server is to be made again: %t", menu, err, about.RestartDue)
				}
				w.must(c.RestartServer(t.Context(), sagemakerdomain.RestartRequest{Domain: d.ID}))
				if about, err = c.Describe(t.Context(), d.ID); err != nil || about.RestartDue {
					t.Errorf("%v, and the server is still to be made again", err)
				}
			})
		})
	}
}

// The intent to make the server again is there when its settings change, also if another has
// made it again since, and taken all intents back.
func TestIntentIsThereBeforeTheChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		d := w.domain()
		restart := before("DeleteApp", "", func() { w.must(w.client().RestartServer(t.Context(), sagemakerdomain.RestartRequest{Domain: d.ID})) })
		look := before("UpdateDomain", "", func() {
			if about, err := w.client().Describe(t.Context(), d.ID); err != nil || !about.RestartDue {
				t.Errorf("%v, and a crash would leave the server as it is", err)
			}
		})
		_, err := w.meanwhile(func(call string, in any) { restart(call, in); look(call, in) }).
			UpdateDomain(t.Context(), sagemakerdomain.UpdateDomainRequest{Domain: d.ID, WorkbenchInstance: "ml.c5.4xlarge"})
		w.must(err)
	})
}

// What RestartServer refuses its preview refuses, and it tells of no other domain.
func TestPreviewRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		c, d := w.client(), w.domain()
		w.profile(d.ID, "alice")
		session := w.session(d.ID, "alice")
		found, err := c.PreviewRestart(t.Context(), d.ID)
		w.must(err)
		if text := fmt.Sprint(found); len(found) != 2 || !strings.Contains(text, session.Name) || !strings.Contains(text, "the server of RStudio") {
			t.Errorf("got %s", text)
		}
		off := w.raw(func(in *awssagemaker.CreateDomainInput) { bare(in); in.DomainName = aws.String("off") })
		for id, kind := range map[string]domain.Kind{"": domain.ErrInvalid, "d-none": domain.ErrNotFound, off: domain.ErrState} {
			found, err := c.PreviewRestart(t.Context(), id)
			w.is(err, kind)
			w.is(c.RestartServer(t.Context(), sagemakerdomain.RestartRequest{Domain: id}), kind)
			if len(found) > 0 {
				t.Errorf("of %q it tells %v", id, found)
			}
		}
	})
}
