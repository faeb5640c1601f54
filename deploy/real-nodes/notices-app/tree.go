// The simple Merkle map and its ICS-23 proofs.

package main

import (
	"crypto/sha256"
	"sort"
)

// A simple Merkle map: leaves in order of their keys.
type tree struct {
	keys   []string
	values [][]byte
	leaves [][]byte
}

func newTree(entries map[string][]byte) tree {
	var t tree
	for key := range entries {
		t.keys = append(t.keys, key)
	}
	sort.Strings(t.keys)
	for _, key := range t.keys {
		digest := sha256.Sum256(entries[key])
		leaf := append([]byte{0}, prefixed([]byte(key))...)
		leaf = append(leaf, prefixed(digest[:])...)
		t.values = append(t.values, entries[key])
		t.leaves = append(t.leaves, hash(leaf))
	}
	return t
}

func (t tree) root() []byte { return rootOf(t.leaves) }

func rootOf(leaves [][]byte) []byte {
	switch len(leaves) {
	case 0:
		return hash(nil)
	case 1:
		return leaves[0]
	}
	at := split(len(leaves))
	return inner(rootOf(leaves[:at]), rootOf(leaves[at:]))
}

// The largest power of two below n.
func split(n int) int {
	at := 1
	for at*2 < n {
		at *= 2
	}
	return at
}

func hash(bytes []byte) []byte {
	digest := sha256.Sum256(bytes)
	return digest[:]
}

func inner(left, right []byte) []byte {
	return hash(append(append([]byte{1}, left...), right...))
}

// A step from a leaf towards the root: what stands before and after the child in its parent's preimage.
type step struct{ prefix, suffix []byte }

func path(leaves [][]byte, index int) []step {
	if len(leaves) <= 1 {
		return nil
	}
	at := split(len(leaves))
	if index < at {
		return append(path(leaves[:at], index), step{prefix: []byte{1}, suffix: rootOf(leaves[at:])})
	}
	return append(path(leaves[at:], index-at), step{prefix: append([]byte{1}, rootOf(leaves[:at])...)})
}

// ICS-23 CommitmentProof: that the key is there with its value, or its neighbours when it is not.
func (t tree) prove(key string) []byte {
	at := sort.SearchStrings(t.keys, key)
	if at < len(t.keys) && t.keys[at] == key {
		return bytesField(1, t.exist(at))
	}
	absent := bytesField(1, []byte(key))
	if at > 0 {
		absent = append(absent, bytesField(2, t.exist(at-1))...)
	}
	if at < len(t.keys) {
		absent = append(absent, bytesField(3, t.exist(at))...)
	}
	return bytesField(2, absent)
}

func (t tree) exist(index int) []byte {
	// LeafOp: SHA-256, key as it is, value hashed with SHA-256, lengths as varints, prefix 00.
	leaf := []byte{0x08, 1, 0x18, 1, 0x20, 1}
	leaf = append(leaf, bytesField(5, []byte{0})...)
	proof := append(bytesField(1, []byte(t.keys[index])), bytesField(2, t.values[index])...)
	proof = append(proof, bytesField(3, leaf)...)
	for _, it := range path(t.leaves, index) {
		op := append([]byte{0x08, 1}, bytesField(2, it.prefix)...)
		if len(it.suffix) > 0 {
			op = append(op, bytesField(3, it.suffix)...)
		}
		proof = append(proof, bytesField(4, op)...)
	}
	return proof
}
