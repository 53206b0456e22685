package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/atelier-go/atelier/internal/pace"
)

// firstPause and longestPause are between two looks at a table that is not ready.
// Tables are ready within seconds; AWS publishes no figure.
const firstPause, longestPause = 500 * time.Millisecond, 5 * time.Second

// EnsureTable makes the table if there is none and returns when it can be used.
// It may be called again, and by many at once: what exists is found. It looks
// again after half a second, then after pauses that grow to five seconds, until ctx
// ends; a table that AWS never finishes is waited for as long. After an
// error, call it again.
//
// The table is billed by request, since records are few and come in bursts, and
// protected against deletion, which costs nothing. Continuous backups
// (dynamodb:UpdateContinuousBackups) are left to the administrator: they are billed
// by size, and what is restored from them are sessions and hosts as they were
// then, while the hosts themselves have gone on.
//
// A table with other keys is [ErrWrongTable] and is left as it is; other settings
// of a table that exists are not looked at. One that is being deleted is
// [ErrState].
func (s *Store) EnsureTable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		ready, err := s.look(ctx)
		if err != nil {
			return s.failed(ctx, "ensure table", "", err)
		}
		if ready {
			return nil
		}
		if err := pace.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// look reports whether the table can be used, and makes it if there is none. One
// that was just made may not be seen for a while; a second CreateTable then finds
// its name in use, and is no error.
func (s *Store) look(ctx context.Context) (ready bool, err error) {
	out, err := s.api.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		_, err := s.api.CreateTable(ctx, &dynamodb.CreateTableInput{
			TableName: &s.table,
			AttributeDefinitions: []types.AttributeDefinition{
				{AttributeName: aws.String(attrCollection), AttributeType: types.ScalarAttributeTypeS},
				{AttributeName: aws.String(attrID), AttributeType: types.ScalarAttributeTypeS},
			},
			KeySchema: []types.KeySchemaElement{
				{AttributeName: aws.String(attrCollection), KeyType: types.KeyTypeHash},
				{AttributeName: aws.String(attrID), KeyType: types.KeyTypeRange},
			},
			BillingMode:               types.BillingModePayPerRequest,
			DeletionProtectionEnabled: aws.Bool(true),
		})
		if _, exists := errors.AsType[*types.ResourceInUseException](err); exists {
			return false, nil
		}
		return false, err
	}
	if err != nil {
		return false, err
	}
	if err := checkKeys(out.Table); err != nil {
		return false, err
	}
	switch status := out.Table.TableStatus; status {
	case types.TableStatusActive, types.TableStatusUpdating: // which it can be used in
		return true, nil
	case types.TableStatusCreating:
		return false, nil
	case types.TableStatusDeleting:
		return false, problem(ErrState, "the table is being deleted: call again when it is gone")
	default:
		return false, problem(ErrState, "the table is %s: have an administrator look at it", status)
	}
}

// checkKeys refuses a table whose keys are not ours.
func checkKeys(d *types.TableDescription) error {
	kinds := map[string]types.ScalarAttributeType{}
	for _, a := range d.AttributeDefinitions {
		kinds[aws.ToString(a.AttributeName)] = a.AttributeType
	}
	var keys []string
	for _, k := range d.KeySchema {
		name := aws.ToString(k.AttributeName)
		keys = append(keys, fmt.Sprintf("%s %s %s", name, kinds[name], k.KeyType))
	}
	const want = attrCollection + " S HASH, " + attrID + " S RANGE"
	if got := strings.Join(keys, ", "); got != want {
		return problem(ErrWrongTable, "its keys are %s, want %s: name another table", got, want)
	}
	return nil
}
