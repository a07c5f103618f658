package parts

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

// testParts are three parts, the second of which fails; ran lists those that have run.
func testParts() (all []Part, ran *[]string) {
	ran = new([]string)
	add := func(name string, err error) {
		all = append(all, Part{name, "about " + name, func(context.Context) error {
			*ran = append(*ran, name)
			return err
		}})
	}
	add("one", nil)
	add("two", errors.New("broken"))
	add("three", nil)
	return all, ran
}

func TestRunGoesOnAfterAFault(t *testing.T) {
	all, ran := testParts()
	var progress bytes.Buffer
	err := Run(t.Context(), &progress, all)
	if err == nil || !strings.HasPrefix(err.Error(), "failed: two;") {
		t.Errorf("error %v, want one that names the part two", err)
	}
	if got := strings.Join(*ran, " "); got != "one two three" {
		t.Errorf("ran %s, want all", got)
	}
	for _, want := range []string{"one (part 1 of 3): about one\n", "two failed: broken\n", "three done in 0s\n"} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("no %q in:\n%s", want, &progress)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	all, ran := testParts()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, new(bytes.Buffer), all); err == nil || len(*ran) > 0 {
		t.Errorf("error %v, ran %v, want an error and none", err, *ran)
	}
}

func TestPick(t *testing.T) {
	all, _ := testParts()
	for names, want := range map[string]int{"": 3, "two": 1, "three,one": 2} {
		if picked, err := Pick(all, names); err != nil || len(picked) != want {
			t.Errorf("%q: %d parts, %v, want %d", names, len(picked), err, want)
		}
	}
	for _, names := range []string{"four", "one,", "one, two"} {
		if _, err := Pick(all, names); err == nil || !strings.Contains(err.Error(), "one, two, three") {
			t.Errorf("%q: error %v, want one that lists the parts", names, err)
		}
	}
}
