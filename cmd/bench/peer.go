package main

import "context"

func measurePeer(ctx context.Context, opts options, t *table) error { return nil }
