package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sigctl/sigctl"

// importRules says who may not depend on whom, and why. A rule with files holds
// for the imports written in them; without, for all that a package draws in.
var importRules = []struct {
	from   string // package, or a tree of them with "/..."
	never  []string
	reason string
}{
	{"pkg/...", []string{"cmd/...", "signal/...", "turnserver/...", "peer/..."}, "pkg is what the others share: it lies below them"},
	{"signal/...", []string{"turnserver/...", "peer/...", "cmd/..."}, "the servers and the peer know each other by the wire alone"},
	{"turnserver/...", []string{"signal/...", "peer/...", "cmd/..."}, "the servers and the peer know each other by the wire alone"},
	{"peer/...", []string{"signal/...", "turnserver/...", "cmd/..."}, "the servers and the peer know each other by the wire alone"},
	{"signal/...", []string{"github.com/pion/webrtc/...", "github.com/pion/turn/..."}, "a signaling server carries descriptions, it does not negotiate"},
	{"signal/...", []string{"github.com/redis/...", "github.com/spf13/cobra"}, "stores and commands are handed in by who composes the server"},
	{"turnserver/...", []string{"pkg/user", "pkg/token"}, "the relay knows credentials, not users"},
	{"peer/...", []string{"pkg/user", "pkg/redis", "pkg/token/...", "pkg/policy", "pkg/audit", "github.com/spf13/cobra", "github.com/redis/..."}, "the peer is for those who want only the library"},
	{"pkg/protocol", []string{"*.*/..."}, "the wire is the standard library's and ours alone"},
	{"pkg/turncred", []string{"*.*/..."}, "credentials are the standard library's and ours alone"},
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps ","}}`, module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		pkg, deps, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, rule := range importRules {
			if !matchPackage(rule.from, pkg) {
				continue
			}
			for dep := range strings.SplitSeq(deps, ",") {
				for _, never := range rule.never {
					if matchPackage(never, dep) {
						t.Errorf("%s depends on %s: %s", pkg, dep, rule.reason)
					}
				}
			}
		}
	}
}

// matchPackage reports whether pkg is the pattern's package or in its tree. A
// pattern without a dot in its first part is one of this module. "*.*/..." is
// everything that is neither this module's nor the standard library's.
func matchPackage(pattern, pkg string) bool {
	if pattern == "*.*/..." {
		first, _, _ := strings.Cut(pkg, "/")
		return strings.Contains(first, ".") && !strings.HasPrefix(pkg, module+"/")
	}
	if first, _, _ := strings.Cut(pattern, "/"); !strings.Contains(first, ".") {
		pattern = module + "/" + pattern
	}
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return pkg == tree || isTree && strings.HasPrefix(pkg, tree+"/")
}

// fileRules says which files alone may import a package.
var fileRules = []struct {
	path   string
	only   []string // file or directory
	reason string
}{
	{"os/signal", []string{"cmd/sigctl/main.go"}, "one place decides what an interrupt does"},
	{"github.com/redis/...", []string{"pkg/redis"}, "one package speaks to Redis"},
	{"github.com/pion/turn/...", []string{"turnserver/control.go"}, "the relay's control plane is to be replaceable in one file"},
	{"github.com/golang-jwt/...", []string{"pkg/token"}, "one package reads and writes our tokens"},
	{"github.com/coreos/...", []string{"pkg/token/oidc"}, "one package reads those of others"},
	{"github.com/pires/...", []string{"pkg/listen"}, "one package says who the client is"},
	{"github.com/prometheus/...", []string{"cmd"}, "packages count; commands tell it to whoever measures"},
	{"github.com/hashicorp/...", []string{"pkg/limit", "peer/incoming.go"}, "limits forget by age, and so does a peer its callers"},
	{"github.com/spf13/...", []string{"cmd"}, "only commands read flags"},
	{"github.com/knadh/...", []string{"cmd"}, "only commands read configuration"},
	{"flag", []string{"cmd"}, "only commands read flags"},
}

func TestFileImports(t *testing.T) {
	eachSourceFile(t, func(file string, f *ast.File) {
		for _, imp := range f.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			for _, rule := range fileRules {
				if matchPath(rule.path, path) && !slices.ContainsFunc(rule.only, func(only string) bool {
					return file == only || strings.HasPrefix(file, only+"/")
				}) {
					t.Errorf("%s imports %s: %s", file, path, rule.reason)
				}
			}
			if imp.Name != nil && (path == "os/signal" || path == module+"/signal") {
				t.Errorf("%s imports %s as %s: neither signal has another name", file, path, imp.Name.Name)
			}
		}
	})
}

func TestOnlyCommandsReadTheEnvironment(t *testing.T) {
	eachSourceFile(t, func(file string, f *ast.File) {
		if strings.HasPrefix(file, "cmd/") {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "os" && strings.HasSuffix(sel.Sel.Name, "env") {
				t.Errorf("%s calls os.%s: what a package needs is handed to it", file, sel.Sel.Name)
			}
			return true
		})
	})
}

func TestNoInit(t *testing.T) {
	eachSourceFile(t, func(file string, f *ast.File) {
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s does work in init: nothing happens before main", file)
			}
		}
	})
}

func matchPath(pattern, path string) bool {
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return path == tree || isTree && strings.HasPrefix(path, tree+"/")
}

// eachSourceFile parses every file of the module that is not a test, and calls f
// with its slashed path.
func eachSourceFile(t *testing.T, f func(file string, parsed *ast.File)) {
	t.Helper()
	root := filepath.Join("..", "..")
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		seen++
		f(filepath.ToSlash(rel), parsed)
		return nil
	})
	if err != nil || seen < 10 {
		t.Fatalf("looked at %d files: %v", seen, err)
	}
}
