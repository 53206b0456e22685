package fakeaws

import "io"

// services is the state of every modelled service. Cloud.mu guards it.
type services struct {
	images images
}

// register installs the models.
func (c *Cloud) register() {
	c.registerECR()
}

// hostLaunchers returns what runs in the account; c.mu is held.
func (c *Cloud) hostLaunchers() []io.Closer { return nil }
