package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Handle lets f answer the calls that mux gets.
func (m Method[In, Out]) Handle(mux *http.ServeMux, f func(context.Context, In) (Out, error)) {
	handle(mux, m.Path, m.Errors, func(ctx context.Context, in In) ([]Out, error) {
		out, err := f(ctx, in)
		return []Out{out}, err
	})
}

// Handle lets f answer the calls that mux gets.
func (l List[In, Out]) Handle(mux *http.ServeMux, f func(context.Context, In) ([]Out, error)) {
	handle(mux, l.Path, l.Errors, f)
}

func handle[In, Out any](mux *http.ServeMux, path string, known []Error, f func(context.Context, In) ([]Out, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
		body.DisallowUnknownFields() // of a newer sigctl, which would take them for heeded
		if err := body.Decode(&in); err != nil {
			writeError(w, fmt.Errorf("%w: %w", ErrBadRequest, err), known)
			return
		}
		out, err := f(r.Context(), in)
		if err != nil {
			writeError(w, err, known)
			return
		}
		writeJSON(w, http.StatusOK, out...)
	})
}

// writeJSON writes a line per value.
func writeJSON[T any](w http.ResponseWriter, status int, values ...T) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	for _, v := range values {
		if enc.Encode(v) != nil {
			return // the client has gone
		}
	}
}

func writeError(w http.ResponseWriter, err error, known []Error) {
	for _, e := range append([]Error{badRequest}, known...) {
		if errors.Is(err, e.Err) {
			writeJSON(w, e.Status, errorBody{e.Code, err.Error()})
			return
		}
	}
	// Whoever may open the socket may know all.
	writeJSON(w, http.StatusInternalServerError, errorBody{"internal", err.Error()})
}
