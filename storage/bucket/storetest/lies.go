package storetest

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// A Lie is one way to answer falsely: instead of asking the store, or by changing what the
// store has answered. Both end at the latest with the request's context.
type Lie struct {
	instead http.HandlerFunc
	change  func(*http.Response) error
}

// Answer says status and body, and nothing reaches the store. Answer(200, "") claims that an
// object was stored; there is an ETag as a store would send. S3Error makes bodies.
func Answer(status int, body string) Lie {
	return Lie{instead: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum([]byte(r.RequestURI))))
		respond(w, status, body)
	}}
}

// S3Error is the body of a failure. With status 200 it is what S3 says when an upload in parts
// fails after its answer has begun.
func S3Error(code string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` +
		"<Error><Code>" + code + "</Code><Message>a lie</Message><RequestId>1</RequestId></Error>"
}

// Redirect sends the client to another endpoint, as S3 does when a bucket lies in another
// region: by status 301 or 307.
func Redirect(status int, endpoint, region string) Lie {
	return Lie{instead: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", endpoint+r.RequestURI)
		w.Header().Set("X-Amz-Bucket-Region", region)
		respond(w, status, S3Error(map[int]string{301: "PermanentRedirect", 307: "TemporaryRedirect"}[status]))
	}}
}

func respond(w http.ResponseWriter, status int, body string) {
	if body != "" {
		w.Header().Set("Content-Type", map[bool]string{true: "application/json", false: "application/xml"}[body[0] == '{'])
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// Stall reads the request and never answers, until the client goes away or the test ends.
// Nothing reaches the store.
func Stall() Lie {
	return Lie{instead: func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}}
}

// LoseAnswer lets the store do what was asked, and then breaks the connection without a word.
func LoseAnswer() Lie {
	return Lie{change: func(resp *http.Response) error {
		_, err := io.Copy(io.Discard, resp.Body)
		return errors.Join(errors.New("the answer is lost"), err)
	}}
}

// Break gives the store's answer with its full length in the header, and breaks the connection
// after n bytes of the body.
func Break(n int64) Lie {
	return body(func(r io.Reader, _ <-chan struct{}) io.Reader {
		return io.MultiReader(io.LimitReader(r, n), failing{})
	})
}

// Shorten gives the first n bytes of the body, and a header that says that these are all.
func Shorten(n int64) Lie {
	return whole(func(data []byte) ([]byte, error) { return data[:min(n, int64(len(data)))], nil })
}

// Flip flips one bit of the n-th byte of the body, counted from 0.
func Flip(n int64) Lie {
	return whole(func(data []byte) ([]byte, error) {
		if n < int64(len(data)) {
			data[n] ^= 1
		}
		return data, nil
	})
}

// StallAfter gives n bytes of the body, and then nothing until the client goes away or the
// test ends.
func StallAfter(n int64) Lie {
	return body(func(r io.Reader, gone <-chan struct{}) io.Reader {
		return io.MultiReader(io.LimitReader(r, n), waiting{gone})
	})
}

// Drip gives the body byte by byte, one every so often.
func Drip(every time.Duration) Lie {
	return body(func(r io.Reader, gone <-chan struct{}) io.Reader { return dripping{r, every, gone} })
}

// Hide takes objects out of a listing, of S3, GCS or Azure.
func Hide(keys ...string) Lie {
	return whole(func(data []byte) ([]byte, error) {
		if bytes.HasPrefix(data, []byte("{")) {
			return hideJSON(data, keys)
		}
		return hideXML(data, keys), nil
	})
}

// body changes what the client gets to read, and leaves the header as it is.
func body(change func(r io.Reader, gone <-chan struct{}) io.Reader) Lie {
	return Lie{change: func(resp *http.Response) error {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{change(resp.Body, resp.Request.Context().Done()), resp.Body}
		return nil
	}}
}

// whole changes a body that fits into memory, and says its new length.
func whole(change func(data []byte) ([]byte, error)) Lie {
	return Lie{change: func(resp *http.Response) error {
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if data, err = change(data); err != nil {
			return err
		}
		resp.Body = io.NopCloser(bytes.NewReader(data))
		resp.ContentLength = int64(len(data))
		resp.Header.Set("Content-Length", strconv.Itoa(len(data)))
		return nil
	}}
}

// hideXML knows an object by its element and its key within: S3 may encode keys as in URLs.
func hideXML(data []byte, keys []string) []byte {
	object := regexp.MustCompile(`(?s)<(Contents|Blob)>.*?<(?:Key|Name)>(.*?)</(?:Key|Name)>.*?</(?:Contents|Blob)>`)
	hidden := 0
	data = object.ReplaceAllFunc(data, func(found []byte) []byte {
		key := string(object.FindSubmatch(found)[2])
		if plain, err := url.QueryUnescape(key); !slices.Contains(keys, key) && (err != nil || !slices.Contains(keys, plain)) {
			return found
		}
		hidden++
		return nil
	})
	count := regexp.MustCompile(`<KeyCount>(\d+)</KeyCount>`)
	return count.ReplaceAllFunc(data, func(found []byte) []byte {
		n, _ := strconv.Atoi(string(count.FindSubmatch(found)[1])) // digits, as the pattern says
		return fmt.Appendf(nil, "<KeyCount>%d</KeyCount>", n-hidden)
	})
}

func hideJSON(data []byte, keys []string) ([]byte, error) {
	var listing map[string]json.RawMessage
	var objects []json.RawMessage
	if err := errors.Join(json.Unmarshal(data, &listing), json.Unmarshal(listing["items"], &objects)); err != nil {
		return nil, err
	}
	objects = slices.DeleteFunc(objects, func(object json.RawMessage) bool {
		var o struct{ Name string }
		return json.Unmarshal(object, &o) == nil && slices.Contains(keys, o.Name)
	})
	items, err := json.Marshal(objects)
	if err != nil {
		return nil, err
	}
	listing["items"] = items
	return json.Marshal(listing)
}

// failing is where a connection breaks.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the connection breaks here") }

// waiting stands still.
type waiting struct{ gone <-chan struct{} }

func (w waiting) Read([]byte) (int, error) {
	<-w.gone
	return 0, errors.New("the client has gone")
}

// dripping gives a byte at a time.
type dripping struct {
	from  io.Reader
	every time.Duration
	gone  <-chan struct{}
}

func (d dripping) Read(p []byte) (int, error) {
	timer := time.NewTimer(d.every)
	defer timer.Stop()
	select {
	case <-timer.C:
		return d.from.Read(p[:1])
	case <-d.gone:
		return 0, errors.New("the client has gone")
	}
}
