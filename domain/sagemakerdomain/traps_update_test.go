package sagemakerdomain_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
)

// What apps run on is sent whole, with all that others have set in it.
func TestTrapSpecIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		theirs := "arn:aws:sagemaker:us-east-1:123456789012:image/theirs"
		on := func() *types.ResourceSpec { return &types.ResourceSpec{SageMakerImageArn: &theirs} }
		sessions := func() *types.RSessionAppSettings { return &types.RSessionAppSettings{DefaultResourceSpec: on()} }
		id := w.raw(func(in *awssagemaker.CreateDomainInput) {
			in.DefaultUserSettings.RSessionAppSettings = sessions()
			in.DomainSettings.RStudioServerProDomainSettings.DefaultResourceSpec = on()
		})
		w.inService(id)
		time.Sleep(time.Minute)
		_, err := w.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{
			DomainId: &id, UserProfileName: aws.String("alice"), UserSettings: &types.UserSettings{RSessionAppSettings: sessions()},
		})
		w.must(err)
		time.Sleep(time.Minute)
		w.imageOf("one", "one")
		sent := map[string][]*types.ResourceSpec{}
		c := w.meanwhile(func(call string, in any) {
			switch in := in.(type) {
			case *awssagemaker.UpdateUserProfileInput:
				sent[call] = append(sent[call], in.UserSettings.RSessionAppSettings.DefaultResourceSpec)
			case *awssagemaker.UpdateDomainInput:
				if in.DomainSettingsForUpdate != nil {
					sent[call] = append(sent[call], in.DomainSettingsForUpdate.RStudioServerProDomainSettingsForUpdate.DefaultResourceSpec)
				}
				if in.DefaultUserSettings != nil {
					sent[call] = append(sent[call], in.DefaultUserSettings.RSessionAppSettings.DefaultResourceSpec)
				}
			}
		})
		_, err = c.UpdateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: id, Name: "alice", SessionInstance: "ml.m5.large"})
		w.must(err)
		_, err = c.UpdateDomain(t.Context(), sagemakerdomain.UpdateDomainRequest{Domain: id, ConnectURL: "https://other.example.com", SessionInstance: "ml.m5.large"})
		w.must(err)
		_, err = c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: id, Image: "one"})
		w.must(err)
		for call, want := range map[string][]string{"UpdateUserProfile": {"ml.m5.large"}, "UpdateDomain": {"system", "ml.m5.large", "ml.m5.large"}} {
			var types []string
			for _, spec := range sent[call] {
				types = append(types, string(spec.InstanceType))
				if aws.ToString(spec.SageMakerImageArn) != theirs {
					t.Errorf("%s sends %+v", call, spec)
				}
			}
			if !slices.Equal(types, want) {
				t.Errorf("%s sends %v", call, types)
			}
		}
	})
}

// Access that profiles have by the domain's default cannot be taken back either.
func TestTrapDefaultAccessIsOneWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, id := w.client(), w.raw(ours) // without a group, beside which the API refuses DISABLED
		w.inService(id)
		time.Sleep(time.Minute)
		w.profile(id, "alice")
		_, err := c.CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: id, Name: "bob", Access: sagemakerdomain.AccessAdmin})
		w.must(err)
		off := sagemakerdomain.UpdateDomainRequest{Domain: id, DefaultAccess: sagemakerdomain.AccessOff}
		_, err = c.UpdateDomain(t.Context(), off)
		w.is(err, domain.ErrState, "can be given and not taken back", "by the domain's default: alice; give each its own by UpdateProfile")
		_, err = c.PreviewUpdate(t.Context(), off)
		w.is(err, domain.ErrState, "can be given and not taken back")
		if n := w.calls("sagemaker:UpdateDomain"); n != 0 {
			t.Errorf("SageMaker was asked %d times", n)
		}
		would := func(access sagemakerdomain.Access) string {
			found, err := c.PreviewUpdate(t.Context(), sagemakerdomain.UpdateDomainRequest{Domain: id, DefaultAccess: access})
			w.must(err)
			return lines(found)
		}
		if got := would(sagemakerdomain.AccessAdmin); got != "stays: user profile alice (its access to RStudio is admin, by the domain's default)" {
			t.Errorf("it would %s", got)
		}
		_, err = c.UpdateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: id, Name: "alice", Access: sagemakerdomain.AccessUser})
		w.must(err)
		_, err = c.UpdateDomain(t.Context(), off)
		w.must(err)
		w.profile(id, "carol")
		time.Sleep(time.Minute)
		if got := would(sagemakerdomain.AccessUser); got != "stays: user profile carol (its access to RStudio is user, by the domain's default, for one of the licence's seats)" {
			t.Errorf("it would %s", got)
		}
		if got := would(sagemakerdomain.AccessOff); got != "" {
			t.Errorf("it would %s", got)
		}
	})
}
