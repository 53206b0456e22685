package fakeaws_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// tables is an account with DynamoDB.
type tables struct {
	*fakeaws.Cloud
	*awsdynamodb.Client
	t testing.TB
}

func newTables(t testing.TB, cfg fakeaws.Config) tables {
	t.Helper()
	cloud, err := fakeaws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cloud.Close() })
	return tables{cloud, awsdynamodb.NewFromConfig(cloud.Config()), t}
}

func dynamoText(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func dynamoNumber(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

// itemIn is an item with the key (p, s).
func itemIn(p, s string, more ...string) map[string]types.AttributeValue {
	item := map[string]types.AttributeValue{"p": dynamoText(p), "s": dynamoText(s)}
	for i := 0; i < len(more); i += 2 {
		item[more[i]] = dynamoNumber(more[i+1])
	}
	return item
}

// create is a request for a table with the keys p and s.
func create(name string) *awsdynamodb.CreateTableInput {
	return &awsdynamodb.CreateTableInput{
		TableName: aws.String(name), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("p"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("s"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("p"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("s"), KeyType: types.KeyTypeRange},
		},
	}
}

func (d tables) create() {
	d.t.Helper()
	if _, err := d.CreateTable(d.t.Context(), create("records")); err != nil {
		d.t.Fatal(err)
	}
}

func (d tables) put(item map[string]types.AttributeValue, change ...func(*awsdynamodb.PutItemInput)) error {
	in := &awsdynamodb.PutItemInput{TableName: aws.String("records"), Item: item}
	for _, f := range change {
		f(in)
	}
	_, err := d.PutItem(d.t.Context(), in)
	return err
}

func (d tables) get(p, s string, consistent bool) map[string]types.AttributeValue {
	d.t.Helper()
	out, err := d.GetItem(d.t.Context(), &awsdynamodb.GetItemInput{TableName: aws.String("records"), Key: itemIn(p, s), ConsistentRead: &consistent})
	if err != nil {
		d.t.Fatal(err)
	}
	return out.Item
}

// wantCode checks the code, the status 400 and a part of what an error says.
func wantCode(t *testing.T, what string, err error, code, says string) {
	t.Helper()
	api, _ := errors.AsType[smithy.APIError](err)
	answer, _ := errors.AsType[*awshttp.ResponseError](err)
	if api == nil || api.ErrorCode() != code || answer == nil || answer.HTTPStatusCode() != 400 || !strings.Contains(api.ErrorMessage(), says) {
		t.Errorf("%s: got %v, want %s: %s", what, err, code, says)
	}
}

func TestTableTakesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTables(t, fakeaws.Config{Delays: fakeaws.Delays{Visible: time.Second, Table: 5 * time.Second}})
		look := func() (types.TableStatus, error) {
			out, err := d.DescribeTable(t.Context(), &awsdynamodb.DescribeTableInput{TableName: aws.String("records")})
			if err != nil {
				return "", err
			}
			return out.Table.TableStatus, nil
		}
		wantCode(t, "Put", d.put(itemIn("a", "b")), "ResourceNotFoundException", "Requested resource not found")
		out, err := d.CreateTable(t.Context(), create("records"))
		if err != nil || out.TableDescription.TableStatus != types.TableStatusCreating {
			t.Fatalf("%+v, %v", out, err)
		}
		_, err = look()
		wantCode(t, "DescribeTable", err, "ResourceNotFoundException", "Table: records not found")
		_, err = d.CreateTable(t.Context(), create("records"))
		wantCode(t, "CreateTable", err, "ResourceInUseException", "Table already exists: records")
		time.Sleep(4 * time.Second)
		if status, err := look(); err != nil || status != types.TableStatusCreating {
			t.Errorf("%s, %v", status, err)
		}
		wantCode(t, "Put", d.put(itemIn("a", "b")), "ResourceNotFoundException", "")
		time.Sleep(time.Second)
		if status, err := look(); err != nil || status != types.TableStatusActive {
			t.Errorf("%s, %v", status, err)
		}
		if err := d.put(itemIn("a", "b")); err != nil {
			t.Error(err)
		}
	})
}

func TestTablesRefused(t *testing.T) {
	d := newTables(t, fakeaws.Config{})
	for says, change := range map[string]func(*awsdynamodb.CreateTableInput){
		"tableName":                              func(in *awsdynamodb.CreateTableInput) { in.TableName = aws.String("a b") },
		"Number of attributes in KeySchema":      func(in *awsdynamodb.CreateTableInput) { in.KeySchema = in.KeySchema[:1] },
		"length between 1 and 2":                 func(in *awsdynamodb.CreateTableInput) { in.KeySchema = nil },
		"not defined in AttributeDefinitions":    func(in *awsdynamodb.CreateTableInput) { in.KeySchema[1].AttributeName = aws.String("x") },
		"first KeySchemaElement is not a HASH":   func(in *awsdynamodb.CreateTableInput) { slices.Reverse(in.KeySchema) },
		"second KeySchemaElement is not a RANGE": func(in *awsdynamodb.CreateTableInput) { in.KeySchema[1].KeyType = types.KeyTypeHash },
		"have the same name":                     func(in *awsdynamodb.CreateTableInput) { in.KeySchema[1].AttributeName = aws.String("p") },
	} {
		in := create("records")
		if change(in); in.KeySchema == nil {
			in.KeySchema = []types.KeySchemaElement{} // which the SDK does not look into
		}
		_, err := d.CreateTable(t.Context(), in)
		wantCode(t, says, err, "ValidationException", says)
	}
	for says, change := range map[string]func(*awsdynamodb.CreateTableInput){
		`dynamodb:CreateTable with the BillingMode "PROVISIONED" is not modelled`: func(in *awsdynamodb.CreateTableInput) { in.BillingMode = types.BillingModeProvisioned },
		`dynamodb:CreateTable with a key of type "N" is not modelled`: func(in *awsdynamodb.CreateTableInput) {
			in.AttributeDefinitions[1].AttributeType = types.ScalarAttributeTypeN
		},
		"dynamodb:CreateTable with Tags is not modelled": func(in *awsdynamodb.CreateTableInput) {
			in.Tags = []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
		},
	} {
		in := create("records")
		change(in)
		if _, err := d.CreateTable(t.Context(), in); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %s", err, says)
		}
	}
}

// A read that is not strongly consistent is late, and one that is never.
func TestItemsAreEventuallyConsistent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTables(t, fakeaws.Config{Delays: fakeaws.Delays{Visible: 2 * time.Second}})
		d.create()
		see := func(want, eventually map[string]types.AttributeValue) {
			t.Helper()
			for consistent, want := range map[bool]map[string]types.AttributeValue{true: want, false: eventually} {
				if got := d.get("a", "b", consistent); !reflect.DeepEqual(got, want) {
					t.Errorf("consistent %v: %v, want %v", consistent, got, want)
				}
				out, err := d.Query(t.Context(), query(func(in *awsdynamodb.QueryInput) { in.ConsistentRead = &consistent }))
				if err != nil || len(out.Items) != min(1, len(want)) || len(want) > 0 && !reflect.DeepEqual(out.Items[0], want) {
					t.Errorf("consistent %v: %v, %v, want %v", consistent, out.Items, err, want)
				}
			}
		}
		one, two := itemIn("a", "b", "n", "1"), itemIn("a", "b", "n", "2")
		if err := d.put(one); err != nil {
			t.Fatal(err)
		}
		see(one, nil)
		time.Sleep(time.Second)
		if err := d.put(two); err != nil {
			t.Fatal(err)
		}
		see(two, nil)
		time.Sleep(time.Second)
		see(two, one)
		time.Sleep(time.Second)
		see(two, two)
		if _, err := d.DeleteItem(t.Context(), &awsdynamodb.DeleteItemInput{TableName: aws.String("records"), Key: itemIn("a", "b")}); err != nil {
			t.Fatal(err)
		}
		see(nil, two)
		time.Sleep(2 * time.Second)
		see(nil, nil)
	})
}

// query is for the items of partition a.
func query(change ...func(*awsdynamodb.QueryInput)) *awsdynamodb.QueryInput {
	in := &awsdynamodb.QueryInput{
		TableName: aws.String("records"), ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("#p = :p"),
		ExpressionAttributeNames: map[string]string{"#p": "p"}, ExpressionAttributeValues: map[string]types.AttributeValue{":p": dynamoText("a")},
	}
	for _, f := range change {
		f(in)
	}
	return in
}

// A condition that does not hold is answered with the item, if that is asked for,
// in the SDK's own type.
func TestConditions(t *testing.T) {
	d := newTables(t, fakeaws.Config{})
	d.create()
	present := itemIn("a", "b", "n", "7")
	present["v"] = &types.AttributeValueMemberB{Value: []byte{0, 255}}
	absent := func(in *awsdynamodb.PutItemInput) {
		in.ConditionExpression, in.ExpressionAttributeNames = aws.String("attribute_not_exists(#p)"), map[string]string{"#p": "p"}
	}
	equal := func(n types.AttributeValue) func(*awsdynamodb.PutItemInput) {
		return func(in *awsdynamodb.PutItemInput) {
			in.ConditionExpression, in.ExpressionAttributeNames = aws.String(" #n=:n "), map[string]string{"#n": "n"}
			in.ExpressionAttributeValues = map[string]types.AttributeValue{":n": n}
		}
	}
	showing := func(in *awsdynamodb.PutItemInput) {
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	wantRefusal := func(what string, err error, item map[string]types.AttributeValue) {
		t.Helper()
		refusal, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
		if !ok || !reflect.DeepEqual(refusal.Item, item) {
			t.Errorf("%s: %v with %v, want the item %v", what, err, refusal, item)
		}
		wantCode(t, what, err, "ConditionalCheckFailedException", "The conditional request failed")
	}
	wantRefusal("equal to what is not there", d.put(present, equal(dynamoNumber("7")), showing), nil)
	if err := d.put(present, absent); err != nil {
		t.Fatal(err)
	}
	wantRefusal("absent", d.put(itemIn("a", "b"), absent), nil)
	wantRefusal("absent, shown", d.put(itemIn("a", "b"), absent, showing), present)
	wantRefusal("equal", d.put(itemIn("a", "b"), equal(dynamoNumber("8")), showing), present)
	wantRefusal("equal to a text", d.put(itemIn("a", "b"), equal(dynamoText("7"))), nil)
	_, err := d.DeleteItem(t.Context(), &awsdynamodb.DeleteItemInput{
		TableName: aws.String("records"), Key: itemIn("a", "b"), ConditionExpression: aws.String("#n = :n"), ExpressionAttributeNames: map[string]string{"#n": "n"},
		ExpressionAttributeValues:           map[string]types.AttributeValue{":n": dynamoNumber("8")},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	wantRefusal("delete", err, present)
	if got := d.get("a", "b", true); !reflect.DeepEqual(got, present) {
		t.Errorf("what was refused left %v", got)
	}
	if err := d.put(itemIn("a", "b"), equal(dynamoNumber("7.0"))); err != nil { // a number, not its text
		t.Error(err)
	}

	// The error is what the SDK makes of DynamoDB's own words.
	refused := d.put(present, absent, showing)
	answer, _ := errors.AsType[*awshttp.ResponseError](refused)
	wire := awsdynamodb.NewFromConfig(aws.Config{Region: "us-east-1", Credentials: d.Config().Credentials, HTTPClient: scripted{400, answer.RequestID,
		`{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed",` +
			`"Item":{"p":{"S":"a"},"s":{"S":"b"}}}`}})
	_, want := wire.PutItem(t.Context(), &awsdynamodb.PutItemInput{TableName: aws.String("records"), Item: present})
	got, _ := errors.AsType[*types.ConditionalCheckFailedException](refused)
	sdks, _ := errors.AsType[*types.ConditionalCheckFailedException](want)
	if !reflect.DeepEqual(got, sdks) || refused.Error() != want.Error() {
		t.Errorf("got  %+v\nwant %+v", got, sdks)
	}
}

func TestItemsRefused(t *testing.T) {
	d := newTables(t, fakeaws.Config{})
	d.create()
	condition := func(text string, names map[string]string, values map[string]types.AttributeValue) func(*awsdynamodb.PutItemInput) {
		return func(in *awsdynamodb.PutItemInput) {
			in.ExpressionAttributeNames, in.ExpressionAttributeValues = names, values
			if text != "" {
				in.ConditionExpression = &text
			}
		}
	}
	n := map[string]string{"#n": "n"}
	v := map[string]types.AttributeValue{":v": dynamoNumber("1")}
	for says, err := range map[string]error{
		"Missing the key s in the item":                              d.put(map[string]types.AttributeValue{"p": dynamoText("a")}),
		"Type mismatch for key s expected: S":                        d.put(map[string]types.AttributeValue{"p": dynamoText("a"), "s": dynamoNumber("1")}),
		"cannot contain an empty string value. Key: p":               d.put(itemIn("", "b")),
		"Size of hashkey has exceeded":                               d.put(itemIn(strings.Repeat("x", 2049), "b")),
		"size limit of 1024 bytes":                                   d.put(itemIn("a", strings.Repeat("x", 1025))),
		"cannot be converted to a numeric value: x":                  d.put(itemIn("a", "b", "n", "x")),
		"ExpressionAttributeNames can only":                          d.put(itemIn("a", "b"), condition("", n, nil)),
		"ExpressionAttributeValues can only":                         d.put(itemIn("a", "b"), condition("", nil, v)),
		"name used in the document path is not defined":              d.put(itemIn("a", "b"), condition("#x = :v", n, v)),
		"value used in expression is not defined":                    d.put(itemIn("a", "b"), condition("#n = :x", n, v)),
		"ExpressionAttributeNames unused in expressions: keys: {#n}": d.put(itemIn("a", "b"), condition("#m = :v", map[string]string{"#n": "n", "#m": "m"}, v)),
		"ExpressionAttributeValues unused in expressions: keys: {:v": d.put(itemIn("a", "b"), condition("attribute_not_exists(#n)", n, v)),
		"key element does not match the schema": second(d.GetItem(t.Context(), &awsdynamodb.GetItemInput{
			TableName: aws.String("records"), Key: itemIn("a", "b", "n", "1"),
		})),
		"missed key schema element: p":              second(d.Query(t.Context(), query(func(in *awsdynamodb.QueryInput) { in.ExpressionAttributeNames["#p"] = "x" }))),
		"parameter type does not match schema type": second(d.Query(t.Context(), query(func(in *awsdynamodb.QueryInput) { in.ExpressionAttributeValues[":p"] = dynamoNumber("1") }))),
		"KeyConditionExpression parameter must be":  second(d.Query(t.Context(), &awsdynamodb.QueryInput{TableName: aws.String("records")})),
		"The provided starting key is invalid":      second(d.Query(t.Context(), query(func(in *awsdynamodb.QueryInput) { in.ExclusiveStartKey = itemIn("a", "b", "n", "1") }))),
		"starting key is outside query boundaries":  second(d.Query(t.Context(), query(func(in *awsdynamodb.QueryInput) { in.ExclusiveStartKey = itemIn("x", "b") }))),
		"starting key does not match the range key": second(d.Query(t.Context(), query(func(in *awsdynamodb.QueryInput) {
			in.KeyConditionExpression, in.ExpressionAttributeNames["#s"] = aws.String("#p = :p AND #s > :s"), "s"
			in.ExpressionAttributeValues[":s"], in.ExclusiveStartKey = dynamoText("b"), itemIn("a", "b")
		}))),
	} {
		wantCode(t, says, err, "ValidationException", says)
	}
	for _, text := range []string{
		"n = :v", "#n <> :v", "#n < :v", "#n = :v OR #n = :v", "attribute_exists(#n)", "NOT #n = :v", "size(#n) = :v", "(#n = :v)", "#n = :v AND", "",
	} {
		err := d.put(itemIn("a", "b"), func(in *awsdynamodb.PutItemInput) {
			in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = &text, n, v
		})
		if want := fmt.Sprintf("fakeaws: dynamodb:PutItem with the ConditionExpression %q is not modelled", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	list := itemIn("a", "b")
	list["l"] = &types.AttributeValueMemberL{}
	if err := d.put(list); err == nil || !strings.Contains(err.Error(), "the attribute l, a *types.AttributeValueMemberL, is not modelled") {
		t.Error(err)
	}
	// The names count: p, a, s, b and v are five bytes.
	for size, says := range map[int]string{400<<10 - 5: "", 400<<10 - 4: "Item size has exceeded the maximum allowed size"} {
		large := itemIn("a", "b")
		large["v"] = &types.AttributeValueMemberB{Value: make([]byte, size)}
		if err := d.put(large); says != "" {
			wantCode(t, says, err, "ValidationException", says)
		} else if err != nil {
			t.Error(err)
		}
	}
}

// A page ends with the item that fills it, and then has a LastEvaluatedKey, also
// if that item is the last of all.
func TestQueryPages(t *testing.T) {
	d := newTables(t, fakeaws.Config{})
	d.create()
	ids := []string{"B", "a", "a-1", "a1", "b", "é", "\U0001F600"} // in the order of their UTF-8 bytes
	for i, id := range ids {
		item := itemIn("a", id)
		item["v"] = &types.AttributeValueMemberB{Value: make([]byte, 256<<10-3-1-len(id))} // 256 KiB in all
		if i >= 4 {
			item["v"] = &types.AttributeValueMemberB{}
		}
		if err := d.put(item); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.put(itemIn("b", "c")); err != nil {
		t.Fatal(err)
	}
	pages := func(in *awsdynamodb.QueryInput) (pages [][]string) {
		for p := awsdynamodb.NewQueryPaginator(d, in); p.HasMorePages(); {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, item := range page.Items {
				got = append(got, item["s"].(*types.AttributeValueMemberS).Value)
			}
			if int(page.Count) != len(got) {
				t.Errorf("the count is %d", page.Count)
			}
			pages = append(pages, got)
		}
		return pages
	}
	after := func(id string) func(*awsdynamodb.QueryInput) {
		return func(in *awsdynamodb.QueryInput) {
			in.KeyConditionExpression, in.ExpressionAttributeNames["#s"] = aws.String("#p = :p AND #s > :s"), "s"
			in.ExpressionAttributeValues[":s"] = dynamoText(id)
		}
	}
	for _, c := range []struct {
		in   *awsdynamodb.QueryInput
		want [][]string
	}{
		{query(), [][]string{ids[:4], ids[4:]}},
		{query(after("A")), [][]string{ids[:4], ids[4:]}},
		{query(after("B")), [][]string{ids[1:]}},
		{query(after("\U0001F600")), [][]string{{}}},
		{query(func(in *awsdynamodb.QueryInput) { in.ExpressionAttributeValues[":p"] = dynamoText("c") }), [][]string{{}}},
	} {
		if got := pages(c.in); !reflect.DeepEqual(got, c.want) {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
	for _, id := range ids[4:] {
		if _, err := d.DeleteItem(t.Context(), &awsdynamodb.DeleteItemInput{TableName: aws.String("records"), Key: itemIn("a", id)}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := pages(query()), [][]string{ids[:4], {}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q: a full page need not be followed by anything", got, want)
	}
}

// Faults strike calls by their item, so that a run replays, and answers share
// nothing with the account.
func TestItemsAreSubjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTables(t, fakeaws.Config{
			Faults: []fakeaws.Fault{{Action: "dynamodb:PutItem", Subject: "records/a/b", Nth: 1, After: true}},
			Limits: fakeaws.Limits{"dynamodb:GetItem": {Calls: fakeaws.Bucket{Size: 2, PerSecond: 1}}},
			Deny:   []string{"dynamodb:DeleteItem"},
		})
		d.create()
		for _, id := range []string{"a", "b", "c"} {
			if err := d.put(itemIn("a", id)); err != nil {
				t.Error(err)
			}
		}
		got := d.get("a", "b", true)
		got["p"].(*types.AttributeValueMemberS).Value = "spoiled"
		if again := d.get("a", "b", true); !reflect.DeepEqual(again, itemIn("a", "b")) {
			t.Errorf("%v", again)
		}
		if _, err := d.Query(t.Context(), query()); err != nil {
			t.Error(err)
		}
		once := func(o *awsdynamodb.Options) { o.Retryer = aws.NopRetryer{} }
		_, err := d.GetItem(t.Context(), &awsdynamodb.GetItemInput{TableName: aws.String("records"), Key: itemIn("a", "b")}, once)
		wantCode(t, "a call too many", err, "ThrottlingException", "")
		_, err = d.DeleteItem(t.Context(), &awsdynamodb.DeleteItemInput{TableName: aws.String("records"), Key: itemIn("a", "b")})
		wantCode(t, "a call without permission", err, "AccessDeniedException", "dynamodb:DeleteItem")
		var calls []string
		for _, c := range d.Calls() {
			calls = append(calls, fmt.Sprintf("%s %s %d %s", strings.TrimPrefix(c.Action, "dynamodb:"), c.Subject, c.Nth, c.Code))
		}
		want := []string{
			"CreateTable records 1 ", "PutItem records/a/a 1 ", "PutItem records/a/b 1 InternalError", "PutItem records/a/b 2 ", "PutItem records/a/c 1 ",
			"GetItem records/a/b 1 ", "GetItem records/a/b 2 ", "Query records/a 1 ", "GetItem records/a/b 3 ThrottlingException",
			"DeleteItem records/a/b 1 AccessDeniedException",
		}
		if !slices.Equal(calls, want) {
			t.Errorf("got  %q\nwant %q", calls, want)
		}
	})
}
