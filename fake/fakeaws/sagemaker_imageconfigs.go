package fakeaws

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// appImageConfig says how an app runs an image. For RStudio it is a name: there is no
// member for sessions (API_CreateAppImageConfig). It has no states.
type appImageConfig struct {
	in      *awssagemaker.CreateAppImageConfigInput
	tags    map[string]string
	created time.Time
}

func (c *Cloud) configARN(a *appImageConfig) string {
	return c.sagemakerARN("app-image-config/" + lower(a.in.AppImageConfigName))
}

// createAppImageConfig refuses a name that is taken in the words that people have seen
// (aws-samples/sagemaker-studio-custom-image-samples issue 17).
func (c *Cloud) createAppImageConfig(at call, in *awssagemaker.CreateAppImageConfigInput) (*awssagemaker.CreateAppImageConfigOutput, error) {
	if err := checkPattern("appImageConfigName", *in.AppImageConfigName, studioName); err != nil {
		return nil, err
	}
	tags, err := studioTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if c.studio.configs[lower(in.AppImageConfigName)] != nil {
		return nil, resourceInUse("The ID or Name specified is already in use.")
	}
	a := &appImageConfig{in: in, tags: tags, created: at.At}
	c.studio.configs[lower(in.AppImageConfigName)] = a
	return &awssagemaker.CreateAppImageConfigOutput{AppImageConfigArn: aws.String(c.configARN(a))}, nil
}

// appImageConfig finds a configuration that was there at an instant.
func (c *Cloud) appImageConfig(name *string, at time.Time) (*appImageConfig, error) {
	a := c.studio.configs[lower(name)]
	if a == nil || at.Before(a.created) {
		return nil, resourceNotFound("AppImageConfig with name %s does not exist.", aws.ToString(name))
	}
	return a, nil
}

func (c *Cloud) describeAppImageConfig(at call, in *awssagemaker.DescribeAppImageConfigInput) (*awssagemaker.DescribeAppImageConfigOutput, error) {
	a, err := c.appImageConfig(in.AppImageConfigName, c.readAt(at))
	if err != nil {
		return nil, err
	}
	return c.describedConfig(a), nil
}

func (c *Cloud) describedConfig(a *appImageConfig) *awssagemaker.DescribeAppImageConfigOutput {
	in := copyOf(a.in)
	return &awssagemaker.DescribeAppImageConfigOutput{
		AppImageConfigArn: aws.String(c.configARN(a)), AppImageConfigName: in.AppImageConfigName,
		CodeEditorAppImageConfig: in.CodeEditorAppImageConfig, JupyterLabAppImageConfig: in.JupyterLabAppImageConfig,
		KernelGatewayImageConfig: in.KernelGatewayImageConfig, CreationTime: aws.Time(a.created), LastModifiedTime: aws.Time(a.created),
	}
}

func (c *Cloud) listAppImageConfigs(at call, in *awssagemaker.ListAppImageConfigsInput) (*awssagemaker.ListAppImageConfigsOutput, error) {
	if err := modelled(at, in, "MaxResults", "NextToken", "NameContains"); err != nil {
		return nil, err
	}
	seen := c.readAt(at)
	var found []types.AppImageConfigDetails
	for _, a := range c.studio.configs {
		if seen.Before(a.created) || !strings.Contains(lower(a.in.AppImageConfigName), lower(in.NameContains)) {
			continue
		}
		d := c.describedConfig(a)
		found = append(found, types.AppImageConfigDetails{
			AppImageConfigArn: d.AppImageConfigArn, AppImageConfigName: d.AppImageConfigName, CodeEditorAppImageConfig: d.CodeEditorAppImageConfig,
			CreationTime: d.CreationTime, JupyterLabAppImageConfig: d.JupyterLabAppImageConfig,
			KernelGatewayImageConfig: d.KernelGatewayImageConfig, LastModifiedTime: d.LastModifiedTime,
		})
	}
	found, next, err := studioPage(at, listing{descending: true}, found, func(a types.AppImageConfigDetails) string {
		return byCreation(a.CreationTime, *a.AppImageConfigName)
	}, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &awssagemaker.ListAppImageConfigsOutput{AppImageConfigs: found, NextToken: next}, nil
}

// deleteAppImageConfig takes a configuration away, also one that settings name: that it
// may is an assumption.
func (c *Cloud) deleteAppImageConfig(at call, in *awssagemaker.DeleteAppImageConfigInput) (*awssagemaker.DeleteAppImageConfigOutput, error) {
	if _, err := c.appImageConfig(in.AppImageConfigName, at.At); err != nil {
		return nil, err
	}
	delete(c.studio.configs, lower(in.AppImageConfigName))
	return &awssagemaker.DeleteAppImageConfigOutput{}, nil
}
