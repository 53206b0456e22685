package sagemakerdomain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/image"
	"github.com/atelier-go/atelier/internal/refusal"
)

// ImageVersion is a version of a SageMaker image. It never changes.
type ImageVersion struct {
	Image string
	// Number is from 1 on and never given again.
	Number int32
	ARN    string
	// Base is the container image as it was asked for, Container as SageMaker has it,
	// by digest.
	Base, Container string
	// Status is in SageMaker's words ("CREATED"), FailureReason its own text.
	Status, FailureReason string
	Created               time.Time
}

// AddVersionRequest says of which container image a version is to be.
type AddVersionRequest struct {
	// Image is the name of the SageMaker image.
	Image string
	// Base is the container image in Amazon ECR of the region. A tag is looked up once.
	Base string
	// Token makes the call idempotent: 1 to 36 letters, digits and hyphens. Empty is one that
	// follows from the request, so that the same request is the same version.
	Token string
	// Aliases name the version beside its number: at most 20, each of 1 to 128 letters, digits,
	// hyphens, dots and underscores.
	Aliases []string
	// Processor is "CPU", "GPU" or empty.
	Processor string
	// ReleaseNotes are for people.
	ReleaseNotes string
}

func (q AddVersionRequest) token() string {
	if q.Token != "" {
		return q.Token
	}
	h := sha256.New()
	for _, part := range append([]string{q.Image, q.Base, q.Processor, q.ReleaseNotes}, q.Aliases...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))[:36]
}

var tokenPattern = regexp.MustCompile(`^[a-zA-Z0-9-]{1,36}$`)

// AddVersion makes the next version of a SageMaker image, and returns when it is CREATED. It
// is idempotent by the token. Before, it looks whether the container image is there, in ECR of
// the region and of at most 25 GB, as far as the credentials may. A version that has failed is
// [domain.ErrState] and says why; another needs another Token.
func (c *Client) AddVersion(ctx context.Context, q AddVersionRequest) (ImageVersion, error) {
	v, err := c.addVersion(ctx, q)
	return v, fail(ctx, "add image version", q.Image, err)
}

func (c *Client) addVersion(ctx context.Context, q AddVersionRequest) (ImageVersion, error) {
	var wrong problems
	wrong.checkImageName(q.Image)
	if q.Token != "" && !tokenPattern.MatchString(q.Token) {
		wrong.add(domain.ErrInvalid, "token %.40q: want 1 to 36 letters, digits and hyphens", q.Token)
	}
	if p := types.Processor(q.Processor); p != "" && !slices.Contains(p.Values(), p) {
		wrong.add(domain.ErrInvalid, "processor %.40q: want CPU or GPU", q.Processor)
	}
	wrong.checkAliases(q.Aliases)
	if _, _, err := c.checkBase(ctx, &wrong, q.Base); err != nil {
		return ImageVersion{}, wrong.or(err)
	}
	if err := c.checkImage(ctx, &wrong, q.Image); err != nil {
		return ImageVersion{}, err
	}
	out, err := c.aws.SageMaker.CreateImageVersion(ctx, &awssagemaker.CreateImageVersionInput{
		ImageName: &q.Image, BaseImage: &q.Base, ClientToken: aws.String(q.token()), Aliases: q.Aliases, Processor: types.Processor(q.Processor),
		ReleaseNotes: optional(q.ReleaseNotes),
	})
	if err != nil {
		return ImageVersion{}, err
	}
	number, ok := versionNumber(aws.ToString(out.ImageVersionArn), q.Image)
	if !ok {
		return ImageVersion{}, refusal.New(domain.ErrUnavailable, "SageMaker calls the version %q, which has no number", aws.ToString(out.ImageVersionArn))
	}
	return c.untilVersion(ctx, q.Image, number)
}

// checkAliases checks aliases by the rules of API_CreateImageVersion.
func (p *problems) checkAliases(aliases []string) {
	if n := len(aliases); n > maxAliases {
		p.add(domain.ErrInvalid, "%d aliases: want at most %d", n, maxAliases)
	}
	for _, a := range aliases {
		if !aliasPattern.MatchString(a) {
			p.add(domain.ErrInvalid, "alias %.140q: want 1 to 128 letters, digits, hyphens, dots and underscores, not beginning with a hyphen or dot", a)
		}
	}
}

// checkImage waits until an image is CREATED or, if something is wrong already, looks whether it
// is there, and returns all that is wrong.
func (c *Client) checkImage(ctx context.Context, wrong *problems, name string) (err error) {
	var form problems
	switch form.checkImageName(name); {
	case len(form) > 0: // which is said already
	case len(*wrong) > 0:
		_, err = c.aws.SageMaker.DescribeImage(ctx, &awssagemaker.DescribeImageInput{ImageName: &name})
		err = c.noImage(err, name)
	default:
		err = c.untilServes(ctx, c.watchImage(name, nil), time.Time{})
		if kindOf(err) == domain.ErrNotFound {
			err = refusal.New(domain.ErrNotFound, "there is no image %s in %s: %s", name, c.region, adviceImage)
		}
	}
	return wrong.or(wrong.take(err))
}

// versionNumber reads the number at the end of the ARN of a version of an image, which has
// the image's name in lower case.
func versionNumber(arn, imageName string) (int32, bool) {
	_, rest, found := strings.Cut(arn, ":image-version/")
	name, number, cut := strings.Cut(rest, "/")
	n, err := strconv.ParseInt(number, 10, 32)
	return int32(n), found && cut && err == nil && n > 0 && strings.EqualFold(name, imageName)
}

// watchVersion looks at a version of an image, and keeps what it saw last unless that is nil.
func (c *Client) watchVersion(imageName string, number int32, last *awssagemaker.DescribeImageVersionOutput) watch {
	name := fmt.Sprintf("%s/%d", imageName, number)
	return watch{step: "image version", resource: name, limit: c.timeouts.Image, look: func(ctx context.Context) (seen, error) {
		out, err := c.aws.SageMaker.DescribeImageVersion(ctx, &awssagemaker.DescribeImageVersionInput{ImageName: &imageName, Version: &number})
		if err != nil {
			return seen{}, err
		}
		if last != nil {
			*last = *out
		}
		return seen{status: imageStatus(string(out.ImageVersionStatus)), reason: aws.ToString(out.FailureReason), modified: aws.ToTime(out.LastModifiedTime)}, nil
	}}
}

// untilVersion waits until a version is CREATED.
func (c *Client) untilVersion(ctx context.Context, imageName string, number int32) (ImageVersion, error) {
	var out awssagemaker.DescribeImageVersionOutput
	w := c.watchVersion(imageName, number, &out)
	switch err := c.untilServes(ctx, w, time.Time{}); {
	case kindOf(err) == domain.ErrNotFound:
		return ImageVersion{}, c.noVersion(ctx, err, imageName, number)
	case err != nil && out.ImageVersionStatus == types.ImageVersionStatusCreateFailed:
		return ImageVersion{}, fmt.Errorf("%w, with another Token", err)
	case err != nil:
		return ImageVersion{}, err
	}
	return versionOf(imageName, &out), nil
}

// noVersion says of an answer that there is no such version what is not there: the image, the
// version of a number or, without a number, any.
func (c *Client) noVersion(ctx context.Context, err error, imageName string, number int32) error {
	if err == nil || kindOf(err) != domain.ErrNotFound {
		return err
	}
	_, look := c.aws.SageMaker.DescribeImage(ctx, &awssagemaker.DescribeImageInput{ImageName: &imageName})
	switch {
	case refusal.Code(look) == notFound:
		return c.noImage(look, imageName)
	case number == 0:
		return absent("image "+imageName+" has no version yet: AddVersion makes one", err)
	}
	return absent(fmt.Sprintf("there is no version %d of image %s: check the number; Versions lists them", number, imageName), err)
}

func versionOf(imageName string, out *awssagemaker.DescribeImageVersionOutput) ImageVersion {
	return ImageVersion{
		Image: imageName, Number: aws.ToInt32(out.Version), ARN: aws.ToString(out.ImageVersionArn), Base: aws.ToString(out.BaseImage),
		Container: aws.ToString(out.ContainerImage), Status: string(out.ImageVersionStatus), FailureReason: aws.ToString(out.FailureReason),
		Created: aws.ToTime(out.CreationTime),
	}
}

// Versions lists the versions of a SageMaker image, the newest first, without Base and
// Container. A page is fetched when it is reached. It yields an error last.
func (c *Client) Versions(ctx context.Context, imageName string) iter.Seq2[ImageVersion, error] {
	var wrong problems
	wrong.checkImageName(imageName)
	return func(yield func(ImageVersion, error) bool) {
		for v, err := range checked(wrong, c.listVersions(ctx, imageName)) {
			if !yield(v, fail(ctx, "list image versions", imageName, err)) || err != nil {
				return
			}
		}
	}
}

func (c *Client) listVersions(ctx context.Context, imageName string) iter.Seq2[ImageVersion, error] {
	return func(yield func(ImageVersion, error) bool) {
		pages := awssagemaker.NewListImageVersionsPaginator(c.aws.SageMaker, &awssagemaker.ListImageVersionsInput{ImageName: &imageName, MaxResults: aws.Int32(pageSize)})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(ImageVersion{}, c.noImage(err, imageName))
				return
			}
			for _, v := range out.ImageVersions {
				if !yield(ImageVersion{
					Image: imageName, Number: aws.ToInt32(v.Version), ARN: aws.ToString(v.ImageVersionArn), Status: string(v.ImageVersionStatus),
					FailureReason: aws.ToString(v.FailureReason), Created: aws.ToTime(v.CreationTime),
				}, nil) {
					return
				}
			}
		}
	}
}

// DeleteVersion deletes a version of a SageMaker image; the container image stays in ECR.
// One that settings or apps still name is [domain.ErrState]: sessions of it would not start
// any more. One that is being created is waited for. It is idempotent, as [Client.DeleteImage]
// is, and returns when it is gone.
func (c *Client) DeleteVersion(ctx context.Context, imageName string, number int32) error {
	const op = "delete image version"
	name := fmt.Sprintf("%s/%d", imageName, number)
	var wrong problems
	wrong.checkImageName(imageName)
	if number < 1 {
		wrong.add(domain.ErrInvalid, "version %d: want a number from 1", number)
	}
	err := wrong.err()
	if err == nil {
		err = c.unused(ctx, imageName, number)
	}
	if err == nil {
		err = c.deleteOne(ctx, c.watchVersion(imageName, number, nil), func() error {
			_, err := c.aws.SageMaker.DeleteImageVersion(ctx, &awssagemaker.DeleteImageVersionInput{ImageName: &imageName, Version: &number})
			return err
		})
	}
	return fail(ctx, op, name, err)
}

// ecrHost is a private registry of Amazon ECR, with its region.
var ecrHost = regexp.MustCompile(`^\d{12}\.dkr(?:\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.(?:com|com\.cn|eu)|-ecr(?:-fips)?\.([a-z0-9-]+)\.on\.aws)$`)

// MaxImageSize is how large a custom image for RStudio may be, in bytes ("Custom RStudio image
// specifications", developer guide, as of 2023).
const MaxImageSize = 25_000_000_000

// checkBase checks a container image as far as it can be: its registry, whether it is there,
// and its compressed size, below which the unpacked one is not. It says what it could not
// check.
func (c *Client) checkBase(ctx context.Context, wrong *problems, base string) (size int64, unchecked []string, err error) {
	ref, err := image.Parse(base)
	if err != nil {
		wrong.add(domain.ErrInvalid, "container image: %w", err)
		return 0, nil, nil
	}
	m := ecrHost.FindStringSubmatch(ref.Registry)
	switch {
	case m == nil:
		wrong.add(domain.ErrInvalid, "container image %s: SageMaker takes images of Amazon ECR alone: push it there, to %s", base, c.region)
		return 0, nil, nil
	case m[1]+m[2] != c.region:
		wrong.add(domain.ErrInvalid, "container image %s lies in %s: SageMaker takes those of the domain's region alone: push it to %s", base, m[1]+m[2], c.region)
		return 0, nil, nil
	}
	found, err := c.aws.Images.Resolve(ctx, ref)
	switch {
	case err == nil:
	case errors.Is(err, image.ErrDenied):
		return 0, []string{fmt.Sprintf("whether the container image is there, and its size: %v", err)}, nil
	case errors.Is(err, image.ErrNotFound), errors.Is(err, image.ErrInvalid):
		wrong.add(kindOf(err), "container image: %w", err)
		return 0, nil, nil
	default:
		return 0, nil, err
	}
	if found.Size > MaxImageSize {
		wrong.add(domain.ErrInvalid, "container image %s has %d bytes compressed: SageMaker takes at most %d: make it smaller", base, found.Size, int64(MaxImageSize))
	}
	if err := found.CheckArchitecture("x86_64"); err != nil {
		wrong.add(domain.ErrInvalid, "container image: every type of instance for sessions is x86_64: %w", err)
	}
	return found.Size, []string{fmt.Sprintf("the unpacked size, which may be over %d bytes though the compressed one is not", int64(MaxImageSize))}, nil
}
