// What the application keeps and what its transactions do.

package main

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

const storeName = "notices"

type state struct {
	height  uint64
	notices map[string][]byte
}

func (s state) clone() state {
	notices := make(map[string][]byte, len(s.notices))
	for key, value := range s.notices {
		notices[key] = value
	}
	return state{height: s.height, notices: notices}
}

func (s state) store() tree { return newTree(s.notices) }

func (s state) stores() tree { return newTree(map[string][]byte{storeName: s.store().root()}) }

func (s state) hash() []byte { return s.stores().root() }

// ProofOps: the key in its store, the store under the application hash.
func (s state) prove(key []byte) []byte {
	op := func(key, proof []byte) []byte {
		return bytesField(1, concat(stringField(1, "ics23:simple"), bytesField(2, key), bytesField(3, proof)))
	}
	return concat(op(key, s.store().prove(string(key))), op([]byte(storeName), s.stores().prove(storeName)))
}

// Past heights whose state is kept: proofs of a change are asked for before and after its block.
const keptHeights = 10000

type app struct {
	lock      sync.Mutex
	committed state
	next      state
	past      map[uint64]state
}

func newApp() *app {
	// One key from the start: an answer about an empty tree carries no proof.
	genesis := state{notices: map[string][]byte{"about": []byte("notices")}}
	return &app{committed: genesis, next: genesis.clone(), past: map[uint64]state{}}
}

func (a *app) keep(old state) {
	a.past[old.height] = old
	if old.height >= keptHeights {
		delete(a.past, old.height-keptHeights)
	}
}

func (a *app) info() []byte {
	answer := concat(stringField(1, storeName), stringField(2, "1"), varintField(3, 1), varintField(4, a.committed.height))
	if a.committed.height > 0 {
		answer = append(answer, bytesField(5, a.committed.hash())...)
	}
	return answer
}

func (a *app) query(request []wireField) []byte {
	var key []byte
	var path string
	var height uint64
	var prove bool
	for _, it := range request {
		switch it.number {
		case 1:
			key = it.bytes
		case 2:
			path = string(it.bytes)
		case 3:
			height = it.value
		case 4:
			prove = it.value != 0
		}
	}
	if path != "/store/"+storeName+"/key" {
		return concat(varintField(1, 3), stringField(3, "expected the path /store/"+storeName+"/key"))
	}
	asked := a.committed
	if height != 0 && height != a.committed.height {
		kept, ok := a.past[height]
		if !ok {
			return concat(varintField(1, 4), stringField(3, fmt.Sprintf("the state of height %d is not kept, the last is %d", height, a.committed.height)))
		}
		asked = kept
	}
	answer := concat(bytesField(6, key), stringField(7, string(asked.notices[string(key)])))
	if prove {
		answer = append(answer, bytesField(8, asked.prove(key))...)
	}
	return append(answer, varintField(9, asked.height)...)
}

func checkTx(request []wireField) []byte {
	for _, it := range request {
		if it.number != 1 {
			continue
		}
		if _, err := parse(string(it.bytes)); err != nil {
			return concat(varintField(1, 2), stringField(3, err.Error()))
		}
	}
	return varintField(5, 1)
}

func (a *app) finalize(request []wireField) []byte {
	a.next = a.committed.clone()
	var results, updates []byte
	for _, it := range request {
		switch it.number {
		case 1:
			result, update := a.next.run(string(it.bytes))
			results = append(results, bytesField(2, result)...)
			if update != nil {
				updates = append(updates, bytesField(3, update)...)
			}
		case 5:
			a.next.height = it.value
		}
	}
	return concat(results, updates, bytesField(5, a.next.hash()))
}

// What a transaction asks for.
type command struct {
	verb, key, value string
	code, power      uint64
	validator        []byte
}

func parse(tx string) (command, error) {
	if rest, ok := strings.CutPrefix(tx, "val="); ok {
		return parseValidator(rest)
	}
	verb, rest, _ := strings.Cut(tx, " ")
	switch verb {
	case "put":
		key, value, ok := strings.Cut(rest, "=")
		if !ok || key == "" || value == "" {
			return command{}, fmt.Errorf("expected put KEY=VALUE, got %q", tx)
		}
		return command{verb: verb, key: key, value: value}, nil
	case "delete":
		return command{verb: verb, key: rest}, nil
	case "fail":
		code, err := strconv.ParseUint(rest, 10, 32)
		if err != nil || code == 0 {
			return command{}, fmt.Errorf("expected fail CODE, got %q", tx)
		}
		return command{verb: verb, code: code}, nil
	}
	return command{}, fmt.Errorf("expected put, delete, fail or val=, got %q", tx)
}

func parseValidator(text string) (command, error) {
	parts := strings.Split(text, "!")
	if len(parts) != 3 || parts[0] != "ed25519" {
		return command{}, fmt.Errorf("expected ed25519!BASE64!POWER, got %q", text)
	}
	key, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil || len(key) != 32 {
		return command{}, fmt.Errorf("expected a key of 32 bytes, got %q", parts[1])
	}
	power, err := strconv.ParseUint(parts[2], 10, 32)
	if err != nil {
		return command{}, fmt.Errorf("expected a power, got %q", parts[2])
	}
	return command{verb: "val", validator: key, power: power}, nil
}

// Runs a transaction: its ExecTxResult, and a ValidatorUpdate where it makes one.
func (s *state) run(tx string) (result, update []byte) {
	what, err := parse(tx)
	if err != nil {
		return concat(varintField(1, 2), stringField(3, err.Error()), varintField(5, 1), varintField(6, 1)), nil
	}
	var events []byte
	switch what.verb {
	case "put":
		s.notices[what.key] = []byte(what.value)
		events = bytesField(7, concat(stringField(1, "notice"), attribute("key", what.key), attribute("value", what.value)))
	case "delete":
		delete(s.notices, what.key)
	case "val":
		// The 0.38 line reads the key in field 1, the 1.0 line in fields 3 and 4; each passes over the other's.
		update = concat(bytesField(1, bytesField(1, what.validator)), varintField(2, what.power),
			bytesField(3, what.validator), stringField(4, "ed25519"))
	}
	result = concat(varintField(1, what.code), stringField(2, what.key), varintField(5, 1), varintField(6, 1), events)
	return result, update
}

func attribute(key, value string) []byte {
	return bytesField(2, concat(stringField(1, key), stringField(2, value), varintField(3, 1)))
}
