package fakeaws

import (
	"bytes"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// An expression is conditions that all have to hold. Of the grammar
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html)
// this much is modelled, with placeholders for all names and values:
//
//	expression = condition { "AND" condition }
//	condition  = "#name" ( "=" | ">" ) ":value" | "attribute_not_exists" "(" "#name" ")"
type expression []condition

type condition struct {
	attribute string
	operator  string               // "=", ">" or "attribute_not_exists"
	value     types.AttributeValue // nil for attribute_not_exists
}

var (
	expressionToken  = regexp.MustCompile(`\s*([#:]?[A-Za-z0-9_]+|[()=>])\s*`)
	comparisonTokens = regexp.MustCompile(`^#\S+ [=>] :\S+$`)
	absenceTokens    = regexp.MustCompile(`^attribute_not_exists \( #\S+ \)$`)
)

// parseExpression reads the expression of a field of an input, nil if there is none. It
// refuses what DynamoDB does of names and values, and what is not modelled with an
// error that says so.
func parseExpression(at call, field string, text *string, names map[string]string, values attributeValues) (expression, error) {
	if text == nil {
		if len(names) > 0 {
			return nil, dynamoInvalid("ExpressionAttributeNames can only be specified when using expressions")
		}
		if len(values) > 0 {
			return nil, dynamoInvalid("ExpressionAttributeValues can only be specified when using expressions: %s is null", field)
		}
		return nil, nil
	}
	var tokens []string
	for _, token := range expressionToken.FindAllStringSubmatch(*text, -1) {
		tokens = append(tokens, token[1])
	}
	unmodelled := fmt.Errorf("fakeaws: %s with the %s %q is not modelled", at.Action, field, *text)
	if expressionToken.ReplaceAllString(*text, "") != "" {
		return nil, unmodelled
	}
	unusedNames, unusedValues := maps.Clone(names), maps.Clone(values)
	var e expression
	for part := range strings.SplitSeq(strings.Join(tokens, " "), " AND ") {
		word := strings.Fields(part)
		var c condition
		var name, value string
		switch {
		case comparisonTokens.MatchString(part):
			name, c.operator, value = word[0], word[1], word[2]
		case absenceTokens.MatchString(part):
			c.operator, name = word[0], word[2]
		default:
			return nil, unmodelled
		}
		var ok bool
		if c.attribute, ok = names[name]; !ok {
			return nil, dynamoInvalid("Invalid %s: An expression attribute name used in the document path is not defined; attribute name: %s", field, name)
		}
		if c.value, ok = values[value]; value != "" && !ok {
			return nil, dynamoInvalid("Invalid %s: An expression attribute value used in expression is not defined; attribute value: %s", field, value)
		}
		delete(unusedNames, name)
		delete(unusedValues, value)
		e = append(e, c)
	}
	if len(unusedNames) > 0 {
		return nil, dynamoInvalid("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", strings.Join(slices.Sorted(maps.Keys(unusedNames)), ", "))
	}
	if len(unusedValues) > 0 {
		return nil, dynamoInvalid("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", strings.Join(slices.Sorted(maps.Keys(unusedValues)), ", "))
	}
	return e, nil
}

// holds reports whether a condition is true of an item, nil for none. A comparison
// with an attribute that is not there, or of another type, is false.
func (c condition) holds(item attributeValues) bool {
	present, exists := item[c.attribute]
	if c.operator == "attribute_not_exists" {
		return !exists
	}
	order, ok := compare(present, c.value)
	return ok && (c.operator == "=" && order == 0 || c.operator == ">" && order > 0)
}

// compare orders two values of the same type; ok is false if they are not.
func compare(a, b types.AttributeValue) (order int, ok bool) {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		if b, ok := b.(*types.AttributeValueMemberS); ok {
			return strings.Compare(a.Value, b.Value), true
		}
	case *types.AttributeValueMemberB:
		if b, ok := b.(*types.AttributeValueMemberB); ok {
			return bytes.Compare(a.Value, b.Value), true
		}
	case *types.AttributeValueMemberN:
		if b, ok := b.(*types.AttributeValueMemberN); ok {
			x, isX := new(big.Rat).SetString(a.Value)
			y, isY := new(big.Rat).SetString(b.Value)
			if isX && isY {
				return x.Cmp(y), true
			}
		}
	}
	return 0, false
}
