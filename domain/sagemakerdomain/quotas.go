package sagemakerdomain

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsquotas "github.com/aws/aws-sdk-go-v2/service/servicequotas"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// Quota is a limit of the account in the region.
type Quota struct {
	// Code is by which a higher one is asked for in Service Quotas ("L-7A45086A"), Name
	// what it is called there. Empty is that Service Quotas has no such quota.
	Code, Name string
	// Limit is how many there can be.
	Limit int
}

// AppQuota is how many apps of a type can run on a type of instance at a time.
type AppQuota struct {
	Type AppType
	// InstanceType is SageMaker's name ("ml.t3.medium", "system").
	InstanceType string
	Quota
}

// Quotas are the account's limits for what this package makes.
type Quotas struct {
	// Domains, Profiles, Spaces, Images and Apps are of all there can be in the account.
	Domains, Profiles, Spaces, Images, Apps Quota
	// ByType are of each type of app on each type of instance, sorted; a pair that is not
	// among them cannot be had, unless none of the type of app is.
	ByType []AppQuota
}

// Of returns the quota for a type of app on a type of instance, and whether there is one.
func (q Quotas) Of(t AppType, instance string) (Quota, bool) {
	for _, a := range q.ByType {
		if a.Type == t && a.InstanceType == instance {
			return a.Quota, true
		}
	}
	return Quota{}, false
}

// Names of quotas of SageMaker in Service Quotas (as it answers them; exported by
// gruntwork-io/terraform-aws-utilities).
const (
	quotaDomains  = "Total domains"
	quotaProfiles = "Maximum number of Studio user profiles allowed per account"
	quotaSpaces   = "Maximum number of Studio spaces allowed per account"
	quotaImages   = "Maximum number of SageMakerImage images allowed per account"
	quotaApps     = "Maximum number of running Studio apps allowed per account"
)

// Quotas returns the account's limits from Service Quotas: what is applied, and AWS's
// default where nothing is. It makes some ten to twenty calls, since the service lists all of
// SageMaker's at once.
func (c *Client) Quotas(ctx context.Context) (Quotas, error) {
	q, err := c.quotas(ctx)
	return q, fail(ctx, "quotas", "", err)
}

// quotasFor is how long checks go by a list of quotas before it is asked for again.
const quotasFor = 5 * time.Minute

// quotaList is the last list of quotas and when it was asked for.
type quotaList struct {
	mu   sync.Mutex
	at   time.Time
	list Quotas
}

// underQuotas makes a check by a list of quotas that is at most quotasFor old. What it would
// refuse by an older list than this moment's it checks again: a quota that was raised is seen
// at once.
func (c *Client) underQuotas(ctx context.Context, check func(Quotas) (problems, error)) (problems, error) {
	c.recent.mu.Lock()
	list, recent := c.recent.list, !c.recent.at.IsZero() && time.Since(c.recent.at) < quotasFor
	c.recent.mu.Unlock()
	if recent {
		wrong, err := check(list)
		if err != nil || len(wrong) == 0 {
			return nil, err
		}
	}
	list, err := c.quotas(ctx)
	if err != nil {
		return nil, refusal.Step("quotas", err)
	}
	return check(list)
}

func (c *Client) quotas(ctx context.Context) (Quotas, error) {
	asked := time.Now()
	byName := map[string]Quota{}
	add := func(list []quotatypes.ServiceQuota) {
		for _, s := range list {
			byName[aws.ToString(s.QuotaName)] = Quota{aws.ToString(s.QuotaCode), aws.ToString(s.QuotaName), int(aws.ToFloat64(s.Value))}
		}
	}
	defaults := awsquotas.NewListAWSDefaultServiceQuotasPaginator(c.aws.Quotas, &awsquotas.ListAWSDefaultServiceQuotasInput{ServiceCode: aws.String("sagemaker"), MaxResults: aws.Int32(pageSize)})
	for defaults.HasMorePages() {
		out, err := defaults.NextPage(ctx)
		if err != nil {
			return Quotas{}, err
		}
		add(out.Quotas)
	}
	applied := awsquotas.NewListServiceQuotasPaginator(c.aws.Quotas, &awsquotas.ListServiceQuotasInput{ServiceCode: aws.String("sagemaker"), MaxResults: aws.Int32(pageSize)})
	for applied.HasMorePages() {
		out, err := applied.NextPage(ctx)
		if err != nil {
			return Quotas{}, err
		}
		add(out.Quotas)
	}
	q := Quotas{Domains: byName[quotaDomains], Profiles: byName[quotaProfiles], Spaces: byName[quotaSpaces], Images: byName[quotaImages], Apps: byName[quotaApps]}
	for name := range maps.Keys(byName) {
		if t, instance, ok := appQuotaName(name); ok {
			q.ByType = append(q.ByType, AppQuota{t, instance, byName[name]})
		}
	}
	slices.SortFunc(q.ByType, func(a, b AppQuota) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.InstanceType, b.InstanceType))
	})
	c.recent.mu.Lock()
	defer c.recent.mu.Unlock()
	c.recent.at, c.recent.list = asked, q
	c.recent.list.ByType = slices.Clone(q.ByType) // the other is the caller's
	return q, nil
}

// appQuotaName reads the name of a quota of apps: "RSessionGateway Apps running on ml.t3.medium
// instance", "Studio JupyterLab Apps running on ml.t3.medium instances".
func appQuotaName(name string) (t AppType, instance string, ok bool) {
	app, rest, found := strings.Cut(name, " Apps running on ")
	instance, _, plural := strings.Cut(rest, " instance")
	if !found || !plural || instance == "" {
		return "", "", false
	}
	app = strings.TrimPrefix(app, "Studio ")
	if app == "Jupyter" {
		return StudioClassic, instance, true
	}
	if t := AppType(app); t.known() {
		return t, instance, true
	}
	return "", "", false
}

// exceeded says that one more would be too many, if it would.
func (p *problems) exceeded(what string, q Quota, used int) {
	if q.Code != "" && used >= q.Limit {
		p.add(domain.ErrQuota, "one more would exceed the account's quota of %d %s, of which there are %d: ask for more of %q, code %s, in Service Quotas", q.Limit, what, used, q.Name, q.Code)
	}
}

// CheckStart reports whether one more app of a type on a type of instance would exceed a
// quota of the account: [domain.ErrQuota], which names the quota to ask more of. A type of
// instance that the type of app has no quota for is [domain.ErrInvalid]; where it has none for
// any, they are called something else than is known here, and nothing is held against it.
// Quotas or apps that the credentials may not list are [domain.ErrDenied]. It says nothing about
// whether AWS has such an instance now.
//
// A Client asks for the quotas at most once in five minutes, unless by those it knows it
// would refuse: a quota that was raised is seen at once, one that was lowered after five
// minutes, and before by SageMaker itself.
func (c *Client) CheckStart(ctx context.Context, t AppType, instance string) error {
	var wrong problems
	wrong.checkAppType(t)
	wrong.checkInstance("instance type", instance)
	if instance == "" {
		wrong.add(domain.ErrInvalid, "instance type: want one, as SageMaker names it")
	}
	err := wrong.err()
	if err == nil {
		wrong, err = c.checkRoom(ctx, t, instance)
		err = wrong.or(err)
	}
	return fail(ctx, "check start", string(t)+" on "+instance, err)
}

// checkRoom looks whether one more app of a type can be had on a type of instance.
func (c *Client) checkRoom(ctx context.Context, t AppType, instance string) (problems, error) {
	return c.underQuotas(ctx, func(q Quotas) (wrong problems, err error) {
		err = c.roomFor(ctx, &wrong, q, t, instance)
		return wrong, err
	})
}

func (c *Client) roomFor(ctx context.Context, wrong *problems, q Quotas, t AppType, instance string) error {
	quota, known := q.Of(t, instance)
	// Names of quotas are an assumption: where none of a type of app is known, SageMaker decides.
	if !known && slices.ContainsFunc(q.ByType, func(a AppQuota) bool { return a.Type == t }) {
		wrong.add(domain.ErrInvalid, "there is no quota of %s apps on %s, so that none can run there", t, instance)
		return nil
	}
	alike, all := 0, 0
	for a, err := range c.listApps(ctx, AppFilter{}) {
		if err != nil {
			return refusal.Step("the list of apps", err)
		}
		if !a.Status.live() {
			continue
		}
		all++
		if a.Type == t && a.InstanceType == instance {
			alike++
		}
	}
	wrong.exceeded(t.String()+" apps on "+instance, quota, alike)
	wrong.exceeded("running apps", q.Apps, all)
	return nil
}

// checkDomainQuotas looks whether one more domain, and its server, can be had.
func (c *Client) checkDomainQuotas(ctx context.Context, instance string) (wrong problems, err error) {
	used := 0
	for _, err := range c.listDomains(ctx) {
		if err != nil {
			return nil, err
		}
		used++
	}
	return c.underQuotas(ctx, func(q Quotas) (wrong problems, err error) {
		wrong.exceeded("domains", q.Domains, used)
		if instance = or(instance, serverSystem); slices.Contains(serverInstances[:], instance) {
			err = c.roomFor(ctx, &wrong, q, RStudioServer, instance)
		}
		return wrong, err
	})
}
