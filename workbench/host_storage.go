package workbench

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/atelier-go/atelier/domain"
)

// nameInDomain is package domain's rule for names of projects and groups; a test holds that
// the two agree.
var nameInDomain = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)

const wantProject = "want the name of a project of the domain: 1 to 20 of a-z, 0-9 and hyphen, beginning with a letter"

// projectDir is where sessions have a project, and the host the one that is its
// shared storage; empty if there is none.
func projectDir(name string) string {
	if name == "" {
		return ""
	}
	return "/projects/" + name
}

// findStorage returns the project that is to be the shared storage, and what is
// wrong with the request if there is none of its name. A name that makes no sense
// is not looked for.
func (c *Client) findStorage(ctx context.Context, q DeployRequest) (found domain.Project, wrong, err error) {
	if !nameInDomain.MatchString(q.SharedStorage) {
		return found, nil, nil
	}
	found, err = c.domain.Project(ctx, q.SharedStorage)
	if errors.Is(err, domain.ErrNotFound) {
		return found, fmt.Errorf("shared storage: the domain has no project %s: create it, for groups that all who use Workbench are in, or name another", q.SharedStorage), nil
	}
	return found, nil, err
}

// storageLost reports whether the project that is the shared storage is not there
// any more, or is another of its name, with another access point.
func (c *Client) storageLost(ctx context.Context, r record) (bool, error) {
	if r.Want.SharedStorage == "" {
		return false, nil
	}
	p, err := c.domain.Project(ctx, r.Want.SharedStorage)
	if errors.Is(err, domain.ErrNotFound) {
		return true, nil
	}
	return err == nil && p.Directory.AccessPoint != r.Storage, err
}
