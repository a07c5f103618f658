package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
)

// table prints rows in columns, or as JSON.
type table struct {
	columns *tabwriter.Writer // nil: JSON
	json    *json.Encoder
	err     error
}

func newTable(std stdio, asJSON bool, titles ...string) *table {
	if asJSON {
		return &table{json: json.NewEncoder(std.out)}
	}
	t := &table{columns: tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)}
	t.row(nil, titles...)
	return t
}

func (t *table) row(value any, cells ...string) {
	if t.err != nil {
		return
	}
	if t.json != nil {
		t.err = t.json.Encode(value)
		return
	}
	_, t.err = fmt.Fprintln(t.columns, strings.Join(cells, "\t"))
}

// one prints a single value, which has no columns.
func (t *table) one(value any) error {
	t.row(value)
	return t.end()
}

func (t *table) end() error {
	if t.err != nil || t.columns == nil {
		return t.err
	}
	return t.columns.Flush()
}
