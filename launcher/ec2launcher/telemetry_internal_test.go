package ec2launcher

import (
	"os"
	"strings"
	"testing"

	"github.com/atelier-go/atelier/internal/instrument"
)

func TestDocumentationHasTheMetrics(t *testing.T) {
	text, err := os.ReadFile("launcher.go")
	if err != nil {
		t.Fatal(err)
	}
	if table := instrument.Table(instruments); !strings.Contains(string(text), table) {
		t.Errorf("the package documentation in launcher.go does not have this table:\n%s", table)
	}
}
