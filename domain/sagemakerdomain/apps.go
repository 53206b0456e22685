package sagemakerdomain

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/internal/refusal"
)

// AppType is what an app is, in the words of SageMaker's API.
type AppType string

// The types of apps.
const (
	RStudioServer  AppType = "RStudioServerPro" // one for each domain
	RStudioSession AppType = "RSessionGateway"
	JupyterLab     AppType = "JupyterLab"
	CodeEditor     AppType = "CodeEditor"
	StudioClassic  AppType = "JupyterServer"
	StudioKernel   AppType = "KernelGateway" // of notebooks in Studio Classic
	Canvas         AppType = "Canvas"
	TensorBoard    AppType = "TensorBoard"
	Profiler       AppType = "DetailedProfiler"
)

// appTypes are all that SageMaker has.
var appTypes = [...]AppType{RStudioServer, RStudioSession, JupyterLab, CodeEditor, StudioClassic, StudioKernel, Canvas, TensorBoard, Profiler}

func (t AppType) known() bool { return slices.Contains(appTypes[:], t) }

// String is what people call it: "RStudio session".
func (t AppType) String() string {
	switch t {
	case RStudioServer:
		return "RStudio server"
	case RStudioSession:
		return "RStudio session"
	case CodeEditor:
		return "Code Editor"
	case StudioClassic:
		return "Studio Classic"
	case StudioKernel:
		return "Studio Classic kernel"
	case Profiler:
		return "profiler"
	}
	return string(t)
}

// AppID names an app.
type AppID struct {
	Domain string
	// Profile or Space is whose it is: one of them. The server of RStudio is of the
	// profile "domain-shared", which is SageMaker's own.
	Profile, Space string
	Type           AppType
	Name           string
}

// String formats an id as "alice/RSessionGateway/name".
func (id AppID) String() string {
	owner := id.Profile
	if id.Space != "" {
		owner = "space " + id.Space
	}
	return owner + "/" + string(id.Type) + "/" + id.Name
}

// App is an app as SageMaker has it. There is nothing of when it was last used:
// SageMaker's LastUserActivityTimestamp is also updated when it performs health checks
// (API_DescribeApp), and so no evidence of idleness.
type App struct {
	AppID
	Status        Status
	FailureReason string
	// InstanceType is SageMaker's name of what it runs on ("ml.m5.large", "system"), EC2Type
	// that of EC2, empty where there is none or it is not known: "system" is documented as
	// ml.t3.medium for the server of RStudio ("RStudio on Amazon SageMaker AI", developer guide) and
	// for kernels (API_ResourceSpec), and not for Studio Classic.
	InstanceType, EC2Type string
	// Image and ImageVersion are the ARNs of the image it was started of and of its version.
	// Empty is SageMaker's own or, of a version beside an image, that SageMaker tells none.
	Image, ImageVersion string
	// Since is when it was created. One that is made again within 24 hours has the time of
	// the first (API_DescribeApp).
	Since time.Time
	// EC2Price is what EC2 asks for the type for an hour, on demand in this region, for
	// comparison: SageMaker's own price, which is higher, is in no catalog of
	// ours. Zero is that it is not known, as of Studio Classic, which runs on "system", or that the
	// app is Free: so is documented a server of RStudio on "system".
	EC2Price instancetype.Money
	Free     bool
}

// String formats an app as "alice/JupyterServer/default InService on system": what the id alone
// says, and what it is in.
func (a App) String() string {
	s := a.AppID.String() + " " + string(a.Status)
	if a.InstanceType != "" {
		s += " on " + a.InstanceType
	}
	return s
}

// AppFilter chooses apps. The zero value is all that are there.
type AppFilter struct {
	// Domain is one domain's. Empty is all of the account in the region.
	Domain string
	// Profile and Space are one owner's, one of the two at most.
	Profile, Space string
	// Deleted adds those that were shut down, which are listed for 24 hours.
	Deleted bool
}

// Apps lists apps, those that have failed too, in no order. A page is fetched when it is
// reached. It yields an error last.
func (c *Client) Apps(ctx context.Context, f AppFilter) iter.Seq2[App, error] {
	var wrong problems
	if f.Domain != "" {
		wrong.checkDomainID(f.Domain)
	}
	if f.Profile != "" && f.Space != "" {
		wrong.add(domain.ErrInvalid, "a profile and a space are given: want one of them")
	}
	return func(yield func(App, error) bool) {
		for a, err := range checked(wrong, c.listApps(ctx, f)) {
			if !yield(a, fail(ctx, "list apps", f.Domain, err)) || err != nil {
				return
			}
		}
	}
}

func (c *Client) listApps(ctx context.Context, f AppFilter) iter.Seq2[App, error] {
	return func(yield func(App, error) bool) {
		pages := awssagemaker.NewListAppsPaginator(c.aws.SageMaker, &awssagemaker.ListAppsInput{
			DomainIdEquals: optional(f.Domain), UserProfileNameEquals: optional(f.Profile), SpaceNameEquals: optional(f.Space), MaxResults: aws.Int32(pageSize),
		})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(App{}, err)
				return
			}
			for _, d := range out.Apps {
				a := c.app(AppID{aws.ToString(d.DomainId), aws.ToString(d.UserProfileName), aws.ToString(d.SpaceName), AppType(d.AppType), aws.ToString(d.AppName)},
					Status(d.Status), d.ResourceSpec, d.CreationTime)
				if a.Status == Deleted && !f.Deleted {
					continue
				}
				if !yield(a, nil) {
					return
				}
			}
		}
	}
}

func (c *Client) app(id AppID, s Status, spec *types.ResourceSpec, created *time.Time) App {
	a := App{AppID: id, Status: s, Since: aws.ToTime(created)}
	if spec == nil {
		return a
	}
	a.InstanceType, a.Image, a.ImageVersion = string(spec.InstanceType), aws.ToString(spec.SageMakerImageArn), aws.ToString(spec.SageMakerImageVersionArn)
	if a.Type == StudioClassic && a.InstanceType == serverSystem {
		return a
	}
	if name, ok := instancetype.FromSageMaker(a.InstanceType); ok {
		a.EC2Type = name
	}
	a.Free = a.Type == RStudioServer && a.InstanceType == serverSystem
	if p, ok := c.catalog.Price(a.InstanceType, c.region); ok && !a.Free {
		a.EC2Price = p.PerHour
	}
	return a
}

// App describes one app. One that was shut down is Deleted for 24 hours; one that is not there,
// or has been forgotten since, is [domain.ErrNotFound].
func (c *Client) App(ctx context.Context, id AppID) (App, error) {
	const op = "describe app"
	name := id.Domain + "/" + id.String()
	if err := id.problems().err(); err != nil {
		return App{}, fail(ctx, op, name, err)
	}
	out, err := c.describeApp(ctx, id)
	if err != nil {
		return App{}, fail(ctx, op, name, missing(err, "app "+id.String()+" in domain "+id.Domain, "check the id; Apps lists them"))
	}
	a := c.app(id, Status(out.Status), out.ResourceSpec, out.CreationTime)
	a.FailureReason = aws.ToString(out.FailureReason)
	return a, nil
}

func (c *Client) describeApp(ctx context.Context, id AppID) (*awssagemaker.DescribeAppOutput, error) {
	return c.aws.SageMaker.DescribeApp(ctx, &awssagemaker.DescribeAppInput{
		DomainId: &id.Domain, UserProfileName: optional(id.Profile), SpaceName: optional(id.Space), AppType: types.AppType(id.Type), AppName: &id.Name,
	})
}

func (c *Client) watchApp(id AppID) watch {
	return watch{domain: id.Domain, step: "app", resource: id.String(), limit: c.timeouts.App, look: func(ctx context.Context) (seen, error) {
		out, err := c.describeApp(ctx, id)
		if err != nil {
			return seen{}, err
		}
		return seen{status: Status(out.Status), reason: aws.ToString(out.FailureReason)}, nil
	}}
}

func (id AppID) problems() (wrong problems) {
	wrong.checkDomainID(id.Domain)
	wrong.checkName("app", id.Name)
	wrong.checkAppType(id.Type)
	if (id.Profile == "") == (id.Space == "") {
		wrong.add(domain.ErrInvalid, "app %s: want either a profile or a space", id.Name)
	}
	return wrong
}

func (p *problems) checkAppType(t AppType) {
	if !t.known() {
		p.add(domain.ErrInvalid, "app type %.40q: want one of the constants, such as %s", string(t), JupyterLab)
	}
}

// StartAppRequest says what app is to run.
type StartAppRequest struct {
	AppID
	// InstanceType is SageMaker's name of a type. Empty is that of the settings in force: the
	// space's, the profile's or the domain's.
	InstanceType string
}

// StartApp starts an app and returns when it is InService. It is idempotent by the id:
// one that runs, or begins to, is returned; on another type than is asked for, it is
// [domain.ErrConflict]. One that has failed, or was deleted, is made again. A quota that it
// would exceed is [domain.ErrQuota] before it is asked for, see [Client.CheckStart]; where
// neither the request nor the settings name a type it is SageMaker that chooses, and that
// checks.
//
// Sessions of RStudio are refused: its server alone starts them, when their user asks in
// the browser. So is the server, which [Client.RestartServer] starts. JupyterLab and
// Code Editor run in spaces.
func (c *Client) StartApp(ctx context.Context, q StartAppRequest) (App, error) {
	const op = "start app"
	name := q.Domain + "/" + q.String()
	wrong := q.problems()
	wrong.checkInstance("instance type", q.InstanceType)
	switch q.Type {
	case RStudioSession:
		wrong.add(domain.ErrInvalid, "sessions of RStudio are started by its server alone, when their user asks in the browser: give the user PresignedURL")
	case RStudioServer:
		wrong.add(domain.ErrInvalid, "the server of RStudio is started with the domain: RestartServer makes it again")
	case JupyterLab, CodeEditor:
		if q.Space == "" {
			wrong.add(domain.ErrInvalid, "%s runs in a space: name one, as Spaces lists them; people make them in Studio, and programs by CreateSpace of the SDK", q.Type)
		}
	}
	if q.Space != "" {
		wrong.checkName("space", q.Space)
	}
	if q.Profile != "" && q.Type != RStudioServer {
		wrong.checkProfileName(q.Profile)
	}
	if err := c.startApp(ctx, wrong, q); err != nil {
		return App{}, fail(ctx, op, name, err)
	}
	a, err := c.App(ctx, q.AppID)
	return a, fail(ctx, op, name, err)
}

func (c *Client) startApp(ctx context.Context, wrong problems, q StartAppRequest) error {
	d, known, err := c.checkedDomain(ctx, &wrong, q.Domain)
	if err == nil && known && len(wrong) > 0 {
		err = c.checkOwner(ctx, &wrong, q)
	}
	if err := wrong.or(err); err != nil {
		return err
	}
	runs, err := c.describeApp(ctx, q.AppID)
	if err != nil && refusal.Code(err) != notFound {
		return err
	}
	if err == nil && Status(runs.Status) == Deleting {
		if err := c.untilGone(ctx, c.watchApp(q.AppID), seen{}); err != nil {
			return err
		}
		runs = nil
	}
	if runs == nil || !Status(runs.Status).live() {
		instance, err := c.startsOn(ctx, q, d)
		if err == nil && instance != "" {
			err = wrong.looked(c.checkRoom(ctx, q.Type, instance)) // else SageMaker says it itself
		}
		if err == nil && len(wrong) > 0 {
			err = c.checkOwner(ctx, &wrong, q)
		}
		if err := wrong.or(err); err != nil {
			return err
		}
		if err := c.askForApp(ctx, q); err != nil {
			return err
		}
	}
	if err := c.untilAppServes(ctx, q.AppID); err != nil {
		return err
	}
	if q.InstanceType == "" {
		return nil
	}
	runs, err = c.describeApp(ctx, q.AppID)
	if err == nil && runs.ResourceSpec != nil && string(runs.ResourceSpec.InstanceType) != q.InstanceType {
		return refusal.New(domain.ErrConflict, "it runs on %s, not on %s: delete it first, unsaved work in it is lost", runs.ResourceSpec.InstanceType, q.InstanceType)
	}
	return err
}

// askForApp creates an app. That there is one is for its wait to judge.
func (c *Client) askForApp(ctx context.Context, q StartAppRequest) error {
	in := &awssagemaker.CreateAppInput{
		DomainId: &q.Domain, UserProfileName: optional(q.Profile), SpaceName: optional(q.Space), AppType: types.AppType(q.Type), AppName: &q.Name,
	}
	if q.InstanceType != "" {
		in.ResourceSpec = &types.ResourceSpec{InstanceType: types.AppInstanceType(q.InstanceType)}
	}
	_, err := c.aws.SageMaker.CreateApp(ctx, in)
	if refusal.Code(err) == inUse {
		return nil
	}
	if err == nil {
		c.log.InfoContext(ctx, "app created", "domain", q.Domain, "app", q.String())
	}
	if refusal.Code(err) != notFound {
		return err
	}
	var wrong problems
	_ = c.checkOwner(ctx, &wrong, q) // else SageMaker says what it misses, which may be an image
	return wrong.or(err)
}

// untilAppServes waits for an app that was just asked for. A failure of the life before
// may show for a while.
func (c *Client) untilAppServes(ctx context.Context, id AppID) error {
	pending := false
	return c.until(ctx, c.watchApp(id), func(s seen) (bool, error) {
		pending = pending || s.status == Pending
		switch {
		case s.status == InService:
			return true, nil
		case s.status == Failed && (pending || s.waited > staleWithin):
			return false, explain("app "+id.String(), s.status, s.reason)
		case (s.gone || s.status == Deleted) && s.waited > visibleWithin:
			return false, refusal.New(domain.ErrState, "app %s is gone: somebody else has deleted it", id)
		}
		return false, nil
	})
}

// staleWithin is for how long a failure is not believed that may be an old one.
const staleWithin = 10 * time.Second

// DeleteApp ends an app and returns when it is gone. Work in it that is not saved is lost.
// It is idempotent: an app that is not there, or has failed, which SageMaker neither deletes
// nor charges for, is no error. The server of RStudio is [Client.RestartServer]'s.
func (c *Client) DeleteApp(ctx context.Context, id AppID) error {
	const op = "delete app"
	name := id.Domain + "/" + id.String()
	wrong := id.problems()
	if id.Type == RStudioServer {
		wrong.add(domain.ErrInvalid, "the server of RStudio is made again by RestartServer, and ends with DeleteDomain")
	}
	err := wrong.err()
	if err == nil {
		err = c.deleteApp(ctx, id, false)
	}
	return fail(ctx, op, name, err)
}

// deleteApp tells an app to go, unless it was told, and waits until it has. One that is
// Pending is waited for if it cannot be deleted yet.
func (c *Client) deleteApp(ctx context.Context, id AppID, told bool) error {
	return c.until(ctx, c.watchApp(id), func(s seen) (_ bool, err error) {
		if s.gone || s.status == Deleted || s.status == Failed {
			return true, nil
		}
		if !told && s.status != Deleting {
			told, err = c.tellToGo(ctx, id, s.status)
		}
		return false, err
	})
}

// tellToGo tells an app to go that was seen in a status, and reports whether it does.
func (c *Client) tellToGo(ctx context.Context, id AppID, seen Status) (told bool, err error) {
	_, err = c.aws.SageMaker.DeleteApp(ctx, &awssagemaker.DeleteAppInput{
		DomainId: &id.Domain, UserProfileName: optional(id.Profile), SpaceName: optional(id.Space), AppType: types.AppType(id.Type), AppName: &id.Name,
	})
	switch {
	case err == nil:
		c.log.InfoContext(ctx, "app deleted", "domain", id.Domain, "app", id.String())
		return true, nil
	case refusal.Code(err) == notFound:
		return true, nil
	case seen == Pending && (kindOf(err) == domain.ErrState || kindOf(err) == domain.ErrInvalid):
		return false, nil
	}
	return false, err
}

// liveApps are the apps of a domain that keep it from being changed, those chosen.
func (c *Client) liveApps(ctx context.Context, f AppFilter, chosen func(App) bool) (found []App, err error) {
	for a, err := range c.listApps(ctx, f) {
		if err != nil {
			return nil, refusal.Step("the list of apps", err)
		}
		if a.Status.live() && (chosen == nil || chosen(a)) {
			found = append(found, a)
		}
	}
	return found, nil
}

// rounds is how often what began meanwhile is ended before it is given up.
const rounds = 5

// endApps ends the apps that are chosen, the server of RStudio last, since it cannot be
// deleted before its sessions ("Shut down and restart RStudio", developer guide), and
// returns when none is left. One that is begun meanwhile is ended too.
func (c *Client) endApps(ctx context.Context, f AppFilter, chosen func(App) bool) error {
	for range rounds {
		live, err := c.liveApps(ctx, f, chosen)
		if err != nil || len(live) == 0 {
			return err
		}
		for _, server := range []bool{false, true} {
			if err := c.deleteApps(ctx, slices.DeleteFunc(slices.Clone(live), func(a App) bool { return isServer(a) != server })); err != nil {
				return err
			}
		}
	}
	return refusal.New(domain.ErrState, "apps are started as fast as they are ended: have users stop, and call again")
}

// deleteApps tells all of some apps to go, and then waits until each has: they go at the
// same time.
func (c *Client) deleteApps(ctx context.Context, apps []App) (err error) {
	told := make([]bool, len(apps))
	for i, a := range apps {
		if told[i] = a.Status == Deleting; told[i] {
			continue
		}
		if told[i], err = c.tellToGo(ctx, a.AppID, a.Status); err != nil {
			return refusal.Step("app "+a.AppID.String(), err)
		}
	}
	for i, a := range apps {
		if err := c.deleteApp(ctx, a.AppID, told[i]); err != nil {
			return refusal.Step("app "+a.AppID.String(), err)
		}
	}
	return nil
}
