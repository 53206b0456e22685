package image

import (
	"slices"

	"github.com/atelier-go/atelier/internal/iampolicy"
)

// Policies are the least that is needed of Amazon ECR, as IAM policy documents:
// indented JSON to be attached by an administrator, or compared with what is attached.
// The policy of a repository of another account has to allow it, too.
type Policies struct {
	// Resolve is for [Client.Resolve] and [Client.Configuration].
	Resolve string
	// Pull is for who gives out the tokens of [ECRCredentials]: what is pulled with one
	// is pulled under the credentials that asked for it.
	Pull string
}

// Policy returns the policies for the repositories of references, whose Repository may
// end in "*" here, for all that begin so. It calls nothing. Those of other registries
// need none: without one of Amazon ECR both documents are empty.
func Policy(references ...Reference) Policies {
	var repositories, regions []string
	for _, r := range references {
		if host, ok := parseECRHost(r.Registry); ok {
			repositories = append(repositories, iampolicy.ARN(host.region, "ecr", host.account, "repository/"+r.Repository))
			regions = append(regions, host.region)
		}
	}
	if repositories == nil {
		return Policies{}
	}
	slices.Sort(repositories)
	slices.Sort(regions)
	read := iampolicy.Allow("Images", []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}, slices.Compact(repositories))
	// A token is of no repository: "Actions, resources, and condition keys for Amazon
	// Elastic Container Registry", Service Authorization Reference.
	token := iampolicy.Allow("Token", []string{"ecr:GetAuthorizationToken"}, []string{"*"}, iampolicy.Equals("aws:RequestedRegion", slices.Compact(regions)))
	return Policies{Resolve: iampolicy.Document(read), Pull: iampolicy.Document(token, read)}
}
