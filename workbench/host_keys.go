package workbench

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	secretstypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

func (c *Client) keysName() string { return "atelier/" + c.domain.Name() + "/workbench/keys" }

// EnsureKeys returns the keys of the domain's Workbench, which it makes and keeps in a
// secret of Secrets Manager if there are none. Keys that are there are never replaced:
// however often it is called, by however many programs, all are given the same ones.
// There need be no host, without which nothing deletes them.
//
// The secret is called atelier/, the domain's name and /workbench/keys. Who may read it
// may sign in as anybody. The host does not read it: its files have the keys.
//
// It has no policy of its own, since nothing tells who in an account is an
// administrator: everybody reads it whose IAM policies let them call GetSecretValue for
// it, be it for every secret. Let those who deploy the Workbench, by [Policies], and
// nobody else; to be sure of that, give the secret a policy that denies GetSecretValue
// to all but their roles. EnsureKeys leaves it as it is.
//
// [Client.Remove] of a host leaves it as long as the data disk is left. With the disk it
// has it deleted, which Secrets Manager does thirty days later; until then EnsureKeys
// takes it back, with the same keys.
//
// A secret of that name without the Workbench's tag, or whose value is no keys, is
// [domain.ErrConflict].
func (c *Client) EnsureKeys(ctx context.Context) (Keys, error) {
	var keys Keys
	err := c.administer(ctx, "ensure keys", func(ctx context.Context) error {
		d, err := c.domain.Describe(ctx)
		if err != nil {
			return err
		}
		if d.Deleting {
			return refusal.New(domain.ErrState, "the domain is being deleted")
		}
		fresh := sync.OnceValues(NewKeys)
		err = poll(ctx, settlesWithin, func() (found bool, err error) {
			if err = c.ensureKeysSecret(ctx, d, fresh); err == nil {
				keys, found, err = c.readKeys(ctx)
			}
			return found, err
		})
		return refusal.Step("secret "+c.keysName(), err)
	})
	return keys, err
}

// ensureKeysSecret makes the secret with fresh keys in it, or takes one back whose
// deletion is scheduled. Secrets Manager makes a name once: whoever comes second reads
// what is there.
func (c *Client) ensureKeysSecret(ctx context.Context, d domain.Description, fresh func() (Keys, error)) error {
	found, err := c.aws.Secrets.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String(c.keysName())})
	switch {
	case refusal.Code(err) == noSuchSecret:
		keys, err := fresh()
		if err != nil {
			return err
		}
		text, err := json.Marshal(keys)
		if err != nil {
			return err
		}
		_, err = c.aws.Secrets.CreateSecret(ctx, &awssecrets.CreateSecretInput{
			Name: aws.String(c.keysName()), Description: aws.String("Atelier domain " + c.domain.Name() + ": keys of its Workbench"),
			SecretString: aws.String(string(text)),
			Tags:         tagsAs(c.tags(d), func(k, v *string) secretstypes.Tag { return secretstypes.Tag{Key: k, Value: v} }),
		})
		switch refusal.Code(err) {
		case "ResourceExistsException", // somebody was faster, or it does not show yet
			"InvalidRequestException": // its deletion is not over yet
			return nil
		}
		if err == nil {
			c.log.InfoContext(ctx, "keys made", "secret", c.keysName())
		}
		return err
	case err != nil:
		return err
	case !c.ownsSecret(found):
		return c.notOurs("secret " + c.keysName())
	case found.DeletedDate != nil:
		_, err = c.aws.Secrets.RestoreSecret(ctx, &awssecrets.RestoreSecretInput{SecretId: aws.String(c.keysName())})
	}
	return err
}

// readKeys returns the keys in the secret, and whether they show.
func (c *Client) readKeys(ctx context.Context) (keys Keys, found bool, err error) {
	out, err := c.aws.Secrets.GetSecretValue(ctx, &awssecrets.GetSecretValueInput{SecretId: aws.String(c.keysName())})
	switch refusal.Code(err) {
	case noSuchSecret, "InvalidRequestException": // it, or that it was taken back, does not show yet
		return Keys{}, false, nil
	}
	if err != nil {
		return Keys{}, false, err
	}
	// Whose errors may quote what is in it.
	if json.Unmarshal([]byte(aws.ToString(out.SecretString)), &keys) != nil || keys.problems() != nil {
		return Keys{}, false, refusal.New(domain.ErrConflict, "its value is not keys as EnsureKeys writes them: somebody has changed it; "+
			"make the version before that the current one again (AWSPREVIOUS)")
	}
	return keys, true, nil
}

// hasKeys reports whether there is a secret of ours with the keys, whose deletion is not
// scheduled.
func (c *Client) hasKeys(ctx context.Context) (bool, error) {
	found, err := c.aws.Secrets.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String(c.keysName())})
	if refusal.Code(err) == noSuchSecret {
		return false, nil
	}
	return err == nil && c.ownsSecret(found) && found.DeletedDate == nil, err
}

// removeKeys has the secret with the keys deleted, if there is one: in thirty days,
// which is what Secrets Manager waits unless it is told otherwise
// (API reference, DeleteSecret).
func (c *Client) removeKeys(ctx context.Context) error {
	if has, err := c.hasKeys(ctx); err != nil || !has {
		return err
	}
	_, err := c.aws.Secrets.DeleteSecret(ctx, &awssecrets.DeleteSecretInput{SecretId: aws.String(c.keysName())})
	if refusal.Code(err) == noSuchSecret {
		return nil
	}
	return err
}
