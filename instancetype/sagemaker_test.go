package instancetype

import (
	_ "embed"
	"strings"
	"testing"
)

//go:embed testdata/app_instance_types.txt
var appInstanceTypes string

// TestSageMakerNames goes through every value of SageMaker's own list.
func TestSageMakerNames(t *testing.T) {
	c := Embedded()
	listed := make(map[string]bool)
	for line := range strings.Lines(appInstanceTypes) {
		ml := strings.TrimSpace(line)
		if strings.HasPrefix(ml, "#") {
			continue
		}
		listed[ml] = true
		got, err := c.Type(ml)
		switch ml {
		case "system":
			if err != nil || got.Name != "t3.medium" {
				t.Errorf("system is %q, %v", got.Name, err)
			}
		case "ml.geospatial.interactive":
			if err == nil {
				t.Errorf("%s is %q", ml, got.Name)
			}
		default:
			if back, ok := got.SageMakerName(); err != nil || !ok || back != ml {
				t.Errorf("%s is %q, %v, and back %q, %v", ml, got.Name, err, back, ok)
			}
		}
	}
	if len(listed) != 176 {
		t.Errorf("%d values, want 176", len(listed))
	}
	for ml := range listed {
		ec2Name, _ := FromSageMaker(ml)
		family, _, _ := strings.Cut(ec2Name, ".")
		for size := range strings.FieldsSeq(sageMakerSizes(family)) {
			if !listed["ml."+family+"."+size] {
				t.Errorf("%s has no size %s in SageMaker's list", family, size)
			}
		}
	}
	named := 0
	for ty := range c.All() {
		ml, ok := ty.SageMakerName()
		if ok {
			named++
		}
		if ok != listed["ml."+ty.Name] || ok == (ml == "") {
			t.Errorf("%s: SageMaker's name is %q, %v", ty.Name, ml, ok)
		}
	}
	if named != 174 {
		t.Errorf("%d types have a SageMaker name, documented are 174", named)
	}
}

// FuzzFromSageMaker: what is taken is a well-formed EC2 name after "ml.".
func FuzzFromSageMaker(f *testing.F) {
	for _, name := range []string{"ml.t3.medium", "t3.medium", "system", "ml.system", "ml.geospatial.interactive", "ml..", "ml.a.b.c", "ML.t3.medium"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, ok := FromSageMaker(name)
		family, size, wellFormed := strings.Cut(got, ".")
		switch {
		case !ok && got != "", ok && name != "system" && "ml."+got != name, name == "ml.geospatial.interactive" && ok:
			t.Errorf("%q is %q, %v", name, got, ok)
		case ok && (!wellFormed || strings.Trim(family+size, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || family == "" || size == ""):
			t.Errorf("%q is %q", name, got)
		}
	})
}
