package policy

import "github.com/sigctl/sigctl/pkg/follow"

// File is a policy that follows its file.
type File = follow.File[*Policy]

// OpenFile reads the policy in a file of at most 1 MiB. The error tells all that is
// wrong with it.
func OpenFile(path string) (*File, error) {
	return follow.Open(path, &follow.Kind[*Policy]{Name: "policy", MaxBytes: maxText, Parse: Parse})
}
