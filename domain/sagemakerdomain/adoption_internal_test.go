package sagemakerdomain

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
)

// TestAdoptionOfEachStatus: a profile that cannot be worked with is left out, and keeps
// its user from being taken for gone.
func TestAdoptionOfEachStatus(t *testing.T) {
	for _, status := range types.UserProfileStatus("").Values() {
		a := &adoption{}
		name, left := a.userOf(AdoptRequest{}, Profile{Name: "Ada", UID: 200001, Status: Status(status)}, nil)
		adopted := slices.Contains([]types.UserProfileStatus{"InService", "Updating", "Update_Failed"}, status)
		if adopted != (name == "ada") || adopted == (left == "ada") || adopted == (len(a.apart) == 1) {
			t.Errorf("%s: %q, %q, %v", status, name, left, a.apart)
		}
	}
	a := &adoption{}
	if name, left := a.userOf(AdoptRequest{}, Profile{Name: "ada", Status: InService}, nil); name != "" || left != "ada" || !strings.Contains(a.apart[0].Detail, "no uid yet") {
		t.Errorf("without a uid: %q, %q, %v", name, left, a.apart)
	}
}

// TestAdoptedAgain: of a domain that exists what differs for good blocks, and what is for
// its administrator to decide stays.
func TestAdoptedAgain(t *testing.T) {
	ours := func(change func(*domain.Description)) *present {
		d := domain.Description{
			Name: "research", Subnets: []domain.Subnet{{ID: "subnet-2"}, {ID: "subnet-1"}}, Policy: domain.Policy{Types: []string{"t3.*"}}, Tags: map[string]string{"a": "b"},
			External: domain.External{Keeper: keeper + "d-1", FileSystem: "fs-1", HostSecurityGroups: []string{"sg-1"}},
		}
		change(&d)
		return &present{Description: d}
	}
	for name, test := range map[string]struct {
		change         func(*domain.Description)
		blocks, differ string
	}{
		"Same":       {change: func(*domain.Description) {}},
		"Own":        {change: func(d *domain.Description) { d.External = domain.External{} }, blocks: "has a file system of its own"},
		"Anothers":   {change: func(d *domain.Description) { d.External.Keeper = keeper + "d-2" }, blocks: "is over that of SageMaker domain d-2"},
		"FileSystem": {change: func(d *domain.Description) { d.External.FileSystem = "fs-2" }, blocks: "SageMaker has fs-1 in its place"},
		"Groups":     {change: func(d *domain.Description) { d.External.HostSecurityGroups = []string{"sg-2"} }, blocks: "SageMaker has sg-1 in its place"},
		"Subnets":    {change: func(d *domain.Description) { d.Subnets = d.Subnets[:1] }, differ: "in subnet-2, although SageMaker is in subnet-1, subnet-2"},
	} {
		a := &adoption{create: domain.CreateRequest{Name: "research", Subnets: []string{"subnet-1", "subnet-2"}, External: ours(func(*domain.Description) {}).External}}
		is := ours(test.change)
		a.planAgain(is)
		for what, got := range map[string]struct {
			all  []domain.Consequence
			want string
		}{"blocks": {a.blocks, test.blocks}, "differs": {a.apart, test.differ}} {
			if got.want == "" && len(got.all) > 0 || got.want != "" && (len(got.all) != 1 || !strings.Contains(got.all[0].Detail, got.want)) {
				t.Errorf("%s: it %s: %v, want %q", name, what, got.all, got.want)
			}
		}
		if len(a.create.Subnets) != len(is.Subnets) || !slices.Equal(a.create.Policy.Types, is.Policy.Types) || a.create.Tags["a"] != "b" {
			t.Errorf("%s: it asks for %+v", name, a.create)
		}
	}
}
