package fakeaws

import (
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// maxPage is how much a query reads at most, 1 MB
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html).
// That the item which reaches it is the last one is as dynalite has it (db/index.js,
// queryTable).
const maxPage = 1 << 20

// query follows
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html:
// "For type String, the results are stored in order of UTF-8 bytes"; a page that is
// full has a LastEvaluatedKey, which "does not necessarily mean that there is more
// data in the result set".
func (c *Cloud) query(at call, in *awsdynamodb.QueryInput) (*awsdynamodb.QueryOutput, error) {
	if err := modelled(at, in, "TableName", "KeyConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues",
		"ConsistentRead", "ExclusiveStartKey"); err != nil {
		return nil, err
	}
	if in.KeyConditionExpression == nil {
		return nil, dynamoInvalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	e, err := parseExpression(at, "KeyConditionExpression", in.KeyConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	t, err := c.activeTable(at, in.TableName)
	if err != nil {
		return nil, err
	}
	partition, after, err := e.keys(at, t)
	if err != nil {
		return nil, err
	}
	if in.ExclusiveStartKey != nil {
		of, from, err := t.keyOf(in.ExclusiveStartKey, false)
		switch {
		case err != nil:
			return nil, dynamoInvalid("The provided starting key is invalid")
		case of != partition:
			return nil, dynamoInvalid("The provided starting key is outside query boundaries based on provided conditions")
		case after != "" && from <= after:
			return nil, dynamoInvalid("The provided starting key does not match the range key predicate")
		}
		after = from
	}
	out := &awsdynamodb.QueryOutput{}
	size := 0
	for _, sort := range slices.Sorted(maps.Keys(t.items[partition])) {
		item := c.itemShown(at, t.items[partition][sort], in.ConsistentRead)
		if item == nil || sort <= after && after != "" {
			continue
		}
		n, err := itemSize(at, item)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, copied(item))
		if size += n; size >= maxPage {
			out.LastEvaluatedKey = t.key(item)
			break
		}
	}
	out.Count, out.ScannedCount = int32(len(out.Items)), int32(len(out.Items))
	return out, nil
}

// key is the primary key of an item.
func (t *table) key(item attributeValues) attributeValues {
	key := attributeValues{t.partition: item[t.partition]}
	if t.sort != "" {
		key[t.sort] = item[t.sort]
	}
	return copied(key)
}

// keys reads a condition on the keys of a table: the partition and, if it is asked
// for, the sort key that all have to be greater than.
func (e expression) keys(at call, t *table) (partition, after string, err error) {
	for _, c := range e {
		value, isText := c.value.(*types.AttributeValueMemberS)
		switch {
		case c.attribute != t.partition && c.attribute != t.sort:
			return "", "", dynamoInvalid("Query condition missed key schema element: %s", t.partition)
		case c.value != nil && !isText:
			return "", "", dynamoInvalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
		case c.attribute == t.partition && c.operator == "=":
			partition = value.Value
		case c.attribute == t.sort && c.operator == ">":
			after = value.Value
		default:
			return "", "", fmt.Errorf("fakeaws: %s by %s %s is not modelled", at.Action, c.attribute, c.operator)
		}
	}
	if partition == "" {
		return "", "", dynamoInvalid("Query condition missed key schema element: %s", t.partition)
	}
	return partition, after, nil
}

// partitionNamed is a table and the partition that a query reads, which is the
// subject of a call.
func (c *Cloud) partitionNamed(in *awsdynamodb.QueryInput) string {
	name := aws.ToString(in.TableName)
	t := c.dynamo.tables[name]
	e, err := parseExpression(call{}, "KeyConditionExpression", in.KeyConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if t == nil || err != nil {
		return name
	}
	if partition, _, err := e.keys(call{}, t); err == nil {
		name += "/" + partition
	}
	return name
}
