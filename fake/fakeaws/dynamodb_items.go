package fakeaws

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// attributeValues are an item's, by their names. What is in the state is never written
// to.
type attributeValues = map[string]types.AttributeValue

// A tableItem is what is and was at one key of a table, the oldest first: as much
// of it as a read can still show.
type tableItem struct {
	states []itemState
}

type itemState struct {
	since      time.Time
	attributes attributeValues // nil if there was none
}

// now is the item as a strongly consistent read and a condition see it.
func (i *tableItem) now() attributeValues {
	if i == nil {
		return nil
	}
	return i.states[len(i.states)-1].attributes
}

// itemShown is the item as a read sees it. An eventually consistent one "might not
// reflect the results of a recently completed write operation"
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html);
// that it never does for [Delays.Visible], and does then, is an assumption that
// makes callers careful.
func (c *Cloud) itemShown(at call, i *tableItem, consistent *bool) attributeValues {
	if i == nil || aws.ToBool(consistent) {
		return i.now()
	}
	for _, state := range slices.Backward(i.states) {
		if c.settled(at, state.since) {
			return state.attributes
		}
	}
	return nil
}

// write puts an item at a key, or nil to delete it.
func (c *Cloud) write(at call, t *table, partition, sort string, item attributeValues) {
	if t.items[partition] == nil {
		t.items[partition] = map[string]*tableItem{}
	}
	i := t.items[partition][sort]
	if i == nil {
		i = &tableItem{}
		t.items[partition][sort] = i
	}
	for len(i.states) > 1 && c.settled(at, i.states[1].since) {
		i.states = i.states[1:]
	}
	i.states = append(i.states, itemState{at.At, item})
}

// keyOf reads a key from a map that has nothing else or, of a whole item, what it
// will. Keys are neither empty nor above 2048 bytes for the partition and 1024 to
// sort by ("Quotas in Amazon DynamoDB",
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
func (t *table) keyOf(values attributeValues, whole bool) (partition, sort string, err error) {
	names := []string{t.partition}
	if t.sort != "" {
		names = append(names, t.sort)
	}
	if !whole && len(values) != len(names) {
		return "", "", dynamoInvalid("The provided key element does not match the schema")
	}
	var key [2]string
	for i, name := range names {
		s, ok := values[name].(*types.AttributeValueMemberS)
		switch {
		case values[name] == nil && whole:
			return "", "", dynamoInvalid("One or more parameter values were invalid: Missing the key %s in the item", name)
		case !ok && whole:
			return "", "", dynamoInvalid("One or more parameter values were invalid: Type mismatch for key %s expected: S", name)
		case !ok:
			return "", "", dynamoInvalid("The provided key element does not match the schema")
		case s.Value == "":
			return "", "", dynamoInvalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", name)
		case i == 0 && len(s.Value) > 2048:
			return "", "", dynamoInvalid("One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes")
		case i == 1 && len(s.Value) > 1024:
			return "", "", dynamoInvalid("One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
		}
		key[i] = s.Value
	}
	return key[0], key[1], nil
}

// itemNamed is a table and the key of an item, "records/sessions/a", which is the
// subject of a call.
func (c *Cloud) itemNamed(name *string, values attributeValues) string {
	subject := aws.ToString(name)
	if t := c.dynamo.tables[subject]; t != nil {
		if partition, sort, err := t.keyOf(values, true); err == nil {
			subject = strings.TrimSuffix(subject+"/"+partition+"/"+sort, "/")
		}
	}
	return subject
}

// getItem follows
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html.
func (c *Cloud) getItem(at call, in *awsdynamodb.GetItemInput) (*awsdynamodb.GetItemOutput, error) {
	if err := modelled(at, in, "TableName", "Key", "ConsistentRead"); err != nil {
		return nil, err
	}
	t, err := c.activeTable(at, in.TableName)
	if err != nil {
		return nil, err
	}
	partition, sort, err := t.keyOf(in.Key, false)
	if err != nil {
		return nil, err
	}
	return &awsdynamodb.GetItemOutput{Item: copied(c.itemShown(at, t.items[partition][sort], in.ConsistentRead))}, nil
}

// putItem follows
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html.
func (c *Cloud) putItem(at call, in *awsdynamodb.PutItemInput) (*awsdynamodb.PutItemOutput, error) {
	if err := modelled(at, in, "TableName", "Item", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues",
		"ReturnValuesOnConditionCheckFailure"); err != nil {
		return nil, err
	}
	e, err := parseExpression(at, "ConditionExpression", in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	if size, err := itemSize(at, in.Item); err != nil {
		return nil, err
	} else if size > maxItem {
		return nil, dynamoInvalid("Item size has exceeded the maximum allowed size")
	}
	t, err := c.activeTable(at, in.TableName)
	if err != nil {
		return nil, err
	}
	partition, sort, err := t.keyOf(in.Item, true)
	if err != nil {
		return nil, err
	}
	if err := e.check(t.items[partition][sort].now(), in.ReturnValuesOnConditionCheckFailure); err != nil {
		return nil, err
	}
	c.write(at, t, partition, sort, in.Item)
	return &awsdynamodb.PutItemOutput{}, nil
}

// deleteItem follows
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteItem.html:
// without a condition it is idempotent.
func (c *Cloud) deleteItem(at call, in *awsdynamodb.DeleteItemInput) (*awsdynamodb.DeleteItemOutput, error) {
	if err := modelled(at, in, "TableName", "Key", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues",
		"ReturnValuesOnConditionCheckFailure"); err != nil {
		return nil, err
	}
	e, err := parseExpression(at, "ConditionExpression", in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	t, err := c.activeTable(at, in.TableName)
	if err != nil {
		return nil, err
	}
	partition, sort, err := t.keyOf(in.Key, false)
	if err != nil {
		return nil, err
	}
	item := t.items[partition][sort]
	if err := e.check(item.now(), in.ReturnValuesOnConditionCheckFailure); err != nil {
		return nil, err
	}
	if item.now() != nil {
		c.write(at, t, partition, sort, nil)
	}
	return &awsdynamodb.DeleteItemOutput{}, nil
}

// check refuses a write whose condition does not hold for the item there is. The
// refusal has that item if it is asked for and there is one
// (ReturnValuesOnConditionCheckFailure in API_PutItem.html).
func (e expression) check(item attributeValues, show types.ReturnValuesOnConditionCheckFailure) error {
	for _, t := range e {
		if t.holds(item) {
			continue
		}
		refusal := &types.ConditionalCheckFailedException{Message: aws.String("The conditional request failed")}
		if show == types.ReturnValuesOnConditionCheckFailureAllOld {
			refusal.Item = item
		}
		return refuseAs(http.StatusBadRequest, refusal)
	}
	return nil
}

// maxItem is the size of the largest item, 400 KB, names included
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const maxItem = 400 << 10

// itemSize is what an item counts
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html):
// the bytes of its names and values; of a number "approximately" one for two
// digits and one more.
func itemSize(at call, item attributeValues) (int, error) {
	size := 0
	for name, value := range item {
		size += len(name)
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			size += len(v.Value)
		case *types.AttributeValueMemberB:
			size += len(v.Value)
		case *types.AttributeValueMemberN:
			if _, ok := new(big.Rat).SetString(v.Value); !ok {
				return 0, dynamoInvalid("The parameter cannot be converted to a numeric value: %s", v.Value)
			}
			size += (len(v.Value)+1)/2 + 1
		default:
			return 0, fmt.Errorf("fakeaws: %s with the attribute %s, a %T, is not modelled", at.Action, name, value)
		}
	}
	return size, nil
}

// copied is an item that shares nothing with the state.
func copied(item attributeValues) attributeValues {
	return clone(reflect.ValueOf(item)).Interface().(attributeValues)
}

// itemOnTheWire is an item in the form of DynamoDB's protocol
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html).
func itemOnTheWire(item attributeValues) map[string]map[string]string {
	form := map[string]map[string]string{}
	for name, value := range item {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			form[name] = map[string]string{"S": v.Value}
		case *types.AttributeValueMemberN:
			form[name] = map[string]string{"N": v.Value}
		case *types.AttributeValueMemberB:
			form[name] = map[string]string{"B": base64.StdEncoding.EncodeToString(v.Value)}
		}
	}
	return form
}
