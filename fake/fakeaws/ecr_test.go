package fakeaws_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// wire answers every request as the service would over the network, so that
// the SDK's own deserialisers make the error.
type wire struct {
	status     int
	code, text string
}

func (w wire) Do(r *http.Request) (*http.Response, error) {
	body := fmt.Sprintf(`{"__type":%q,"message":%q}`, w.code, w.text)
	return &http.Response{
		StatusCode: w.status, Status: fmt.Sprint(w.status), Request: r, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amzn-Requestid": {"11111111-2222-3333-4444-555555555555"}},
		Body:   io.NopCloser(strings.NewReader(body)),
	}, nil
}

// shape is what a caller can see of an error.
type shape struct {
	Type, Code, Message string
	Fault               smithy.ErrorFault
	Status              int
	HasRequestID        bool
	Operation           string
}

func shapeOf(err error) shape {
	var s shape
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		s.Type, s.Code, s.Message, s.Fault = fmt.Sprintf("%T", e), e.ErrorCode(), e.ErrorMessage(), e.ErrorFault()
	}
	if e, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		s.Status, s.HasRequestID = e.HTTPStatusCode(), e.ServiceRequestID() != ""
	}
	if e, ok := errors.AsType[*smithy.OperationError](err); ok {
		s.Operation = e.Service() + "." + e.Operation()
	}
	return s
}

// TestECRErrors proves that the model's errors are those the SDK makes of the
// service's answers.
func TestECRErrors(t *testing.T) {
	ctx := context.Background()
	batch := func(in awsecr.BatchGetImageInput) func(*awsecr.Client) error {
		return func(c *awsecr.Client) error {
			_, err := c.BatchGetImage(ctx, &in)
			return err
		}
	}
	layer := func(in awsecr.GetDownloadUrlForLayerInput) func(*awsecr.Client) error {
		return func(c *awsecr.Client) error {
			_, err := c.GetDownloadUrlForLayer(ctx, &in)
			return err
		}
	}
	one := []types.ImageIdentifier{{ImageTag: aws.String("1")}}
	for name, c := range map[string]struct {
		call   func(*awsecr.Client) error
		answer wire
		deny   string
	}{
		"no repository": {
			call: batch(awsecr.BatchGetImageInput{RepositoryName: aws.String("none"), ImageIds: one}),
			answer: wire{400, "RepositoryNotFoundException",
				"The repository with name 'none' does not exist in the registry with id '123456789012'"},
		},
		"no repository for a layer": {
			call: layer(awsecr.GetDownloadUrlForLayerInput{RepositoryName: aws.String("none"), LayerDigest: aws.String("sha256:0")}),
			answer: wire{400, "RepositoryNotFoundException",
				"The repository with name 'none' does not exist in the registry with id '123456789012'"},
		},
		"no layer": {
			call: layer(awsecr.GetDownloadUrlForLayerInput{RepositoryName: aws.String("ide"), LayerDigest: aws.String("sha256:0")}),
			answer: wire{400, "LayersNotFoundException",
				"The layer with digest 'sha256:0' does not exist in the repository with name 'ide' in the registry with id '123456789012'"},
		},
		"no images": {
			call: batch(awsecr.BatchGetImageInput{RepositoryName: aws.String("ide"), ImageIds: []types.ImageIdentifier{}}),
			answer: wire{400, "InvalidParameterException",
				"Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length between 1 and 100', not 0"},
		},
		"denied": {
			call: batch(awsecr.BatchGetImageInput{RepositoryName: aws.String("ide"), ImageIds: one}), deny: "ecr:*",
			answer: wire{400, "AccessDeniedException",
				"User: arn:aws:iam::123456789012:user/atelier is not authorized to perform: ecr:BatchGetImage"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var deny []string
			if c.deny != "" {
				deny = append(deny, c.deny)
			}
			cloud := registryCloud(t, fakeaws.Config{Deny: deny})
			if _, err := cloud.PushImage(ownRegistry+"/ide:1", fakeaws.Image{}); err != nil {
				t.Fatal(err)
			}
			cfg := cloud.Config()
			got := shapeOf(c.call(awsecr.NewFromConfig(cfg)))
			cfg.APIOptions, cfg.HTTPClient = nil, c.answer
			want := shapeOf(c.call(awsecr.NewFromConfig(cfg)))
			if want.Code != c.answer.code {
				t.Fatalf("the SDK made %+v of the answer", want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-SDK +fakeaws):\n%s", diff)
			}
		})
	}
}
