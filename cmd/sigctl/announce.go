package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// announce says where the server is, and what to type next.
func (a *app) announce(w io.Writer) {
	line := func(name string, values ...string) {
		fmt.Fprintf(w, "  %-7s %s\n", name, strings.Join(values, " "))
	}
	fmt.Fprintln(w, "sigctl is serving.")
	line("page", a.pageURL())
	line("signal", a.signalURL())
	if u := a.publicURL(); u != "" && u != a.signalURL() {
		line("others", u)
	}
	a.announceDemo(line)
	if a.relay != nil {
		a.relay.announce(w)
	}
	ice := a.ice.urls()
	for _, s := range slices.Concat(ice.stun, ice.turn) {
		line("ICE", s)
	}
	announceOperations(w, a.operations)
	if root := a.caRoot(); root != "" {
		line("CA", root)
		if a.publicURL() != "" {
			line("", "copy it to other machines, for chat --ca "+filepath.Base(root))
		}
	}
	a.announceNext(w)
}

// announceNext says what to type next, on this machine.
func (a *app) announceNext(w io.Writer) {
	data := ""
	if a.opts.global.data != defaultDataDir() {
		data = " --data " + a.opts.global.data
	}
	chat := "sigctl chat" + data
	if u := a.signalURL(); u != defaultServer {
		chat += " --server " + u
	}
	fmt.Fprintln(w, "Next, in two other terminals:")
	if a.opts.demo {
		fmt.Fprintf(w, "  SIGCTL_PASSWORD=password1 %s --user user1\n", chat)
		fmt.Fprintf(w, "  SIGCTL_PASSWORD=password2 %s --user user2 --call user1\n", chat)
		return
	}
	fmt.Fprintf(w, "  sigctl user add%s NAME\n", data)
	fmt.Fprintf(w, "  %s --user NAME\n", chat)
}
