package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
)

// checkOwner refuses to let root use a data directory that belongs to somebody else, or would be made
// below one: what root writes there its owner cannot read, and whatever the owner puts there root would
// trust. A directory that does not exist, below one of root's, is no fault, nor is the
// empty path.
func checkOwner(path string) error {
	if path == "" || os.Geteuid() != 0 {
		return nil // others cannot write to it, unless its owner lets them
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return usage(fmt.Errorf("data directory: %w", err))
	}
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
			continue
		}
		if err != nil {
			return nil // whoever opens it says why it cannot be
		}
		if err := foreign(path, at, info); err != nil {
			return err
		}
		break
	}
	for _, file := range dataDir(path).all() {
		info, err := os.Lstat(file)
		if err != nil {
			continue // most are not there
		}
		if err := foreign(path, file, info); err != nil {
			return err
		}
	}
	return nil
}

// foreign returns the fault if at, which belongs to the data directory dir, is not root's.
func foreign(dir, at string, info fs.FileInfo) error {
	uid, known := ownerOf(info)
	if !known || uid == 0 {
		return nil
	}
	name, as := fmt.Sprintf("uid %d", uid), fmt.Sprintf("'#%d'", uid) // as sudo takes one without a name
	if u, err := osuser.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		name, as = u.Username, u.Username
	}
	return usage(fmt.Errorf("data directory %s: %s belongs to %s, and you are root", dir, at, name),
		"run sigctl as that user: sudo -u "+as+" sigctl ...",
		"or name a directory of root's with --data DIR",
		"or, if root is to use it from now on: chown -R root "+dir)
}

// all returns the paths that the data directory can have, those in its directories as they are now.
func (d dataDir) all() []string {
	list := []string{d.users(), d.kicks(), d.tokenKeys(), d.audit(), d.turnSecret()}
	for _, dir := range []string{filepath.Dir(d.caRoot()), filepath.Dir(d.admin())} {
		list = append(list, dir)
		files, _ := os.ReadDir(dir) // none, if it is not there
		for _, f := range files {
			list = append(list, filepath.Join(dir, f.Name()))
		}
	}
	return list
}
