// Package stores opens the stores that URLs name, with the clients of the clouds.
//
//	s3://bucket/prefix?endpoint=&region=&path_style=&ca=&checksum=&sse=&retain=
//	gs://bucket/prefix?endpoint=&ca=&anonymous=
//	azblob://container/prefix?endpoint=&ca=
//	file:///folder?create_dir=
//
// Credentials never stand in a URL: each cloud's own chain finds them, in its environment
// variables, files and instance metadata. Where they are given explicitly, no metadata address is
// asked. HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured here, and nowhere else.
package stores
