package fakeaws

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

// A Call is one attempt of one SDK call, as the account saw it.
type Call struct {
	// Action is the service and operation as IAM names them, "ec2:RunInstances".
	Action string
	// Subject is the token, or else the first resource, the call names; empty
	// if it names none.
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
	// id is unique to this occurrence and the same in every run: the seed of
	// the identifiers the handler makes.
	id uint64
}

// A handler answers one operation. It runs with Cloud.mu held and never blocks.
type handler func(call, any) (any, error)

// handle registers the model of the operation whose input is an I. The
// handler gets a copy of the input, which it may keep, and returns an output
// that shares nothing with the cloud's state.
func handle[I, O any](c *Cloud, model func(call, *I) (*O, error)) {
	c.handlers[reflect.TypeFor[*I]()] = func(at call, in any) (any, error) {
		return model(at, in.(*I))
	}
}

// process is one life of the program under test: what was handed out between
// two crashes.
type process struct {
	cloud *Cloud
	life  context.Context
}

// inputKey carries the typed input of an operation from the Initialize step,
// where it is complete, past serialisation, which is left out, to the
// Deserialize step, where it is answered.
type inputKey struct{}

// install puts the model at the inner end of an operation's middleware stack,
// inside the SDK's retry loop.
func (p *process) install(stack *middleware.Stack) error {
	stack.Serialize.Remove("OperationSerializer") //nolint:errcheck // absent in a client that serialises otherwise
	keep := middleware.InitializeMiddlewareFunc("FakeAWSKeepInput", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		return next.HandleInitialize(middleware.WithStackValue(ctx, inputKey{}, in.Parameters), in)
	})
	answer := middleware.DeserializeMiddlewareFunc("FakeAWSAnswer", func(
		ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
	) (out middleware.DeserializeOutput, metadata middleware.Metadata, err error) {
		var id string
		out.Result, id, err = p.answer(ctx, middleware.GetStackValue(ctx, inputKey{}))
		awsmiddleware.SetRequestIDMetadata(&metadata, id)
		return out, metadata, err
	})
	if err := stack.Initialize.Add(keep, middleware.After); err != nil {
		return err
	}
	return stack.Deserialize.Add(answer, middleware.Before)
}

// answer is one attempt: the way there, the model, the faults.
func (p *process) answer(ctx context.Context, input any) (output any, requestID string, err error) {
	c := p.cloud
	action := iamPrefix(awsmiddleware.GetServiceID(ctx)) + ":" + awsmiddleware.GetOperationName(ctx)
	if err := wait(ctx, c.delays.Call); err != nil {
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
	at := c.arrive(action, subject(input))
	at.region = awsmiddleware.GetRegion(ctx)
	requestID = requestIDOf(at.id)
	defer func() { err = seal(err, requestID) }()
	entry := len(c.journal)
	c.journal = append(c.journal, at.Call)
	fault := c.strike(at)
	if fault == nil || fault.After {
		output, err = c.serve(at, input)
	}
	if fault != nil {
		c.injected++
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
func (c *Cloud) serve(at call, input any) (any, error) {
	for _, pattern := range c.deny {
		if pattern.MatchString(at.Action) {
			return nil, denied(at.Action, c.account)
		}
	}
	h, ok := c.handlers[reflect.TypeOf(input)]
	if !ok {
		return nil, fmt.Errorf("fakeaws: %s is not modelled (input %T)", at.Action, input)
	}
	return h(at, clone(reflect.ValueOf(input)).Interface())
}

// iamPrefix is the name of a service in IAM policies.
func iamPrefix(serviceID string) string {
	switch serviceID {
	case "EFS":
		return "elasticfilesystem"
	default:
		return strings.ToLower(serviceID)
	}
}

// wait passes d unless ctx ends first.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subject finds the token or resource an input names.
func subject(input any) string {
	v := reflect.ValueOf(input)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return ""
	}
	for _, name := range []string{
		"ClientToken", "CreationToken", "InstanceIds", "FileSystemId", "AccessPointId", "MountTargetId",
		"SubnetId", "SubnetIds", "GroupId", "GroupIds", "GroupName", "RepositoryName", "InstanceTypes", "ImageIds", "Name",
	} {
		f := v.Elem().FieldByName(name)
		if !f.IsValid() || f.IsZero() {
			continue
		}
		if f.Kind() == reflect.Slice {
			f = f.Index(0)
		}
		return fmt.Sprint(reflect.Indirect(f).Interface())
	}
	return ""
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

// actionPattern compiles an action in the notation of IAM policies.
func actionPattern(pattern string) *regexp.Regexp {
	quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`)
	return regexp.MustCompile(`(?i)^` + quoted + `$`)
}

func staticCredentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{
		AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "fake", Source: "fakeaws",
	}, nil
}
