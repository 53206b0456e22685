package sagemakerdomain_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// Users see other settings of the server when it was made again: sessions end first, and
// only if that is allowed.
func TestTrapServerReadsSettingsOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		w.profile(d.ID, "alice")
		session := w.session(d.ID, "alice")
		q := sagemakerdomain.UpdateDomainRequest{Domain: d.ID, PackageManagerURL: "https://packages.example.com", WorkbenchInstance: "ml.c5.4xlarge"}
		time.Sleep(time.Minute)
		preview, err := c.PreviewUpdate(t.Context(), q)
		w.must(err)
		if text := fmt.Sprint(preview); !strings.Contains(text, session.Name) || !strings.Contains(text, "the server of RStudio") {
			t.Errorf("preview is %s", text)
		}
		before := w.calls("sagemaker:UpdateDomain") + w.calls("sagemaker:DeleteApp")
		_, err = c.UpdateDomain(t.Context(), q)
		w.is(err, domain.ErrState, session.Name, "have to end first", "allow them to be ended, by EndApps")
		if w.calls("sagemaker:UpdateDomain")+w.calls("sagemaker:DeleteApp") != before {
			t.Error("it changed something")
		}
		q.EndApps = true
		after, err := c.UpdateDomain(t.Context(), q)
		w.must(err)
		if after.RStudio.Instance != "ml.c5.4xlarge" || after.RStudio.ConnectURL != d.RStudio.ConnectURL {
			t.Errorf("got %+v", after.RStudio)
		}
		menu, err := w.cloud.RStudioMenu(d.ID, "alice")
		w.must(err)
		if menu.PackageManagerURL != q.PackageManagerURL || menu.InstanceType != "ml.c5.4xlarge" {
			t.Errorf("users see %+v", menu)
		}
		calls := len(w.cloud.Calls())
		_, err = c.UpdateDomain(t.Context(), q)
		w.must(err)
		for _, call := range w.cloud.Calls()[calls:] {
			if !strings.Contains(call.Action, ":List") && !strings.Contains(call.Action, ":Describe") && !strings.Contains(call.Action, ":Get") {
				t.Errorf("what is as it is asked for is changed: %s", call.Action)
			}
		}
	})
}

// RStudio is enabled in its documented order, and existing profiles have no access then.
func TestTrapEnableRStudio(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, id := w.client(), w.raw(bare)
		w.inService(id)
		groups := []string{w.group("1"), w.group("2"), w.group("3"), w.group("4"), w.group("5")}
		time.Sleep(time.Minute)
		_, err := c.CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: id, Name: "alice", SecurityGroups: groups})
		w.must(err)
		app := sagemakerdomain.AppID{Domain: id, Profile: "alice", Type: sagemakerdomain.StudioClassic, Name: "default"}
		q := sagemakerdomain.UpdateDomainRequest{Domain: id, EnableRStudio: &sagemakerdomain.EnableRStudio{DomainExecutionRole: serverRole}}
		_, err = c.UpdateDomain(t.Context(), q)
		w.is(err, domain.ErrState, "alice would have 5 security groups", "at most 4")
		_, err = c.UpdateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: id, Name: "alice", SecurityGroups: groups[:4]})
		w.must(err)
		_, err = c.StartApp(t.Context(), sagemakerdomain.StartAppRequest{AppID: app})
		w.must(err)
		_, err = c.UpdateDomain(t.Context(), q)
		w.is(err, domain.ErrState, "alice/JupyterServer/default", "have to end first", "allow them to be ended, by EndApps")
		_, err = c.UpdateDomain(t.Context(), sagemakerdomain.UpdateDomainRequest{Domain: id, ConnectURL: "https://connect.example.com"})
		w.is(err, domain.ErrState, "RStudio is off")
		_, err = c.UpdateDomain(t.Context(), sagemakerdomain.UpdateDomainRequest{Domain: id, EnableRStudio: q.EnableRStudio, NetworkType: "VpcOnly"})
		w.is(err, domain.ErrInvalid, "cannot change in the call that enables RStudio")
		preview, err := c.PreviewUpdate(t.Context(), q)
		w.must(err)
		if text := fmt.Sprint(preview); !strings.Contains(text, "without access to RStudio") {
			t.Errorf("preview is %s", text)
		}
		q.EndApps = true
		d, err := c.UpdateDomain(t.Context(), q)
		w.must(err)
		if d.RStudio == nil || d.Status != "InService" {
			t.Errorf("got %+v", d)
		}
		time.Sleep(time.Minute)
		e, err := c.Effective(t.Context(), id, "alice")
		w.must(err)
		if e.Access != sagemakerdomain.AccessOff {
			t.Errorf("access is %q", e.Access)
		}
		p, err := c.UpdateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: id, Name: "alice", Access: sagemakerdomain.AccessUser})
		w.must(err)
		if p.Access != sagemakerdomain.AccessUser {
			t.Errorf("access is %q", p.Access)
		}
	})
}

// Access can be given and not taken back; a profile that is made again has another home.
func TestTrapAccessIsOneWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		alice, err := c.CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice", Access: sagemakerdomain.AccessOff})
		w.must(err)
		for _, access := range []sagemakerdomain.Access{sagemakerdomain.AccessUser, sagemakerdomain.AccessAdmin, sagemakerdomain.AccessUser} {
			p, err := c.UpdateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice", Access: access})
			w.must(err)
			if p.Access != access {
				t.Errorf("access is %q, want %q", p.Access, access)
			}
		}
		before := w.calls("sagemaker:UpdateUserProfile")
		_, err = c.UpdateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice", Access: sagemakerdomain.AccessOff})
		w.is(err, domain.ErrState, "can be given and not taken back", "another user id")
		w.profile(d.ID, "bob") // who has the domain's
		_, err = c.UpdateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "bob", Access: sagemakerdomain.AccessOff})
		w.is(err, domain.ErrState, "can be given and not taken back")
		if w.calls("sagemaker:UpdateUserProfile") != before {
			t.Error("SageMaker was asked")
		}
		w.must(c.DeleteProfile(t.Context(), sagemakerdomain.DeleteProfileRequest{Domain: d.ID, Name: "alice"}))
		if again := w.profile(d.ID, "alice"); again.UID == alice.UID || again.UID < 200000 {
			t.Errorf("uid was %d and is %d", alice.UID, again.UID)
		}
	})
}

// The API refuses a group beside DISABLED, and no Access says it.
func TestTrapDisabledWithGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		d := w.domain()
		p, err := w.client().CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice", Access: sagemakerdomain.AccessOff})
		w.must(err)
		if a := p.Settings.RStudioServerProAppSettings; a.AccessStatus != types.RStudioServerProAccessStatusDisabled || a.UserGroup != "" {
			t.Errorf("got %+v", a)
		}
		_, err = w.client().CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice", Access: "admin off"})
		w.is(err, domain.ErrInvalid, "want user, admin or off")
	})
}

// A profile cannot be changed while its user has an InService app, which is named.
func TestTrapUpdateWithInServiceApp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		w.profile(d.ID, "alice")
		session := w.session(d.ID, "alice")
		time.Sleep(3 * time.Minute)
		q := sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice", Access: sagemakerdomain.AccessAdmin}
		_, err := c.UpdateProfile(t.Context(), q)
		w.is(err, domain.ErrState, session.Name)
		w.must(c.DeleteApp(t.Context(), session))
		_, err = c.UpdateProfile(t.Context(), q)
		w.must(err)
	})
}

// Names of profiles are not case sensitive, and one is SageMaker's.
func TestTrapProfileNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		alice := w.profile(d.ID, "alice")
		if again := w.profile(d.ID, "Alice"); again.UID != alice.UID || again.Name != "alice" {
			t.Errorf("got %+v", again)
		}
		_, err := c.CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "Domain-Shared"})
		w.is(err, domain.ErrInvalid, "SageMaker's own")
		_, err = c.CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice", Access: sagemakerdomain.AccessAdmin})
		w.is(err, domain.ErrConflict, "access is not set, not admin", "UpdateProfile")
		_, err = c.CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "bob", SSOUser: "bob"})
		w.is(err, domain.ErrInvalid, "SSO user")
	})
}

// Security groups are added, all else is overridden.
func TestTrapPrecedence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c := w.client()
		one, two := w.group("one"), w.group("two")
		time.Sleep(time.Minute)
		q := w.request()
		q.SecurityGroups, q.SessionInstance = []string{one}, "ml.m5.large"
		d, err := c.CreateDomain(t.Context(), q)
		w.must(err)
		_, err = c.CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{
			Domain: d.ID, Name: "alice", SecurityGroups: []string{two}, SessionInstance: "ml.r5.large", Access: sagemakerdomain.AccessAdmin,
		})
		w.must(err)
		time.Sleep(time.Minute)
		e, err := c.Effective(t.Context(), d.ID, "alice")
		w.must(err)
		if e.Access != sagemakerdomain.AccessAdmin || e.SessionInstance != "ml.r5.large" || e.ExecutionRole != userRole || !slices.Equal(e.SecurityGroups, []string{one, two}) {
			t.Errorf("got %+v", e)
		}
		var lines []string
		for _, s := range e.Settings {
			lines = append(lines, strings.NewReplacer(one, "sg-one", two, "sg-two").Replace(s.String()))
		}
		want := []string{
			"ExecutionRole = " + userRole + " (domain)",
			"RSessionAppSettings.DefaultResourceSpec.InstanceType = ml.r5.large (profile), over ml.m5.large",
			"RStudioServerProAppSettings.AccessStatus = ENABLED (profile)",
			"RStudioServerProAppSettings.UserGroup = R_STUDIO_ADMIN (profile), over R_STUDIO_USER",
			`SecurityGroups = ["sg-one"] (domain)`, `SecurityGroups = ["sg-two"] (profile)`,
		}
		if !slices.Equal(lines, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Sessions and the server are not for callers to start; JupyterLab needs a space.
func TestTrapWhatCannotBeStarted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.domain()
		w.profile(d.ID, "alice")
		for kind, word := range map[sagemakerdomain.AppType]string{
			sagemakerdomain.RStudioSession: "by its server alone", sagemakerdomain.RStudioServer: "RestartServer", sagemakerdomain.JupyterLab: "in a space", sagemakerdomain.CodeEditor: "in a space",
		} {
			_, err := w.client().StartApp(t.Context(), sagemakerdomain.StartAppRequest{AppID: sagemakerdomain.AppID{Domain: d.ID, Profile: "alice", Type: kind, Name: "default"}})
			w.is(err, domain.ErrInvalid, word)
		}
		w.is(w.client().DeleteApp(t.Context(), sagemakerdomain.AppID{Domain: d.ID, Profile: "domain-shared", Type: sagemakerdomain.RStudioServer, Name: "default"}), domain.ErrInvalid, "RestartServer")
	})
}

// ListApps has short pages, and lists what was deleted for a day.
func TestTrapListApps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic(), Quotas: map[string]int{"RSessionGateway Apps running on ml.t3.medium instance": 200, "Maximum number of running Studio apps allowed per account": 300}})
		c, d := w.client(), w.domain()
		w.profile(d.ID, "alice")
		var last sagemakerdomain.AppID
		for range 150 {
			last = w.session(d.ID, "alice")
		}
		time.Sleep(3 * time.Minute)
		w.must(c.DeleteApp(t.Context(), last))
		time.Sleep(time.Minute)
		if n := len(collect(t, c.Apps(t.Context(), sagemakerdomain.AppFilter{Domain: d.ID, Profile: "alice"}))); n != 149 {
			t.Errorf("lists %d sessions", n)
		}
		if n := len(collect(t, c.Apps(t.Context(), sagemakerdomain.AppFilter{Domain: d.ID, Profile: "alice", Deleted: true}))); n != 150 {
			t.Errorf("lists %d sessions with what was deleted", n)
		}
		for a, err := range c.Apps(t.Context(), sagemakerdomain.AppFilter{Domain: d.ID}) {
			w.must(err)
			switch a.Type {
			case sagemakerdomain.RStudioServer:
				if !a.Free || a.EC2Price != 0 || a.InstanceType != "system" || a.EC2Type != "t3.medium" || a.Profile != "domain-shared" {
					t.Errorf("the server is %+v", a)
				}
			default:
				if a.Free || a.EC2Price == 0 || a.EC2Type != "t3.medium" || a.Since.IsZero() || a.Type.String() != "RStudio session" {
					t.Errorf("a session is %+v", a)
				}
			}
		}
		for range c.Apps(t.Context(), sagemakerdomain.AppFilter{}) {
			break // and no more is asked
		}
	})
}

// LastUserActivityTimestamp is bumped by health checks, and not told.
func TestTrapLastUserActivity(t *testing.T) {
	for f := range reflect.TypeFor[sagemakerdomain.App]().Fields() {
		if strings.Contains(f.Name, "Activity") || strings.Contains(f.Name, "Idle") || strings.Contains(f.Name, "Used") {
			t.Errorf("%s reads as if it told of idleness", f.Name)
		}
	}
}

// There is a quota for each type of app on each type of instance.
func TestTrapQuotaPerType(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Quotas: map[string]int{"Studio JupyterLab Apps running on ml.m5.large instances": 1}})
		c, d := w.client(), w.domain()
		w.profile(d.ID, "alice")
		q, err := c.Quotas(t.Context())
		w.must(err)
		sessions := 0
		for _, a := range q.ByType {
			if a.Type == sagemakerdomain.RStudioSession {
				sessions++
			}
		}
		if sessions != 47 || q.Domains.Limit != 10 || q.Domains.Code != "L-B683BCB0" || q.Profiles.Limit == 0 || q.Spaces.Limit == 0 || q.Images.Limit == 0 || q.Apps.Limit == 0 {
			t.Errorf("got %d types for sessions, %+v", sessions, q.Domains)
		}
		if one, ok := q.Of(sagemakerdomain.StudioClassic, "system"); !ok || one.Code != "L-8276C21E" {
			t.Errorf("of Studio Classic: %+v, %t", one, ok)
		}
		for _, name := range []string{"one", "two"} {
			w.space(d.ID, "alice", name, types.AppTypeJupyterLab)
			_, err = c.StartApp(t.Context(), sagemakerdomain.StartAppRequest{
				AppID: sagemakerdomain.AppID{Domain: d.ID, Space: name, Type: sagemakerdomain.JupyterLab, Name: "default"}, InstanceType: "ml.m5.large",
			})
			if name == "one" {
				w.must(err)
			}
		}
		w.is(err, domain.ErrQuota, "one more would exceed", "1 JupyterLab apps on ml.m5.large", "L-3BDCD216")
		if n := w.calls("sagemaker:CreateApp"); n != 1 {
			t.Errorf("SageMaker was asked %d times", n)
		}
		_, err = c.StartApp(t.Context(), sagemakerdomain.StartAppRequest{
			AppID: sagemakerdomain.AppID{Domain: d.ID, Space: "one", Type: sagemakerdomain.JupyterLab, Name: "default"}, InstanceType: "ml.t3.medium",
		})
		w.is(err, domain.ErrConflict, "it runs on ml.m5.large")
		w.is(c.CheckStart(t.Context(), sagemakerdomain.RStudioSession, "ml.g5.xlarge"), domain.ErrInvalid, "none can run there")
	})
}

func TestTrapPresignedURL(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		c, d := w.client(), w.domain()
		w.profile(d.ID, "alice")
		_, err := c.CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "bob", Access: sagemakerdomain.AccessOff})
		w.must(err)
		for _, q := range []sagemakerdomain.URLRequest{
			{}, {Landing: sagemakerdomain.LandRStudio}, {Landing: sagemakerdomain.LandStudio + "path", Expires: 5 * time.Second, SessionExpires: 30 * time.Minute},
			{Expires: 5 * time.Minute, SessionExpires: 12 * time.Hour},
		} {
			q.Domain, q.Profile = d.ID, "alice"
			url, err := c.PresignedURL(t.Context(), q)
			w.must(err)
			if !strings.HasPrefix(url, "https://"+d.ID+".studio.us-east-1.sagemaker.aws/auth?token=") {
				t.Errorf("got %s", url)
			}
		}
		_, err = c.PresignedURL(t.Context(), sagemakerdomain.URLRequest{Domain: d.ID, Profile: "alice", Landing: "elsewhere", Expires: 4 * time.Second, SessionExpires: 13 * time.Hour})
		w.is(err, domain.ErrInvalid, "landing", "expires after 4s: want whole seconds from 5s to 5m0s", "session expires after 13h0m0s: want whole seconds from 30m0s to 12h0m0s")
		_, err = c.PresignedURL(t.Context(), sagemakerdomain.URLRequest{Domain: d.ID, Profile: "alice", Expires: 5500 * time.Millisecond})
		w.is(err, domain.ErrInvalid, "whole seconds")
		_, err = c.PresignedURL(t.Context(), sagemakerdomain.URLRequest{Domain: d.ID, Profile: "bob", Landing: sagemakerdomain.LandRStudio})
		w.is(err, domain.ErrNotAllowed, "no access to RStudio")
		sso := w.raw(func(in *awssagemaker.CreateDomainInput) { in.AuthMode, in.DomainName = types.AuthModeSso, new("sso") })
		_, err = c.CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: sso, Name: "carol"})
		w.is(err, domain.ErrInvalid, "IAM Identity Center")
		_, err = c.CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: sso, Name: "carol", SSOUser: "carol@example.com"})
		w.must(err)
		_, err = c.PresignedURL(t.Context(), sagemakerdomain.URLRequest{Domain: sso, Profile: "carol"})
		w.is(err, domain.ErrState, "by SSO")
	})
}

// A subnet is taken away only when no app is there.
func TestTrapRemoveSubnet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		w.profile(d.ID, "alice")
		w.session(d.ID, "alice")
		q := sagemakerdomain.UpdateDomainRequest{Domain: d.ID, Subnets: d.Subnets[:1]}
		time.Sleep(time.Minute)
		_, err := c.UpdateDomain(t.Context(), q)
		w.is(err, domain.ErrState, "have to end first")
		q.EndApps = true
		after, err := c.UpdateDomain(t.Context(), q)
		w.must(err)
		if !slices.Equal(after.Subnets, d.Subnets[:1]) {
			t.Errorf("subnets are %v", after.Subnets)
		}
		if _, err := w.cloud.RStudioMenu(d.ID, "alice"); err != nil {
			t.Errorf("the server was not made again: %v", err)
		}
	})
}

// The two groups for NFS keep each other from being deleted, apps leave their network
// interfaces, and the file system stays unless it is named.
func TestTrapLeftovers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow(failing))
		c, id := w.client(), w.busy()
		groups, err := c.NFSGroups(t.Context(), id)
		w.must(err)
		_, err = c.PreviewDelete(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id, DeleteFileSystem: "fs-other"})
		w.is(err, domain.ErrInvalid, "is not the domain's, which is "+w.home)
		w.is(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id, DeleteFileSystem: "fs-other"}), domain.ErrInvalid, "is not the domain's")
		foreign := w.foreign(groups.Outbound)
		time.Sleep(time.Minute)
		preview, err := c.PreviewDelete(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id})
		w.must(err)
		var lines []string
		for _, p := range preview {
			lines = append(lines, p.String())
		}
		text := strings.Join(lines, "\n")
		for _, line := range []string{
			"stays: security group security-group-for-outbound-nfs-" + id + " (others use it, network interface " + foreign, "ends: app alice/RSessionGateway/", "ends: app space lab/JupyterLab/default", "ends: app domain-shared/RStudioServerPro/default",
			"ends: space lab", "ends: user profile alice", "ends: user profile bob", "ends: domain " + id,
			"stays: security group security-group-for-inbound-nfs-" + id, "stays: file system " + w.home + " (with all files)", "stays: mount target fsmt-", "ends: network interface eni-",
		} {
			if !strings.Contains(text, line) {
				t.Errorf("the preview does not say %q:\n%s", line, text)
			}
		}
		if strings.Contains(text, "JupyterServer") {
			t.Errorf("the app that has failed is told of:\n%s", text)
		}
		w.is(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id}), domain.ErrState, foreign, "take it out of the group")
		_, err = awsec2.NewFromConfig(w.cloud.Config()).DeleteNetworkInterface(t.Context(), &awsec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &foreign})
		w.must(err)
		w.must(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id}))
		w.is(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id, DeleteFileSystem: w.home}), domain.ErrState, "the domain is gone", "package efs")
		w.is(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: "d-other", DeleteMountTargetsOf: w.home}), domain.ErrInvalid, "was not made by SageMaker for domain d-other")
		w.must(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id, DeleteMountTargetsOf: w.home}))
		w.must(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id}))
		left, err := c.NFSGroups(t.Context(), id)
		w.must(err)
		if left != (sagemakerdomain.NFSGroups{}) {
			t.Errorf("there is still %+v", left)
		}
		if _, kept := w.inventory()[w.home]; !kept {
			t.Error("the file system is gone")
		}
	})
}

// foreign makes a network interface of somebody else's in a group.
func (w *world) foreign(group string) string {
	w.Helper()
	out, err := awsec2.NewFromConfig(w.cloud.Config()).CreateNetworkInterface(w.Context(), &awsec2.CreateNetworkInterfaceInput{
		SubnetId: aws.String(w.cloud.Subnets()[0].ID), Groups: []string{group}, Description: aws.String("of a host"),
	})
	w.must(err)
	return *out.NetworkInterface.NetworkInterfaceId
}

// A group that only has the name of one of SageMaker's is not touched.
func TestTrapGroupOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		other := w.group("security-group-for-inbound-nfs-d-none")
		time.Sleep(time.Minute)
		w.must(w.client().DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: "d-none"}))
		if _, kept := w.inventory()[other]; !kept {
			t.Error("it was deleted")
		}
	})
}

// A rule of somebody else's that names a group is said too.
func TestTrapRuleOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		groups, err := c.NFSGroups(t.Context(), d.ID)
		w.must(err)
		other := w.group("other")
		_, err = awsec2.NewFromConfig(w.cloud.Config()).AuthorizeSecurityGroupIngress(t.Context(), &awsec2.AuthorizeSecurityGroupIngressInput{
			GroupId: &other, IpPermissions: []ec2types.IpPermission{{
				IpProtocol: new("tcp"), FromPort: new(int32(22)), ToPort: new(int32(22)), UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: &groups.Outbound}},
			}},
		})
		w.must(err)
		w.is(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID}), domain.ErrState, "a rule of security group "+other)
	})
}

// A profile that owns spaces goes with them only if that is allowed; the home stays.
func TestTrapDeleteProfileCascade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow(failing))
		c, id := w.client(), w.busy()
		q := sagemakerdomain.DeleteProfileRequest{Domain: id, Name: "alice"}
		preview, err := c.PreviewDeleteProfile(t.Context(), q)
		w.must(err)
		if preview[0].Fate != domain.Blocks || preview[0].Name != "lab" || preview[len(preview)-1].Thing != domain.ThingHome {
			t.Errorf("preview is %v", preview)
		}
		if !strings.Contains(preview[0].Detail, "by DeleteSpaces") {
			t.Errorf("it says %s", preview[0])
		}
		w.is(c.DeleteProfile(t.Context(), q), domain.ErrState, "it owns spaces: lab; allow them to be deleted with what their apps keep, by DeleteSpaces")
		q.DeleteSpaces = true
		preview, err = c.PreviewDeleteProfile(t.Context(), q)
		w.must(err)
		var order []string // in which they go
		for _, line := range preview {
			if len(order) == 0 || order[len(order)-1] != string(line.Thing) {
				order = append(order, string(line.Thing))
			}
		}
		if got := strings.Join(order, ", "); got != "app, space, user profile, home" {
			t.Errorf("the order is %s", got)
		}
		w.must(c.DeleteProfile(t.Context(), q))
		w.must(c.DeleteProfile(t.Context(), q))
		w.must(c.DeleteProfile(t.Context(), sagemakerdomain.DeleteProfileRequest{Domain: id, Name: "bob"})) // whose app has failed
		time.Sleep(time.Minute)
		if left := collect(t, c.Profiles(t.Context(), id)); len(left) != 0 {
			t.Errorf("there are still %+v", left)
		}
	})
}
