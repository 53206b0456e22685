package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestKinds answers a call with each error code and looks at the kind.
func TestKinds(t *testing.T) {
	for _, test := range []struct {
		status int
		kind   dynamostore.Kind
		codes  string
	}{
		{400, dynamostore.ErrInvalid, "ValidationException ValidationError SerializationException"},
		{400, dynamostore.ErrNoTable, "ResourceNotFoundException TableNotFoundException"},
		{400, dynamostore.ErrThrottled, "ProvisionedThroughputExceededException RequestLimitExceeded ThrottlingException Throttling TooManyRequestsException"},
		{400, dynamostore.ErrDenied, "AccessDeniedException AccessDenied UnrecognizedClientException IncompleteSignature IncompleteSignatureException " +
			"InvalidSignatureException SignatureDoesNotMatch InvalidClientTokenId MissingAuthenticationToken MissingAuthenticationTokenException " +
			"ExpiredToken ExpiredTokenException OptInRequired NotAuthorized"},
		{400, dynamostore.ErrQuota, "LimitExceededException ItemCollectionSizeLimitExceededException"},
		{400, dynamostore.ErrState, "ResourceInUseException TableInUseException TableAlreadyExistsException"},
		{500, dynamostore.ErrUnavailable, "InternalServerError InternalFailure InternalError"},
		{503, dynamostore.ErrUnavailable, "ServiceUnavailable ServiceUnavailableException"},
		{400, dynamostore.ErrUnavailable, "RequestTimeout TransactionConflictException TransactionInProgressException ReplicatedWriteConflictException"},
		// Codes that are not in the table go by their status.
		{401, dynamostore.ErrDenied, "Whatever"},
		{403, dynamostore.ErrDenied, "Whatever"},
		{429, dynamostore.ErrThrottled, "Whatever"},
		{418, dynamostore.ErrInvalid, "Whatever"},
		{502, dynamostore.ErrUnavailable, "Whatever"},
	} {
		for code := range strings.FieldsSeq(test.codes) {
			inBubble(t, fmt.Sprint(code, test.status), func(t *testing.T) {
				w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{
					{Action: "dynamodb:*Item", Status: test.status, Code: code}, {Action: "dynamodb:Query", Status: test.status, Code: code},
				}})
				s := w.ready()
				var listed error
				for _, listed = range s.List(t.Context(), "things", "") {
				}
				for op, err := range map[string]error{
					`get "a" in things`:    second(s.Get(t.Context(), "things", "a")),
					`put "a" in things`:    second(s.Put(t.Context(), store.Record{Collection: "things", ID: "a"})),
					`delete "a" in things`: s.Delete(t.Context(), "things", "a", 1),
					"list things":          listed,
				} {
					unusable := test.kind == dynamostore.ErrNoTable || test.kind == dynamostore.ErrDenied
					if errors.Is(err, store.ErrUnusable) != unusable {
						t.Errorf("%s: %v, an administrator's turn: %t", op, err, unusable)
					}
					failure, ok := errors.AsType[*dynamostore.Error](err)
					if !ok || failure.Kind != test.kind || !errors.Is(err, test.kind) {
						t.Fatalf("%s: got %v, want %s", op, err, test.kind)
					}
					if !strings.HasPrefix(err.Error(), "dynamostore: "+op+": table records: "+string(test.kind)+": ") || !strings.Contains(err.Error(), code) {
						t.Errorf("%s: %v", op, err)
					}
				}
			})
		}
	}
}

// With no attempt more, what is beyond the table's capacity is throttled.
func TestThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Limits: fakeaws.Limits{"dynamodb:PutItem": {Calls: fakeaws.Bucket{Size: 2, PerSecond: 1}}}})
		w.ready()
		once := dynamodb.NewFromConfig(w.Config(), func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} })
		s, err := dynamostore.New(once, dynamostore.Config{Table: table})
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, store.Record{Collection: "things", ID: "a"})
		put(t, s, store.Record{Collection: "things", ID: "b"})
		_, err = s.Put(t.Context(), store.Record{Collection: "things", ID: "c"})
		if !errors.Is(err, dynamostore.ErrThrottled) || !strings.Contains(err.Error(), "call again later") {
			t.Errorf("got %v", err)
		}
		if _, err := s.Get(t.Context(), "things", "c"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("what was throttled is %v", err)
		}
		// The SDK's own retries find the bucket fuller.
		put(t, w.store(), store.Record{Collection: "things", ID: "c"})
	})
}

func TestDenied(t *testing.T) {
	w := newWorld(t, fakeaws.Config{Deny: []string{"dynamodb:PutItem"}})
	s := w.ready()
	_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "a"})
	if !errors.Is(err, dynamostore.ErrDenied) || !strings.Contains(err.Error(), "administrator") {
		t.Errorf("got %v", err)
	}
}

// refused fails as a client without a network does.
type refused struct{ dynamostore.API }

func (refused) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return nil, http.ErrServerClosed
}

func TestNoNetworkIsUnavailable(t *testing.T) {
	s, err := dynamostore.New(refused{}, dynamostore.Config{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(t.Context(), "things", "a")
	if !errors.Is(err, dynamostore.ErrUnavailable) || !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("got %v", err)
	}
	if got, want := (&dynamostore.Error{Op: "x", Kind: dynamostore.ErrQuota}).Error(), "dynamostore: x: quota exceeded"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestConfig: one error names everything that is wrong.
func TestConfig(t *testing.T) {
	_, err := dynamostore.NewFromConfig(aws.Config{}, dynamostore.Config{Table: "a b"})
	for _, want := range []string{"no region", `table "a b"`} {
		if !errors.Is(err, dynamostore.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	_, err = dynamostore.New(nil, dynamostore.Config{})
	for _, want := range []string{"api is nil", `table ""`} {
		if !errors.Is(err, dynamostore.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}
