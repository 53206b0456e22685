package sagemakerdomain

import (
	"context"
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
// [domain.ErrState].
func (c *Client) RestartServer(ctx context.Context, q RestartRequest) error {
	const op = "restart server"
	var wrong problems
	wrong.checkDomainID(q.Domain)
	err := wrong.err()
	if err == nil {
		err = c.restartServer(ctx, q)
	}
	return fail(ctx, op, q.Domain, err)
}

func (c *Client) restartServer(ctx context.Context, q RestartRequest) error {
	d, err := c.still(ctx, q.Domain)
	if err != nil {
		return err
	}
	if d.RStudio == nil {
		return refusal.New(domain.ErrState, "RStudio is off in domain %s: enable it by UpdateDomain", d.ID)
	}
	if err := c.mayEnd(ctx, d.ID, q.EndSessions, func(a App) bool { return a.Type == RStudioSession }); err != nil {
		return err
	}
	if err := c.intendRestart(ctx, d); err != nil {
		return err
	}
	if err := c.endApps(ctx, AppFilter{Domain: d.ID}, isRStudio); err != nil {
		return err
	}
	return c.startServer(ctx, d)
}

// PreviewRestart returns what [Client.RestartServer] would end now. It changes nothing.
func (c *Client) PreviewRestart(ctx context.Context, domainID string) ([]domain.Consequence, error) {
	live, err := c.liveApps(ctx, AppFilter{Domain: domainID}, isRStudio)
	return endings(live, untilRestart), fail(ctx, "preview restart", domainID, err)
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

// mayEnd refuses to end apps that nobody has allowed to be ended.
func (c *Client) mayEnd(ctx context.Context, id string, allowed bool, needed func(App) bool) error {
	if allowed {
		return nil
	}
	live, err := c.liveApps(ctx, AppFilter{Domain: id}, needed)
	if err != nil || len(live) == 0 {
		return err
	}
	return refusal.New(domain.ErrState, "%s have to end first: ask their users to save and quit, or allow them to be ended", appNames(live))
}

// appNames names a few apps.
func appNames(apps []App) string {
	const most = 5
	var names []string
	for _, a := range apps {
		names = append(names, a.AppID.String())
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// intendRestart records, at the domain, that its server is to be made again.
func (c *Client) intendRestart(ctx context.Context, d Description) error {
	if d.Tags[tagRestart] != "" {
		return nil
	}
	_, err := c.aws.SageMaker.AddTags(ctx, &awssagemaker.AddTagsInput{ResourceArn: &d.ARN, Tags: tagList(map[string]string{tagRestart: "true"})})
	return refusal.Step("tag "+tagRestart, err)
}

// startServer makes the server of a domain whose server has been deleted, and takes the
// intent back.
func (c *Client) startServer(ctx context.Context, d Description) error {
	server := serverOf(d.ID)
	if err := c.askForApp(ctx, StartAppRequest{AppID: server}); err != nil {
		return refusal.Step("app "+server.String(), err)
	}
	if err := c.untilAppServes(ctx, server); err != nil {
		return c.whyNot(ctx, err)
	}
	_, err := c.aws.SageMaker.DeleteTags(ctx, &awssagemaker.DeleteTagsInput{ResourceArn: &d.ARN, TagKeys: []string{tagRestart}})
	return refusal.Step("tag "+tagRestart, err)
}
