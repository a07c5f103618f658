package peer

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
)

// Two programs sign in to the same server; one calls the other, they chat, and one
// sends a file.
func Example() {
	server := startFakeServer() // yours is wss://your.host:9090
	defer server.close()
	ctx := context.Background()

	bob, err := Dial(ctx, server.url(), &Config{User: "bob", Password: "password"})
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call, err := bob.Accept(ctx)
		if err != nil {
			log.Fatal(err)
		}
		text, err := call.Recv(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", call.Peer(), text)
		<-call.Done()
	}()

	alice, err := Dial(ctx, server.url(), &Config{User: "alice", Password: "password"})
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	call, err := alice.Call(ctx, "bob")
	if err != nil {
		log.Fatal(err)
	}
	if err := call.Send(ctx, "hello"); err != nil {
		log.Fatal(err)
	}
	if err := call.Flush(ctx); err != nil { // bob has it
		log.Fatal(err)
	}
	call.Close()
	<-done
	// Output: alice: hello
}

// A program signs in with the token of an outside issuer, which another program
// keeps fresh in a file.
func ExampleTokenSource() {
	server := startFakeServer() // yours is wss://your.host:9090
	defer server.close()
	dir, err := os.MkdirTemp("", "runner")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte("outside:runner\n"), 0o600); err != nil {
		log.Fatal(err)
	}

	client, err := Dial(context.Background(), server.url(), &Config{
		Room: "deploy",
		Token: func(context.Context) (string, error) {
			token, err := os.ReadFile(file)
			return strings.TrimSpace(string(token)), err
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(client.User(), "is in", client.Room())
	// Output: runner is in deploy
}
