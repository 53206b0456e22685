package efs_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestKinds answers a call with each error code and looks at the kind.
func TestKinds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		kind   efs.Kind
		codes  string
	}{
		{400, efs.ErrInvalid, "BadRequest ValidationException InvalidPolicyException AvailabilityZonesMismatch UnsupportedAvailabilityZone"},
		{404, efs.ErrNotFound, "FileSystemNotFound MountTargetNotFound AccessPointNotFound PolicyNotFound ReplicationNotFound"},
		{400, efs.ErrNotFound, "SubnetNotFound SecurityGroupNotFound"},
		{409, efs.ErrConflict, "FileSystemAlreadyExists AccessPointAlreadyExists MountTargetConflict IpAddressInUse ConflictException ReplicationAlreadyExists"},
		{403, efs.ErrQuota, "FileSystemLimitExceeded AccessPointLimitExceeded"},
		{409, efs.ErrQuota, "NetworkInterfaceLimitExceeded NoFreeAddressesInSubnet"},
		{400, efs.ErrQuota, "SecurityGroupLimitExceeded ThroughputLimitExceeded"},
		{400, efs.ErrDenied, "AccessDenied AccessDeniedException UnauthorizedOperation UnrecognizedClientException InvalidClientTokenId " +
			"IncompleteSignature SignatureDoesNotMatch MissingAuthenticationToken ExpiredToken ExpiredTokenException OptInRequired NotAuthorized"},
		{429, efs.ErrThrottled, "ThrottlingException Throttling TooManyRequests TooManyRequestsException RequestLimitExceeded"},
		{409, efs.ErrState, "FileSystemInUse IncorrectFileSystemLifeCycleState IncorrectMountTargetState"},
		{500, efs.ErrUnavailable, "InternalServerError InternalError InternalFailure"},
		{503, efs.ErrUnavailable, "ServiceUnavailable ServiceUnavailableException InsufficientThroughputCapacity"},
		{504, efs.ErrUnavailable, "DependencyTimeout"},
		{400, efs.ErrUnavailable, "RequestTimeout"},
		// Codes that are not in the table go by their status.
		{401, efs.ErrDenied, "Whatever"},
		{403, efs.ErrDenied, "Whatever"},
		{404, efs.ErrNotFound, "Whatever"},
		{429, efs.ErrThrottled, "Whatever"},
		{418, efs.ErrInvalid, "Whatever"},
		{502, efs.ErrUnavailable, "Whatever"},
	} {
		for code := range strings.FieldsSeq(test.codes) {
			inBubble(t, fmt.Sprint(code, test.status), func(t *testing.T) {
				w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "*:CreateFileSystem", Status: test.status, Code: code}}})
				_, err := w.client(efs.Config{}).EnsureFileSystem(t.Context(), efs.FileSystemSpec{Token: "x"})
				failure, ok := errors.AsType[*efs.Error](err)
				if !ok || failure.Kind != test.kind || !errors.Is(err, test.kind) {
					t.Fatalf("got %v, want %s", err, test.kind)
				}
				if !strings.HasPrefix(err.Error(), "efs: ensure file system: "+string(test.kind)+": ") || !strings.Contains(err.Error(), code) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// TestEveryModelledErrorHasAKind holds the table against the SDK's own source.
func TestEveryModelledErrorHasAKind(t *testing.T) {
	t.Parallel()
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/efs/types").Output()
	if err != nil {
		t.Skip("no go command:", err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, decl := range file.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.TYPE {
			codes = append(codes, d.Specs[0].(*ast.TypeSpec).Name.Name)
		}
	}
	if len(codes) < 30 {
		t.Fatalf("only %d errors found: %v", len(codes), codes)
	}
	// With a status that stands for no kind a code must be in the table.
	for _, code := range codes {
		inBubble(t, code, func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "*:CreateFileSystem", Status: 418, Code: code}}})
			_, err := w.client(efs.Config{}).EnsureFileSystem(t.Context(), efs.FileSystemSpec{Token: "x"})
			asked := []string{"BadRequest", "ValidationException", "InvalidPolicyException", "AvailabilityZonesMismatch", "UnsupportedAvailabilityZone"}
			if errors.Is(err, efs.ErrInvalid) != slices.Contains(asked, code) {
				t.Errorf("%v", err)
			}
		})
	}
}

// refused fails as a client without a network does.
type refused struct{ efs.API }

func (refused) DescribeFileSystems(context.Context, *awsefs.DescribeFileSystemsInput, ...func(*awsefs.Options)) (*awsefs.DescribeFileSystemsOutput, error) {
	return nil, http.ErrServerClosed
}

func TestNoAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	c, err := efs.New(refused{}, efs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.FileSystem(t.Context(), "fs-0123456789abcdef0")
	if !errors.Is(err, efs.ErrUnavailable) || !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("got %v", err)
	}
	if got, want := (&efs.Error{Op: "x", Kind: efs.ErrQuota}).Error(), "efs: x: quota exceeded"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestInvalid: one error names everything that is wrong, and no call is made.
func TestInvalid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		c := w.client(efs.Config{})
		before := len(w.Calls())
		long := strings.Repeat("x", 300)
		const fs = "fs-0123456789abcdef0"
		tags := map[string]string{"": "v", "AWS:x": "v", "atelier:user": "v", "k": "new\nline", "l": long}
		for name, test := range map[string]struct {
			err  error
			says []string
		}{
			"file system": {
				second(c.EnsureFileSystem(ctx, efs.FileSystemSpec{Token: "a b", KMSKeyID: "k k", Name: "\x00", Tags: map[string]string{"Name": "n"}})),
				[]string{`token "a b"`, `KMS key "k k"`, `name: value "\x00"`, `use the field Name`},
			},
			"file system without token": {second(c.EnsureFileSystem(ctx, efs.FileSystemSpec{})), []string{`token ""`}},
			"file system with long token": {
				second(c.EnsureFileSystem(ctx, efs.FileSystemSpec{Token: strings.Repeat("t", 65)})), []string{"1 to 64"},
			},
			"tags": {
				second(c.EnsureFileSystem(ctx, efs.FileSystemSpec{Token: "t", Tags: tags})),
				[]string{`tag "": want`, `tag "AWS:x"`, `tag "atelier:user"`, `tag "k": value "new\nline"`, `tag "l": value`},
			},
			"mount targets": {
				second(c.EnsureMountTargets(ctx, "vol-1", []efs.Subnet{{ID: "net"}, {ID: "net", Zone: "z"}}, []string{"g", "g"})),
				[]string{`file system "vol-1"`, `subnet "net": want`, `subnet "net": its zone`, `subnet "net" is given twice`, `security group "g": want`, `security group "g" is given twice`},
			},
			"mount targets of nothing": {
				second(c.EnsureMountTargets(ctx, fs, nil, nil)), []string{"no subnets", "no security groups"},
			},
			"home": {
				second(c.EnsureHome(ctx, efs.HomeSpec{FileSystem: "", Tags: tags})),
				[]string{`file system ""`, "user is empty", "uid is 0", "gid is 0", `tag "AWS:x"`},
			},
			"home of a strange user": {
				second(c.EnsureHome(ctx, efs.HomeSpec{FileSystem: fs, User: "a\tb", UID: 1, GID: 1})), []string{`user: value "a\tb"`},
			},
			"shared": {
				second(c.EnsureShared(ctx, efs.SharedSpec{FileSystem: "x", Name: "../etc", Tags: tags})),
				[]string{`file system "x"`, `name "../etc"`, "gid is 0", `tag "AWS:x"`},
			},
			"shared with a long name": {
				second(c.EnsureShared(ctx, efs.SharedSpec{FileSystem: fs, Name: strings.Repeat("n", 64), GID: 1})), []string{"1 to 63"},
			},
			"describe":            {second(c.FileSystem(ctx, "arn")), []string{`file system "arn"`}},
			"usage":               {second(c.Usage(ctx, "x")), []string{`file system "x"`}},
			"delete file system":  {c.DeleteFileSystem(ctx, "*"), []string{`file system "*"`}},
			"delete targets":      {c.DeleteMountTargets(ctx, ""), []string{`file system ""`}},
			"delete access point": {c.DeleteAccessPoint(ctx, "fs-0123456789abcdef0"), []string{`access point "fs-`}},
			"config":              {second(efs.NewFromConfig(w.Config(), efs.Config{Timeout: -1})), []string{"timeout is -1ns"}},
			"nothing":             {second(efs.New(nil, efs.Config{Timeout: -1})), []string{"api is nil", "timeout is -1ns"}},
			"no region": {
				func() error {
					cfg := w.Config()
					cfg.Region = ""
					return second(efs.NewFromConfig(cfg, efs.Config{Timeout: -1}))
				}(),
				[]string{"no region", "timeout is -1ns"},
			},
		} {
			if !errors.Is(test.err, efs.ErrInvalid) {
				t.Errorf("%s: %v", name, test.err)
				continue
			}
			for _, want := range test.says {
				if !strings.Contains(test.err.Error(), want) {
					t.Errorf("%s: %v\ndoes not say %s", name, test.err, want)
				}
			}
		}
		many := map[string]string{}
		for i := range 50 {
			many[fmt.Sprint(i)] = ""
		}
		if err := second(c.EnsureFileSystem(ctx, efs.FileSystemSpec{Token: "t", Tags: many})); !errors.Is(err, efs.ErrInvalid) {
			t.Errorf("50 tags and ours: %v", err)
		}
		if calls := w.Calls()[before:]; len(calls) > 0 {
			t.Errorf("calls were made: %v", calls)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestHomeOnYoungFileSystem: EFS refuses an access point until the file system
// is available; EnsureHome waits for it.
func TestHomeOnYoungFileSystem(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) { // so that some reads show the file system late
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Seed: seed, Delays: fakeaws.Realistic()})
			out, err := w.raw().CreateFileSystem(t.Context(), &awsefs.CreateFileSystemInput{})
			if err != nil {
				t.Fatal(err)
			}
			home := efs.HomeSpec{FileSystem: *out.FileSystemId, User: "alice", UID: 200001, GID: 200001}
			c := w.client(efs.Config{})
			if _, err := c.EnsureHome(t.Context(), home); err != nil {
				t.Error(err)
			}
			if _, err := w.raw().DeleteFileSystem(t.Context(), &awsefs.DeleteFileSystemInput{FileSystemId: out.FileSystemId}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(fakeaws.Realistic().Visible)
			home.UID++
			_, err = c.EnsureHome(t.Context(), home)
			if _, ok := errors.AsType[*types.IncorrectFileSystemLifeCycleState](err); !ok || !errors.Is(err, efs.ErrState) {
				t.Errorf("home on a file system that is being deleted: %v", err)
			}
			home.FileSystem = "fs-0123456789abcdef0"
			if _, err = c.EnsureHome(t.Context(), home); !errors.Is(err, efs.ErrNotFound) {
				t.Errorf("home on no file system: %v", err)
			}
		})
	}
}

// TestHomeRightAfterDelete: the access point on its way out is waited for and replaced.
func TestHomeRightAfterDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		c := w.client(efs.Config{})
		p, err := w.provision(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.raw().DeleteAccessPoint(t.Context(), &awsefs.DeleteAccessPointInput{AccessPointId: &p.Bob.AccessPoint}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(fakeaws.Realistic().Visible) // until then no read need show the deletion
		began := time.Now()
		home, err := c.EnsureHome(t.Context(), efs.HomeSpec{FileSystem: p.FileSystem.ID, User: "bob", UID: 200002, GID: 200002})
		if took := time.Since(began); err != nil || home.AccessPoint == p.Bob.AccessPoint || took > 20*time.Second {
			t.Errorf("%+v, %v, after %v", home, err, took)
		}
		if _, err := w.raw().DeleteMountTarget(t.Context(), &awsefs.DeleteMountTargetInput{MountTargetId: &p.Targets[0].ID}); err != nil {
			t.Fatal(err)
		}
		targets, err := c.EnsureMountTargets(t.Context(), p.FileSystem.ID, w.subnets, w.groups)
		if err != nil || targets[0].ID == p.Targets[0].ID || targets[1].ID != p.Targets[1].ID {
			t.Errorf("%+v, %v", targets, err)
		}
	})
}
