package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrLocked means that another process changes the file, and takes long.
var ErrLocked = errors.New("is in use by another process")

const (
	lockWait = 5 * time.Second
	lockPoll = 10 * time.Millisecond
)

// FileKeys returns a KeyStore that is a file, which only its owner may read.
// Update makes it, but not its directory. Several processes can use it: beside it
// is a lock file, path and ".lock", which is held during Update, and stays.
//
// A reader sees the old keys or the new ones, and what Update wrote is on the
// disk when it returns. While another process holds the lock it waits for 5 s,
// then returns ErrLocked.
func FileKeys(path string) KeyStore { return fileKeys(path) }

type fileKeys string

// Load implements KeyStore.
func (f fileKeys) Load(ctx context.Context) (KeySet, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	text, err := f.read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	keys, err := DecodePrivate(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", string(f), err)
	}
	return keys, nil
}

func (f fileKeys) read() ([]byte, error) {
	file, err := os.Open(string(f))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if readableByOthers(info) {
		return nil, fmt.Errorf("%s holds private keys, and others can read it: chmod 600 it; "+
			"if somebody may have read it, delete it instead, and all tokens end", string(f))
	}
	return io.ReadAll(io.LimitReader(file, MaxKeySet+1))
}

// Update implements KeyStore.
func (f fileKeys) Update(ctx context.Context, change func(KeySet) (KeySet, error)) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	keys, err := f.Load(ctx)
	if err != nil {
		return err
	}
	if keys, err = change(keys); err != nil {
		return err
	}
	text, err := keys.EncodePrivate()
	if err != nil {
		return err
	}
	return f.replace(text)
}

// lock polls, because a wait for the lock of a file cannot be canceled.
func (f fileKeys) lock(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockWait, fmt.Errorf("%s %w", string(f), ErrLocked))
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(string(f)+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		switch locked, err := tryLock(file); {
		case err != nil:
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
		case locked:
			return func() { file.Close() }, nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			file.Close()
			return nil, context.Cause(ctx)
		}
	}
}

// replace writes the file so that it holds the old text or the new one, whatever
// happens.
func (f fileKeys) replace(text []byte) error {
	dir, name := filepath.Split(string(f))
	temp, err := os.CreateTemp(dir, "."+name+"-") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // gone already when all went well
	_, err = temp.Write(text)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), string(f)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(string(f)))
}
