package main

import (
	"testing"

	"github.com/atelier-go/atelier/examples/internal/golden"
)

func TestRun(t *testing.T) { golden.Run(t, run) }
