package fakeaws

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

// TestProgram proves what a host gets for a reference, and the sentence it
// fails with otherwise.
func TestProgram(t *testing.T) {
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	push := func(reference string, code int, platforms ...string) string {
		d, err := c.PushImage(reference, Image{
			Program:   func(context.Context, *fakelauncher.Proc) int { return code },
			Platforms: platforms, Size: 7,
		})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	old := push("acme/ide:1", 1)
	push("acme/ide:1", 2)
	multi := push("ghcr.io/acme/multi:1", 3, "linux/arm64", "linux/amd64")
	push(c.ecrRegistry()+"/ide:1", 4)
	push("acme/secret:1", 5)
	push("acme/arm:1", 6, "linux/arm64")
	if err := c.ProtectRepository("acme/secret", "ada", "sesame"); err != nil {
		t.Fatal(err)
	}
	for reference, want := range map[string]int{
		"acme/ide:1":                  2,
		"docker.io/acme/ide@" + old:   1,
		"ghcr.io/acme/multi@" + multi: 3,
		"ghcr.io/acme/multi:1":        3,
		c.ecrRegistry() + "/ide:1":    4,
		"docker.io/acme/ide:9@" + old: 1,
	} {
		got, err := c.program(reference, "amd64")
		if err != nil {
			t.Errorf("%s: %v", reference, err)
			continue
		}
		if code := got.Program(t.Context(), nil); code != want || got.SizeBytes != 7 || got.Architecture != "amd64" {
			t.Errorf("%s: program %d of %d bytes for %s, want %d of 7 for amd64", reference, code, got.SizeBytes, got.Architecture, want)
		}
	}
	for reference, mention := range map[string]string{
		"acme/arm:1":    "no matching manifest for linux/amd64: it has linux/arm64",
		"acme/secret:1": "denied",
		"acme/none:1":   "no such repository",
		"acme/ide:9":    "no such image",
		"UP/x":          "invalid",
	} {
		_, err := c.program(reference, "amd64")
		if !errors.Is(err, launcher.ErrImage) || !strings.Contains(err.Error(), mention) || !strings.Contains(err.Error(), reference) {
			t.Errorf("%s: %v, want ErrImage naming it and %q", reference, err, mention)
		}
	}
	if err := c.DeleteImage("acme/ide@" + old); err != nil {
		t.Fatal(err)
	}
	if _, err := c.program("acme/ide@"+old, "amd64"); !errors.Is(err, launcher.ErrImage) {
		t.Errorf("a deleted image: %v, want ErrImage", err)
	}
	if got, err := c.program("acme/ide:1", "amd64"); err != nil || got.Program(t.Context(), nil) != 2 {
		t.Errorf("the image that stays: %v", err)
	}
}
