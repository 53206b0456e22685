package fakeaws

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslicenses "github.com/aws/aws-sdk-go-v2/service/licensemanager"
	"github.com/aws/aws-sdk-go-v2/service/licensemanager/types"
)

// License Manager has one entry at most: Posit's licence for RStudio on SageMaker.

// A License is what the account has of Posit's licence for RStudio on SageMaker, the product
// RSW-SageMaker, which Posit grants in us-east-1 and the account accepts (developer
// guide, "RStudio license").
type License int

// What an account can have of a licence.
const (
	LicenseActive  License = iota // granted and accepted
	LicensePending                // granted and not accepted, so that nothing starts by it
	LicenseMissing                // not granted
)

// SetLicense changes what the account has of Posit's licence, as when it accepts one. It
// is looked at when a server of RStudio starts: one that runs goes on. A value that is
// none of the constants is a missing licence.
func (c *Cloud) SetLicense(l License) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.studio.license = l
}

// unlicensed says why a server of RStudio cannot start, in words that are an assumption;
// empty is that it can.
func (c *Cloud) unlicensed() string {
	if c.studio.license == LicenseActive {
		return ""
	}
	return "RStudioServerPro could not start: no active license for the product RSW-SageMaker was found in AWS License Manager"
}

func (c *Cloud) registerLicenseManager() {
	handle(c, c.listReceivedLicenses)
	handle(c, c.getLicense)
}

// licenseARN names the account's licence. Issuer and number are made up, in the form of
// LicenseArn.
func (c *Cloud) licenseARN() string {
	return fmt.Sprintf("arn:aws:license-manager::111122223333:license:l-%016x%016x", c.hash("license"), mix(c.hash("license")))
}

// grantedLicense is Posit's licence as a grant, nil if there is none. Its members other
// than the product, the home Region and the two states are made up.
func (c *Cloud) grantedLicense() *types.GrantedLicense {
	received := types.ReceivedStatusActive
	switch c.studio.license {
	case LicenseActive:
	case LicensePending:
		received = types.ReceivedStatusPendingAccept
	default:
		return nil
	}
	return &types.GrantedLicense{
		LicenseArn: aws.String(c.licenseARN()), LicenseName: aws.String("RStudio Workbench for Amazon SageMaker"),
		ProductName: aws.String("RSW-SageMaker"), ProductSKU: aws.String("RSW-SageMaker"), HomeRegion: aws.String("us-east-1"),
		Issuer: &types.IssuerDetails{Name: aws.String("RStudio PBC")}, Beneficiary: aws.String(c.account),
		Status: types.LicenseStatusAvailable, Version: aws.String("1"),
		Validity:         &types.DatetimeRange{Begin: aws.String(c.begun.AddDate(0, -1, 0).UTC().Format(time.RFC3339)), End: aws.String(c.begun.AddDate(1, 0, 0).UTC().Format(time.RFC3339))},
		ReceivedMetadata: &types.ReceivedMetadata{ReceivedStatus: received},
	}
}

// listReceivedLicenses shows a licence in every Region, whatever its home.
func (c *Cloud) listReceivedLicenses(at call, in *awslicenses.ListReceivedLicensesInput) (*awslicenses.ListReceivedLicensesOutput, error) {
	l := c.grantedLicense()
	for _, f := range in.Filters {
		has := ""
		if l != nil {
			switch aws.ToString(f.Name) {
			case "ProductSKU":
				has = *l.ProductSKU
			case "Status":
				has = string(l.Status)
			case "IssuerName":
				has = *l.Issuer.Name
			case "Beneficiary":
				has = *l.Beneficiary
			default:
				return nil, fmt.Errorf("fakeaws: %s with the filter %q is not modelled", at.Action, aws.ToString(f.Name))
			}
		}
		if !slices.Contains(f.Values, has) {
			l = nil
		}
	}
	if l != nil && len(in.LicenseArns) > 0 && !slices.Contains(in.LicenseArns, *l.LicenseArn) {
		l = nil
	}
	out := &awslicenses.ListReceivedLicensesOutput{}
	if l != nil {
		out.Licenses = append(out.Licenses, *l)
	}
	return out, nil
}

// getLicense shows the licence itself, which knows nothing of being received.
func (c *Cloud) getLicense(_ call, in *awslicenses.GetLicenseInput) (*awslicenses.GetLicenseOutput, error) {
	l := c.grantedLicense()
	if l == nil || *l.LicenseArn != *in.LicenseArn {
		return nil, refuseAs(http.StatusBadRequest, &types.InvalidParameterValueException{Message: aws.String("License " + *in.LicenseArn + " does not exist")})
	}
	return &awslicenses.GetLicenseOutput{License: &types.License{
		LicenseArn: l.LicenseArn, LicenseName: l.LicenseName, ProductName: l.ProductName, ProductSKU: l.ProductSKU, HomeRegion: l.HomeRegion,
		Issuer: l.Issuer, Beneficiary: l.Beneficiary, Status: l.Status, Version: l.Version, Validity: l.Validity,
	}}, nil
}
