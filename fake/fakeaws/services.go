package fakeaws

import "io"

// services is the state of every modelled service. Cloud.mu guards it.
type services struct {
	images  images
	ec2     ec2
	efs     efsState
	iam     iam
	secrets secrets
	logs    logs
	sts     stsState
	dynamo  dynamo
	studio  studio
}

// register installs the models.
func (c *Cloud) register() {
	c.registerECR()
	c.registerEC2()
	c.registerEFS()
	c.registerSSM()
	c.registerIAM()
	c.registerSecretsManager()
	c.registerLogs()
	c.registerSTS()
	c.registerDynamoDB()
	c.registerSageMaker()
	c.registerServiceQuotas()
	c.registerLicenseManager()
}

// hostLaunchers returns what runs in the account, when it is closed; c.mu is held.
func (c *Cloud) hostLaunchers() []io.Closer { return c.hosts() }
