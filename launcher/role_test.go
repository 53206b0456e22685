package launcher_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/atelier-go/atelier/launcher"
)

// What a workload with a role finds in its container.
func ExampleWorkload_Expand() {
	w := launcher.Workload{ID: "s1", Owner: "alice", Image: "rstudio", Role: launcher.Role{
		ARN: "arn:aws:iam::123456789012:role/analysis", Endpoint: "https://portal.example.com/credentials", Token: "correct-horse",
	}}
	x := w.Expand()
	fmt.Println(x.Env["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
	fmt.Println(x.Env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
	fmt.Println(x.Secrets["aws-token"], x.Digest() == w.Digest())
	// Output:
	// https://portal.example.com/credentials
	// /run/secrets/aws-token
	// correct-horse true
}

func TestExpand(t *testing.T) {
	w, before := full(), full()
	x := w.Expand()
	if !reflect.DeepEqual(w, before) {
		t.Errorf("Expand changed the workload: %+v", w)
	}
	if again := x.Expand(); !reflect.DeepEqual(again, x) {
		t.Errorf("the expansion of an expansion is another: %+v", again)
	}
	if x.Env["A"] != "1" || x.Secrets["token"] != "hush" {
		t.Errorf("the expansion lost what was there: %v", x.Env)
	}
	if a, b := w.Digest(), x.Digest(); a != b {
		t.Errorf("the workload has digest %s, its expansion %s", a, b)
	}
	w.Role = launcher.Role{}
	if x := w.Expand(); !reflect.DeepEqual(x, w) {
		t.Errorf("without a role Expand makes %+v", x)
	}
}

// The digest of a workload is kept on hosts and in stores: one without a role
// must go on having the one it had before there were roles.
func TestDigestWithoutRole(t *testing.T) {
	w := launcher.Workload{ID: "a", Owner: "alice", Image: "i"}
	const want = "d7df1973533fdb5a8b8ec8af4997c21be1d9feeab948f6c64ae4b74f93fa8773"
	if got := w.Digest(); got != want {
		t.Errorf("digest %s; want %s", got, want)
	}
}

func TestRoleVariablesAreRefused(t *testing.T) {
	for _, name := range []string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
	} {
		for what, role := range map[string]launcher.Role{"WithRole": full().Role, "Without": {}} {
			t.Run(name+"/"+what, func(t *testing.T) {
				w := full()
				w.Role, w.Env[name] = role, "hush"
				err := w.Validate()
				if !errors.Is(err, launcher.ErrInvalid) || !strings.Contains(err.Error(), name+": is set by the workload's Role") {
					t.Errorf("Validate() = %v", err)
				}
			})
		}
	}
}

func TestRoleEndpoint(t *testing.T) {
	for _, endpoint := range []string{
		"https://portal.example.com/credentials", "https://10.0.0.1:8443", "http://127.0.0.1:80/x", "http://127.9.9.9", "http://[::1]:1234/",
		"http://localhost:8080/x", "http://169.254.170.2/v2", "http://169.254.170.23/v1", "http://[fd00:ec2::23]/v1",
	} {
		w := full()
		w.Role.Endpoint = endpoint
		if err := w.Validate(); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	for _, endpoint := range []string{
		"http://portal.example.com/credentials", "http://10.0.0.1", "http://169.254.169.254/", "http://169.254.170.20", "http://localhost.example.com",
		"ftp://127.0.0.1/", "//127.0.0.1/x", "/credentials", "portal.example.com", "https://", "https://:443/", "https://a b/", "https://a/\n", "%",
		"https://user:hush@portal.example.com/", "https://portal.example.com/#hush",
	} {
		w := full()
		w.Role.Endpoint = endpoint
		err := w.Validate()
		if !errors.Is(err, launcher.ErrInvalid) || !strings.Contains(err.Error(), "endpoint") {
			t.Errorf("%q: Validate() = %v; want a word on the endpoint", endpoint, err)
		}
		if err != nil && strings.Contains(err.Error(), ":hush") {
			t.Errorf("%q: Validate() = %v; it tells a password", endpoint, err)
		}
	}
}
