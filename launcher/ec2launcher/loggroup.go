package ec2launcher

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslogs "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// logDays is how long what hosts write is kept.
const logDays = 30

// ensureLogGroup makes the hosts' log group, or repairs its retention.
func (l *Launcher) ensureLogGroup(ctx context.Context) error {
	group, err := l.findLogGroup(ctx)
	if err != nil {
		return err
	}
	if group == nil {
		l.cfg.Logger.Info("setup: making the log group", "group", l.logGroupName())
		// It is in conflict with a deletion that is not over yet.
		err := whenVisible(ctx, "OperationAbortedException", func() error {
			_, err := l.logs.CreateLogGroup(ctx, &awslogs.CreateLogGroupInput{LogGroupName: aws.String(l.logGroupName()), Tags: l.ownTags()})
			return err
		})
		if err != nil && codeOf(err) != "ResourceAlreadyExistsException" {
			return err
		}
		err = poll(ctx, func() (bool, error) {
			group, err = l.findLogGroup(ctx)
			return group != nil, err
		})
		if err != nil {
			return err
		}
	}
	if ours, err := l.ownsLogGroup(ctx, group); err != nil || !ours {
		if err == nil {
			err = l.notOurs("log group " + l.logGroupName())
		}
		return err
	}
	if aws.ToInt32(group.RetentionInDays) == logDays {
		return nil
	}
	_, err = l.logs.PutRetentionPolicy(ctx, &awslogs.PutRetentionPolicyInput{
		LogGroupName: aws.String(l.logGroupName()), RetentionInDays: aws.Int32(logDays),
	})
	return err
}

// findLogGroup returns the hosts' log group, or nil. Names come sorted, and the
// prefix itself is the first of those that begin with it.
func (l *Launcher) findLogGroup(ctx context.Context) (*logstypes.LogGroup, error) {
	out, err := l.logs.DescribeLogGroups(ctx, &awslogs.DescribeLogGroupsInput{
		LogGroupNamePrefix: aws.String(l.logGroupName()), Limit: aws.Int32(1),
	})
	if err != nil || len(out.LogGroups) == 0 || aws.ToString(out.LogGroups[0].LogGroupName) != l.logGroupName() {
		return nil, err
	}
	return &out.LogGroups[0], nil
}

func (l *Launcher) ownsLogGroup(ctx context.Context, group *logstypes.LogGroup) (bool, error) {
	out, err := l.logs.ListTagsForResource(ctx, &awslogs.ListTagsForResourceInput{ResourceArn: group.LogGroupArn})
	if err != nil {
		return false, err
	}
	return out.Tags[tagFleet] == l.cfg.Fleet, nil
}

// removeLogGroup deletes the hosts' log group and what is in it, if there is
// one and it is the fleet's.
func (l *Launcher) removeLogGroup(ctx context.Context) error {
	group, err := l.findLogGroup(ctx)
	if err != nil || group == nil {
		return err
	}
	ours, err := l.ownsLogGroup(ctx, group)
	if err == nil && ours {
		_, err = l.logs.DeleteLogGroup(ctx, &awslogs.DeleteLogGroupInput{LogGroupName: aws.String(l.logGroupName())})
	}
	if codeOf(err) == "ResourceNotFoundException" {
		return nil
	}
	return err
}
