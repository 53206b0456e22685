package fakeaws

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslogs "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// logs is the state of CloudWatch Logs: its groups, without what is in them.
type logs struct {
	groups  map[string]*logGroup
	deleted map[string]time.Time
}

type logGroup struct {
	name    string
	days    int32 // of retention; zero is for ever
	tags    map[string]string
	created time.Time
}

func (c *Cloud) registerLogs() {
	c.logs = logs{groups: map[string]*logGroup{}, deleted: map[string]time.Time{}}
	handle(c, c.createLogGroup)
	handle(c, c.describeLogGroups)
	handle(c, c.putRetentionPolicy)
	handle(c, c.deleteLogGroup)
	handle(c, c.listTagsForResource)
}

// logsRefuse is a client error of CloudWatch Logs, which has HTTP status 400
// (https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html#API_CreateLogGroup_Errors).
func logsRefuse(code, format string, args ...any) error {
	return refuse(http.StatusBadRequest, code, format, args...)
}

var logGroupName = regexp.MustCompile(`^[a-zA-Z0-9_\-/.#]{1,512}$`)

func (c *Cloud) logGroupARN(name string) string {
	return "arn:aws:logs:" + c.region + ":" + c.account + ":log-group:" + name
}

// logGroup finds a log group. Changes find it at once; that reads show it only
// after [Delays.Visible] is an assumption.
func (c *Cloud) logGroup(name string) (*logGroup, error) {
	g := c.logs.groups[name]
	if g == nil {
		return nil, logsRefuse("ResourceNotFoundException", "The specified log group does not exist.")
	}
	return g, nil
}

// createLogGroup follows
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html.
// That a name is in conflict with its deletion for [Delays.Visible] is an
// assumption about when OperationAbortedException comes.
func (c *Cloud) createLogGroup(at call, in *awslogs.CreateLogGroupInput) (*awslogs.CreateLogGroupOutput, error) {
	if err := modelled(at, in, "LogGroupName", "Tags"); err != nil {
		return nil, err
	}
	name := aws.ToString(in.LogGroupName)
	if !logGroupName.MatchString(name) || strings.HasPrefix(name, "aws/") {
		return nil, logsRefuse("InvalidParameterException", "1 validation error detected: Value '%s' at 'logGroupName' failed to satisfy constraint", name)
	}
	if len(in.Tags) > 50 {
		return nil, logsRefuse("InvalidParameterException", "A log group has at most 50 tags.")
	}
	if c.logs.groups[name] != nil {
		return nil, logsRefuse("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	if deleted, ok := c.logs.deleted[name]; ok && !c.settled(at, deleted) {
		return nil, logsRefuse("OperationAbortedException", "A conflicting operation is currently in progress against this resource. Please try again.")
	}
	c.logs.groups[name] = &logGroup{name: name, tags: maps.Clone(in.Tags), created: at.At}
	return &awslogs.CreateLogGroupOutput{}, nil
}

// describeLogGroups follows
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogGroups.html:
// sorted by name, 50 to a page unless told otherwise.
func (c *Cloud) describeLogGroups(at call, in *awslogs.DescribeLogGroupsInput) (*awslogs.DescribeLogGroupsOutput, error) {
	if err := modelled(at, in, "LogGroupNamePrefix", "Limit", "NextToken"); err != nil {
		return nil, err
	}
	limit := 50
	if in.Limit != nil {
		if limit = int(*in.Limit); limit < 1 || limit > 50 {
			return nil, logsRefuse("InvalidParameterException", "Value '%d' at 'limit' failed to satisfy constraint: Member must be between 1 and 50", limit)
		}
	}
	out := &awslogs.DescribeLogGroupsOutput{}
	for _, name := range slices.Sorted(maps.Keys(c.logs.groups)) {
		g := c.logs.groups[name]
		if !strings.HasPrefix(name, aws.ToString(in.LogGroupNamePrefix)) || name <= aws.ToString(in.NextToken) || !c.settled(at, g.created) {
			continue
		}
		if len(out.LogGroups) == limit {
			out.NextToken = out.LogGroups[limit-1].LogGroupName // an assumption; callers pass it on as it is
			break
		}
		d := types.LogGroup{
			LogGroupName: aws.String(name), CreationTime: aws.Int64(g.created.UnixMilli()), LogGroupClass: types.LogGroupClassStandard,
			Arn: aws.String(c.logGroupARN(name) + ":*"), LogGroupArn: aws.String(c.logGroupARN(name)),
		}
		if g.days != 0 {
			d.RetentionInDays = aws.Int32(g.days)
		}
		out.LogGroups = append(out.LogGroups, d)
	}
	return out, nil
}

// retentions are the possible days
// (https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html).
var retentions = []int32{
	1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
}

func (c *Cloud) putRetentionPolicy(_ call, in *awslogs.PutRetentionPolicyInput) (*awslogs.PutRetentionPolicyOutput, error) {
	g, err := c.logGroup(aws.ToString(in.LogGroupName))
	if err != nil {
		return nil, err
	}
	days := aws.ToInt32(in.RetentionInDays)
	if !slices.Contains(retentions, days) {
		return nil, logsRefuse("InvalidParameterException", "Invalid retention value %d, valid values are: %d", days, retentions)
	}
	g.days = days
	return &awslogs.PutRetentionPolicyOutput{}, nil
}

func (c *Cloud) deleteLogGroup(at call, in *awslogs.DeleteLogGroupInput) (*awslogs.DeleteLogGroupOutput, error) {
	g, err := c.logGroup(aws.ToString(in.LogGroupName))
	if err != nil {
		return nil, err
	}
	delete(c.logs.groups, g.name)
	c.logs.deleted[g.name] = at.At
	return &awslogs.DeleteLogGroupOutput{}, nil
}

// listTagsForResource follows
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_ListTagsForResource.html.
func (c *Cloud) listTagsForResource(_ call, in *awslogs.ListTagsForResourceInput) (*awslogs.ListTagsForResourceOutput, error) {
	name, ok := strings.CutPrefix(aws.ToString(in.ResourceArn), c.logGroupARN(""))
	if !ok || strings.HasSuffix(name, ":*") {
		return nil, logsRefuse("InvalidParameterException", "The ARN %s is invalid.", aws.ToString(in.ResourceArn))
	}
	g, err := c.logGroup(name)
	if err != nil {
		return nil, err
	}
	return &awslogs.ListTagsForResourceOutput{Tags: maps.Clone(g.tags)}, nil
}
