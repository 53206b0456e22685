package fakeaws

import (
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// Systems Manager holds AWS's public parameters of machine images and nothing
// else.

func (c *Cloud) registerSSM() {
	handle(c, c.getParameter)
	handle(c, c.getParameters)
}

func (c *Cloud) parameter(name string) (types.Parameter, bool) {
	for _, a := range c.ec2.amis {
		if a.parameter != "" && a.parameter == name {
			return types.Parameter{
				Name: aws.String(name), Value: aws.String(a.id), Type: types.ParameterTypeString,
				DataType: aws.String("aws:ec2:image"), Version: 1,
				ARN: aws.String("arn:aws:ssm:" + c.region + "::parameter" + name),
			}, true
		}
	}
	return types.Parameter{}, false
}

// getParameter follows
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html.
func (c *Cloud) getParameter(at call, in *awsssm.GetParameterInput) (*awsssm.GetParameterOutput, error) {
	p, ok := c.parameter(strings.TrimPrefix(aws.ToString(in.Name), "arn:aws:ssm:"+c.region+"::parameter"))
	if !ok {
		return nil, refuseAs(http.StatusBadRequest, &types.ParameterNotFound{})
	}
	return &awsssm.GetParameterOutput{Parameter: &p}, nil
}

// getParameters follows
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html:
// what does not exist is listed beside what does.
func (c *Cloud) getParameters(at call, in *awsssm.GetParametersInput) (*awsssm.GetParametersOutput, error) {
	out := &awsssm.GetParametersOutput{}
	for _, name := range in.Names {
		if p, ok := c.parameter(name); ok {
			out.Parameters = append(out.Parameters, p)
		} else {
			out.InvalidParameters = append(out.InvalidParameters, name)
		}
	}
	return out, nil
}
