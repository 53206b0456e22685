package fakeaws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"

	"github.com/atelier-go/atelier/internal/pace"
)

// A Call is one attempt of one SDK call, as the account saw it.
type Call struct {
	// Action is the service and operation as IAM names them, "ec2:RunInstances".
	Action string
	// Subject is the idempotency token the caller gave or else the first
	// resource the call names; empty if there is none. Of an item in DynamoDB it
	// is the table and the item's key, "records/sessions/a"; of an app in SageMaker
	// its owner, type and name, "ada/JupyterServer/default".
	Subject string
	// Nth counts the calls of this action on this subject, from 1.
	Nth int
	// At is when the call arrived.
	At time.Time
	// Code is the error code it was answered with; empty for success.
	Code string
}

// Calls returns every attempt so far, in order of arrival.
func (c *Cloud) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Call(nil), c.journal...)
}

// occurrence counts equal calls.
type occurrence struct{ action, subject string }

// call is what a handler knows of the attempt it answers, beside the input.
type call struct {
	Call
	// region is the region the call went to, which need not be the cloud's.
	region string
	// principal is the ARN of who calls: of a role, its own and not the session's.
	principal string
	// id is unique to this occurrence and the same in every run: the seed of
	// the identifiers the handler makes.
	id uint64
	// failure is why what the call sets going fails later; empty if it does not.
	// See [Fault.Reason].
	failure string
}

// An operation is the model of one of a service's operations. Answer runs with
// Cloud.mu held and never blocks.
type operation struct {
	answer func(at call, input any) (any, error)
	// token and subjects are the fields of the input that hold its idempotency
	// token, nil if it has none, and what else it may name.
	token    []int
	subjects [][]int
	// named is what an input names that no field has by itself; nil if a field
	// does. It is called with Cloud.mu held.
	named func(input any) string
}

// subjectRank are the members that name what a call is about, the first in an input by
// their rank.
var subjectRank = func() map[string]int {
	ranks := map[string]int{}
	for i, name := range []string{
		"AppImageConfigName", "ImageName", "UserProfileName", "SpaceName", "DomainName", "DomainId", "DomainIdEquals", "QuotaCode", "ServiceCode", "LicenseArn",
		"InstanceIds", "SpotInstanceRequestIds", "NetworkInterfaceId", "NetworkInterfaceIds", "VolumeId", "VolumeIds", "FileSystemId", "AccessPointId", "MountTargetId", "SubnetId", "SubnetIds",
		"GroupId", "GroupIds", "GroupName", "RepositoryName", "InstanceTypes", "ImageIds", "Name",
		"InstanceProfileName", "RoleName", "SecretId", "LogGroupName", "LogGroupNamePrefix", "ResourceArn", "RoleArn", "TableName",
	} {
		ranks[name] = i
	}
	return ranks
}()

// handle registers the model of the operation whose input is an I. The model
// gets a copy of the input, which it may keep, and returns an output that
// shares nothing with the cloud's state.
func handle[I, O any](c *Cloud, model func(call, *I) (*O, error)) {
	input := reflect.TypeFor[I]()
	o := operation{answer: func(at call, in any) (any, error) { return model(at, in.(*I)) }}
	ranks := map[int][]int{}
	for f := range input.Fields() {
		if f.Name == "ClientToken" || f.Name == "CreationToken" {
			o.token = f.Index
		} else if rank, ok := subjectRank[f.Name]; ok {
			ranks[rank] = f.Index
		}
	}
	for _, rank := range slices.Sorted(maps.Keys(ranks)) {
		o.subjects = append(o.subjects, ranks[rank])
	}
	c.operations[reflect.TypeFor[*I]()] = o
}

// naming has calls of the operation whose input is an I numbered by what named makes
// of it, in place of a field.
func naming[I any](c *Cloud, named func(*I) string) {
	o := c.operations[reflect.TypeFor[*I]()]
	o.named = func(input any) string { return named(input.(*I)) }
	c.operations[reflect.TypeFor[*I]()] = o
}

// tokenIn returns the idempotency token of an input.
func (o operation) tokenIn(input any) string {
	if o.token == nil {
		return ""
	}
	return text(reflect.ValueOf(input).Elem().FieldByIndex(o.token))
}

// subject returns the token, if it is the caller's, or else the first that an
// input names; of a list its first element.
func (o operation) subject(input any, ownToken bool) string {
	if t := o.tokenIn(input); t != "" && ownToken {
		return t
	}
	if o.named != nil {
		return o.named(input)
	}
	for _, index := range o.subjects {
		if s := text(reflect.ValueOf(input).Elem().FieldByIndex(index)); s != "" {
			return s
		}
	}
	return ""
}

// text reads a field of text or the first of several.
func text(v reflect.Value) string {
	if v.Kind() == reflect.Slice && v.Len() > 0 {
		v = v.Index(0)
	}
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.String {
		return ""
	}
	return v.String()
}

// process is one life of the program under test: what was handed out between
// two crashes.
type process struct {
	cloud     *Cloud
	life      context.Context
	principal string
}

// inputKey carries the typed input of an operation from the Initialize step,
// where it is complete, past serialisation, which is left out, to the
// Deserialize step, where it is answered.
type inputKey struct{}

// ownTokenKey marks a call whose idempotency token is the caller's, not one
// that the SDK drew at random.
type ownTokenKey struct{}

// install puts the model at the inner end of an operation's middleware stack,
// inside the SDK's retry loop, and takes away the work on a request that
// nobody sends.
func (p *process) install(stack *middleware.Stack) error {
	for _, id := range []string{"OperationSerializer", "ResolveEndpoint"} {
		idle(stack.Serialize.Swap(id, idleSerialize(id)))
	}
	for _, id := range []string{"RecursionDetection", "ComputeContentLength", "ClientRequestID"} {
		idle(stack.Build.Swap(id, idleBuild(id)))
	}
	for _, id := range []string{
		"ResolveAuthScheme", "GetIdentity", "ResolveEndpointV2", "disableHTTPS", "ComputePayloadHash",
		"setLegacyContextSigningOptions", "Signing",
	} {
		idle(stack.Finalize.Swap(id, idleFinalize(id)))
	}
	return errors.Join(
		stack.Initialize.Add(noteToken{p.cloud}, middleware.Before),
		stack.Initialize.Add(keepInput{}, middleware.After),
		stack.Deserialize.Add(p, middleware.Before),
		stack.Deserialize.Add(wire{}, middleware.After),
	)
}

// idle takes what a Swap returns. An operation may lack the step, then there is
// nothing to spare.
func idle[M any](M, error) {}

// The idle steps do nothing in place of those whose name they keep, so that
// a caller's own middleware can still be put beside them.
type (
	idleSerialize string
	idleBuild     string
	idleFinalize  string
)

func (s idleSerialize) ID() string { return string(s) }
func (s idleBuild) ID() string     { return string(s) }
func (s idleFinalize) ID() string  { return string(s) }

func (idleSerialize) HandleSerialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (
	middleware.SerializeOutput, middleware.Metadata, error,
) {
	return next.HandleSerialize(ctx, in)
}

func (idleBuild) HandleBuild(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (
	middleware.BuildOutput, middleware.Metadata, error,
) {
	return next.HandleBuild(ctx, in)
}

func (idleFinalize) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	return next.HandleFinalize(ctx, in)
}

// noteToken looks at an input before the SDK fills in its idempotency token.
type noteToken struct{ cloud *Cloud }

func (noteToken) ID() string { return "FakeAWSNoteToken" }

func (n noteToken) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
	middleware.InitializeOutput, middleware.Metadata, error,
) {
	if n.cloud.operations[reflect.TypeOf(in.Parameters)].tokenIn(in.Parameters) != "" {
		ctx = middleware.WithStackValue(ctx, ownTokenKey{}, true)
	}
	return next.HandleInitialize(ctx, in)
}

// keepInput keeps an input when it is complete and found valid.
type keepInput struct{}

func (keepInput) ID() string { return "FakeAWSKeepInput" }

func (keepInput) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
	middleware.InitializeOutput, middleware.Metadata, error,
) {
	return next.HandleInitialize(middleware.WithStackValue(ctx, inputKey{}, in.Parameters), in)
}

// ID names the step in which p answers.
func (*process) ID() string { return "FakeAWSAnswer" }

// HandleDeserialize answers in place of the network. An output is handed over
// as it is; an error is made by the SDK's own deserialiser, from what the
// service would send.
func (p *process) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	out middleware.DeserializeOutput, metadata middleware.Metadata, err error,
) {
	var id string
	out.Result, id, err = p.answer(ctx, middleware.GetStackValue(ctx, inputKey{}))
	if refusal, ok := errors.AsType[*answerError](err); ok {
		response, err := refusal.response(awsmiddleware.GetServiceID(ctx), id)
		if err != nil {
			return out, metadata, err
		}
		return next.HandleDeserialize(middleware.WithStackValue(ctx, responseKey{}, response), in)
	}
	awsmiddleware.SetRequestIDMetadata(&metadata, id)
	return out, metadata, err
}

// responseKey carries a response to where the SDK reads it.
type responseKey struct{}

// wire is where the SDK reads responses.
type wire struct{}

func (wire) ID() string { return "FakeAWSWire" }

func (wire) HandleDeserialize(ctx context.Context, _ middleware.DeserializeInput, _ middleware.DeserializeHandler) (
	out middleware.DeserializeOutput, metadata middleware.Metadata, err error,
) {
	out.RawResponse = middleware.GetStackValue(ctx, responseKey{})
	return out, metadata, nil
}

// answer is one attempt: the way there, the model, the faults.
func (p *process) answer(ctx context.Context, input any) (output any, requestID string, err error) {
	c := p.cloud
	action := iamPrefix(awsmiddleware.GetServiceID(ctx)) + ":" + awsmiddleware.GetOperationName(ctx)
	if err := pace.Sleep(ctx, c.delays.Call); err != nil {
		return nil, "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case p.life.Err() != nil:
		return nil, "", ErrCrashed
	case c.closed:
		return nil, "", ErrClosed
	}
	ownToken, _ := middleware.GetStackValue(ctx, ownTokenKey{}).(bool)
	model := c.operations[reflect.TypeOf(input)]
	at := c.arrive(action, model.subject(input, ownToken))
	at.region, at.principal = awsmiddleware.GetRegion(ctx), p.principal
	requestID = requestIDOf(at.id)
	entry := len(c.journal)
	c.journal = append(c.journal, at.Call)
	if err := c.limited(at, input); err != nil {
		c.journal[entry].Code = codeOf(err)
		return nil, requestID, err
	}
	fault := c.strike(at)
	if fault != nil {
		c.injected++
		at.failure = fault.Reason
	}
	if fault == nil || fault.After || fault.Reason != "" {
		output, err = c.serve(at, model, input)
	}
	if fault != nil && fault.Reason == "" {
		output, err = nil, fault.error()
		if fault.Crash {
			c.crash()
			err = ErrCrashed
		}
	}
	c.journal[entry].Code = codeOf(err)
	return output, requestID, err
}

// arrive numbers a call.
func (c *Cloud) arrive(action, subject string) call {
	key := occurrence{action, subject}
	c.asked[key]++
	n := c.asked[key]
	return call{
		Call: Call{Action: action, Subject: subject, Nth: n, At: time.Now()},
		id:   c.hash(action, subject, n),
	}
}

// serve runs the model of the operation.
func (c *Cloud) serve(at call, model operation, input any) (any, error) {
	for _, pattern := range c.deny {
		if pattern.MatchString(at.Action) {
			return nil, denied(at.Action, c.account)
		}
	}
	if model.answer == nil {
		return nil, fmt.Errorf("fakeaws: %s is not modelled (input %T)", at.Action, input)
	}
	return model.answer(at, clone(reflect.ValueOf(input)).Interface())
}

// clone copies a value deeply, so that neither side sees the other's changes.
// SDK shapes are trees of structs, pointers, slices, maps and interfaces.
func clone(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		p := reflect.New(v.Type().Elem())
		p.Elem().Set(clone(v.Elem()))
		return p
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		i := reflect.New(v.Type()).Elem()
		i.Set(clone(v.Elem()))
		return i
	case reflect.Struct:
		s := reflect.New(v.Type()).Elem()
		s.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				s.Field(i).Set(clone(v.Field(i)))
			}
		}
		return s
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		s := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			s.Index(i).Set(clone(v.Index(i)))
		}
		return s
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		m := reflect.MakeMapWithSize(v.Type(), v.Len())
		for k, e := range v.Seq2() {
			m.SetMapIndex(k, clone(e))
		}
		return m
	default:
		return v
	}
}

func staticCredentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{ //nolint:gosec // AWS's own example, which opens nothing
		AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "fake", Source: "fakeaws",
	}, nil
}
