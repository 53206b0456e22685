package sagemakerdomain

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/image"
)

// sessionVariables are those for which a custom image of RStudio has to "provide default values"
// ("Custom RStudio image specifications", developer guide).
var sessionVariables = [...]string{"RSTUDIO_CONNECT_URL", "RSTUDIO_PACKAGE_MANAGER_URL"}

// buildVersion is the build argument by which the developer guide has the version of the
// session components ("RStudio Versioning"), as Posit's own Dockerfiles have it.
const buildVersion = "RSW_VERSION="

// checkConfiguration adds what is wrong with the configuration of a container image of
// SageMaker's, which SageMaker does not check, and returns the version of the session
// components that it was built with, if it says so.
func (c *Client) checkConfiguration(ctx context.Context, wrong *problems, base string) (built SessionVersion, unchecked []string, err error) {
	ref, err := image.Parse(base)
	if err != nil {
		return built, nil, err
	}
	config, err := c.aws.Images.Configuration(ctx, ref, image.Platform{OS: "linux", Architecture: "amd64"})
	if errors.Is(err, image.ErrDenied) {
		return built, []string{fmt.Sprintf("%s in the image: %v", strings.Join(sessionVariables[:], " and "), err)}, nil
	}
	if err != nil {
		return built, nil, err
	}
	for _, name := range sessionVariables {
		if config.Env[name] == "" {
			wrong.add(domain.ErrInvalid, "container image %s gives %s no value, which RStudio on SageMaker needs: add a line ENV %s=... to its Dockerfile", base, name, name)
		}
	}
	for _, instruction := range config.History { // the last that says it was in force
		if _, rest, found := strings.Cut(instruction, buildVersion); found {
			version, _, _ := strings.Cut(rest, " ")
			if v, ok := findSessionVersion(strings.Trim(version, `"'`)); ok {
				built = v
			}
		}
	}
	return built, nil, nil
}
