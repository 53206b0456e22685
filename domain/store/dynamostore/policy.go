package dynamostore

import (
	"cmp"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/atelier-go/atelier/internal/iampolicy"
)

// Policies are the least that is needed, as IAM policy documents: indented JSON to be
// attached by an administrator, or compared with what is attached. They name the table
// and leave the account open ("*"): a policy of an identity gives nothing in another
// account by itself. For a table that a customer's KMS key encrypts, leave to use that
// is needed, too.
type Policies struct {
	// Records is for every program that keeps records in the table: all that a [Store]
	// does but EnsureTable.
	Records string
	// Setup is for whoever calls [Store.EnsureTable].
	Setup string
}

// Policy returns the policies for the table. It calls nothing. A Store of [New] over
// what is no *dynamodb.Client does not know its region, and leaves that open, too.
func (s *Store) Policy() Policies {
	region := ""
	if client, ok := s.api.(interface{ Options() dynamodb.Options }); ok {
		region = client.Options().Region
	}
	table := []string{iampolicy.ARN(cmp.Or(region, "*"), "dynamodb", iampolicy.AnyAccount, "table/"+s.table)}
	return Policies{
		Records: iampolicy.Document(iampolicy.Allow("Records", []string{"dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"}, table)),
		Setup:   iampolicy.Document(iampolicy.Allow("Table", []string{"dynamodb:CreateTable", "dynamodb:DescribeTable"}, table)),
	}
}
