package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// dataDir is the directory given by --data. Its files:
//
//	users.db      the embedded user store
//	ca/           the development CA, with crl.pem of what it revoked; server.pem is its certificate for serve
//	kicks.json    who was kicked in the last minutes
//	tokens.json   the keys that sign tokens
//	audit.jsonl   security events, unless --audit is given; older ones in audit.jsonl.1 …
//	turn.secret   what signaling and relay share, unless --turn-secret is given
//	run/          while serve or turn runs: its admin socket, and the users of --demo
type dataDir string

func (d dataDir) users() string      { return filepath.Join(string(d), "users.db") }
func (d dataDir) caRoot() string     { return filepath.Join(string(d), "ca", "root.pem") }
func (d dataDir) turnSecret() string { return filepath.Join(string(d), "turn.secret") }
func (d dataDir) kicks() string      { return filepath.Join(string(d), "kicks.json") }
func (d dataDir) tokenKeys() string  { return filepath.Join(string(d), "tokens.json") }
func (d dataDir) audit() string      { return filepath.Join(string(d), "audit.jsonl") }
func (d dataDir) admin() string      { return filepath.Join(string(d), "run", "admin.sock") }
func (d dataDir) relayAdmin() string { return filepath.Join(string(d), "run", "turn.sock") }
func (d dataDir) demoUsers() string  { return filepath.Join(string(d), "run", "demo.db") }

// defaultDataDir is empty where the environment names no home.
func defaultDataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "sigctl")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "share", "sigctl")
}

// openDataDir makes sure that the directory is there, and that nobody else can write to it. Root does
// not use somebody else's.
func openDataDir(path string) (dataDir, error) {
	if path == "" {
		return "", usage(errors.New("there is no home directory for the data"), "name a directory with --data DIR")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", usage(fmt.Errorf("data directory: %w", err))
	}
	if err := checkOwner(path); err != nil {
		return "", err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", unusable(path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", unusable(path, err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return "", usage(fmt.Errorf("data directory %s: others can write to it", path), "chmod 700 "+path)
	}
	if err := checkWritable(path); err != nil {
		return "", unusable(path, err)
	}
	return dataDir(path), nil
}

func unusable(path string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return usage(fmt.Errorf("data directory %s: %w", path, err),
		"name a directory that you can write to with --data DIR")
}

func checkWritable(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
