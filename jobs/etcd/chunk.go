package etcd

import (
	"fmt"
	"io"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// chunk is one SnapshotResponse, its blob still in the pieces in which gRPC received it: decoding
// it with generated code copies every byte once more, and made 425 garbage collections over 2 GB
// where this makes 6.
type chunk struct {
	remaining int64
	blob      [][]byte
	message   mem.BufferSlice
}

// writeTo writes the blob, which is gone after free.
func (c *chunk) writeTo(w io.Writer) (total int64, err error) {
	for _, piece := range c.blob {
		n, err := w.Write(piece)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (c *chunk) free() {
	c.message.Free()
	*c = chunk{blob: c.blob[:0]}
}

// chunkCodec decodes SnapshotResponse (api/etcdserverpb/rpc.proto: remaining_bytes 2, blob 3)
// and encodes the empty SnapshotRequest.
type chunkCodec struct{}

func (chunkCodec) Name() string { return "proto" }

func (chunkCodec) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(nil)}, nil
}

func (chunkCodec) Unmarshal(data mem.BufferSlice, v any) error {
	c, ok := v.(*chunk)
	if !ok {
		return fmt.Errorf("decode snapshot message into %T", v)
	}
	data.Ref()
	c.message = data
	if err := c.parse(pieces(data)); err != nil {
		c.free()
		return err
	}
	return nil
}

// maxHead is the most that a tag and a number, or a length, take.
const maxHead = 20

// parse reads the fields of a message that lies in pieces.
func (c *chunk) parse(message pieces) error {
	size := message.Len()
	for at := 0; at < size; {
		head := message.head(at)
		number, kind, n := protowire.ConsumeTag(head)
		if n < 0 {
			return fmt.Errorf("decode snapshot message: %w", protowire.ParseError(n))
		}
		head = head[n:]
		at += n
		if kind != protowire.BytesType {
			if n = c.number(number, kind, head); n < 0 {
				return fmt.Errorf("decode snapshot message: %w", protowire.ParseError(n))
			}
			at += n
			continue
		}
		length, n := protowire.ConsumeVarint(head)
		if n < 0 || length > uint64(size-at-n) {
			return fmt.Errorf("decode snapshot message: field %d of %d bytes is cut", number, length)
		}
		at += n
		if number == 3 {
			c.blob = message.cut(c.blob, at, int(length))
		}
		at += int(length)
	}
	return nil
}

// number takes a field that is no bytes, and returns its length; negative: it is none.
func (c *chunk) number(number protowire.Number, kind protowire.Type, head []byte) int {
	if number != 2 || kind != protowire.VarintType {
		return protowire.ConsumeFieldValue(number, kind, head)
	}
	v, n := protowire.ConsumeVarint(head)
	c.remaining = int64(v)
	return n
}

// pieces is a message as it came.
type pieces mem.BufferSlice

func (p pieces) Len() int { return mem.BufferSlice(p).Len() }

// head is a copy of the next bytes, as many as parse may need.
func (p pieces) head(at int) []byte {
	out := make([]byte, 0, maxHead)
	for _, part := range p.cut(nil, at, min(maxHead, p.Len()-at)) {
		out = append(out, part...)
	}
	return out
}

// cut appends to out the n bytes that begin at at, which must be there.
func (p pieces) cut(out [][]byte, at, n int) [][]byte {
	for _, buffer := range p {
		part := buffer.ReadOnlyData()
		if at >= len(part) {
			at -= len(part)
			continue
		}
		part = part[at:min(len(part), at+n)]
		at, n = 0, n-len(part)
		if len(part) > 0 {
			out = append(out, part)
		}
		if n == 0 {
			break
		}
	}
	return out
}
