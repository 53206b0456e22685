package ec2launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	secretstypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/atelier-go/atelier/internal/iampolicy"
	"github.com/atelier-go/atelier/launcher"
)

const (
	noSuchSecret = "ResourceNotFoundException"
	// mostGenerations bounds the client's secret: a generation takes about 2.2
	// of the 64 KiB that a secret holds
	// (https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html).
	mostGenerations = 24
)

// ensureKeys makes a new generation of keys if there is none, if the last was
// not completed, if less than half of its time is left, or if told to, and
// drops those whose time is over.
//
// The client's secret holds every generation, newest first, the hosts' secret
// the newest alone. The client's is written first, and shows before the hosts'
// is written: no host ever boots with a certificate that the launcher could
// not verify. The version of the hosts' secret has the generation's id, which
// anybody may describe; so a generation whose second write is missing shows,
// though nobody but a host can read that secret. Its server key is lost with
// the process that made it, hence it is replaced, not completed. It stays in
// the list until its time is over, which does no harm: no server has it.
func (l *Launcher) ensureKeys(ctx context.Context, role string, rotate bool) error {
	if err := l.ensureSecret(ctx, l.clientSecret(), "keys to the engines of the hosts, for the launcher alone"); err != nil {
		return step("secret "+l.clientSecret(), err)
	}
	if err := l.ensureSecret(ctx, l.hostSecret(), "keys of the engines of the hosts, for hosts alone"); err != nil {
		return step("secret "+l.hostSecret(), err)
	}
	// Before there is a value: it is never open to others.
	err := whenVisible(ctx, noSuchSecret, func() error {
		_, err := l.secrets.PutResourcePolicy(ctx, &awssecrets.PutResourcePolicyInput{
			SecretId: aws.String(l.hostSecret()), ResourcePolicy: aws.String(iampolicy.ReadBy("HostsOnly", role)),
		})
		return err
	})
	if err != nil {
		return step("the policy of secret "+l.hostSecret(), err)
	}
	known, current, err := l.readKeys(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	valid := slices.DeleteFunc(slices.Clone(known), func(g generation) bool { return !now.Before(g.ends()) })
	whole := len(valid) > 0 && valid[0].id() == current
	if whole && !rotate && now.Before(valid[0].Made.Add(keysLast/2)) {
		if len(valid) == len(known) {
			return nil
		}
		l.cfg.Logger.Info("setup: dropping keys whose time is over", "count", len(known)-len(valid))
		return l.writeClient(ctx, valid)
	}
	if len(valid) >= mostGenerations {
		return fail("rotate keys", "", launcher.ErrQuota, fmt.Errorf(
			"%d generations of keys are valid, which is all that is kept: wait until %s, when the oldest ends, or end all hosts, call Teardown and then Setup",
			len(valid), valid[len(valid)-1].ends().Format(time.DateOnly)))
	}
	g, server, err := newGeneration(l.cfg.Fleet, now)
	if err != nil {
		return step("making keys", err)
	}
	l.cfg.Logger.Info("setup: making keys for the hosts' engines", "generation", g.id(), "until", g.ends())
	if err := l.writeClient(ctx, append([]generation{g}, valid...)); err != nil {
		return err
	}
	return l.writeHost(ctx, g.id(), server)
}

// readKeys returns the generations of the client's secret, and the id of the
// one that hosts boot with; empty is none. A generation that hosts have and the
// list has not is waited for: the list may be read as it was. If it stays
// unknown, it is lost to somebody's hand.
func (l *Launcher) readKeys(ctx context.Context) (known []generation, current string, err error) {
	err = poll(ctx, func() (bool, error) {
		if known, err = l.generations(ctx); err != nil {
			return false, err
		}
		if current, err = l.hostGeneration(ctx); err != nil {
			return false, err
		}
		return current == "" || slices.ContainsFunc(known, func(g generation) bool { return g.id() == current }), nil
	})
	if errors.Is(err, errTooLong) {
		l.cfg.Logger.Warn("setup: the launcher's keys to the present hosts are lost; new ones are made for new hosts")
		return known, current, nil
	}
	return known, current, err
}

// generations reads the client's secret; without a value it has none.
func (l *Launcher) generations(ctx context.Context) ([]generation, error) {
	out, err := l.secrets.GetSecretValue(ctx, &awssecrets.GetSecretValueInput{SecretId: aws.String(l.clientSecret())})
	if codeOf(err) == noSuchSecret {
		return nil, nil
	}
	if err != nil {
		return nil, step("secret "+l.clientSecret(), err)
	}
	var known []generation
	if json.Unmarshal([]byte(aws.ToString(out.SecretString)), &known) != nil { // whose words may tell what was read
		return nil, fail("read keys", "", launcher.ErrInvalid, fmt.Errorf(
			"secret %s is not as Setup writes it: restore its version before, or delete it, call Setup and replace the hosts", l.clientSecret()))
	}
	return known, nil
}

// hostGeneration returns the id of the generation in the hosts' secret.
func (l *Launcher) hostGeneration(ctx context.Context) (string, error) {
	out, err := l.secrets.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String(l.hostSecret())})
	if err != nil {
		return "", step("secret "+l.hostSecret(), err)
	}
	for id, stages := range out.VersionIdsToStages {
		if slices.Contains(stages, "AWSCURRENT") {
			return id, nil
		}
	}
	return "", nil
}

// writeClient writes the client's secret and waits until it is read so.
func (l *Launcher) writeClient(ctx context.Context, list []generation) error {
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	written, err := l.secrets.PutSecretValue(ctx, &awssecrets.PutSecretValueInput{
		SecretId: aws.String(l.clientSecret()), SecretString: aws.String(string(text)),
	})
	if err != nil {
		return step("secret "+l.clientSecret(), err)
	}
	l.keys.forget()
	return step("secret "+l.clientSecret(), poll(ctx, func() (bool, error) {
		out, err := l.secrets.GetSecretValue(ctx, &awssecrets.GetSecretValueInput{SecretId: aws.String(l.clientSecret())})
		if codeOf(err) == noSuchSecret {
			return false, nil
		}
		return err == nil && aws.ToString(out.VersionId) == aws.ToString(written.VersionId), err
	}))
}

// writeHost writes the hosts' secret and waits until it shows.
func (l *Launcher) writeHost(ctx context.Context, id string, keys serverKeys) error {
	text, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	_, err = l.secrets.PutSecretValue(ctx, &awssecrets.PutSecretValueInput{
		SecretId: aws.String(l.hostSecret()), ClientRequestToken: aws.String(id), SecretString: aws.String(string(text)),
	})
	if err != nil {
		return step("secret "+l.hostSecret(), err)
	}
	return step("secret "+l.hostSecret(), poll(ctx, func() (bool, error) {
		current, err := l.hostGeneration(ctx)
		return current == id, err
	}))
}

// ensureSecret makes a secret without a value, or completes what exists.
func (l *Launcher) ensureSecret(ctx context.Context, name, description string) error {
	return poll(ctx, func() (bool, error) {
		found, err := l.secrets.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String(name)})
		switch {
		case codeOf(err) == noSuchSecret:
			l.cfg.Logger.Info("setup: making a secret", "secret", name)
			_, err := l.secrets.CreateSecret(ctx, &awssecrets.CreateSecretInput{
				Name: aws.String(name), Description: aws.String("Atelier fleet " + l.cfg.Fleet + ": " + description),
				Tags: tagsAs(l.ownTags(), func(k, v *string) secretstypes.Tag { return secretstypes.Tag{Key: k, Value: v} }),
			})
			switch codeOf(err) {
			case "ResourceExistsException": // it does not show yet
				return false, nil
			case "InvalidRequestException": // its deletion by force is not over yet
				return false, nil
			}
			return false, err
		case err != nil:
			return false, err
		case !l.ownsSecret(found):
			return false, l.notOurs("secret " + name)
		case found.DeletedDate != nil:
			_, err := l.secrets.RestoreSecret(ctx, &awssecrets.RestoreSecretInput{SecretId: aws.String(name)})
			return false, err
		}
		return true, nil
	})
}

func (l *Launcher) ownsSecret(s *awssecrets.DescribeSecretOutput) bool {
	for _, t := range s.Tags {
		if aws.ToString(t.Key) == tagFleet {
			return aws.ToString(t.Value) == l.cfg.Fleet
		}
	}
	return false
}

// removeSecret deletes a secret of the fleet at once, if there is one: keys are
// made anew, and a name that waits for weeks would be in the way of that.
func (l *Launcher) removeSecret(ctx context.Context, name string) error {
	found, err := l.secrets.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String(name)})
	if codeOf(err) == noSuchSecret || err == nil && !l.ownsSecret(found) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = l.secrets.DeleteSecret(ctx, &awssecrets.DeleteSecretInput{
		SecretId: aws.String(name), ForceDeleteWithoutRecovery: aws.Bool(true),
	})
	return err
}
