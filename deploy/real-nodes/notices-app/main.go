// A small ABCI application whose state every key of can be proven: notices by key, in a tree that ICS-23 describes.
//
// Test-only. The key-value store built into CometBFT answers queries without proofs, and applications of the Cosmos SDK
// cannot be built from packages alone, so that the real-node suite brings its own. State is kept in memory: after a
// restart the node replays its blocks.
//
// The application hash is the root of a simple Merkle map over stores; the one store, "notices", is a simple Merkle map
// over its keys. Both are the tree of CometBFT's crypto/merkle: a leaf is SHA-256(00 ‖ length ‖ key ‖ length ‖
// SHA-256(value)), an inner node SHA-256(01 ‖ left ‖ right). ICS-23 calls it the "tendermint" specification.
//
// It speaks ABCI over a socket by itself (socket.go), so that one program serves nodes of the 0.38 and of the 1.0 line,
// whose libraries cannot be linked together.
//
// Transactions, in UTF-8:
//
//	put KEY=VALUE              sets a key and emits the event "notice" {key, value}
//	delete KEY                 removes it
//	fail CODE                  is included and fails with that code
//	val=ed25519!BASE64!POWER   sets a validator's power; 0 removes it
//
// Queries: path "/store/notices/key", data = key, prove = true: two proof operations of type "ics23:simple", the key in
// the store (or its absence) and the store under the application hash of the answer's height + 1. States of past heights are kept.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 2 || !strings.HasPrefix(os.Args[1], "tcp://") {
		fmt.Fprintln(os.Stderr, "usage: notices-app tcp://127.0.0.1:PORT")
		os.Exit(2)
	}
	listener, err := net.Listen("tcp", strings.TrimPrefix(os.Args[1], "tcp://"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "notices-app:", err)
		os.Exit(1)
	}
	app := newApp()
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "notices-app:", err)
			os.Exit(1)
		}
		go app.serve(connection)
	}
}
