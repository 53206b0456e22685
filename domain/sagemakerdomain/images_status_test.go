package sagemakerdomain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// imageCalls are what can be done with an image and its first version.
var imageCalls = [5]struct {
	name string
	call func(w *world, c *sagemakerdomain.Client, domainID string) error
}{
	{"RegisterImage", func(w *world, c *sagemakerdomain.Client, _ string) error {
		_, err := c.RegisterImage(w.Context(), sagemakerdomain.RegisterImageRequest{Name: "r-session", Role: userRole})
		return err
	}},
	{"AddVersion", func(w *world, c *sagemakerdomain.Client, _ string) error {
		_, err := c.AddVersion(w.Context(), sagemakerdomain.AddVersionRequest{Image: "r-session", Base: ecr + "r-session:1", Token: "first"})
		return err
	}},
	{"AttachImage", func(w *world, c *sagemakerdomain.Client, domainID string) error {
		_, err := c.AttachImage(w.Context(), sagemakerdomain.AttachRequest{Domain: domainID, Image: "r-session", Version: 1})
		return err
	}},
	{"DeleteVersion", func(w *world, c *sagemakerdomain.Client, _ string) error {
		return c.DeleteVersion(w.Context(), "r-session", 1)
	}},
	{"DeleteImage", func(w *world, c *sagemakerdomain.Client, _ string) error {
		return c.DeleteImage(w.Context(), "r-session")
	}},
}

// An imageState brings an image, or its first version, into a status.
type imageState struct {
	fault  fakeaws.Fault
	calls  []string // by the API itself
	moving bool     // the status passes by itself

	want [5]domain.Kind // what imageCalls come to
}

var imageStates = map[types.ImageStatus]imageState{
	types.ImageStatusCreating:     {calls: []string{"image"}, moving: true, want: [5]domain.Kind{ok, ok, domain.ErrNotFound, ok, ok}},
	types.ImageStatusCreated:      {calls: []string{"image", "version"}, want: [5]domain.Kind{ok, ok, ok, ok, ok}},
	types.ImageStatusCreateFailed: {fault: fakeaws.Fault{Action: "sagemaker:CreateImage", Nth: 1, Reason: late}, calls: []string{"image"}, want: [5]domain.Kind{domain.ErrState, domain.ErrState, domain.ErrNotFound, ok, ok}},
	types.ImageStatusUpdating:     {calls: []string{"image", "version", "update"}, moving: true, want: [5]domain.Kind{ok, ok, ok, ok, ok}},
	types.ImageStatusUpdateFailed: {fault: fakeaws.Fault{Action: "sagemaker:UpdateImage", Nth: 1, Reason: late}, calls: []string{"image", "version", "update"}, want: [5]domain.Kind{domain.ErrState, domain.ErrState, ok, ok, ok}},
	types.ImageStatusDeleting:     {calls: []string{"image", "version", "delete"}, moving: true, want: [5]domain.Kind{domain.ErrNotFound, domain.ErrNotFound, domain.ErrNotFound, ok, ok}},
	types.ImageStatusDeleteFailed: {fault: fakeaws.Fault{Action: "sagemaker:DeleteImage", Nth: 1, Reason: late}, calls: []string{"image", "version", "delete"}, want: [5]domain.Kind{domain.ErrState, domain.ErrState, ok, ok, ok}},
}

var versionStates = map[types.ImageVersionStatus]imageState{
	types.ImageVersionStatusCreating:     {calls: []string{"image", "version"}, moving: true, want: [5]domain.Kind{ok, ok, ok, ok, ok}},
	types.ImageVersionStatusCreated:      {calls: []string{"image", "version"}, want: [5]domain.Kind{ok, ok, ok, ok, ok}},
	types.ImageVersionStatusCreateFailed: {fault: fakeaws.Fault{Action: "sagemaker:CreateImageVersion", Nth: 1, Reason: late}, calls: []string{"image", "version"}, want: [5]domain.Kind{ok, domain.ErrState, domain.ErrState, ok, ok}},
	types.ImageVersionStatusDeleting:     {calls: []string{"image", "version", "delete version"}, moving: true, want: [5]domain.Kind{ok, domain.ErrNotFound, domain.ErrNotFound, ok, ok}},
	types.ImageVersionStatusDeleteFailed: {fault: fakeaws.Fault{Action: "sagemaker:DeleteImageVersion", Nth: 1, Reason: late}, calls: []string{"image", "version", "delete version"}, want: [5]domain.Kind{ok, domain.ErrState, domain.ErrState, ok, ok}},
}

// bringImage makes the calls of a state, and returns what the image and its version are in.
func (w *world) bringImage(s imageState) (types.ImageStatus, types.ImageVersionStatus) {
	w.Helper()
	name, base := "r-session", ecr+"r-session:1"
	_, err := w.cloud.PushImage(base, sessionImage)
	w.must(err)
	for _, call := range s.calls {
		switch call {
		case "image":
			_, err = w.sm.CreateImage(w.Context(), &awssagemaker.CreateImageInput{ImageName: &name, RoleArn: new(userRole)})
		case "version":
			_, err = w.sm.CreateImageVersion(w.Context(), &awssagemaker.CreateImageVersionInput{ImageName: &name, BaseImage: &base, ClientToken: new("first")})
		case "update":
			_, err = w.sm.UpdateImage(w.Context(), &awssagemaker.UpdateImageInput{ImageName: &name, DisplayName: new("R")})
		case "delete":
			_, err = w.sm.DeleteImage(w.Context(), &awssagemaker.DeleteImageInput{ImageName: &name})
		case "delete version":
			_, err = w.sm.DeleteImageVersion(w.Context(), &awssagemaker.DeleteImageVersionInput{ImageName: &name, Version: new(int32(1))})
		}
		w.must(err)
		if s.moving && call == s.calls[len(s.calls)-1] {
			time.Sleep(3 * time.Second)
		} else {
			time.Sleep(2 * time.Minute)
		}
	}
	image, err := w.sm.DescribeImage(w.Context(), &awssagemaker.DescribeImageInput{ImageName: &name})
	w.must(err)
	version, err := w.sm.DescribeImageVersion(w.Context(), &awssagemaker.DescribeImageVersionInput{ImageName: &name, Version: new(int32(1))})
	if err != nil {
		return image.ImageStatus, ""
	}
	return image.ImageStatus, version.ImageVersionStatus
}

// Every status that the SDK knows of images and of their versions, with every call. No call
// waits for what does not come.
func TestImageStatuses(t *testing.T) {
	run := func(kind, status string, s imageState, known bool, is func(types.ImageStatus, types.ImageVersionStatus) bool) {
		if !known {
			t.Errorf("SageMaker has the status %s of %ss: say what the calls do with it", status, kind)
			return
		}
		for i, c := range imageCalls {
			t.Run(fmt.Sprintf("%s %s/%s", kind, status, c.name), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					cfg := slow()
					if s.fault.Action != "" {
						cfg = slow(s.fault)
					}
					w := newWorld(t, cfg)
					id := w.domain().ID
					if image, version := w.bringImage(s); !is(image, version) {
						t.Fatalf("the image is %q, its version %q", image, version)
					}
					begun := time.Now()
					w.check(c.name, c.call(w, w.client(), id), s.want[i])
					if took := time.Since(begun); took > 5*time.Minute {
						t.Errorf("it took %v", took)
					}
				})
			})
		}
	}
	for _, status := range types.ImageStatus("").Values() {
		s, known := imageStates[status]
		run("image", string(status), s, known, func(image types.ImageStatus, _ types.ImageVersionStatus) bool { return image == status })
	}
	for _, status := range types.ImageVersionStatus("").Values() {
		s, known := versionStates[status]
		run("version", string(status), s, known, func(_ types.ImageStatus, version types.ImageVersionStatus) bool { return version == status })
	}
}

// An image that was made a moment ago, and does not show yet, is deleted all the same.
func TestDeleteImageAtOnce(t *testing.T) {
	for seed := range uint64(10) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Delays: fakeaws.Delays{Visible: 2 * time.Second}, Seed: seed})
			_, err := w.sm.CreateImage(t.Context(), &awssagemaker.CreateImageInput{ImageName: new("r-session"), RoleArn: new(userRole)})
			w.must(err)
			w.must(w.client().DeleteImage(t.Context(), "r-session"))
			time.Sleep(time.Minute)
			for what := range w.inventory() {
				if strings.Contains(what, ":image/") {
					t.Errorf("with seed %d there is still %s", seed, what)
				}
			}
		})
	}
}

// A deletion that has failed says why, also while reads are late, and the next is not taken for it.
func TestDeleteImageThatFailed(t *testing.T) {
	for _, action := range []string{"sagemaker:DeleteImage", "sagemaker:DeleteImageVersion"} {
		for seed := range uint64(20) {
			t.Run(fmt.Sprintf("%s %d", action, seed), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					cfg := slow(fakeaws.Fault{Action: action, Nth: 1, Reason: late})
					cfg.Delays.Visible, cfg.Seed = 4*time.Second, seed
					w := newWorld(t, cfg)
					w.rawImage("r-session")
					remove := func() error { return w.client().DeleteImage(t.Context(), "r-session") }
					what := "image r-session is Delete_Failed"
					if action == "sagemaker:DeleteImageVersion" {
						remove = func() error { return w.client().DeleteVersion(t.Context(), "r-session", 1) }
						what = "image version r-session/1 is Delete_Failed"
					}
					w.is(remove(), domain.ErrState, what, late, "delete it again")
					w.must(remove())
				})
			})
		}
	}
}

// Waits for images and versions tell of each look, and end after the time for them in words that
// say so.
func TestImageWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := slow()
		cfg.Delays.StudioImage = 30 * time.Second
		w := newWorld(t, cfg)
		_, err := w.cloud.PushImage(ecr+"r:1", sessionImage)
		w.must(err)
		told := map[string]int{}
		c, err := sagemakerdomain.NewFromConfig(w.cloud.Config(), sagemakerdomain.Config{Progress: func(p sagemakerdomain.Progress) { told[p.Step+" "+p.State]++ }})
		w.must(err)
		_, err = c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "r", Role: userRole})
		w.must(err)
		_, err = c.AddVersion(t.Context(), sagemakerdomain.AddVersionRequest{Image: "r", Base: ecr + "r:1"})
		w.must(err)
		hasty, err := sagemakerdomain.NewFromConfig(w.cloud.Config(), sagemakerdomain.Config{Timeouts: sagemakerdomain.Timeouts{Image: 10 * time.Second}})
		w.must(err)
		w.is(hasty.DeleteVersion(t.Context(), "r", 1), domain.ErrState, "image version r/1 is still Deleting", "call again to go on waiting")
		w.must(c.DeleteVersion(t.Context(), "r", 1))
		w.must(c.DeleteImage(t.Context(), "r"))
		for _, line := range []string{"image Pending", "image version Pending", "image version Deleting", "image Deleting"} {
			if told[line] < 3 {
				t.Errorf("%q is told %d times", line, told[line])
			}
		}
	})
}
