package fakeaws

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// dynamo is the state of DynamoDB. What its tables' partitions have of capacity
// is not modelled: a [Limit] of an action refuses calls as DynamoDB does what is
// beyond it, and so does a [Fault].
type dynamo struct {
	tables map[string]*table
}

// A table is billed by request and has keys of text.
type table struct {
	described types.TableDescription // without its status
	partition string                 // the attribute that is its partition key
	sort      string                 // the attribute that is its sort key; empty for none
	created   time.Time
	items     map[string]map[string]*tableItem // by partition key and sort key
}

func (c *Cloud) registerDynamoDB() {
	c.dynamo = dynamo{tables: map[string]*table{}}
	handle(c, c.createTable)
	handle(c, c.describeTable)
	handle(c, c.getItem)
	handle(c, c.putItem)
	handle(c, c.deleteItem)
	handle(c, c.query)
	naming(c, func(in *awsdynamodb.GetItemInput) string { return c.itemNamed(in.TableName, in.Key) })
	naming(c, func(in *awsdynamodb.PutItemInput) string { return c.itemNamed(in.TableName, in.Item) })
	naming(c, func(in *awsdynamodb.DeleteItemInput) string { return c.itemNamed(in.TableName, in.Key) })
	naming(c, c.partitionNamed)
}

// dynamoRefuse is a client error of DynamoDB, which has HTTP status 400
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html).
func dynamoRefuse(code, format string, args ...any) error {
	return refuse(http.StatusBadRequest, code, format, args...)
}

// dynamoInvalid is DynamoDB's answer to a request that makes no sense. Its
// sentences are not documented; they are those that dynalite has recorded
// (github.com/architect/dynalite, folders validations and db).
func dynamoInvalid(format string, args ...any) error {
	return dynamoRefuse("ValidationException", format, args...)
}

// tableName holds the names of tables
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html).
var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

// activeTable finds the table of an operation on items. Of one that does not exist
// or "its status might not be ACTIVE" the answer is the same
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html#API_PutItem_Errors).
// That a table can be used as soon as it is ACTIVE, whether DescribeTable shows it
// already or not, is an assumption.
func (c *Cloud) activeTable(at call, name *string) (*table, error) {
	t := c.dynamo.tables[aws.ToString(name)]
	if t == nil || c.tableStatus(at, t) != types.TableStatusActive {
		return nil, dynamoRefuse("ResourceNotFoundException", "Requested resource not found")
	}
	return t, nil
}

func (c *Cloud) tableStatus(at call, t *table) types.TableStatus {
	if at.At.Before(t.created.Add(c.delays.Table)) {
		return types.TableStatusCreating
	}
	return types.TableStatusActive
}

// createTable follows
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
// for tables that are billed by request and have keys of text.
func (c *Cloud) createTable(at call, in *awsdynamodb.CreateTableInput) (*awsdynamodb.CreateTableOutput, error) {
	if err := modelled(at, in, "TableName", "AttributeDefinitions", "KeySchema", "BillingMode", "DeletionProtectionEnabled"); err != nil {
		return nil, err
	}
	name := aws.ToString(in.TableName)
	if !tableName.MatchString(name) {
		return nil, dynamoInvalid("1 validation error detected: Value '%s' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+", name)
	}
	if in.BillingMode != types.BillingModePayPerRequest {
		return nil, fmt.Errorf("fakeaws: %s with the BillingMode %q is not modelled", at.Action, in.BillingMode)
	}
	t := &table{created: at.At, items: map[string]map[string]*tableItem{}}
	if err := t.setKeys(at, in); err != nil {
		return nil, err
	}
	if c.dynamo.tables[name] != nil {
		return nil, dynamoRefuse("ResourceInUseException", "Table already exists: %s", name)
	}
	t.described = types.TableDescription{
		TableName: in.TableName, TableArn: aws.String("arn:aws:dynamodb:" + c.region + ":" + c.account + ":table/" + name),
		AttributeDefinitions: in.AttributeDefinitions, KeySchema: in.KeySchema, CreationDateTime: aws.Time(at.At),
		BillingModeSummary:        &types.BillingModeSummary{BillingMode: in.BillingMode},
		DeletionProtectionEnabled: aws.Bool(aws.ToBool(in.DeletionProtectionEnabled)),
	}
	c.dynamo.tables[name] = t
	return &awsdynamodb.CreateTableOutput{TableDescription: c.describedTable(at, t)}, nil
}

// setKeys reads the keys of a table: one of the partition and perhaps one to sort by.
func (t *table) setKeys(at call, in *awsdynamodb.CreateTableInput) error {
	if n := len(in.KeySchema); n < 1 || n > 2 {
		return dynamoInvalid("1 validation error detected: Value at 'keySchema' failed to satisfy constraint: Member must have length between 1 and 2")
	}
	if len(in.AttributeDefinitions) != len(in.KeySchema) {
		return dynamoInvalid("One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	for i, k := range in.KeySchema {
		name := aws.ToString(k.AttributeName)
		defined := slices.IndexFunc(in.AttributeDefinitions, func(a types.AttributeDefinition) bool { return aws.ToString(a.AttributeName) == name })
		switch {
		case defined < 0:
			return dynamoInvalid("One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [%s]", name)
		case in.AttributeDefinitions[defined].AttributeType != types.ScalarAttributeTypeS:
			return fmt.Errorf("fakeaws: %s with a key of type %q is not modelled", at.Action, in.AttributeDefinitions[defined].AttributeType)
		case i == 0 && k.KeyType != types.KeyTypeHash:
			return dynamoInvalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
		case i == 1 && k.KeyType != types.KeyTypeRange:
			return dynamoInvalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
		case i == 0:
			t.partition = name
		case name == t.partition:
			return dynamoInvalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")
		default:
			t.sort = name
		}
	}
	return nil
}

// describeTable follows
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html:
// right after CreateTable it may not find the table, as its "query is eventually
// consistent".
func (c *Cloud) describeTable(at call, in *awsdynamodb.DescribeTableInput) (*awsdynamodb.DescribeTableOutput, error) {
	if err := modelled(at, in, "TableName"); err != nil {
		return nil, err
	}
	name := aws.ToString(in.TableName)
	t := c.dynamo.tables[name]
	if t == nil || !c.settled(at, t.created) {
		return nil, dynamoRefuse("ResourceNotFoundException", "Requested resource not found: Table: %s not found", name)
	}
	return &awsdynamodb.DescribeTableOutput{Table: c.describedTable(at, t)}, nil
}

func (c *Cloud) describedTable(at call, t *table) *types.TableDescription {
	d := clone(reflect.ValueOf(t.described)).Interface().(types.TableDescription)
	d.TableStatus = c.tableStatus(at, t)
	return &d
}
