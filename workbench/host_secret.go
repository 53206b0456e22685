package workbench

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	secretstypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/iampolicy"
	"github.com/atelier-go/atelier/internal/refusal"
)

// bundle is the text of the secret: the files, equal for equal files in any
// order.
func bundle(files []File) string {
	type entry struct {
		Path    string `json:"path"`
		Mode    string `json:"mode"`
		Owner   string `json:"owner"`
		Content string `json:"content"` // base64
	}
	entries := []entry{}
	for _, f := range files {
		entries = append(entries, entry{f.Path, fmt.Sprintf("%04o", f.Mode.Perm()), f.Owner, base64.StdEncoding.EncodeToString(f.Content)})
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.Path, b.Path) })
	text, err := json.Marshal(map[string]any{"files": entries})
	if err != nil {
		panic(err) // strings can always be written
	}
	return string(text)
}

// publish writes the files into the secret, unless they are what it has.
//
// The publication is recorded before it is written, with a number that no other
// has, so that a call that was interrupted is completed by the next: with the
// same files by writing the same version, which is idempotent, and with others
// by the next number.
func (c *Client) publish(ctx context.Context, r *record, d domain.Description, role string, files []File) error {
	if err := c.ensureSecret(ctx, d); err != nil {
		return err
	}
	// Before there is a value: it is never open to others.
	err := untilNot(ctx, noSuchSecret, func() error {
		_, err := c.aws.Secrets.PutResourcePolicy(ctx, &awssecrets.PutResourcePolicyInput{
			SecretId: aws.String(c.secretName()), ResourcePolicy: aws.String(iampolicy.ReadBy("HostOnly", role)),
		})
		return err
	})
	if err != nil {
		return refusal.Step("its policy", err)
	}
	text := bundle(files)
	sum := sha256.Sum256([]byte(text))
	if digest := hex.EncodeToString(sum[:]); r.Published.Digest != digest {
		err := c.note(ctx, r, func(r *record) { r.Published = publication{r.Published.Number + 1, digest} })
		if err != nil {
			return err
		}
	}
	if current, err := c.currentVersion(ctx); err != nil || current == r.version() {
		return err
	}
	c.log.InfoContext(ctx, "files published", "secret", c.secretName(), "publication", r.Published.Number)
	_, err = c.aws.Secrets.PutSecretValue(ctx, &awssecrets.PutSecretValueInput{
		SecretId: aws.String(c.secretName()), ClientRequestToken: aws.String(r.version()), SecretString: aws.String(text),
	})
	if err != nil {
		return err
	}
	return poll(ctx, settlesWithin, func() (bool, error) { // before a host boots that would read the one before
		current, err := c.currentVersion(ctx)
		return current == r.version(), err
	})
}

// currentVersion is the id of the secret's present version, empty if it has none.
func (c *Client) currentVersion(ctx context.Context) (string, error) {
	out, err := c.aws.Secrets.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String(c.secretName())})
	if err != nil {
		return "", err
	}
	for id, stages := range out.VersionIdsToStages {
		if slices.Contains(stages, "AWSCURRENT") {
			return id, nil
		}
	}
	return "", nil
}

// ensureSecret makes a secret without a value, or completes what exists.
func (c *Client) ensureSecret(ctx context.Context, d domain.Description) error {
	return poll(ctx, settlesWithin, func() (bool, error) {
		found, err := c.aws.Secrets.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String(c.secretName())})
		switch {
		case refusal.Code(err) == noSuchSecret:
			in := &awssecrets.CreateSecretInput{
				Name: aws.String(c.secretName()), Description: aws.String("Atelier domain " + c.domain.Name() + ": files of its Workbench, for its host alone"),
				Tags: tagsAs(c.tags(d), func(k, v *string) secretstypes.Tag { return secretstypes.Tag{Key: k, Value: v} }),
			}
			_, err := c.aws.Secrets.CreateSecret(ctx, in)
			switch refusal.Code(err) {
			case "ResourceExistsException", // it does not show yet
				"InvalidRequestException": // its deletion by force is not over yet
				return false, nil
			}
			return false, err
		case err != nil:
			return false, err
		case !c.ownsSecret(found):
			return false, c.notOurs("secret " + c.secretName())
		case found.DeletedDate != nil:
			_, err := c.aws.Secrets.RestoreSecret(ctx, &awssecrets.RestoreSecretInput{SecretId: aws.String(c.secretName())})
			return false, err
		}
		return true, nil
	})
}

func (c *Client) ownsSecret(s *awssecrets.DescribeSecretOutput) bool {
	for _, t := range s.Tags {
		if aws.ToString(t.Key) == tagWorkbench {
			return aws.ToString(t.Value) == c.domain.Name()
		}
	}
	return false
}

// removeSecret deletes the secret at once, if there is one: the caller has the
// files, and a name that waits for weeks would be in the way of the next Deploy.
func (c *Client) removeSecret(ctx context.Context) error {
	found, err := c.aws.Secrets.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String(c.secretName())})
	if refusal.Code(err) == noSuchSecret || err == nil && !c.ownsSecret(found) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = c.aws.Secrets.DeleteSecret(ctx, &awssecrets.DeleteSecretInput{
		SecretId: aws.String(c.secretName()), ForceDeleteWithoutRecovery: aws.Bool(true),
	})
	if refusal.Code(err) == noSuchSecret {
		return nil
	}
	return err
}

// kept is what a licence is kept in: a secret, or a parameter by its name.
func kept(arn string) (secret, parameter string) {
	if strings.Contains(arn, ":secretsmanager:") {
		return arn, ""
	}
	_, name, _ := strings.Cut(arn, ":parameter/")
	if arn == "" {
		return "", ""
	}
	return "", "/" + name
}
