package efs

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/efs/types"
)

func TestTagListIsOrdered(t *testing.T) {
	t.Parallel()
	list := tagList(map[string]string{"h": "", "g": "", "f": "", "e": "", "d": "", "c": "", "b": "", "a": ""})
	if len(list) != 8 || !slices.IsSortedFunc(list, func(a, b types.Tag) int { return strings.Compare(*a.Key, *b.Key) }) {
		t.Errorf("%d tags, not in order", len(list))
	}
}
