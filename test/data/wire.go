package data

import "encoding/binary"

// The few forms of protobuf that Kubernetes' objects need; fields are joined by fields.

func num(field int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), v)
}

func nest(field int, parts ...[]byte) []byte {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	b := make([]byte, 0, size+12)
	b = binary.AppendUvarint(b, uint64(field)<<3|2)
	b = binary.AppendUvarint(b, uint64(size))
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func text(field int, s string) []byte {
	b := make([]byte, 0, len(s)+12)
	b = binary.AppendUvarint(b, uint64(field)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// entries is a map of strings.
func entries(field int, pairs ...pair) []byte {
	var b []byte
	for _, p := range pairs {
		b = append(b, nest(field, text(1, p.key), text(2, p.value))...)
	}
	return b
}

func fields(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// at is a metav1.Time.
func at(field int, seconds uint64) []byte { return nest(field, num(1, seconds)) }

// stored is an object as the API server writes it: a prefix, and a runtime.Unknown around it.
func stored(version, kind string, object []byte) []byte {
	b := make([]byte, 0, len(object)+64)
	b = append(b, "k8s\x00"...)
	b = append(b, nest(1, text(1, version), text(2, kind))...)
	b = append(b, nest(2, object)...)
	return append(b, text(3, "")...) // as the API server does: contentEncoding and contentType, both empty
}
