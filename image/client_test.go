package image_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/atelier-go/atelier/image"
)

type plainDoer struct{ err error }

func (d plainDoer) Do(*http.Request) (*http.Response, error) { return nil, d.err }

// TestTransport proves that registries are reached as the AWS configuration
// says, unless Config says otherwise.
func TestTransport(t *testing.T) {
	used := errors.New("used")
	broken := roundTrip(func(*http.Request) (*http.Response, error) { return nil, used })
	for name, c := range map[string]struct {
		client aws.HTTPClient
		cfg    image.Config
	}{
		"http.Client": {client: &http.Client{Transport: broken}},
		"the SDK's": {client: awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
			tr.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, used }
		})},
		"any other": {client: plainDoer{used}},
		"given":     {client: plainDoer{errors.New("not used")}, cfg: image.Config{Transport: broken}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resolve(t, image.NewFromConfig(aws.Config{Region: "us-east-1", HTTPClient: c.client}, c.cfg), "ghcr.io/a/b:c")
			if !errors.Is(err, used) || !errors.Is(err, image.ErrUnavailable) {
				t.Errorf("%v, want ErrUnavailable for %v", err, used)
			}
		})
	}
}
