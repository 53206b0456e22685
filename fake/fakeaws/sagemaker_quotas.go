package fakeaws

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// Quotas of the account that are not of one type of app, by their names in Service Quotas.
const (
	totalDomains  = "Total domains"
	totalProfiles = "Maximum number of Studio user profiles allowed per account"
	totalSpaces   = "Maximum number of Studio spaces allowed per account"
	totalApps     = "Maximum number of running Studio apps allowed per account"
	totalImages   = "Maximum number of SageMakerImage images allowed per account"
)

// A studioQuota is a quota of SageMaker as AWS has it for an account that asked for nothing.
type studioQuota struct {
	name, code string
	value      int
}

// studioQuotas are the quotas that are modelled, sorted by name. Names, codes and values
// are what AWS answered to ListAWSDefaultServiceQuotas in a new account
// (gruntwork-io/terraform-aws-utilities, docs/quotas.md), except as told here: profiles are 60,
// "the limit for the total number of UserProfiles" (developer guide, "Create a user to
// use RStudio"), where that account had 2. Of Studio's apps the list is complete for
// what is not 0; codes that are not in it are made of the name.
var studioQuotas = func() (list []studioQuota) {
	known := map[string]studioQuota{}
	add := func(name, code string, value int) { known[name] = studioQuota{name, "L-" + code, value} }
	add(totalDomains, "B683BCB0", 2)
	add(totalProfiles, "AC46C40F", 60)
	add(totalSpaces, "8E5333B4", 6)
	add(totalApps, "4E39DDC4", 40)
	add(totalImages, "DDDC1D15", 250)
	for line := range strings.Lines(appQuotas) {
		var kind, instance, code string
		var value int
		if n, _ := fmt.Sscan(line, &kind, &instance, &code, &value); n == 4 {
			add(appQuota(types.AppType(kind), types.AppInstanceType(instance)), code, value)
		}
	}
	for _, kind := range []types.AppType{types.AppTypeKernelGateway, types.AppTypeJupyterLab, types.AppTypeCodeEditor} {
		for _, instance := range studioTypes {
			name := appQuota(kind, instance)
			if _, ok := known[name]; !ok {
				add(name, fmt.Sprintf("%08X", uint32(hashOf(0, "quota", name))), 0)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		list = append(list, known[name])
	}
	return list
}()

// appQuotas are the type of app, that of the instance, the code and the value.
const appQuotas = `
RSessionGateway ml.t3.medium 7A45086A 2
RSessionGateway ml.t3.large 0FCBFBBD 0
RSessionGateway ml.t3.xlarge D7932DDD 0
RSessionGateway ml.t3.2xlarge 4755F613 0
RSessionGateway ml.m5.large BDDC56AF 1
RSessionGateway ml.m5.xlarge 8442D925 1
RSessionGateway ml.m5.2xlarge 09249843 1
RSessionGateway ml.m5.4xlarge 30ABD943 1
RSessionGateway ml.m5.8xlarge 2BEE7665 0
RSessionGateway ml.m5.12xlarge 4FC1E99C 0
RSessionGateway ml.m5.16xlarge 7B7E548F 0
RSessionGateway ml.m5.24xlarge B7EB1FFD 0
RSessionGateway ml.m5d.large B6744048 1
RSessionGateway ml.m5d.xlarge A3C7A675 1
RSessionGateway ml.m5d.2xlarge DCD9DBD1 1
RSessionGateway ml.m5d.4xlarge 53138E1F 1
RSessionGateway ml.m5d.8xlarge 2D4C4A2D 0
RSessionGateway ml.m5d.12xlarge 7F2FEE7C 0
RSessionGateway ml.m5d.16xlarge 8101A535 0
RSessionGateway ml.m5d.24xlarge 00DAC655 0
RSessionGateway ml.c5.large 6958265E 1
RSessionGateway ml.c5.xlarge F3F4F82A 1
RSessionGateway ml.c5.2xlarge 8B9D0385 1
RSessionGateway ml.c5.4xlarge 8733EEBD 0
RSessionGateway ml.c5.9xlarge D205D3F0 0
RSessionGateway ml.c5.12xlarge 21962CDA 0
RSessionGateway ml.c5.18xlarge 21552510 0
RSessionGateway ml.c5.24xlarge 1271DF32 0
RSessionGateway ml.r5.large FEEC5811 1
RSessionGateway ml.r5.xlarge C720D775 1
RSessionGateway ml.r5.2xlarge 751BCA3E 1
RSessionGateway ml.r5.4xlarge 005C1A21 0
RSessionGateway ml.r5.8xlarge F49350C0 0
RSessionGateway ml.r5.12xlarge 1C84ABBF 0
RSessionGateway ml.r5.16xlarge 2B2789AA 0
RSessionGateway ml.r5.24xlarge D2CAE1E9 0
RSessionGateway ml.g4dn.xlarge 050981C0 0
RSessionGateway ml.g4dn.2xlarge 7FD92B01 0
RSessionGateway ml.g4dn.4xlarge A7B1AACC 0
RSessionGateway ml.g4dn.8xlarge A9165189 0
RSessionGateway ml.g4dn.12xlarge 5392B59D 0
RSessionGateway ml.g4dn.16xlarge 144A2794 0
RSessionGateway ml.p3.2xlarge ADBE66E5 0
RSessionGateway ml.p3.8xlarge 73887D5F 0
RSessionGateway ml.p3.16xlarge C5A57F3A 0
RSessionGateway ml.p3dn.24xlarge 94B31A5D 0
RSessionGateway ml.p4d.24xlarge DCCEDB7D 0
RStudioServerPro system B89C4B79 1
RStudioServerPro ml.c5.4xlarge FEC35D99 0
RStudioServerPro ml.c5.9xlarge D9E59670 0
JupyterServer system 8276C21E 10
KernelGateway ml.t3.medium EAC6F82B 2
KernelGateway ml.m5.large 22BC3627 1
KernelGateway ml.m5.xlarge CD017EBE 1
KernelGateway ml.m5.2xlarge D4D7435A 1
KernelGateway ml.m5.4xlarge 0132CA88 1
KernelGateway ml.m5d.large 32F895F6 1
KernelGateway ml.m5d.2xlarge 4A8D754D 1
KernelGateway ml.m5d.4xlarge 9F3B1F91 1
KernelGateway ml.c5.large 1476E09A 1
KernelGateway ml.c5.xlarge F2F8BB60 1
KernelGateway ml.c5.2xlarge A56EEC3D 1
KernelGateway ml.r5.large 59F3BE31 1
KernelGateway ml.r5.xlarge CC73B658 1
KernelGateway ml.r5.2xlarge 1747114E 1
KernelGateway ml.r5.4xlarge D5D3B1E5 1
JupyterLab ml.t3.medium 71FAF417 6
JupyterLab ml.t3.large 2733D4D5 6
JupyterLab ml.t3.xlarge 61F9C762 6
JupyterLab ml.t3.2xlarge B039EA8F 6
JupyterLab ml.m5.large 3BDCD216 1
JupyterLab ml.m5.xlarge 77B8159A 1
JupyterLab ml.m5.2xlarge 7C9662F1 1
JupyterLab ml.m5d.large 588F9D8D 1
JupyterLab ml.m5d.xlarge 9CE6464D 1
JupyterLab ml.c5.large A6419EF6 1
JupyterLab ml.c5.xlarge BD09952F 1
JupyterLab ml.c5.2xlarge C1AE5754 1
JupyterLab ml.r5.large FC2BE3FC 1
JupyterLab ml.r5.xlarge 8A9BC23B 1
CodeEditor ml.t3.medium FCEDEAC6 6
CodeEditor ml.t3.large 656A17FA 6
CodeEditor ml.t3.xlarge 69AC3D57 6
CodeEditor ml.t3.2xlarge E5FD58AB 6
CodeEditor ml.m5.large A0B632ED 1
CodeEditor ml.m5.xlarge EEA21C8A 1
CodeEditor ml.m5.2xlarge 3D2A1F33 1
CodeEditor ml.m5d.large BA8ED5F7 1
CodeEditor ml.m5d.xlarge A31DE840 1
CodeEditor ml.c5.large C623FF97 1
CodeEditor ml.c5.xlarge 20DF4E8E 1
CodeEditor ml.c5.2xlarge D8CDAD21 1
CodeEditor ml.r5.large E8EAF30E 1
CodeEditor ml.r5.xlarge 33471349 1
`

// appQuota is the name of the quota of a type of app on a type of instance. AWS says
// "instance" in some and "instances" in others.
func appQuota(kind types.AppType, instance types.AppInstanceType) string {
	switch kind {
	case types.AppTypeRSessionGateway:
		return fmt.Sprintf("%s Apps running on %s instance", kind, instance)
	case types.AppTypeRStudioServerPro:
		return fmt.Sprintf("%s Apps running on %s instances", kind, instance)
	case types.AppTypeJupyterServer:
		return fmt.Sprintf("Studio Jupyter Apps running on %s instances", instance)
	case types.AppTypeKernelGateway:
		return fmt.Sprintf("Studio %s Apps running on %s instance", kind, instance)
	}
	return fmt.Sprintf("Studio %s Apps running on %s instances", kind, instance)
}

func quotaNamed(name string) (studioQuota, bool) {
	i, found := slices.BinarySearchFunc(studioQuotas, name, func(q studioQuota, name string) int { return strings.Compare(q.name, name) })
	if !found {
		return studioQuota{}, false
	}
	return studioQuotas[i], true
}

// setStudio takes what a Config says of SageMaker, and returns what is wrong with it.
func (c *Cloud) setStudio(cfg Config) (problems []error) {
	for _, name := range slices.Sorted(maps.Keys(cfg.Quotas)) {
		if err := checkQuota(name, cfg.Quotas[name]); err != nil {
			problems = append(problems, err)
		}
	}
	if cfg.License < LicenseActive || cfg.License > LicenseMissing {
		problems = append(problems, fmt.Errorf("license: %d is none", cfg.License))
	}
	c.studio.quotas, c.studio.license = maps.Clone(cfg.Quotas), cfg.License
	return problems
}

func checkQuota(name string, value int) error {
	switch _, known := quotaNamed(name); {
	case !known:
		return fmt.Errorf("quota %q is not modelled: want a name as %q or %q", name, totalDomains, appQuota(types.AppTypeRSessionGateway, types.AppInstanceTypeMlM5Large))
	case value < 0:
		return fmt.Errorf("quota %q is negative: %d", name, value)
	}
	return nil
}

// SetStudioQuota sets a quota of SageMaker by its name in Service Quotas, as when AWS
// grants more. What is above it already stays.
func (c *Cloud) SetStudioQuota(name string, value int) error {
	if err := checkQuota(name, value); err != nil {
		return fmt.Errorf("fakeaws: set quota: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.studio.quotas == nil {
		c.studio.quotas = map[string]int{}
	}
	c.studio.quotas[name] = value
	return nil
}

// quota is what a quota is now.
func (c *Cloud) quota(name string) int {
	if value, ok := c.studio.quotas[name]; ok {
		return value
	}
	q, _ := quotaNamed(name)
	return q.value
}

// within refuses one more of what a quota bounds, in the words that SageMaker has for
// every quota (aws/amazon-sagemaker-feedback issue 157, of apps; amazon-sagemaker-examples
// issue 1564, of domains). The units other than Apps and Domains are assumptions.
func (c *Cloud) within(name string, used int, unit string) error {
	if limit := c.quota(name); used >= limit {
		return refuseAs(http.StatusBadRequest, &types.ResourceLimitExceeded{Message: aws.String(fmt.Sprintf(
			"The account-level service limit '%s' is %d %s, with current utilization of %d %s and a request delta of 1 %s. "+
				"Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not available, "+
				"contact AWS support to request an increase for this quota.", name, limit, unit, used, unit, unit))})
	}
	return nil
}

// roomForApp refuses an app beyond the quota of its type on its instance, or of all apps. That an
// app counts until it is Deleted is an assumption.
func (c *Cloud) roomForApp(kind types.AppType, instance types.AppInstanceType, at time.Time) error {
	alike, all := 0, 0
	for _, d := range c.studio.domains {
		for _, a := range d.apps {
			if !a.live(at) {
				continue
			}
			all++
			if a.kind == kind && a.spec.InstanceType == instance {
				alike++
			}
		}
	}
	if err := c.within(appQuota(kind, instance), alike, "Apps"); err != nil {
		return err
	}
	return c.within(totalApps, all, "Apps")
}
