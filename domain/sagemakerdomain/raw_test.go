package sagemakerdomain_test

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// raw makes a domain by the API itself, as others do, and returns its id at once.
func (w *world) raw(change func(*awssagemaker.CreateDomainInput)) string {
	w.Helper()
	q := w.request()
	in := &awssagemaker.CreateDomainInput{
		DomainName: &q.Name, AuthMode: types.AuthModeIam, VpcId: &q.VPC, SubnetIds: q.Subnets,
		DefaultUserSettings: &types.UserSettings{
			ExecutionRole: aws.String(userRole), RStudioServerProAppSettings: &types.RStudioServerProAppSettings{AccessStatus: types.RStudioServerProAccessStatusEnabled},
		},
		DomainSettings: &types.DomainSettings{RStudioServerProDomainSettings: &types.RStudioServerProDomainSettings{
			DomainExecutionRoleArn: aws.String(serverRole), RStudioConnectUrl: &q.ConnectURL,
		}},
	}
	if change != nil {
		change(in)
	}
	out, err := w.sm.CreateDomain(w.Context(), in)
	w.must(err)
	return *out.DomainId
}

// ours tags a domain as this package does.
func ours(in *awssagemaker.CreateDomainInput) {
	in.Tags = []types.Tag{{Key: aws.String("atelier:sagemaker-domain"), Value: in.DomainName}}
}

// bare takes RStudio out of a domain.
func bare(in *awssagemaker.CreateDomainInput) { in.DomainSettings = nil }

// inService waits until a domain is.
func (w *world) inService(id string) {
	w.Helper()
	w.settle(func() bool { return w.domainStatus(id) == types.DomainStatusInService })
}

func (w *world) domainStatus(id string) types.DomainStatus {
	w.Helper()
	out, err := w.sm.DescribeDomain(w.Context(), &awssagemaker.DescribeDomainInput{DomainId: &id})
	if err != nil {
		return ""
	}
	return out.Status
}

// group makes a security group.
func (w *world) group(name string) string {
	w.Helper()
	out, err := awsec2.NewFromConfig(w.cloud.Config()).CreateSecurityGroup(w.Context(), &awsec2.CreateSecurityGroupInput{
		GroupName: &name, Description: aws.String("of a test"), VpcId: aws.String(w.cloud.DefaultVPC()),
	})
	w.must(err)
	return *out.GroupId
}

// rawImage makes an image with a version, by the API itself.
func (w *world) rawImage(name string) {
	w.Helper()
	base := ecr + name + ":1"
	_, err := w.cloud.PushImage(base, sessionImage)
	w.must(err)
	_, err = w.sm.CreateImage(w.Context(), &awssagemaker.CreateImageInput{ImageName: &name, RoleArn: aws.String(userRole)})
	w.must(err)
	time.Sleep(time.Minute)
	_, err = w.sm.CreateImageVersion(w.Context(), &awssagemaker.CreateImageVersionInput{ImageName: &name, BaseImage: &base, ClientToken: &name})
	w.must(err)
	time.Sleep(time.Minute)
}

// calls counts the calls of one action in the account's journal.
func (w *world) calls(action string) (n int) {
	for _, c := range w.cloud.Calls() {
		if c.Action == action {
			n++
		}
	}
	return n
}
