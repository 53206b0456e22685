package fakeaws

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// answerError is a service's refusal: the HTTP status and the error in the
// body. Clients get what the SDK's deserialisers make of it.
type answerError struct {
	status int
	err    smithy.APIError
}

func (e *answerError) Error() string { return e.err.Error() }

// refuse is a refusal by its code. If the SDK has a type for the code in that
// operation, clients get the type.
func refuse(status int, code, format string, args ...any) error {
	return &answerError{status, &smithy.GenericAPIError{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// refuseAs is a refusal with members of its own, such as the id in an
// *efs types.FileSystemAlreadyExists.
func refuseAs(status int, err smithy.APIError) error { return &answerError{status, err} }

// denied is what a service answers to credentials without permission. EC2, IAM
// and STS have codes of their own for it
// (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-errors.html). That
// status 403 goes with REST and Query and 400 with JSON is an assumption.
func denied(action, account string) error {
	service, _, _ := strings.Cut(action, ":")
	code, status := "AccessDeniedException", http.StatusBadRequest
	switch service {
	case "ec2":
		code, status = "UnauthorizedOperation", http.StatusForbidden
	case "iam", "sts":
		code, status = "AccessDenied", http.StatusForbidden
	case "elasticfilesystem":
		status = http.StatusForbidden
	}
	return refuse(status, code, "User: arn:aws:iam::%s:user/%s is not authorized to perform: %s", account, userName, action)
}

// response is the refusal as the service sends it. EC2 speaks one XML, IAM and
// STS another (https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html,
// aws-query-protocol.html), the others JSON with the code in a header.
func (e *answerError) response(serviceID, requestID string) (*smithyhttp.Response, error) {
	var body []byte
	var err error
	switch serviceID {
	case "EC2":
		body, err = xml.Marshal(ec2Body{Errors: []xmlError{{Code: e.err.ErrorCode(), Message: e.err.ErrorMessage()}}, RequestID: requestID})
	case "IAM", "STS":
		body, err = xml.Marshal(queryBody{Error: xmlError{Code: e.err.ErrorCode(), Message: e.err.ErrorMessage()}, RequestID: requestID})
	default:
		body, err = json.Marshal(members(e.err))
	}
	if err != nil {
		return nil, err
	}
	return &smithyhttp.Response{Response: &http.Response{
		StatusCode: e.status,
		Status:     fmt.Sprintf("%d %s", e.status, http.StatusText(e.status)),
		Header:     http.Header{"X-Amzn-Requestid": {requestID}, "X-Amzn-Errortype": {e.err.ErrorCode()}},
		Body:       io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}}, nil
}

type xmlError struct{ Code, Message string }

type ec2Body struct {
	XMLName   xml.Name   `xml:"Response"`
	Errors    []xmlError `xml:"Errors>Error"`
	RequestID string
}

type queryBody struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Error     xmlError
	RequestID string `xml:"RequestId"`
}

// members are what a JSON error tells beside its code: the message and, of a
// modelled one, its other texts and the item of DynamoDB's.
func members(err smithy.APIError) map[string]any {
	m := map[string]any{}
	v := reflect.ValueOf(err).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || f.Name == "ErrorCodeOverride" {
			continue
		}
		if text, ok := reflect.TypeAssert[*string](v.Field(i)); ok && text != nil {
			m[strings.TrimSuffix(f.Name, "_")] = *text
		}
		if item, ok := reflect.TypeAssert[map[string]types.AttributeValue](v.Field(i)); ok && item != nil {
			m[f.Name] = itemOnTheWire(item)
		}
	}
	if message := err.ErrorMessage(); message != "" {
		m["Message"], m["message"] = message, message // services differ in it
	}
	return m
}

// codeOf names an outcome in the journal.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	if refusal, ok := errors.AsType[*answerError](err); ok {
		return refusal.err.ErrorCode()
	}
	return err.Error()
}
