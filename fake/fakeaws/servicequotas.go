package fakeaws

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsquotas "github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
)

// Service Quotas tells the quotas of SageMaker's apps, domains, profiles, spaces and images,
// and nothing else. Requests for more of them are not modelled: see [Cloud.SetStudioQuota].

func (c *Cloud) registerServiceQuotas() {
	handle(c, c.listServiceQuotas)
	handle(c, c.listAWSDefaultServiceQuotas)
	handle(c, c.getServiceQuota)
	handle(c, c.getAWSDefaultServiceQuota)
}

func noSuchQuota(format string, args ...any) error {
	return refuseAs(http.StatusBadRequest, &types.NoSuchResourceException{Message: aws.String(fmt.Sprintf(format, args...))})
}

func (c *Cloud) serviceQuota(q studioQuota, value int) types.ServiceQuota {
	return types.ServiceQuota{
		Adjustable: true, QuotaArn: aws.String(fmt.Sprintf("arn:aws:servicequotas:%s:%s:sagemaker/%s", c.region, c.account, q.code)),
		QuotaCode: aws.String(q.code), QuotaName: aws.String(q.name), ServiceCode: aws.String("sagemaker"),
		ServiceName: aws.String("Amazon SageMaker"), Unit: aws.String("None"), Value: aws.Float64(float64(value)),
		QuotaAppliedAtLevel: types.AppliedLevelEnumAccount,
	}
}

// quotaPage cuts the list of a service. "An API operation can return fewer results than the
// maximum even when there are more" (API_ListServiceQuotas). It is in the order of codes,
// which is an assumption, and so is that a page holds 100 if it is not told.
func (c *Cloud) quotaPage(at call, service string, value func(studioQuota) int, maxResults *int32, token *string) ([]types.ServiceQuota, *string, error) {
	if service != "sagemaker" {
		return nil, nil, noSuchQuota("The service %s is not modelled", service)
	}
	if maxResults != nil && (*maxResults < 1 || *maxResults > 100) {
		return nil, nil, refuseAs(http.StatusBadRequest, &types.IllegalArgumentException{Message: aws.String("MaxResults must be between 1 and 100")})
	}
	if maxResults == nil {
		maxResults = aws.Int32(100)
	}
	var all []types.ServiceQuota
	for _, q := range studioQuotas {
		all = append(all, c.serviceQuota(q, value(q)))
	}
	return studioPage(at, listing{short: true}, all, func(q types.ServiceQuota) string { return *q.QuotaCode }, maxResults, token)
}

// listServiceQuotas tells what is in force. That every quota of SageMaker has an applied value,
// as it need not ("If the applied quota value is not available for a quota, the quota is
// not retrieved"), is an assumption.
func (c *Cloud) listServiceQuotas(at call, in *awsquotas.ListServiceQuotasInput) (*awsquotas.ListServiceQuotasOutput, error) {
	if err := modelled(at, in, "ServiceCode", "MaxResults", "NextToken", "QuotaCode"); err != nil {
		return nil, err
	}
	if in.QuotaCode != nil {
		q, err := quotaCoded(*in.ServiceCode, *in.QuotaCode)
		if err != nil {
			return nil, err
		}
		return &awsquotas.ListServiceQuotasOutput{Quotas: []types.ServiceQuota{c.serviceQuota(q, c.quota(q.name))}}, nil
	}
	found, next, err := c.quotaPage(at, *in.ServiceCode, func(q studioQuota) int { return c.quota(q.name) }, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &awsquotas.ListServiceQuotasOutput{Quotas: found, NextToken: next}, nil
}

func (c *Cloud) listAWSDefaultServiceQuotas(at call, in *awsquotas.ListAWSDefaultServiceQuotasInput) (*awsquotas.ListAWSDefaultServiceQuotasOutput, error) {
	found, next, err := c.quotaPage(at, *in.ServiceCode, func(q studioQuota) int { return q.value }, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &awsquotas.ListAWSDefaultServiceQuotasOutput{Quotas: found, NextToken: next}, nil
}

func quotaCoded(service, code string) (studioQuota, error) {
	for _, q := range studioQuotas {
		if service == "sagemaker" && strings.EqualFold(q.code, code) {
			return q, nil
		}
	}
	return studioQuota{}, noSuchQuota("The quota %s of service %s does not exist", code, service)
}

func (c *Cloud) getServiceQuota(at call, in *awsquotas.GetServiceQuotaInput) (*awsquotas.GetServiceQuotaOutput, error) {
	if err := modelled(at, in, "ServiceCode", "QuotaCode"); err != nil {
		return nil, err
	}
	q, err := quotaCoded(*in.ServiceCode, *in.QuotaCode)
	if err != nil {
		return nil, err
	}
	return &awsquotas.GetServiceQuotaOutput{Quota: new(c.serviceQuota(q, c.quota(q.name)))}, nil
}

func (c *Cloud) getAWSDefaultServiceQuota(_ call, in *awsquotas.GetAWSDefaultServiceQuotaInput) (*awsquotas.GetAWSDefaultServiceQuotaOutput, error) {
	q, err := quotaCoded(*in.ServiceCode, *in.QuotaCode)
	if err != nil {
		return nil, err
	}
	return &awsquotas.GetAWSDefaultServiceQuotaOutput{Quota: new(c.serviceQuota(q, q.value))}, nil
}
