package token_test

import (
	"path/filepath"
	"testing"

	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/token/tokentest"
)

func TestFileKeys(t *testing.T) {
	tokentest.RunKeyStore(t, func(t *testing.T) func() token.KeyStore {
		path := filepath.Join(t.TempDir(), "keys")
		return func() token.KeyStore { return token.FileKeys(path) }
	})
}

func TestMemorySpender(t *testing.T) {
	tokentest.RunSpender(t, func(t *testing.T) token.Spender { return token.NewMemorySpender() })
}
