package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

func ExampleNewFromConfig() {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Panic(err)
	}
	defer cloud.Close()
	ctx := context.Background()

	// In a real program the aws.Config comes from config.LoadDefaultConfig.
	s, err := dynamostore.NewFromConfig(cloud.Config(), dynamostore.Config{Table: "atelier"})
	if err != nil {
		log.Panic(err)
	}
	if err := s.EnsureTable(ctx); err != nil {
		log.Panic(err)
	}
	version, err := s.Put(ctx, store.Record{Collection: "notes", ID: "a", Value: []byte("one")})
	if err != nil {
		log.Panic(err)
	}
	// Whoever has not seen the latest version cannot overwrite it.
	_, err = s.Put(ctx, store.Record{Collection: "notes", ID: "a", Value: []byte("two")})
	fmt.Println(errors.Is(err, store.ErrConflict))
	_, err = s.Put(ctx, store.Record{Collection: "notes", ID: "a", Value: []byte("two"), Version: version})
	fmt.Println(err)

	for r, err := range s.List(ctx, "notes", "") {
		fmt.Printf("%s %s %v\n", r.ID, r.Value, err)
	}
	// Output:
	// true
	// <nil>
	// a two <nil>
}

func ExampleNew() {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Panic(err)
	}
	defer cloud.Close()

	// With a client of one's own, DynamoDB is called as that is set up.
	api := dynamodb.NewFromConfig(cloud.Config(), func(o *dynamodb.Options) { o.RetryMaxAttempts = 10 })
	s, err := dynamostore.New(api, dynamostore.Config{Table: "atelier"})
	if err != nil {
		log.Panic(err)
	}
	_, err = s.Get(context.Background(), "notes", "a")
	fmt.Println(errors.Is(err, dynamostore.ErrNoTable))
	// Output: true
}
