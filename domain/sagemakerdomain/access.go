package sagemakerdomain

import (
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
)

// Access is what a profile may do in RStudio.
type Access string

// The kinds of access. There is none of being an administrator without access: the API
// refuses a group beside DISABLED (hashicorp/terraform-provider-aws issue 33034), and an
// Access cannot say it.
const (
	// AccessUnset is the zero value: nothing is said. A profile then has what its domain
	// has by default, and if that says nothing either, what SageMaker makes of it:
	// two editions of its developer guide say access, one says none.
	AccessUnset Access = ""
	// AccessUser lets RStudio be used, for one of the licence's seats.
	AccessUser Access = "user"
	// AccessAdmin shows the administrators' dashboard besides. It gives no root.
	AccessAdmin Access = "admin"
	// AccessOff is none. Who has had access cannot lose it.
	AccessOff Access = "off"
)

func (p *problems) checkAccess(what string, a Access) {
	switch a {
	case AccessUnset, AccessUser, AccessAdmin, AccessOff:
	default:
		p.add(domain.ErrInvalid, "%s %.40q: want user, admin or off", what, a)
	}
}

// settings is how the API says it, nil for nothing. DISABLED is without a group.
func (a Access) settings() *types.RStudioServerProAppSettings {
	switch a {
	case AccessUser:
		return &types.RStudioServerProAppSettings{AccessStatus: types.RStudioServerProAccessStatusEnabled, UserGroup: types.RStudioServerProUserGroupUser}
	case AccessAdmin:
		return &types.RStudioServerProAppSettings{AccessStatus: types.RStudioServerProAccessStatusEnabled, UserGroup: types.RStudioServerProUserGroupAdmin}
	case AccessOff:
		return &types.RStudioServerProAppSettings{AccessStatus: types.RStudioServerProAccessStatusDisabled}
	}
	return nil
}

// accessOf reads what settings say. A group without a status is access, as the example of
// "Create a user to use RStudio" has it (developer guide).
func accessOf(s *types.UserSettings) Access {
	if s == nil || s.RStudioServerProAppSettings == nil {
		return AccessUnset
	}
	switch a := s.RStudioServerProAppSettings; {
	case a.AccessStatus == types.RStudioServerProAccessStatusDisabled:
		return AccessOff
	case a.UserGroup == types.RStudioServerProUserGroupAdmin:
		return AccessAdmin
	case a.AccessStatus == types.RStudioServerProAccessStatusEnabled, a.UserGroup == types.RStudioServerProUserGroupUser:
		return AccessUser
	}
	return AccessUnset
}
