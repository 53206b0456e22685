package sagemakerdomain_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

func TestAttachImage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		w.profile(d.ID, "alice")
		v := w.imageOf("r-session", "2025.05.1-513.pro3")
		if v.Number != 1 || v.Status != "CREATED" || !strings.Contains(v.Container, "@sha256:") {
			t.Errorf("got %+v", v)
		}
		q := sagemakerdomain.AttachRequest{Domain: d.ID, Image: "r-session", ServerVersion: "2025.05.1+513.pro3"}
		a, err := c.AttachImage(t.Context(), q)
		w.must(err)
		if a.Version != 1 || a.Config != "r-session" || !a.RestartDue || a.Least != 15*time.Minute || a.Most != 30*time.Minute || a.Size < 1<<30 {
			t.Errorf("got %+v", a)
		}
		if text := strings.Join(a.Unchecked, "\n"); !strings.Contains(text, "unpacked size") || !strings.Contains(text, "session binaries") || strings.Contains(text, "no call tells") {
			t.Errorf("unchecked is %q", a.Unchecked)
		}
		// Users do not see it before the server was made again, and then not at once.
		offered := func() []string {
			menu, err := w.cloud.RStudioMenu(d.ID, "alice")
			w.must(err)
			return menu.Images
		}
		time.Sleep(time.Hour)
		if got := offered(); len(got) != 0 {
			t.Errorf("offers %v", got)
		}
		again, err := c.AttachImage(t.Context(), q)
		w.must(err)
		if !again.RestartDue {
			t.Error("that the server is to be made again is forgotten")
		}
		about, err := c.Describe(t.Context(), d.ID)
		w.must(err)
		if !about.RestartDue || len(about.Images) != 1 {
			t.Errorf("got %+v", about)
		}
		w.must(c.RestartServer(t.Context(), sagemakerdomain.RestartRequest{Domain: d.ID}))
		time.Sleep(time.Hour)
		if got := offered(); !slices.Equal(got, []string{"r-session:1"}) {
			t.Errorf("offers %v", got)
		}
		none, err := c.AttachImage(t.Context(), q)
		w.must(err)
		if none.Visibility != (sagemakerdomain.Visibility{}) {
			t.Errorf("nothing has changed, and %+v", none.Visibility)
		}
	})
}

// "the list sent replaces the old one": what is there stays, and so does the default type.
func TestTrapImageListIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c := w.client()
		q := w.request()
		q.SessionInstance = "ml.m5.large"
		d, err := c.CreateDomain(t.Context(), q)
		w.must(err)
		names := []string{"one", "two", "three"}
		var all sync.WaitGroup
		for _, name := range names {
			w.imageOf(name, name)
		}
		for _, name := range names { // at the same time: calls of a Client take turns
			all.Go(func() {
				if _, err := c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: name}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		attached := func() (list []string) {
			time.Sleep(time.Minute)
			about, err := c.Describe(t.Context(), d.ID)
			w.must(err)
			for _, i := range about.Images {
				list = append(list, fmt.Sprintf("%s:%d", i.Image, i.Version))
			}
			slices.Sort(list)
			if about.SessionInstance != "ml.m5.large" {
				t.Errorf("sessions run on %q", about.SessionInstance)
			}
			return list
		}
		if got := attached(); !slices.Equal(got, []string{"one:1", "three:1", "two:1"}) {
			t.Errorf("attached are %v", got)
		}
		_, err = c.UpdateDomain(t.Context(), sagemakerdomain.UpdateDomainRequest{Domain: d.ID, SessionInstance: "ml.m5.large", ExecutionRole: serverRole})
		w.must(err)
		for _, name := range names {
			_, err := c.DetachImage(t.Context(), sagemakerdomain.DetachRequest{Domain: d.ID, Image: strings.ToUpper(name)})
			w.must(err)
		}
		if got := attached(); len(got) != 0 {
			t.Errorf("attached are %v", got)
		}
	})
}

// A change of somebody else's while the update is under way is noticed.
func TestTrapConcurrentList(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		w.imageOf("one", "one")
		w.imageOf("two", "two")
		done := make(chan error)
		go func() {
			_, err := c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "one"})
			done <- err
		}()
		w.settle(func() bool { return w.calls("sagemaker:UpdateDomain") > 0 })
		w.settle(func() bool { // as soon as SageMaker takes it
			_, err := w.sm.UpdateDomain(t.Context(), &awssagemaker.UpdateDomainInput{DomainId: &d.ID, DefaultUserSettings: &types.UserSettings{
				RSessionAppSettings: &types.RSessionAppSettings{CustomImages: []types.CustomImage{}},
			}})
			return err == nil
		})
		err := <-done
		w.is(err, domain.ErrConflict, "somebody else has changed the list")
	})
}

// Without a number a server stays with what was the latest when it was made.
func TestTrapLatestVersion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		w.imageOf("r-session", "one")
		if v := w.imageOf("r-session", "two"); v.Number != 2 {
			t.Errorf("got %+v", v)
		}
		if v := w.imageOf("r-session", "two"); v.Number != 2 {
			t.Errorf("the same again is %+v", v)
		}
		time.Sleep(time.Minute)
		a, err := c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "r-session"})
		w.must(err)
		if a.Version != 2 {
			t.Errorf("attached %+v", a)
		}
		a, err = c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "r-session", Version: 1})
		w.must(err)
		time.Sleep(time.Minute)
		about, err := c.Describe(t.Context(), d.ID)
		w.must(err)
		if len(about.Images) != 1 || about.Images[0].Version != 1 || a.Version != 1 {
			t.Errorf("attached are %+v", about.Images)
		}
		var numbers []int32
		for v, err := range c.Versions(t.Context(), "r-session") {
			w.must(err)
			numbers = append(numbers, v.Number)
		}
		if !slices.Equal(numbers, []int32{2, 1}) {
			t.Errorf("versions are %v", numbers)
		}
	})
}

// What cannot be a version of an image is said before SageMaker is asked.
func TestTrapImagesOfElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		c := w.client()
		_, err := c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "r-session", Role: userRole})
		w.must(err)
		for reference, image := range map[string]fakeaws.Image{
			ecr + "large:1": {Size: sagemakerdomain.MaxImageSize + 1}, ecr + "arm:1": {Platforms: []string{"linux/arm64"}},
		} {
			_, err := w.cloud.PushImage(reference, image)
			w.must(err)
		}
		for base, c := range map[string]struct {
			kind domain.Kind
			word string
		}{
			"rocker/rstudio:4.5": {domain.ErrInvalid, "of Amazon ECR alone"},
			strings.Replace(ecr, "us-east-1", "eu-west-1", 1) + "r:1": {domain.ErrInvalid, "lies in eu-west-1"},
			ecr + "none:1":  {domain.ErrNotFound, "none:1"},
			ecr + "large:1": {domain.ErrInvalid, "at most 25000000000"},
			ecr + "arm:1":   {domain.ErrInvalid, "x86_64"},
		} {
			_, err := w.client().AddVersion(t.Context(), sagemakerdomain.AddVersionRequest{Image: "r-session", Base: base})
			w.is(err, c.kind, c.word)
		}
		if n := w.calls("sagemaker:CreateImageVersion"); n != 0 {
			t.Errorf("SageMaker was asked %d times", n)
		}
		_, err = c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "r-session", Role: serverRole})
		w.is(err, domain.ErrConflict, userRole)
		_, err = c.AddVersion(t.Context(), sagemakerdomain.AddVersionRequest{Image: "r_session", Base: ecr + "none:1", Token: "with space", Processor: "TPU"})
		w.is(err, domain.ErrInvalid, "image \"r_session\"", "token", "processor")
	})
}

// The session components have to be the server's version, and versions are numbers.
func TestTrapSessionVersion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		w.imageOf("r-session", "ubuntu2204-2023.9.1-494.pro2")
		for server, word := range map[string]string{"2023.12.0+369.pro3": "older than the server's", "2023.03.2-454.pro2": "newer than the server's", "v1": "want YYYY.MM.P+NNN.proN"} {
			_, err := c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "r-session", ServerVersion: server})
			w.is(err, domain.ErrInvalid, word)
		}
		a, err := c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "r-session"})
		w.must(err)
		if !strings.Contains(strings.Join(a.Unchecked, "\n"), "the session components, 2023.09.1+494.pro2, against the server, whose version no call tells") {
			t.Errorf("unchecked is %q", a.Unchecked)
		}
	})
}

// An image that is deleted while settings name it starts no session any more.
func TestTrapRemovedImageStillReferenced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		w.profile(d.ID, "alice")
		w.imageOf("r-session", "one")
		w.imageOf("r-session", "two")
		time.Sleep(time.Minute)
		_, err := c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "r-session", Version: 1, Restart: true})
		w.must(err)
		time.Sleep(time.Hour)
		app, err := w.cloud.StartRSession(d.ID, "alice", fakeaws.RSession{Image: "r-session:1"})
		w.must(err)
		time.Sleep(3 * time.Minute)
		var uses []string
		for u, err := range c.ImageUses(t.Context(), "R-Session", 1) {
			w.must(err)
			uses = append(uses, u.String())
		}
		if !slices.Equal(uses, []string{d.ID + " as default", d.ID + "/alice/RSessionGateway/" + app}) {
			t.Errorf("used by %q", uses)
		}
		w.is(c.DeleteVersion(t.Context(), "r-session", 1), domain.ErrState, "still used by "+d.ID+" as default")
		w.is(c.DeleteImage(t.Context(), "r-session"), domain.ErrState, "still used by")
		w.must(c.DeleteVersion(t.Context(), "r-session", 2))
		w.must(c.DeleteVersion(t.Context(), "r-session", 2))
		_, err = c.DetachImage(t.Context(), sagemakerdomain.DetachRequest{Domain: d.ID, Image: "r-session", Restart: true})
		w.is(err, domain.ErrState, app, "allow them to be ended, by EndSessions")
		v, err := c.DetachImage(t.Context(), sagemakerdomain.DetachRequest{Domain: d.ID, Image: "r-session", Restart: true, EndSessions: true})
		w.must(err)
		if v.RestartDue {
			t.Errorf("got %+v", v)
		}
		time.Sleep(time.Minute)
		w.must(c.DeleteImage(t.Context(), "r-session"))
		w.must(c.DeleteImage(t.Context(), "r-session"))
	})
}

func TestTrapTwoHundredImages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		w.imageOf("r-session", "one")
		w.imageOf("other", "other")
		_, err := c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "other"})
		w.must(err)
		var list []types.CustomImage
		for range 200 {
			list = append(list, types.CustomImage{ImageName: new("other"), AppImageConfigName: new("other"), ImageVersionNumber: new(int32(1))})
		}
		_, err = w.sm.UpdateDomain(t.Context(), &awssagemaker.UpdateDomainInput{DomainId: &d.ID, DefaultUserSettings: &types.UserSettings{RSessionAppSettings: &types.RSessionAppSettings{CustomImages: list}}})
		w.must(err)
		w.still(d.ID)
		_, err = c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "r-session"})
		w.is(err, domain.ErrQuota, "offers 200 custom images")
	})
}

// Images and versions have statuses of their own, whose failures are explained too.
func TestImageFailuresAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		fault fakeaws.Fault
		words []string
	}{
		"image":   {fakeaws.Fault{Action: "sagemaker:CreateImage", Reason: "AccessDenied: the role is none"}, []string{"image r-session is Failed", "the role is none", "delete it and create it again"}},
		"version": {fakeaws.Fault{Action: "sagemaker:CreateImageVersion", Reason: "the layers are broken"}, []string{"image version r-session/1 is Failed", "the layers are broken", "another Token"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, slow(c.fault))
				_, err := w.cloud.PushImage(ecr+"r:1", fakeaws.Image{})
				w.must(err)
				_, err = w.client().RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "r-session", Role: userRole})
				if name == "version" {
					w.must(err)
					_, err = w.client().AddVersion(t.Context(), sagemakerdomain.AddVersionRequest{Image: "r-session", Base: ecr + "r:1"})
				}
				kind := domain.ErrState
				if name == "image" {
					kind = domain.ErrDenied
				}
				w.is(err, kind, c.words...)
			})
		})
	}
}

// What the configuration of a container image says is read before it is attached, and what it
// lacks is said all at once.
func TestTrapImageConfiguration(t *testing.T) {
	const server = "2025.05.1+513.pro3"
	connect, packages := sessionImage.Env[0], sessionImage.Env[1]
	for name, test := range map[string]struct {
		image     fakeaws.Image
		tag       string
		server    string
		wrong     []string // words of the refusal; none is that it is attached
		unchecked string
	}{
		"no variables":  {fakeaws.Image{}, "1", "", []string{"gives RSTUDIO_CONNECT_URL no value", "gives RSTUDIO_PACKAGE_MANAGER_URL no value", "ENV RSTUDIO_CONNECT_URL=..."}, ""},
		"an empty one":  {fakeaws.Image{Env: []string{connect, "RSTUDIO_PACKAGE_MANAGER_URL="}}, "1", "", []string{"gives RSTUDIO_PACKAGE_MANAGER_URL no value"}, ""},
		"of two":        {fakeaws.Image{Env: sessionImage.Env, Platforms: []string{"linux/arm64", "linux/amd64"}}, "1", server, nil, "neither the tag nor the configuration"},
		"older":         {fakeaws.Image{Env: sessionImage.Env, History: []string{"FROM x", "ARG RSW_VERSION=2023.09.1+494.pro2"}}, "1", server, []string{"2023.09.1+494.pro2, older than the server's"}, ""},
		"both":          {fakeaws.Image{Env: []string{packages}, History: []string{"ARG RSW_VERSION=2023.09.1+494.pro2"}}, "1", server, []string{"RSTUDIO_CONNECT_URL", "older than the server's"}, ""},
		"the last":      {fakeaws.Image{Env: sessionImage.Env, History: []string{"ARG RSW_VERSION=2023.09.1+494.pro2", `ARG RSW_VERSION="` + server + `"`, "RUN |1 RSW_VERSION=" + server + " /bin/sh -c true"}}, "1", server, nil, "session binaries"},
		"tag first":     {fakeaws.Image{Env: sessionImage.Env, History: []string{"ARG RSW_VERSION=2023.09.1+494.pro2"}}, "2025.05.1-513.pro3", server, nil, "session binaries"},
		"not a version": {fakeaws.Image{Env: sessionImage.Env, History: []string{"ARG RSW_VERSION=${X}"}}, "1", server, nil, "neither the tag nor the configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, fakeaws.Config{})
				c, d := w.client(), w.domain()
				_, err := w.cloud.PushImage(ecr+"r:"+test.tag, test.image)
				w.must(err)
				_, err = c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "r", Role: userRole})
				w.must(err)
				_, err = c.AddVersion(t.Context(), sagemakerdomain.AddVersionRequest{Image: "r", Base: ecr + "r:" + test.tag})
				w.must(err)
				a, err := c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "r", ServerVersion: test.server})
				if test.wrong != nil {
					w.is(err, domain.ErrInvalid, test.wrong...)
					if n := w.calls("sagemaker:UpdateDomain"); n != 0 {
						t.Errorf("the domain was changed %d times", n)
					}
					return
				}
				w.must(err)
				text := strings.Join(a.Unchecked, "\n")
				if !strings.Contains(text, test.unchecked) || !strings.Contains(text, "session binaries") || strings.Contains(text, "entry point") {
					t.Errorf("unchecked is %q", a.Unchecked)
				}
				if test.unchecked == "session binaries" && strings.Contains(text, "session components") {
					t.Errorf("the version was compared, and unchecked is %q", a.Unchecked)
				}
			})
		})
	}
}

// Who may not read the registry is told what was not checked.
func TestTrapImageConfigurationDenied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Deny: []string{"ecr:GetDownloadUrlForLayer"}})
		c, d := w.client(), w.domain()
		_, err := w.cloud.PushImage(ecr+"r-session:1", fakeaws.Image{Platforms: []string{"linux/arm64", "linux/amd64"}}) // of two, whose size the index tells
		w.must(err)
		_, err = c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "r", Role: userRole})
		w.must(err)
		_, err = c.AddVersion(t.Context(), sagemakerdomain.AddVersionRequest{Image: "r", Base: ecr + "r-session:1"})
		w.must(err)
		a, err := c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "r"})
		w.must(err)
		if text := strings.Join(a.Unchecked, "\n"); !strings.Contains(text, "RSTUDIO_CONNECT_URL and RSTUDIO_PACKAGE_MANAGER_URL in the image: ") {
			t.Errorf("unchecked is %q", a.Unchecked)
		}
	})
}

// A version is the image that its tag named when it was made: where the tag points now says
// nothing of it.
func TestTrapMovedTag(t *testing.T) {
	for name, images := range map[string][2]fakeaws.Image{
		"from good to bad":       {sessionImage, {}},
		"from good to too large": {sessionImage, {Env: sessionImage.Env, Size: 1 << 40}},
		"from bad to good":       {{}, sessionImage},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, fakeaws.Config{})
				c, d := w.client(), w.domain()
				_, err := w.cloud.PushImage(ecr+"r:1", images[0])
				w.must(err)
				_, err = c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "r", Role: userRole})
				w.must(err)
				_, err = c.AddVersion(t.Context(), sagemakerdomain.AddVersionRequest{Image: "r", Base: ecr + "r:1"})
				w.must(err)
				_, err = w.cloud.PushImage(ecr+"r:1", images[1])
				w.must(err)
				_, err = c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "r"})
				if strings.HasPrefix(name, "from good") {
					w.must(err)
				} else {
					w.is(err, domain.ErrInvalid, "gives RSTUDIO_CONNECT_URL no value")
				}
			})
		})
	}
}
