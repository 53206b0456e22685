package fakeaws

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

// rstudioMenu is what a server of RStudio took from the settings when it was made: it
// reads them once, so that changes reach users when the app was deleted and created again
// (developer guide, "RStudioServerPro instance type", and on images and addresses
// the pages beside it).
type rstudioMenu struct {
	connect, packages string
	byDefault         []menuVersion
	users             map[string][]menuVersion // of profiles that have a list of their own
}

// menuVersion is a version of an image, as of when the server was made: the latest,
// where the settings name none. That the server stays with it is what people find
// (aws/amazon-sagemaker-feedback issue 94).
type menuVersion struct {
	image   *studioImage
	version *imageVersion
}

func (c *Cloud) menuOf(d *studioDomain, at time.Time) *rstudioMenu {
	r := d.rstudio()
	m := &rstudioMenu{
		connect: aws.ToString(r.RStudioConnectUrl), packages: aws.ToString(r.RStudioPackageManagerUrl),
		byDefault: c.menuVersions(d.in.DefaultUserSettings, at), users: map[string][]menuVersion{},
	}
	for name, u := range d.users {
		if u.settings != nil && u.settings.RSessionAppSettings != nil && u.settings.RSessionAppSettings.CustomImages != nil {
			m.users[name] = c.menuVersions(u.settings, at)
		}
	}
	return m
}

func (c *Cloud) menuVersions(s *types.UserSettings, at time.Time) (list []menuVersion) {
	if s.RSessionAppSettings == nil {
		return nil
	}
	for _, i := range s.RSessionAppSettings.CustomImages {
		image := c.studio.images[lower(i.ImageName)]
		if image == nil {
			continue
		}
		var v *imageVersion
		if i.ImageVersionNumber != nil {
			v = image.version(int(*i.ImageVersionNumber))
		} else {
			v = image.latest(at, present)
		}
		if v != nil {
			list = append(list, menuVersion{image, v})
		}
	}
	return list
}

// serverOf is the server of RStudio that a domain is to have.
func (c *Cloud) serverOf(d *studioDomain) (*studioApp, error) {
	a := &studioApp{user: sharedUser, kind: types.AppTypeRStudioServerPro, name: "default", tags: map[string]string{}}
	var err error
	a.spec, err = c.specOf(d, a, nil, nil)
	return a, err
}

// whyNoServer says why the server of a domain that RStudio is turned on in would not start,
// and with it the domain; empty is that it does. The developer guide has it of the licence
// ("RStudio license"); that it goes for a quota is an assumption.
func (c *Cloud) whyNoServer(d *studioDomain, at time.Time) string {
	if reason := c.unlicensed(); reason != "" {
		return reason
	}
	a, err := c.serverOf(d)
	if err == nil {
		err = c.roomForApp(a.kind, a.spec.InstanceType, at)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// startServer makes the server of a domain that nothing keeps from having it. It is there
// when the domain is.
func (c *Cloud) startServer(d *studioDomain, at call, by time.Time) {
	a, err := c.serverOf(d)
	if err != nil || c.startApp(d, a, nil, at) != nil {
		return
	}
	if by.Before(a.ready) {
		a.ready = by
	}
}

// server returns the server of RStudio that serves now.
func (d *studioDomain) server(now time.Time) *studioApp {
	wanted := studioApp{user: sharedUser, kind: types.AppTypeRStudioServerPro, name: "default"}
	if a := d.apps[wanted.key()]; a != nil && a.status(now) == types.AppStatusInService {
		return a
	}
	return nil
}

// RStudioMenu is what RStudio's own page offers a user of a domain.
type RStudioMenu struct {
	// Images are the custom images that can be chosen, "name:version" by the image's
	// name in SageMaker, sorted. AWS's own image is always there beside them.
	Images []string
	// ConnectURL and PackageManagerURL are the addresses that sessions know.
	ConnectURL, PackageManagerURL string
	// InstanceType is what the server runs on.
	InstanceType string
	// Admin is whether the user sees the administrators' dashboard.
	Admin bool
}

// RStudioMenu opens RStudio of a domain in the name of a user profile, as a browser
// does with a presigned URL, and tells what it shows. Changed settings show once the app
// RStudioServerPro was deleted and made again, an image [Delays.RStudioImage] after its
// version was created. Errors are a [smithy.APIError] where SageMaker refuses.
//
// [smithy.APIError]: https://pkg.go.dev/github.com/aws/smithy-go#APIError
func (c *Cloud) RStudioMenu(domain, userProfile string) (RStudioMenu, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	d, server, u, err := c.openRStudio(domain, userProfile, now)
	if err != nil {
		return RStudioMenu{}, fmt.Errorf("fakeaws: open RStudio: %w", err)
	}
	_, group := d.rstudioAccess(u)
	m := RStudioMenu{
		ConnectURL: server.menu.connect, PackageManagerURL: server.menu.packages, InstanceType: string(server.spec.InstanceType),
		Admin: group == types.RStudioServerProUserGroupAdmin,
	}
	for _, v := range c.offered(server, u, now) {
		m.Images = append(m.Images, v.name())
	}
	slices.Sort(m.Images)
	return m, nil
}

func (v menuVersion) name() string { return fmt.Sprintf("%s:%d", v.image.name, v.version.number) }

// offered lists the versions that a user can choose now.
func (c *Cloud) offered(server *studioApp, u *studioUser, now time.Time) (list []menuVersion) {
	all, own := server.menu.users[lower(&u.name)]
	if !own {
		all = server.menu.byDefault
	}
	for _, v := range all {
		if !now.Before(v.version.create.over.Add(c.delays.RStudioImage)) {
			list = append(list, v)
		}
	}
	return list
}

// openRStudio finds the server and the user of a browser.
func (c *Cloud) openRStudio(domain, userProfile string, now time.Time) (*studioDomain, *studioApp, *studioUser, error) {
	d, err := c.servingDomain(&domain, now)
	var u *studioUser
	if err == nil {
		u, err = d.user(&userProfile, now)
	}
	if err != nil {
		return nil, nil, nil, refusal(err)
	}
	server := d.server(now)
	access, _ := d.rstudioAccess(u)
	switch {
	case server == nil:
		return nil, nil, nil, fmt.Errorf("the app RStudioServerPro of %s is not InService", d.id)
	case access != types.RStudioServerProAccessStatusEnabled:
		return nil, nil, nil, fmt.Errorf("%s is not authorized to use RStudio", u.name)
	}
	return d, server, u, nil
}

// refusal is a service's refusal as a caller in Go gets it.
func refusal(err error) error {
	if r, ok := errors.AsType[*answerError](err); ok {
		return r.err
	}
	return err
}

// An RSession is a session to start in RStudio's own page. The zero value is one of
// AWS's own image on the instance type that the domain has as its default, or
// ml.t3.medium.
type RSession struct {
	// InstanceType is what it runs on ("ml.m5.large").
	InstanceType string
	// Image is the custom image, as [RStudioMenu] lists it ("name:version").
	Image string
}

// StartRSession starts a session in RStudio of a domain in the name of a user profile
// and returns the name of its app, of the type RSessionGateway. The API has no call
// for it: RStudio's server makes the app. Its quota is that of the type it runs on; the
// error is then a ResourceLimitExceeded. The app can be described, listed and
// deleted by the API.
func (c *Cloud) StartRSession(domain, userProfile string, s RSession) (app string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.arrive("rstudio:StartSession", userProfile)
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("fakeaws: start a session of RStudio: %w", refusal(err))
	}
	d, server, u, err := c.openRStudio(domain, userProfile, at.At)
	if err != nil {
		return fail(err)
	}
	asked := &types.ResourceSpec{InstanceType: types.AppInstanceType(s.InstanceType)}
	if s.Image != "" {
		list := c.offered(server, u, at.At)
		i := slices.IndexFunc(list, func(v menuVersion) bool { return v.name() == s.Image })
		if i < 0 {
			return fail(fmt.Errorf("RStudio does not offer the image %q", s.Image))
		}
		asked.SageMakerImageArn = aws.String(c.imageARN(list[i].image))
		asked.SageMakerImageVersionArn = aws.String(c.versionARN(list[i].image, list[i].version))
		if !list[i].version.seen(at.At) || !c.inECR(list[i].version.in.BaseImage) {
			// aws/amazon-sagemaker-feedback issue 134: the session does not start.
			at.failure = "Image version " + *asked.SageMakerImageVersionArn + " does not exist or cannot be pulled"
		}
	}
	a := &studioApp{
		user: u.name, kind: types.AppTypeRSessionGateway, name: fmt.Sprintf("rsession-%016x", at.id), tags: map[string]string{},
	}
	if a.spec, err = c.specOf(d, a, u, asked); err != nil {
		return fail(err)
	}
	if err := c.startApp(d, a, u, at); err != nil {
		return fail(err)
	}
	return a.name, nil
}

// An App names an app of a domain, as the API does.
type App struct {
	Domain string
	// UserProfile or Space is whose it is: one of them.
	UserProfile, Space string
	// Type is the type of the app ("JupyterLab"), Name its name.
	Type, Name string
}

// AppFiles returns the home directory that an app sees which is InService, acted on as
// the app does: by the user id of the profile, or of the space where that is shared,
// through its access point. It is the same directory that hosts of the account see below the
// root of the domain's file system by that number; the first look creates it. Apps
// of the types JupyterServer, KernelGateway and RSessionGateway have it as their
// home, JupyterLab and CodeEditor of a user as "user-default-efs" in theirs, which is
// a volume that is not modelled (developer guide, "Amazon EFS auto-mounting in Studio").
//
// An error can be one of the mount, which does not fail the app: "the application is still
// created" (the same page).
func (c *Cloud) AppFiles(app App) (*fakelauncher.Dir, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	dir, err := c.appFiles(app, now)
	if err != nil {
		return nil, fmt.Errorf("fakeaws: files of app %s: %w", path.Join(app.Domain, app.UserProfile+app.Space, app.Type, app.Name), refusal(err))
	}
	return dir, nil
}

func (c *Cloud) appFiles(app App, now time.Time) (*fakelauncher.Dir, error) {
	d, a, err := c.app(&app.Domain, optional(app.UserProfile), optional(app.Space), types.AppType(app.Type), &app.Name, now)
	if err != nil {
		return nil, err
	}
	if s := a.status(now); s != types.AppStatusInService {
		return nil, fmt.Errorf("the app is %s", s)
	}
	var uid int
	if a.space == "" {
		u, err := d.user(&a.user, now)
		if err != nil {
			return nil, err
		}
		uid = u.uid
	} else {
		s, err := d.space(&a.space, now)
		if err != nil {
			return nil, err
		}
		uid = s.uid
		if owner := d.users[lower(aws.String(s.owner()))]; s.private() && owner != nil {
			uid = owner.uid
		}
	}
	p := c.homePoint(d, uid, now)
	if p == nil {
		return nil, fmt.Errorf("there is no access point for /%d in %q", uid, d.fileSystem)
	}
	return c.mountEFS(a.eni.zone, a.eni.groups, launcher.Mount{Source: "/efs/" + d.fileSystem + "." + p.id})
}
