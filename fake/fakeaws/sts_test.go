package fakeaws_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

const testRole = "arn:aws:iam::123456789012:role/data/reader"

func assume() *awssts.AssumeRoleInput {
	return &awssts.AssumeRoleInput{RoleArn: aws.String(testRole), RoleSessionName: aws.String("research.analysis")}
}

func TestAssumeRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, err := fakeaws.New(fakeaws.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer cloud.Close()
		cloud.AllowRole(testRole)
		client := awssts.NewFromConfig(cloud.Config())
		in := assume()
		in.Policy = aws.String(`{"Version":"2012-10-17","Statement":[]}`)
		in.Tags = []types.Tag{{Key: aws.String("atelier:user"), Value: aws.String("alice")}, {Key: aws.String("empty"), Value: aws.String("")}}
		first, err := client.AssumeRole(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := aws.ToString(first.AssumedRoleUser.Arn), "arn:aws:sts::123456789012:assumed-role/reader/research.analysis"; got != want {
			t.Errorf("the principal is %s; want %s", got, want)
		}
		packed := aws.ToInt32(first.PackedPolicySize) //nolint:staticcheck // what follows it has no documented formula
		if left := time.Until(*first.Credentials.Expiration); left != time.Hour || packed == 0 {
			t.Errorf("they last %v, packed %v%%", left, packed)
		}
		in = assume()
		in.DurationSeconds = aws.Int32(900)
		second, err := client.AssumeRole(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		unpacked := second.PackedPolicySize //nolint:staticcheck // as above
		if left := time.Until(*second.Credentials.Expiration); left != 15*time.Minute || unpacked != nil {
			t.Errorf("they last %v, packed %v", left, unpacked)
		}
		if *first.Credentials.AccessKeyId == *second.Credentials.AccessKeyId || *first.Credentials.SessionToken == *second.Credentials.SessionToken {
			t.Error("two calls got the same credentials")
		}
	})
}

func TestAssumeRoleRefusals(t *testing.T) {
	const id = "arn:aws:iam::123456789012:role/"
	tags := func(keys ...string) (all []types.Tag) {
		for _, k := range keys {
			all = append(all, types.Tag{Key: aws.String(k), Value: aws.String("v")})
		}
		return all
	}
	many := make([]string, 51)
	for i := range many {
		many[i] = fmt.Sprint("k", i)
	}
	wide := tags(many[:20]...)
	for i := range wide {
		wide[i].Value = aws.String(strings.Repeat("v", 256))
	}
	for name, c := range map[string]struct {
		change func(*awssts.AssumeRoleInput)
		code   string
		status int
		say    string
	}{
		"UnknownRole":     {func(in *awssts.AssumeRoleInput) { in.RoleArn = aws.String(id + "other") }, "AccessDenied", 403, "sts:AssumeRole on resource: " + id + "other"},
		"ARN":             {func(in *awssts.AssumeRoleInput) { in.RoleArn = aws.String("role/reader-of-everything") }, "ValidationError", 400, "is invalid"},
		"Session/Short":   {func(in *awssts.AssumeRoleInput) { in.RoleSessionName = aws.String("a") }, "ValidationError", 400, "roleSessionName"},
		"Session/Long":    {func(in *awssts.AssumeRoleInput) { in.RoleSessionName = aws.String(strings.Repeat("a", 65)) }, "ValidationError", 400, "roleSessionName"},
		"Session/Slash":   {func(in *awssts.AssumeRoleInput) { in.RoleSessionName = aws.String("research/analysis") }, "ValidationError", 400, "roleSessionName"},
		"Duration/Short":  {func(in *awssts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(899) }, "ValidationError", 400, "durationSeconds"},
		"Duration/Long":   {func(in *awssts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(43201) }, "ValidationError", 400, "durationSeconds"},
		"Duration/Role's": {func(in *awssts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) }, "ValidationError", 400, "MaxSessionDuration"},
		"Policy/Long":     {func(in *awssts.AssumeRoleInput) { in.Policy = aws.String(strings.Repeat(" ", 2049)) }, "ValidationError", 400, "'policy'"},
		"Policy/Empty":    {func(in *awssts.AssumeRoleInput) { in.Policy = aws.String("") }, "ValidationError", 400, "'policy'"},
		"Policy/NoJSON":   {func(in *awssts.AssumeRoleInput) { in.Policy = aws.String("allow all") }, "MalformedPolicyDocument", 400, "Json"},
		"Policy/NoPolicy": {func(in *awssts.AssumeRoleInput) { in.Policy = aws.String("{}") }, "MalformedPolicyDocument", 400, "Json"},
		"Packed":          {func(in *awssts.AssumeRoleInput) { in.Tags = wide }, "PackedPolicyTooLarge", 400, "% of allotted"},
		"Tags/Many":       {func(in *awssts.AssumeRoleInput) { in.Tags = tags(many...) }, "ValidationError", 400, "'tags'"},
		"Tags/Twice":      {func(in *awssts.AssumeRoleInput) { in.Tags = tags("Department", "department") }, "ValidationError", 400, "Duplicate"},
		"Tags/Reserved":   {func(in *awssts.AssumeRoleInput) { in.Tags = tags("AWS:user") }, "ValidationError", 400, "reserved"},
		"Tags/Key":        {func(in *awssts.AssumeRoleInput) { in.Tags = tags(strings.Repeat("k", 129)) }, "ValidationError", 400, "tags.key"},
		"Tags/Characters": {func(in *awssts.AssumeRoleInput) { in.Tags = tags("a*") }, "ValidationError", 400, "tags.key"},
		"Tags/Value":      {func(in *awssts.AssumeRoleInput) { in.Tags = tags("a"); in.Tags[0].Value = aws.String("\x01") }, "ValidationError", 400, "tags.value"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud, err := fakeaws.New(fakeaws.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer cloud.Close()
			cloud.AllowRole(testRole)
			in := assume()
			c.change(in)
			_, err = awssts.NewFromConfig(cloud.Config()).AssumeRole(t.Context(), in)
			refusal, ok := errors.AsType[smithy.APIError](err)
			response, answered := errors.AsType[*awshttp.ResponseError](err)
			if !ok || !answered || refusal.ErrorCode() != c.code || response.HTTPStatusCode() != c.status || !strings.Contains(refusal.ErrorMessage(), c.say) {
				t.Errorf("AssumeRole = %v; want %s with status %d and %q", err, c.code, c.status, c.say)
			}
		})
	}
}

// What is not modelled says so, and is not taken for a refusal of AWS.
func TestAssumeRoleNotModelled(t *testing.T) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	cloud.AllowRole(testRole)
	in := assume()
	in.ExternalId = aws.String("partner")
	_, err = awssts.NewFromConfig(cloud.Config()).AssumeRole(t.Context(), in)
	if _, ok := errors.AsType[smithy.APIError](err); err == nil || ok || !strings.Contains(err.Error(), "fakeaws: sts:AssumeRole is modelled") {
		t.Errorf("AssumeRole = %v", err)
	}
}
