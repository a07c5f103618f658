package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/sigctl/sigctl/pkg/follow"
	"github.com/sigctl/sigctl/pkg/turncred"
)

const srcHint = "write file:PATH or env:NAME; a secret in an argument would show in the process list"

// maxSecretFile is the most that is read of a file that should hold a secret.
const maxSecretFile = 64 << 10

// readSource reads the secret that a SRC value names: file:PATH or env:NAME.
func readSource(flag, src string) ([]byte, error) {
	kind, name, _ := strings.Cut(src, ":")
	switch {
	case kind == "file" && name != "":
		return readSecretFile(flag, name)
	case kind == "env" && name != "":
		value, ok := os.LookupEnv(name)
		if !ok {
			return nil, badFlag(flag, "the environment has no "+name)
		}
		return []byte(value), nil
	}
	return nil, badFlag(flag, "not a source", srcHint) // the value may be the secret itself: not shown
}

func readSecretFile(flag, path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxSecretFile {
		err = fmt.Errorf("%s: larger than %d KiB", path, maxSecretFile>>10)
	}
	if err != nil {
		return nil, badFlag(flag, err.Error())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, badFlag(flag, err.Error())
	}
	return text, nil
}

// turnSecrets returns the relay's secrets: those of src, or if there is none the
// one kept at path, which is made at the first start.
func turnSecrets(flag, src, path string) (*turncred.Secrets, error) {
	if src == "" {
		if err := makeSecret(path); err != nil {
			return nil, fmt.Errorf("keep the relay's secret: %w", err)
		}
		src = "file:" + path
	}
	text, err := readSource(flag, src)
	if err != nil {
		return nil, err
	}
	list, err := turncred.ParseSecrets(text)
	if err != nil {
		return nil, badFlag(flag, err.Error(), "openssl rand -base64 32 makes a good one")
	}
	return turncred.NewSecrets(list...)
}

// secretFile is the file of a SRC.
var secretFile = &follow.Kind[[]turncred.Secret]{Name: "secret", MaxBytes: maxSecretFile, Parse: turncred.ParseSecrets}

// watchSecrets makes secrets follow the file that src names, until ctx ends: a
// source that is no file does not change. What cannot be used is logged once, and
// the secrets stay as they are.
func watchSecrets(ctx context.Context, flag, src string, secrets *turncred.Secrets, log *slog.Logger) error {
	path, isFile := strings.CutPrefix(src, "file:")
	if !isFile {
		<-ctx.Done()
		return nil
	}
	file, err := follow.Open(path, secretFile)
	if err != nil {
		log.Warn("a changed secret will not be noticed", "flag", "--"+flag, "err", err) // it is a pipe, say
		<-ctx.Done()
		return nil
	}
	changed := func(err error) {
		if err == nil {
			err = secrets.Replace(file.Current()...)
		}
		if err != nil {
			log.Warn("the changed secret cannot be used", "flag", "--"+flag, "err", err)
			return
		}
		log.Info("the secret has changed", "flag", "--"+flag, "secrets", len(file.Current()))
	}
	if err := secrets.Replace(file.Current()...); err != nil { // it may have changed since the start
		changed(err)
	}
	file.Watch(ctx, changed)
	return nil
}

// makeSecret writes a new secret to path, unless there is one. The file appears
// whole or not at all.
func makeSecret(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(turncred.Generate()+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
