package fakeaws

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry"
)

var ecrHostPattern = regexp.MustCompile(`^[0-9]{12}\.dkr(\.ecr|-ecr)(-fips)?\.`)

// isECRHost reports whether a host is a private registry of Amazon ECR.
func isECRHost(host string) bool { return ecrHostPattern.MatchString(host) }

// ecrRegistry is the account's registry in the cloud's region, the only one it
// holds images in.
func (c *Cloud) ecrRegistry() string {
	return c.account + ".dkr.ecr." + c.region + ".amazonaws.com"
}

func (c *Cloud) registerECR() {
	handle(c, c.batchGetImage)
	handle(c, c.getDownloadURLForLayer)
	handle(c, c.getAuthorizationToken)
}

// tokenLife is how long a token is good,
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html.
const tokenLife = 12 * time.Hour

// getAuthorizationToken gives a token that opens the registries of the
// account's region. The registryIds it once took are deprecated and ignored.
func (c *Cloud) getAuthorizationToken(at call, _ *awsecr.GetAuthorizationTokenInput) (*awsecr.GetAuthorizationTokenOutput, error) {
	expires := at.At.Add(tokenLife)
	return &awsecr.GetAuthorizationTokenOutput{AuthorizationData: []types.AuthorizationData{{
		AuthorizationToken: aws.String(base64.StdEncoding.EncodeToString([]byte("AWS:" + c.ecrToken(at.region, expires.Unix())))),
		ExpiresAt:          aws.Time(expires),
		ProxyEndpoint:      aws.String("https://" + c.ecrRegistry()),
	}}}, nil
}

// ecrToken is good in a region until a time, which it shows.
func (c *Cloud) ecrToken(region string, expires int64) string {
	return fmt.Sprintf("%016x-%d", c.hash("ecr token", region, expires), expires)
}

// ecrLogin reports whether a name and password open the account's registry now.
func (c *Cloud) ecrLogin(username, password string) bool {
	_, text, _ := strings.Cut(password, "-")
	expires, err := strconv.ParseInt(text, 10, 64)
	return err == nil && username == "AWS" && password == c.ecrToken(c.region, expires) && time.Now().Unix() < expires
}

// ecrRepository finds a repository of the account.
func (c *Cloud) ecrRepository(at call, registryID, name *string) (*repository, error) {
	if id := aws.ToString(registryID); id != "" && id != c.account {
		// Nothing of another account is open to this one.
		return nil, denied(at.Action, c.account)
	}
	r := c.images.repositories[c.ecrRegistry()+"/"+aws.ToString(name)]
	if r == nil || at.region != c.region {
		return nil, refuseAs(http.StatusBadRequest, &types.RepositoryNotFoundException{Message: aws.String(fmt.Sprintf(
			"The repository with name '%s' does not exist in the registry with id '%s'", aws.ToString(name), c.account))})
	}
	return r, nil
}

// batchGetImage follows
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html:
// an image that is not there is a failure beside the others, not an error.
func (c *Cloud) batchGetImage(at call, in *awsecr.BatchGetImageInput) (*awsecr.BatchGetImageOutput, error) {
	r, err := c.ecrRepository(at, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if n := len(in.ImageIds); n < 1 || n > 100 {
		return nil, refuseAs(http.StatusBadRequest, &types.InvalidParameterException{Message: aws.String(fmt.Sprintf(
			"Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length between 1 and 100', not %d", n))})
	}
	out := &awsecr.BatchGetImageOutput{}
	for _, id := range in.ImageIds {
		d, failure, reason := r.identify(id)
		if failure != "" {
			out.Failures = append(out.Failures, types.ImageFailure{FailureCode: failure, FailureReason: aws.String(reason), ImageId: &id})
			continue
		}
		m := r.manifests[d]
		if len(in.AcceptedMediaTypes) > 0 && !slices.Contains(in.AcceptedMediaTypes, m.mediaType) {
			out.Failures = append(out.Failures, types.ImageFailure{
				FailureCode: types.ImageFailureCodeImageNotFound, ImageId: &id, // an assumption
				FailureReason: aws.String("Requested image has a media type that is not accepted"),
			})
			continue
		}
		out.Images = append(out.Images, types.Image{
			RegistryId: aws.String(c.account), RepositoryName: in.RepositoryName,
			ImageId:       &types.ImageIdentifier{ImageDigest: aws.String(d.String()), ImageTag: id.ImageTag},
			ImageManifest: aws.String(string(m.body)), ImageManifestMediaType: aws.String(m.mediaType),
		})
	}
	return out, nil
}

// identify finds the digest an identifier means, or says why there is none.
func (r *repository) identify(id types.ImageIdentifier) (digest.Digest, types.ImageFailureCode, string) {
	tag, named := aws.ToString(id.ImageTag), digest.Digest(aws.ToString(id.ImageDigest))
	switch {
	case tag == "" && named == "":
		return "", types.ImageFailureCodeMissingDigestAndTag, "Invalid request parameters: both tag and digest cannot be null"
	case named != "" && named.Validate() != nil:
		return "", types.ImageFailureCodeInvalidImageDigest, "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
	case tag != "" && named != "" && r.tags[tag] != named:
		return "", types.ImageFailureCodeImageTagDoesNotMatchDigest, "Requested image tag does not match the image digest"
	case tag != "" && named == "":
		named = r.tags[tag]
	}
	if _, ok := r.manifests[named]; !ok {
		return "", types.ImageFailureCodeImageNotFound, "Requested image not found"
	}
	return named, "", ""
}

// getDownloadURLForLayer follows
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetDownloadUrlForLayer.html.
// A configuration is a layer to ECR. The address it gives is served by
// [Cloud.Registry].
func (c *Cloud) getDownloadURLForLayer(at call, in *awsecr.GetDownloadUrlForLayerInput) (*awsecr.GetDownloadUrlForLayerOutput, error) {
	r, err := c.ecrRepository(at, in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	d := digest.Digest(aws.ToString(in.LayerDigest))
	if _, ok := r.configs[d]; !ok && !r.layers[d] {
		return nil, refuseAs(http.StatusBadRequest, &types.LayersNotFoundException{Message: aws.String(fmt.Sprintf(
			"The layer with digest '%s' does not exist in the repository with name '%s' in the registry with id '%s'",
			d, aws.ToString(in.RepositoryName), c.account))})
	}
	ref := registry.Reference{Registry: c.ecrRegistry(), Repository: aws.ToString(in.RepositoryName), Reference: d.String()}
	return &awsecr.GetDownloadUrlForLayerOutput{
		LayerDigest: in.LayerDigest,
		DownloadUrl: aws.String(fmt.Sprintf("https://%s/%s/%s?X-Amz-Signature=%s", c.ecrStorage(), ref.Repository, d, c.signature(ref))),
	}, nil
}

// ecrStorage is the host of the bucket in which ECR keeps layers,
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html.
func (c *Cloud) ecrStorage() string {
	return "prod-" + c.region + "-starport-layer-bucket.s3." + c.region + ".amazonaws.com"
}

// signature opens one object of the storage.
func (c *Cloud) signature(ref registry.Reference) string {
	return fmt.Sprintf("%016x", c.hash("layer", ref.String()))
}
