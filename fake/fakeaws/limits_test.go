package fakeaws_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// once is a client whose calls are made once.
func (a account) once() *awsec2.Client {
	return awsec2.NewFromConfig(a.Config(), func(o *awsec2.Options) { o.Retryer = aws.NopRetryer{} })
}

// buy asks for n instances and reports whether the account took the call.
func (a account) buy(t *testing.T, n int) bool {
	t.Helper()
	in := a.launch("")
	in.ClientToken, in.MaxCount = nil, aws.Int32(int32(n))
	_, err := a.once().RunInstances(t.Context(), in)
	if err == nil {
		return true
	}
	response, _ := errors.AsType[*awshttp.ResponseError](err)
	api, _ := errors.AsType[smithy.APIError](err)
	if api == nil || api.ErrorCode() != "RequestLimitExceeded" || response.HTTPStatusCode() != 503 {
		t.Fatal(err)
	}
	return false
}

// bought is how many of a number of calls at once the account takes.
func (a account) bought(t *testing.T, calls, n int) (taken int) {
	t.Helper()
	for range calls {
		if a.buy(t, n) {
			taken++
		}
	}
	return taken
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Limits: fakeaws.PublishedLimits()})
		if n := a.bought(t, 20, 1); n != 5 {
			t.Errorf("of 20 calls at once %d are taken, want 5", n)
		}
		time.Sleep(999 * time.Millisecond)
		if n := a.bought(t, 20, 1); n != 0 {
			t.Errorf("before a second is over %d more are taken", n)
		}
		time.Sleep(time.Millisecond)
		if n := a.bought(t, 20, 1); n != 2 {
			t.Errorf("a second later %d more are taken, want 2", n)
		}
		time.Sleep(time.Hour)
		if n := a.bought(t, 20, 1); n != 5 {
			t.Errorf("after an hour %d are taken, want 5", n)
		}
	})
}

// A bucket counts the instances that a call asks for, and a call that finds too
// few takes nothing.
func TestLimitOfInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Limits: fakeaws.PublishedLimits()})
		if !a.buy(t, 990) || a.buy(t, 11) || !a.buy(t, 10) || a.buy(t, 1) {
			t.Error("want 1000 instances at once, and no more")
		}
		time.Sleep(3 * time.Second)
		if a.buy(t, 7) || !a.buy(t, 6) {
			t.Error("want two more each second")
		}
		// Two were refused for instances before; their calls left the other bucket as it was.
		if n := a.bought(t, 5, 1); n != 0 {
			t.Errorf("%d more", n)
		}
		time.Sleep(time.Second)
		if n := a.bought(t, 3, 1); n != 2 {
			t.Errorf("a second later %d, want 2", n)
		}
	})
}

// Each action has buckets of its own, and reads of everything another still.
func TestLimitOfReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Limits: fakeaws.PublishedLimits()})
		taken := func(in *awsec2.DescribeInstancesInput) (n int) {
			for range 150 {
				if _, err := a.once().DescribeInstances(t.Context(), in); err == nil {
					n++
				}
			}
			return n
		}
		if n := taken(&awsec2.DescribeInstancesInput{}); n != 50 {
			t.Errorf("%d reads of everything are taken, want 50", n)
		}
		if n := taken(&awsec2.DescribeInstancesInput{MaxResults: aws.Int32(1000)}); n != 100 {
			t.Errorf("%d reads of a page are taken, want 100", n)
		}
		if n := a.bought(t, 20, 1); n != 5 {
			t.Errorf("%d purchases are taken, want 5", n)
		}
		if n := len(a.Calls()); n != 1+150+150+20 { // and the image
			t.Errorf("%d calls are in the journal", n)
		}
	})
}

// The SDK's own retries find the bucket as it is then.
func TestLimitsAndTheSDK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Limits: fakeaws.Limits{"ec2:DescribeInstances": {Calls: fakeaws.Bucket{Size: 1, PerSecond: 1}}}})
		for range 4 {
			if _, err := a.ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{MaxResults: aws.Int32(5)}); err != nil {
				t.Error(err)
			}
		}
		refused := 0
		for _, c := range a.Calls() {
			if c.Code == "RequestLimitExceeded" {
				refused++
			}
		}
		if refused < 3 {
			t.Errorf("%d attempts were refused, want one before each call but the first", refused)
		}
	})
}

// Whatever the times between them, no more calls are taken than a bucket held and
// got, and no fewer than it must.
func TestLimitsBound(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			bucket := fakeaws.Bucket{Size: 1 + r.IntN(20), PerSecond: 1 + r.IntN(5)}
			a := newAccount(t, fakeaws.Config{Limits: fakeaws.Limits{"ec2:RunInstances": {Calls: bucket}}})
			begun, taken := time.Now(), 0
			for range 100 {
				if a.buy(t, 1) {
					taken++
				}
				most := bucket.Size + bucket.PerSecond*int(time.Since(begun)/time.Second)
				if taken > most {
					t.Fatalf("seed %d: after %v %d calls are taken by %+v", seed, time.Since(begun), taken, bucket)
				}
				time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
			}
			if least := min(100, bucket.Size); taken < least {
				t.Errorf("seed %d: %d calls are taken by %+v", seed, taken, bucket)
			}
		})
	}
}

func TestSharedLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Limits: fakeaws.PublishedLimits()})
		if err := a.SetLimits(fakeaws.PublishedLimits().Shared(0.5)); err != nil {
			t.Fatal(err)
		}
		if n := a.bought(t, 20, 1); n != 2 {
			t.Errorf("with half of 5 tokens %d calls are taken, want 2", n)
		}
		time.Sleep(time.Second)
		if n := a.bought(t, 20, 1); n != 1 {
			t.Errorf("with half of 2 tokens a second %d calls are taken, want 1", n)
		}
		if got := fakeaws.PublishedLimits().Shared(0.999)["ec2:RunInstances"].Calls; got != (fakeaws.Bucket{Size: 1, PerSecond: 1}) {
			t.Errorf("with next to nothing left it is %+v", got)
		}
		if err := a.SetLimits(nil); err != nil || a.bought(t, 20, 1) != 20 {
			t.Errorf("without limits not every call is taken (%v)", err)
		}
	})
}

func TestLimitsRefused(t *testing.T) {
	wrong := fakeaws.Limits{
		"ec2:RunInstance":       {Calls: fakeaws.Bucket{Size: 1, PerSecond: 1}},
		"ec2:DescribeInstances": {Calls: fakeaws.Bucket{Size: -1, PerSecond: 1}, Instances: fakeaws.Bucket{Size: 1, PerSecond: 1}},
		"ssm:GetParameter":      {Calls: fakeaws.Bucket{PerSecond: 3}},
	}
	_, err := fakeaws.New(fakeaws.Config{Limits: wrong})
	for _, want := range []string{
		`limit: action "ec2:RunInstance" is not modelled: want one of ec2:`,
		"limit of ec2:DescribeInstances: bucket of calls is {Size:-1 PerSecond:1}: want a size and a rate above 0, or neither",
		"limit of ec2:DescribeInstances: it takes no instances",
		"limit of ssm:GetParameter: bucket of calls is {Size:0 PerSecond:3}",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	a := newAccount(t, fakeaws.Config{})
	if again := a.SetLimits(wrong); again == nil || len(again.Error()) < len(err.Error())-20 {
		t.Errorf("SetLimits: %v", again)
	}
}
