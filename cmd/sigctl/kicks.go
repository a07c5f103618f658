package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"time"
)

// kicks are the users who were kicked of late, and until when credentials of the relay
// that were given to them before would be good. The relay forgets them when it ends;
// this file does not.
type kicks map[string]time.Time

func (k kicks) prune(now time.Time) {
	maps.DeleteFunc(k, func(_ string, until time.Time) bool { return until.Before(now) })
}

// loadKicks returns those that still matter.
func (d dataDir) loadKicks() (kicks, error) {
	text, err := os.ReadFile(d.kicks())
	if errors.Is(err, fs.ErrNotExist) {
		return kicks{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read kicks: %w", err)
	}
	list := kicks{}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("read kicks in %s: %w", d.kicks(), err)
	}
	if list == nil { // the text was null
		list = kicks{}
	}
	list.prune(time.Now())
	return list, nil
}

// rememberKick adds one. The file is replaced whole.
func (d dataDir) rememberKick(name string, until time.Time) error {
	list, err := d.loadKicks()
	if err != nil {
		list = kicks{} // what cannot be read any more is of the last minutes at most
	}
	list[name] = until
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	temp := d.kicks() + ".new"
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, d.kicks())
}
