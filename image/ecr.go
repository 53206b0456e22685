package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/smithy-go"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// API is the part of Amazon ECR that is used.
type API interface {
	BatchGetImage(context.Context, *awsecr.BatchGetImageInput, ...func(*awsecr.Options)) (*awsecr.BatchGetImageOutput, error)
	GetDownloadUrlForLayer(context.Context, *awsecr.GetDownloadUrlForLayerInput, ...func(*awsecr.Options)) (*awsecr.GetDownloadUrlForLayerOutput, error)
}

var _ API = (*awsecr.Client)(nil)

// ecrHost is what the name of an ECR registry says.
type ecrHost struct {
	account, region string
	fips, dualStack bool
}

// ecrPattern is the name of a private registry, over IPv4 alone or dual-stack,
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html.
var ecrPattern = regexp.MustCompile(`^([0-9]{12})\.dkr(?:` +
	`\.ecr(-fips)?\.([a-z0-9-]+)\.amazonaws\.(?:com|com\.cn|eu)|` +
	`-ecr(-fips)?\.([a-z0-9-]+)\.on\.aws)$`)

// parseECRHost reads the host of a reference, if it is one of ECR's.
func parseECRHost(host string) (ecrHost, bool) {
	m := ecrPattern.FindStringSubmatch(host)
	if m == nil {
		return ecrHost{}, false
	}
	return ecrHost{
		account: m[1], region: m[3] + m[5],
		fips: m[2]+m[4] != "", dualStack: m[5] != "",
	}, true
}

// options sends a call to the registry's own region and kind of endpoint.
func (h ecrHost) options(o *awsecr.Options) {
	o.Region = h.region
	if h.fips {
		o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if h.dualStack {
		o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
}

// ecrRepository is a repository of an ECR registry.
type ecrRepository struct {
	api  API
	http *http.Client
	host ecrHost
}

func (r *ecrRepository) manifest(ctx context.Context, ref Reference) (document, error) {
	id := types.ImageIdentifier{ImageTag: aws.String(ref.Tag)}
	if ref.Pinned() {
		id = types.ImageIdentifier{ImageDigest: aws.String(ref.Digest)}
	}
	documents, err := r.batch(ctx, ref, []types.ImageIdentifier{id})
	if err != nil {
		return document{}, err
	}
	return documents[0], nil
}

// manifests asks for all in one call, which takes up to 100: more than there
// are platforms of hosts.
func (r *ecrRepository) manifests(ctx context.Context, ref Reference, digests []digest.Digest) ([]document, error) {
	ids := make([]types.ImageIdentifier, len(digests))
	for n, d := range digests {
		ids[n].ImageDigest = aws.String(d.String())
	}
	documents, err := r.batch(ctx, ref, ids)
	if err != nil {
		return nil, err
	}
	byDigest := map[digest.Digest]document{}
	for _, d := range documents {
		byDigest[d.digest] = d
	}
	for n, d := range digests {
		found, ok := byDigest[d]
		if !ok {
			return nil, unavailable("ECR's answer lacks %s", d)
		}
		documents[n] = found
	}
	return documents, nil
}

// batch fetches manifests, all or none.
func (r *ecrRepository) batch(ctx context.Context, ref Reference, ids []types.ImageIdentifier) ([]document, error) {
	out, err := r.api.BatchGetImage(ctx, &awsecr.BatchGetImageInput{
		RegistryId:         aws.String(r.host.account),
		RepositoryName:     aws.String(ref.Repository),
		ImageIds:           ids,
		AcceptedMediaTypes: mediaTypes(),
	}, r.host.options)
	if err != nil {
		return nil, ecrFailure(err)
	}
	if len(out.Failures) > 0 {
		f := out.Failures[0]
		kind := ecrImageKind(f.FailureCode)
		return nil, &failure{kind, advise(kind, fmt.Errorf("ECR: %s: %s", f.FailureCode, aws.ToString(f.FailureReason)))}
	}
	if len(out.Images) != len(ids) {
		return nil, unavailable("ECR answered with %d images for %d", len(out.Images), len(ids))
	}
	documents := make([]document, len(out.Images))
	for n, i := range out.Images {
		if i.ImageId == nil {
			return nil, unavailable("ECR answered with an image without a digest")
		}
		documents[n] = document{
			mediaType: aws.ToString(i.ImageManifestMediaType),
			digest:    digest.Digest(aws.ToString(i.ImageId.ImageDigest)),
			body:      []byte(aws.ToString(i.ImageManifest)),
		}
	}
	return documents, nil
}

// config fetches a configuration from where ECR keeps layers. Its address is
// signed and must not be told.
func (r *ecrRepository) config(ctx context.Context, ref Reference, d ocispec.Descriptor) ([]byte, error) {
	out, err := r.api.GetDownloadUrlForLayer(ctx, &awsecr.GetDownloadUrlForLayerInput{
		RegistryId:     aws.String(r.host.account),
		RepositoryName: aws.String(ref.Repository),
		LayerDigest:    aws.String(d.Digest.String()),
	}, r.host.options)
	if err != nil {
		return nil, ecrFailure(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, aws.ToString(out.DownloadUrl), nil)
	if err != nil {
		return nil, unavailable("ECR's address of the image's configuration is malformed")
	}
	response, err := r.http.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err
		}
		return nil, unavailable("the image's configuration in ECR's storage: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, &failure{statusKind(response.StatusCode),
			fmt.Errorf("ECR's storage answered %s for the image's configuration", response.Status)}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return nil, unavailable("the image's configuration in ECR's storage: %w", err)
	}
	return body, nil
}

// ecrKind is what ECR's error codes mean here,
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html,
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetDownloadUrlForLayer.html
// and https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html.
func ecrKind(code string) (Kind, bool) {
	switch code {
	case "RepositoryNotFoundException":
		return ErrNoRepository, true
	case "ImageNotFoundException", "LayersNotFoundException", "LayerInaccessibleException":
		return ErrNotFound, true
	case "InvalidParameterException", "ValidationException", "ValidationError":
		return ErrInvalid, true
	case "AccessDeniedException", "AccessDenied", "NotAuthorized", "UnrecognizedClientException",
		"InvalidClientTokenId", "ExpiredTokenException", "ExpiredToken", "InvalidSignatureException",
		"IncompleteSignature", "MissingAuthenticationToken", "OptInRequired",
		"BlockedByOrganizationPolicyException", "KmsException", "UnableToGetUpstreamImageException":
		return ErrDenied, true
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded",
		"LimitExceededException":
		return ErrThrottled, true
	case "ServerException", "ServiceUnavailable", "InternalFailure", "InternalError",
		"UnableToGetUpstreamLayerException", "RequestExpired":
		return ErrUnavailable, true
	}
	return "", false
}

// ecrImageKind is what the failure of one image in a batch means here.
func ecrImageKind(code types.ImageFailureCode) Kind {
	switch code {
	case types.ImageFailureCodeImageNotFound:
		return ErrNotFound
	case types.ImageFailureCodeInvalidImageDigest, types.ImageFailureCodeInvalidImageTag,
		types.ImageFailureCodeImageTagDoesNotMatchDigest, types.ImageFailureCodeMissingDigestAndTag:
		return ErrInvalid
	case types.ImageFailureCodeKmsError, types.ImageFailureCodeUpstreamAccessDenied,
		types.ImageFailureCodeImageInaccessible:
		return ErrDenied
	case types.ImageFailureCodeUpstreamTooManyRequests:
		return ErrThrottled
	}
	return ErrUnavailable
}

// ecrFailure gives an error of the SDK its kind.
func ecrFailure(err error) error {
	kind := ErrUnavailable
	if refused, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		kind = statusKind(refused.HTTPStatusCode())
	}
	if refused, ok := errors.AsType[smithy.APIError](err); ok {
		if k, known := ecrKind(refused.ErrorCode()); known {
			kind = k
		}
	}
	return &failure{kind, advise(kind, err)}
}
