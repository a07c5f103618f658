package main

import (
	"context"
	"errors"

	"github.com/sigctl/sigctl/pkg/admin"
)

// withServer calls f with a client of the server that runs with the data
// directory. The commands that it is for make no sense without one.
func withServer(ctx context.Context, dataPath string, f func(*admin.Client) error) (err error) {
	data, err := openDataDir(dataPath)
	if err != nil {
		return err
	}
	client, err := admin.Dial(ctx, data.admin())
	if errors.Is(err, admin.ErrNotServing) {
		return hint(err, "start it with sigctl serve, or name its data directory with --data DIR")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return f(client)
}
