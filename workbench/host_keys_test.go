package workbench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	secretstypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/internal/iampolicy"
	"github.com/atelier-go/atelier/workbench"
)

const keysSecret = "atelier/research/workbench/keys"

func keysAct(y *yard) error {
	_, err := y.client().EnsureKeys(y.Context())
	return err
}

// keys is what EnsureKeys returns.
func (y *yard) keys() workbench.Keys {
	y.Helper()
	keys, err := y.client().EnsureKeys(y.Context())
	y.must(err)
	return keys
}

// However many ask at once, and whoever asks later, all have the same keys, which
// configure a Workbench.
func TestEnsureKeys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		var all [5]workbench.Keys
		var work sync.WaitGroup
		for n := range all {
			work.Go(func() { all[n] = y.keys() })
		}
		work.Wait()
		for n, keys := range append(all[:], y.keys()) {
			if keys != all[0] {
				t.Errorf("call %d was given other keys", n)
			}
		}
		c := minimal()
		c.Keys = all[0]
		mustFiles(t, c)
		made := 0
		for _, c := range y.cloud.Calls() {
			if c.Action == "secretsmanager:CreateSecret" && c.Subject == keysSecret && c.Code == "" {
				made++
			}
		}
		if made > 1 {
			t.Errorf("keys were made %d times", made)
		}
	})
}

// Turns are not what the keys hang on: whose turn is over when it comes to make keys
// takes those that another has made meanwhile.
func TestEnsureKeysAfterAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		cfg := y.cloud.Config()
		with := func(secrets workbench.SecretsManager) workbench.Keys {
			c, err := workbench.New(y.domain(), workbench.Services{
				EC2: awsec2.NewFromConfig(cfg), SSM: awsssm.NewFromConfig(cfg), IAM: awsiam.NewFromConfig(cfg), Secrets: secrets,
			}, workbench.Config{})
			y.must(err)
			keys, err := c.EnsureKeys(t.Context())
			y.must(err)
			return keys
		}
		var other workbench.Keys
		keys := with(&overtaken{Client: awssecrets.NewFromConfig(cfg), by: func() {
			text, err := json.Marshal(someKeys())
			y.must(err)
			_, err = awssecrets.NewFromConfig(cfg).CreateSecret(t.Context(), &awssecrets.CreateSecretInput{
				Name: aws.String(keysSecret), SecretString: aws.String(string(text)), Tags: []secretstypes.Tag{{Key: aws.String("atelier:workbench"), Value: aws.String("research")}},
			})
			y.must(err)
			other = someKeys()
		}})
		if keys != other {
			t.Error("two have different keys")
		}
	})
}

// Whom an administrator's policy lets read the keys alone is given them, and nobody else,
// also when they are taken back.
func TestEnsureKeysUnderAPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, fakeaws.Config{})
		keys := y.keys()
		_, err := awssecrets.NewFromConfig(y.cloud.Config()).PutResourcePolicy(t.Context(), &awssecrets.PutResourcePolicyInput{
			SecretId: aws.String(keysSecret), ResourcePolicy: aws.String(iampolicy.ReadBy("Administrators", "arn:aws:iam::123456789012:role/deployer")),
		})
		y.must(err)
		deployer, err := workbench.NewFromConfig(y.cloud.RoleConfig("deployer"), y.domain(), workbench.Config{})
		y.must(err)
		check := func() {
			t.Helper()
			got, err := deployer.EnsureKeys(t.Context())
			y.must(err)
			if got != keys {
				t.Error("who may read the keys is given others")
			}
			y.is(keysAct(y), domain.ErrDenied, keysSecret)
		}
		check()
		y.deploy()
		y.must(removeAllAct(y))
		check()
	})
}

// overtaken is a client before whose first CreateSecret something happens.
type overtaken struct {
	*awssecrets.Client
	by   func()
	once sync.Once
}

func (o *overtaken) CreateSecret(ctx context.Context, in *awssecrets.CreateSecretInput, options ...func(*awssecrets.Options)) (*awssecrets.CreateSecretOutput, error) {
	o.once.Do(o.by)
	return o.Client.CreateSecret(ctx, in, options...)
}

// Keys stay with the data disk, are told of, and can be taken back for thirty days.
func TestRemoveKeys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		keys := y.keys()
		y.deploy()
		d, err := y.client().Describe(t.Context())
		y.must(err)
		preview := func(q workbench.RemoveRequest, want domain.Fate) {
			t.Helper()
			found, err := y.client().PreviewRemove(t.Context(), q)
			y.must(err)
			for _, c := range found {
				if c.Thing == workbench.ThingSecret && c.Name == keysSecret {
					if c.Fate != want {
						t.Errorf("it says %v, want %q", c, want)
					}
					return
				}
			}
			t.Errorf("it does not tell of the keys: %v", found)
		}
		preview(workbench.RemoveRequest{}, domain.Stays)
		preview(workbench.RemoveRequest{DeleteVolume: d.Volume}, domain.Ends)
		y.must(removeAct(y))
		if got := y.inventory(); !strings.Contains(got, "with the keys") || strings.Contains(got, "to be deleted") {
			t.Errorf("a Remove that keeps the disk leaves\n%s", got)
		}
		if y.keys() != keys {
			t.Error("a Remove that keeps the disk changes the keys")
		}
		y.must(y.client().Remove(t.Context(), workbench.RemoveRequest{DeleteVolume: d.Volume}))
		if got := y.inventory(); !strings.Contains(got, "with the keys, to be deleted") {
			t.Errorf("left is\n%s", got)
		}
		time.Sleep(29 * 24 * time.Hour)
		if y.keys() != keys {
			t.Error("the keys are others, twenty-nine days later")
		}
		if got := y.inventory(); strings.Contains(got, "to be deleted") {
			t.Errorf("left is\n%s", got)
		}
		// Nothing came to be that a Remove does not know of.
		y.deploy()
		y.must(removeAllAct(y))
		time.Sleep(31 * 24 * time.Hour)
		if y.keys() == keys {
			t.Error("keys that were deleted are there again")
		}
	})
}

// A secret of the name that is not the Workbench's is left alone, and one whose value is
// no keys is told of without a word of it.
func TestEnsureKeysOfAnother(t *testing.T) {
	for name, c := range map[string]struct {
		tags  []secretstypes.Tag
		value string
		words string
	}{
		"not ours": {nil, `{}`, "lacks the tag atelier:workbench=research"},
		"no JSON":  {[]secretstypes.Tag{{Key: aws.String("atelier:workbench"), Value: aws.String("research")}}, "s3cret", "is not keys as EnsureKeys writes them"},
		"no keys":  {[]secretstypes.Tag{{Key: aws.String("atelier:workbench"), Value: aws.String("research")}}, `{"Cookie":"s3cret"}`, "is not keys as EnsureKeys writes them"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				y := newYard(t, fakeaws.Config{})
				secrets := awssecrets.NewFromConfig(y.cloud.Config())
				_, err := secrets.CreateSecret(t.Context(), &awssecrets.CreateSecretInput{Name: aws.String(keysSecret), SecretString: aws.String(c.value), Tags: c.tags})
				y.must(err)
				_, err = y.client().EnsureKeys(t.Context())
				y.is(err, domain.ErrConflict, keysSecret, c.words)
				if strings.Contains(fmt.Sprint(err), "s3cret") {
					t.Errorf("%q tells what is in the secret", err)
				}
				out, err := secrets.GetSecretValue(t.Context(), &awssecrets.GetSecretValueInput{SecretId: aws.String(keysSecret)})
				y.must(err)
				if *out.SecretString != c.value {
					t.Errorf("the secret is %q now", *out.SecretString)
				}
				if c.tags == nil { // and a Remove leaves it, too
					y.deploy()
					y.must(removeAllAct(y))
					if got := y.inventory(); !strings.Contains(got, "with the keys") || strings.Contains(got, "to be deleted") {
						t.Errorf("left is\n%s", got)
					}
				}
			})
		})
	}
}
