// Protobuf by hand: the few shapes that ABCI and ICS-23 need.

package main

import (
	"encoding/binary"
	"errors"
)

// A field of length-delimited bytes, written even when empty.
func bytesField(number int, bytes []byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(number)<<3|2), prefixed(bytes)...)
}

func stringField(number int, text string) []byte {
	if text == "" {
		return nil
	}
	return bytesField(number, []byte(text))
}

func varintField(number int, value uint64) []byte {
	if value == 0 {
		return nil
	}
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3), value)
}

func prefixed(bytes []byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(bytes))), bytes...)
}

func concat(parts ...[]byte) []byte {
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// A field as it stands in a message: bytes for length-delimited ones, value for the others.
type wireField struct {
	number int
	bytes  []byte
	value  uint64
}

var errWire = errors.New("not a protobuf message")

func fields(message []byte) ([]wireField, error) {
	var found []wireField
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 {
			return nil, errWire
		}
		message = message[size:]
		field := wireField{number: int(tag >> 3)}
		switch tag & 7 {
		case 0:
			field.value, size = binary.Uvarint(message)
		case 1:
			size = 8
		case 2:
			var length uint64
			length, size = binary.Uvarint(message)
			if size <= 0 || length > uint64(len(message)-size) {
				return nil, errWire
			}
			field.bytes = message[size : size+int(length)]
			size += int(length)
		case 5:
			size = 4
		default:
			return nil, errWire
		}
		if size <= 0 || size > len(message) {
			return nil, errWire
		}
		message = message[size:]
		found = append(found, field)
	}
	return found, nil
}
