package sagemakerdomain

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
)

// UpdateDomainRequest says what is to change in a domain. What is nil or empty stays.
// RStudio cannot be turned off again, and the VPC, the key and the way people sign in are
// for ever: there are no members for them.
type UpdateDomainRequest struct {
	// Domain is the domain's id.
	Domain string
	// EnableRStudio turns RStudio on in a domain without: the role is required. All apps of
	// the domain have to end first.
	EnableRStudio *EnableRStudio
	// WorkbenchInstance, ConnectURL, PackageManagerURL and DomainExecutionRole are as in
	// [CreateDomainRequest]. Users see the change when the server was made again, which
	// UpdateDomain does. That an address is taken away is not documented, so empty stays.
	WorkbenchInstance, ConnectURL, PackageManagerURL, DomainExecutionRole string
	// ExecutionRole, SecurityGroups, SessionInstance and DefaultAccess are what profiles
	// have by default. An empty list of groups that is not nil takes all away. Access that
	// profiles have by default cannot be taken away.
	ExecutionRole   string
	SecurityGroups  []string
	SessionInstance string
	DefaultAccess   Access
	// NetworkType is only of domains without RStudio, and needs that no app is there.
	NetworkType string
	// Subnets replace those there are. To take one away all apps have to end first.
	Subnets []string
	// CreateHome makes the file system of a domain that has none. It cannot be undone.
	CreateHome bool
	// EndApps lets apps be ended that the change needs ended, whose work that is not saved
	// is lost. False is that the call is refused with [domain.ErrState] while there are any
	// other than the server of RStudio.
	EndApps bool
}

// EnableRStudio is what a domain needs to have RStudio. See [CreateDomainRequest].
type EnableRStudio struct {
	DomainExecutionRole, WorkbenchInstance, ConnectURL, PackageManagerURL string
}

func (q UpdateDomainRequest) problems() (wrong problems) {
	wrong.checkDomainID(q.Domain)
	role, instance, connect, packages := q.DomainExecutionRole, q.WorkbenchInstance, q.ConnectURL, q.PackageManagerURL
	if e := q.EnableRStudio; e != nil {
		if role+instance+connect+packages != "" {
			wrong.add(domain.ErrInvalid, "RStudio is to be enabled: give its role, workbench instance and URLs there")
		}
		if q.NetworkType != "" {
			wrong.add(domain.ErrInvalid, "the type of network cannot change in the call that enables RStudio, nor after: change it before")
		}
		role, instance, connect, packages = e.DomainExecutionRole, e.WorkbenchInstance, e.ConnectURL, e.PackageManagerURL
		wrong.checkRole("domain execution role", role)
	} else if role != "" {
		wrong.checkRole("domain execution role", role)
	}
	wrong.checkServerInstance(instance)
	wrong.checkURL("connect URL", connect)
	wrong.checkURL("package manager URL", packages)
	if q.ExecutionRole != "" {
		wrong.checkRole("execution role", q.ExecutionRole)
	}
	wrong.checkGroupIDs(q.SecurityGroups)
	wrong.checkInstance("session instance", q.SessionInstance)
	wrong.checkAccess("default access", q.DefaultAccess)
	if n := types.AppNetworkAccessType(q.NetworkType); n != "" && !slices.Contains(n.Values(), n) {
		wrong.add(domain.ErrInvalid, "network type %.40q: want PublicInternetOnly or VpcOnly", q.NetworkType)
	}
	if q.Subnets != nil {
		wrong.checkSubnets(q.Subnets)
	}
	return wrong
}

// An updatePlan is what has to be done for a change.
type updatePlan struct {
	domain Description
	input  *awssagemaker.UpdateDomainInput
	// change is that the domain has to be updated, restart that its server has to be made
	// again, allApps that no app may be there, enables that RStudio is turned on.
	change, restart, allApps, enables bool
	// inherit are the names of profiles whose access to RStudio changes with the domain's.
	inherit []string
}

// ends reports whether an app has to end.
func (p updatePlan) ends(a App) bool { return p.allApps || p.restart && isRStudio(a) }

// planUpdate compares a domain with what is asked for.
func (c *Client) planUpdate(ctx context.Context, q UpdateDomainRequest) (updatePlan, error) {
	wrong := q.problems()
	d, known, err := c.checkedDomain(ctx, &wrong, q.Domain)
	if err != nil {
		return updatePlan{}, wrong.or(err)
	}
	p := updatePlan{domain: d, input: &awssagemaker.UpdateDomainInput{}}
	if known {
		p = q.plan(&wrong, d)
		err = c.checkProfiles(ctx, &wrong, &p, q)
	}
	if err == nil {
		err = c.checkChange(ctx, &wrong, p, q)
	}
	if err := wrong.or(err); err != nil {
		return updatePlan{}, err
	}
	if d.RStudio != nil && !p.restart { // one that is not there is missed
		live, err := c.liveApps(ctx, AppFilter{Domain: d.ID}, isServer)
		if err != nil {
			return updatePlan{}, err
		}
		p.restart = len(live) == 0 || p.allApps
	}
	return p, nil
}

// plan is what has to be done in a domain as it is.
func (q UpdateDomainRequest) plan(wrong *problems, d Description) updatePlan {
	p := updatePlan{domain: d, input: &awssagemaker.UpdateDomainInput{DomainId: &d.ID}, change: d.Status == UpdateFailed, restart: d.RestartDue}
	p.planServer(wrong, q)
	p.planUsers(q)
	p.planNetwork(wrong, q)
	return p
}

// planServer plans what concerns the server of RStudio.
func (p *updatePlan) planServer(wrong *problems, q UpdateDomainRequest) {
	d := p.domain
	want := RStudio{q.DomainExecutionRole, q.WorkbenchInstance, q.ConnectURL, q.PackageManagerURL, ""}
	switch {
	case d.RStudio == nil && q.EnableRStudio == nil:
		if want != (RStudio{}) {
			wrong.add(domain.ErrState, "RStudio is off in domain %s: enable it, by EnableRStudio", d.ID)
		}
		return
	case d.RStudio == nil:
		e := q.EnableRStudio
		want = RStudio{e.DomainExecutionRole, e.WorkbenchInstance, e.ConnectURL, e.PackageManagerURL, ""}
		p.enables, p.allApps, p.change = true, true, true
	default:
		has := *d.RStudio
		if e := q.EnableRStudio; e != nil { // it has been enabled before
			want = RStudio{e.DomainExecutionRole, e.WorkbenchInstance, e.ConnectURL, e.PackageManagerURL, ""}
		}
		want = RStudio{or(want.DomainExecutionRole, has.DomainExecutionRole), or(want.Instance, has.Instance), or(want.ConnectURL, has.ConnectURL),
			or(want.PackageManagerURL, has.PackageManagerURL), has.BoundaryGroup}
		if want == has && d.Status != UpdateFailed {
			return
		}
		p.change, p.restart = true, p.restart || want != has
	}
	p.input.DomainSettingsForUpdate = &types.DomainSettingsForUpdate{RStudioServerProDomainSettingsForUpdate: &types.RStudioServerProDomainSettingsForUpdate{
		DomainExecutionRoleArn: &want.DomainExecutionRole, DefaultResourceSpec: specOn(d.server, want.Instance),
		RStudioConnectUrl: optional(want.ConnectURL), RStudioPackageManagerUrl: optional(want.PackageManagerURL),
	}}
	if p.enables && d.NetworkType == string(types.AppNetworkAccessTypeVpcOnly) {
		p.input.AppSecurityGroupManagement = types.AppSecurityGroupManagementService
	}
}

func or(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

// planUsers plans what profiles have by default. Members of the settings that are not sent
// stay; those that are sent are sent whole.
func (p *updatePlan) planUsers(q UpdateDomainRequest) {
	d := p.domain
	s := &types.UserSettings{}
	changed := false
	if q.ExecutionRole != "" && q.ExecutionRole != d.ExecutionRole {
		s.ExecutionRole, changed = &q.ExecutionRole, true
	}
	if q.SecurityGroups != nil && !sameSet(q.SecurityGroups, d.SecurityGroups) {
		s.SecurityGroups, changed = q.SecurityGroups, true
	}
	if q.DefaultAccess != "" && q.DefaultAccess != d.DefaultAccess {
		s.RStudioServerProAppSettings, changed = q.DefaultAccess.settings(), true
	}
	if q.SessionInstance != "" && q.SessionInstance != d.SessionInstance {
		s.RSessionAppSettings, changed = sessionsOn(d.Settings, q.SessionInstance), true
		p.restart = p.restart || d.RStudio != nil
	}
	if changed {
		p.input.DefaultUserSettings, p.change = s, true
	}
}

// planNetwork plans the network and the homes.
func (p *updatePlan) planNetwork(wrong *problems, q UpdateDomainRequest) {
	d := p.domain
	if q.NetworkType != "" && q.NetworkType != d.NetworkType {
		if d.RStudio != nil {
			wrong.add(domain.ErrState, "the network is %s for ever, since RStudio is on: create another domain for %s", d.NetworkType, q.NetworkType)
		}
		p.input.AppNetworkAccessType, p.allApps, p.change = types.AppNetworkAccessType(q.NetworkType), true, true
	}
	if q.Subnets != nil && !sameSet(q.Subnets, d.Subnets) {
		p.input.SubnetIds, p.change = q.Subnets, true
		if slices.ContainsFunc(d.Subnets, func(s string) bool { return !slices.Contains(q.Subnets, s) }) {
			p.allApps = true
		}
	}
	if q.CreateHome && d.FileSystem == "" {
		p.input.HomeEfsFileSystemCreation, p.change = types.HomeEfsFileSystemCreationEnabled, true
	}
}

// checkProfiles looks whether every user would have security groups that go with RStudio, and
// whose access changes with the domain's. That what a profile may do by default cannot be
// taken back either is an assumption: the developer guide says it of profiles ("Create a user
// to use RStudio"), and of the domain nothing.
func (c *Client) checkProfiles(ctx context.Context, wrong *problems, p *updatePlan, q UpdateDomainRequest) error {
	d := p.domain
	network := or(q.NetworkType, d.NetworkType)
	defaults := d.SecurityGroups
	if q.SecurityGroups != nil {
		defaults = q.SecurityGroups
	}
	groups := p.enables || d.RStudio != nil && q.SecurityGroups != nil
	access := d.RStudio != nil && q.DefaultAccess != AccessUnset && q.DefaultAccess != d.DefaultAccess
	if groups {
		wrong.checkGroupCount(defaults, network)
	}
	if !groups && !access {
		return nil
	}
	for u, err := range c.listProfiles(ctx, d.ID) {
		if err != nil {
			return err
		}
		own, err := c.profile(ctx, d.ID, u.Name)
		if err != nil {
			return err
		}
		if n, most := len(defaults)+len(own.SecurityGroups), mostGroups(network); groups && n > most {
			wrong.add(domain.ErrState, "user profile %s would have %d security groups, %d of its own: with RStudio and %s want at most %d; take some away by UpdateProfile first",
				u.Name, n, len(own.SecurityGroups), network, most)
		}
		if access && own.Access == AccessUnset {
			p.inherit = append(p.inherit, u.Name)
		}
	}
	if q.DefaultAccess == AccessOff && len(p.inherit) > 0 {
		wrong.add(domain.ErrState, "access to RStudio can be given and not taken back, and user profiles have it by the domain's default: %s; give each its own by UpdateProfile first",
			few(p.inherit))
	}
	return nil
}

// checkChange looks around in the account whether a change can be made.
func (c *Client) checkChange(ctx context.Context, wrong *problems, p updatePlan, q UpdateDomainRequest) error {
	if q.Subnets != nil || q.SecurityGroups != nil {
		if err := wrong.looked(c.checkNetwork(ctx, p.domain.VPC, q.Subnets, q.SecurityGroups)); err != nil {
			return err
		}
	}
	if p.enables {
		if err := wrong.looked(c.checkLicense(ctx)); err != nil {
			return err
		}
	}
	for _, role := range []struct{ what, arn string }{{"execution role", q.ExecutionRole}, {"domain execution role", p.serverRole(q)}} {
		if role.arn == "" {
			continue
		}
		if err := wrong.looked(c.checkRole(ctx, role.what, role.arn)); err != nil {
			return err
		}
	}
	return nil
}

// serverRole is the domain execution role that a call would set, or that is asked for where
// the domain is not known.
func (p updatePlan) serverRole(q UpdateDomainRequest) string {
	switch {
	case p.input.DomainSettingsForUpdate != nil:
		return aws.ToString(p.input.DomainSettingsForUpdate.RStudioServerProDomainSettingsForUpdate.DomainExecutionRoleArn)
	case p.domain.ID != "":
		return ""
	case q.EnableRStudio != nil:
		return q.EnableRStudio.DomainExecutionRole
	}
	return q.DomainExecutionRole
}
