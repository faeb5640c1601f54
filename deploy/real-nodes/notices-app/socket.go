// ABCI over a socket: requests and responses, each a protobuf message behind its length. Field numbers are those of
// proto/tendermint/abci/types.proto of CometBFT 0.38; the 1.0 line keeps them, but for a validator's key.

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
)

// Well above a block of the default 4 MiB.
const mostBytes = 16 << 20

func (a *app) serve(connection net.Conn) {
	defer connection.Close()
	input, output := bufio.NewReader(connection), bufio.NewWriter(connection)
	for {
		request, err := readMessage(input)
		if err == nil {
			var answer []byte
			if answer, err = a.answer(request); err == nil {
				_, err = output.Write(prefixed(answer))
			}
		}
		if err == nil && input.Buffered() == 0 {
			err = output.Flush()
		}
		if err != nil {
			if err != io.EOF {
				fmt.Fprintln(os.Stderr, "notices-app:", err)
			}
			return
		}
	}
}

func readMessage(input *bufio.Reader) ([]byte, error) {
	length, err := binary.ReadUvarint(input)
	if err != nil {
		return nil, err
	}
	if length > mostBytes {
		return nil, fmt.Errorf("a request of %d bytes, at most %d are taken", length, mostBytes)
	}
	message := make([]byte, length)
	_, err = io.ReadFull(input, message)
	return message, err
}

// A Request holds one field, whose number says what is asked; so does the Response.
func (a *app) answer(request []byte) ([]byte, error) {
	outer, err := fields(request)
	if err != nil || len(outer) != 1 {
		return nil, fmt.Errorf("expected one request, got %d fields", len(outer))
	}
	body, err := fields(outer[0].bytes)
	if err != nil {
		return nil, err
	}
	a.lock.Lock()
	defer a.lock.Unlock()
	switch outer[0].number {
	case 1: // echo
		return bytesField(2, outer[0].bytes), nil
	case 2: // flush
		return bytesField(3, nil), nil
	case 3: // info
		return bytesField(4, a.info()), nil
	case 5: // init_chain
		return bytesField(6, bytesField(3, a.committed.hash())), nil
	case 6: // query
		return bytesField(7, a.query(body)), nil
	case 8: // check_tx
		return bytesField(9, checkTx(body)), nil
	case 11: // commit
		a.keep(a.committed)
		a.committed = a.next
		return bytesField(12, nil), nil
	case 12, 13, 14, 15: // snapshots: none
		return bytesField(outer[0].number+1, nil), nil
	case 16: // prepare_proposal: the transactions as they come
		var txs []byte
		for _, it := range body {
			if it.number == 2 {
				txs = append(txs, bytesField(1, it.bytes)...)
			}
		}
		return bytesField(17, txs), nil
	case 17: // process_proposal: accept
		return bytesField(18, varintField(1, 1)), nil
	case 18: // extend_vote
		return bytesField(19, nil), nil
	case 19: // verify_vote_extension: accept
		return bytesField(20, varintField(1, 1)), nil
	case 20: // finalize_block
		return bytesField(21, a.finalize(body)), nil
	}
	return nil, fmt.Errorf("request %d is not known here", outer[0].number)
}
