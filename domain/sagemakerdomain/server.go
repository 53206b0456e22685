package sagemakerdomain

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// serverOf names the server of RStudio of a domain.
func serverOf(id string) AppID {
	return AppID{Domain: id, Profile: sharedProfile, Type: RStudioServer, Name: "default"}
}

func isServer(a App) bool  { return a.Type == RStudioServer }
func isRStudio(a App) bool { return a.Type == RStudioServer || a.Type == RStudioSession }

// RestartRequest says what [Client.RestartServer] may end.
type RestartRequest struct {
	// Domain is the domain's id.
	Domain string
	// EndSessions lets sessions of RStudio be ended, whose work that is not saved is lost.
	// False is that the call is refused with [domain.ErrState] while there are any.
	EndSessions bool
}

// RestartServer deletes the server of RStudio of a domain and makes it again, by which
// users see changed images, addresses and types of instances ("Shut down and restart
// RStudio", developer guide). It returns when it is InService, some minutes later; until
// then nobody reaches RStudio. It can be called as often as one likes, and after any
// failure: a server that is not there is started. A domain without RStudio is
// [domain.ErrState]. What somebody changes while it runs, and the server may not have read,
// leaves [Description.RestartDue].
func (c *Client) RestartServer(ctx context.Context, q RestartRequest) error {
	return fail(ctx, "restart server", q.Domain, c.restartServer(ctx, q))
}

func (c *Client) restartServer(ctx context.Context, q RestartRequest) error {
	d, err := c.withRStudio(ctx, q.Domain)
	if err != nil {
		return err
	}
	if err := c.mayEnd(ctx, d.ID, q.EndSessions, "EndSessions", isRStudio); err != nil {
		return err
	}
	intent, err := c.intendRestart(ctx, d)
	if err != nil {
		return err
	}
	if err := c.endNeeded(ctx, d.ID, q.EndSessions, isRStudio); err != nil {
		return err
	}
	return c.startServer(ctx, d, intent)
}

// withRStudio is a domain once nothing is under way of it, and refuses one without RStudio.
func (c *Client) withRStudio(ctx context.Context, id string) (Description, error) {
	var wrong problems
	wrong.checkDomainID(id)
	if err := wrong.err(); err != nil {
		return Description{}, err
	}
	d, err := c.still(ctx, id)
	if err == nil && d.RStudio == nil {
		err = refusal.New(domain.ErrState, "RStudio is off in domain %s: enable it by UpdateDomain", d.ID)
	}
	return d, err
}

// PreviewRestart returns what [Client.RestartServer] would end now. A domain that
// RestartServer refuses is refused. It changes nothing.
func (c *Client) PreviewRestart(ctx context.Context, domainID string) ([]domain.Consequence, error) {
	found, err := c.previewRestart(ctx, domainID)
	return found, fail(ctx, "preview restart", domainID, err)
}

func (c *Client) previewRestart(ctx context.Context, domainID string) ([]domain.Consequence, error) {
	d, err := c.withRStudio(ctx, domainID)
	if err != nil {
		return nil, err
	}
	live, err := c.liveApps(ctx, AppFilter{Domain: d.ID}, isRStudio)
	return endings(live, untilRestart), err
}

// ThingApp and its like are what a domain of SageMaker's consists of, beside the things
// of package domain.
const (
	ThingApp       domain.Thing = "app"               // by its id
	ThingProfile   domain.Thing = "user profile"      // by name
	ThingSpace     domain.Thing = "space"             // by name
	ThingSubnet    domain.Thing = "subnet"            // by EC2's id, of several by all of them
	ThingInterface domain.Thing = "network interface" // by EC2's id
)

// untilRestart is what becomes of a server of RStudio that is made again.
const untilRestart = "nobody reaches it until it is made again"

// endings tells of apps that would end, and of the server of RStudio what becomes of it then.
func endings(live []App, server string) (found []domain.Consequence) {
	for _, a := range live {
		detail := fmt.Sprintf("%s on %s, %s: work that is not saved is lost", a.Type, a.InstanceType, a.Status)
		if isServer(a) {
			detail = "the server of RStudio: " + server
		}
		found = append(found, domain.Consequence{Fate: domain.Ends, Thing: ThingApp, Name: a.AppID.String(), Detail: detail})
	}
	return found
}

// mayEnd refuses to end apps, other than the server of RStudio, that nobody has allowed to
// be ended; by is the member of the request that does.
func (c *Client) mayEnd(ctx context.Context, id string, allowed bool, by string, needed func(App) bool) error {
	if allowed {
		return nil
	}
	live, err := c.liveApps(ctx, AppFilter{Domain: id}, func(a App) bool { return needed(a) && !isServer(a) })
	if err != nil || len(live) == 0 {
		return err
	}
	return refusal.New(domain.ErrState, "%s have to end first: ask their users to save and quit, or allow them to be ended, by %s", appNames(live), by)
}

// endNeeded ends the apps of a domain that have to end. Where that is not allowed, and mayEnd
// has found none, it is the server of RStudio alone, which SageMaker does not delete while
// sessions have begun since.
func (c *Client) endNeeded(ctx context.Context, id string, allowed bool, needed func(App) bool) error {
	if !allowed {
		return c.endApps(ctx, AppFilter{Domain: id}, func(a App) bool { return needed(a) && isServer(a) })
	}
	return again(ctx, func() error { return c.endApps(ctx, AppFilter{Domain: id}, needed) })
}

// appNames names a few apps.
func appNames(apps []App) string {
	var names []string
	for _, a := range apps {
		names = append(names, a.AppID.String())
	}
	return few(names)
}

// few are the first of names, and how many more there are.
func few(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		names = append(names[:most:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// intendRestart records, at the domain, that its server is to be made again. Each intent has
// a value of its own, by which it is told from one that comes later.
func (c *Client) intendRestart(ctx context.Context, d Description) (intent string, err error) {
	intent = rand.Text()
	_, err = c.aws.SageMaker.AddTags(ctx, &awssagemaker.AddTagsInput{ResourceArn: &d.ARN, Tags: tagList(map[string]string{tagRestart: intent})})
	return intent, refusal.Step("tag "+tagRestart, err)
}

// startServer makes the server of a domain whose server has been deleted, and takes the
// intent back that was recorded before.
func (c *Client) startServer(ctx context.Context, d Description, intent string) error {
	server := serverOf(d.ID)
	if err := c.askForApp(ctx, StartAppRequest{AppID: server}); err != nil {
		return refusal.Step("app "+server.String(), err)
	}
	if err := c.untilAppServes(ctx, server); err != nil {
		return c.whyNot(ctx, err)
	}
	return refusal.Step("tag "+tagRestart, c.forgetRestart(ctx, d, intent))
}

// forgetRestart takes an intent back. Another, of a change that the server may not have
// read, stays.
func (c *Client) forgetRestart(ctx context.Context, d Description, intent string) error {
	done, err := c.turn(ctx, d.ID)
	if err != nil {
		return err
	}
	defer done()
	tags, err := c.tagsOf(ctx, d.ARN)
	if err != nil || tags[tagRestart] != intent {
		return err
	}
	_, err = c.aws.SageMaker.DeleteTags(ctx, &awssagemaker.DeleteTagsInput{ResourceArn: &d.ARN, TagKeys: []string{tagRestart}})
	return err
}
