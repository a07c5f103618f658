package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/sigctl/sigctl/peer"
	"github.com/sigctl/sigctl/pkg/protocol"
)

// isTerminal reports whether v, one end of a stdio, is a terminal.
func isTerminal(v any) (*os.File, bool) {
	f, ok := v.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// passwordFile reads the password in the file of --password-file, without the
// end of its line.
func passwordFile(path string) (string, error) {
	text, err := readSecretFile("password-file", path)
	if err != nil {
		return "", err
	}
	return oneLinePassword(string(text))
}

func oneLinePassword(text string) (string, error) {
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	switch {
	case text == "":
		return "", usage(errors.New("the password is empty"))
	case strings.ContainsAny(text, "\r\n"):
		return "", usage(errors.New("the password has more than one line"))
	case !utf8.ValidString(text):
		return "", usage(errors.New("the password is not UTF-8"), "no page or peer could send it: set the terminal to UTF-8, or choose another")
	case len(text) > protocol.MaxPasswordLen:
		return "", usage(fmt.Errorf("the password is longer than %d bytes", protocol.MaxPasswordLen))
	}
	return text, nil
}

// newPassword gets the password of `user add` and `user passwd`: from file, from
// the terminal (twice), or else the first line of the input.
func newPassword(ctx context.Context, file, name string, std stdio) (string, error) {
	if file != "" {
		return passwordFile(file)
	}
	tty, ok := isTerminal(std.in)
	if !ok {
		line, err := bufio.NewReader(io.LimitReader(std.in, 2*protocol.MaxPasswordLen)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return oneLinePassword(line)
	}
	first, err := askPassword(ctx, tty, std.err, "Password of "+name+": ")
	if err != nil {
		return "", err
	}
	second, err := askPassword(ctx, tty, std.err, "The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", usage(errors.New("the two passwords differ"), "nothing was changed: try again")
	}
	return first, nil
}

// signInPassword gets the password of `chat`, whose input may be the messages:
// from file, the environment, or the terminal.
func signInPassword(ctx context.Context, file, name string, std stdio) (string, error) {
	if file != "" {
		return passwordFile(file)
	}
	if password, ok := os.LookupEnv("SIGCTL_PASSWORD"); ok {
		return oneLinePassword(password)
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", usage(fmt.Errorf("no password for %s, and no terminal to ask for it", name),
			"set SIGCTL_PASSWORD, or name a file with --password-file FILE")
	}
	defer tty.Close()
	return askPassword(ctx, tty, tty, "Password of "+name+": ")
}

// tokenSource reads the token that a SRC value names each time that one is wanted: a
// file may be replaced while the chat goes on.
func tokenSource(src string) peer.TokenSource {
	return func(context.Context) (string, error) {
		text, err := readSource("token", src)
		if err != nil {
			return "", err
		}
		token := strings.TrimSpace(string(text))
		if token == "" {
			return "", badFlag("token", "the token is empty")
		}
		return token, nil
	}
}

// askPassword reads a line from the terminal without echo.
func askPassword(ctx context.Context, tty *os.File, w io.Writer, prompt string) (string, error) {
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask for the password: %w", err)
	}
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)
	fmt.Fprint(w, prompt)
	defer fmt.Fprintln(w)
	go func() { // a terminal's read cannot be ended: after an interruption it ends with the process
		line, err := term.ReadPassword(fd)
		answers <- answer{line, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return "", fmt.Errorf("read the password: %w", a.err)
		}
		return oneLinePassword(string(a.line))
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}
