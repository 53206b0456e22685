package fakeaws

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
)

func (c *Cloud) registerSTS() {
	handle(c, c.getCallerIdentity)
}

// getCallerIdentity follows
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html.
func (c *Cloud) getCallerIdentity(call, *awssts.GetCallerIdentityInput) (*awssts.GetCallerIdentityOutput, error) {
	return &awssts.GetCallerIdentityOutput{
		Account: aws.String(c.account), Arn: aws.String("arn:aws:iam::" + c.account + ":user/" + userName),
		UserId: aws.String("AIDAIOSFODNN7EXAMPLE"),
	}, nil
}

// userName is who the account's credentials belong to.
const userName = "atelier"
