package snapshot

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// liar stands before a real member and passes every call on, but for what a test makes it
// change: what no healthy server would do on demand.
type liar struct {
	url string

	mu      sync.Mutex
	hashKV  func(*pb.HashKVResponse) error
	status  func(*pb.StatusResponse)
	stream  func(*pb.SnapshotResponse) // each message
	metrics func(page string) string
	asked   map[string]int // calls, by method
}

// liars puts one before each member of c, and has r reach the cluster through them.
func liars(t *testing.T, c *etcdtest.Cluster, r *rig) map[string]*liar {
	t.Helper()
	out := map[string]*liar{}
	r.Etcd.Endpoints = nil
	for _, m := range c.Members {
		l := newLiar(t, m.ListenURL)
		out[m.Name] = l
		r.Etcd.Endpoints = append(r.Etcd.Endpoints, l.url)
	}
	return out
}

func newLiar(t *testing.T, url string) *liar {
	t.Helper()
	to, err := grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{url: "http://" + ln.Addr().String(), asked: map[string]int{}}
	calls := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(func(_ any, in grpc.ServerStream) error { return l.pass(in, to) }))
	web := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.ProtoMajor == 2 {
			calls.ServeHTTP(w, req)
			return
		}
		l.serveMetrics(w, req, url)
	})}
	web.Protocols.SetHTTP1(true)
	web.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = web.Serve(ln)
	}()
	t.Cleanup(func() { _ = web.Close(); <-served; calls.Stop(); _ = to.Close() })
	return l
}

// tell sets what the liar changes from now on.
func (l *liar) tell(set func(l *liar)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set(l)
}

func (l *liar) calls(method string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked[method]
}

// pass carries one call, whose client sends one message.
func (l *liar) pass(in grpc.ServerStream, to *grpc.ClientConn) error {
	method, _ := grpc.MethodFromServerStream(in)
	l.tell(func(l *liar) { l.asked[path.Base(method)]++ })
	ctx, stop := context.WithCancel(in.Context())
	defer stop()
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, md.Copy())
	}
	out, err := to.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	var msg []byte
	if err := errors.Join(in.RecvMsg(&msg), out.SendMsg(&msg), out.CloseSend()); err != nil {
		return err
	}
	for {
		var msg []byte
		if err := out.RecvMsg(&msg); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		msg, err := l.change(path.Base(method), msg)
		if err != nil {
			return err
		}
		if err := in.SendMsg(&msg); err != nil {
			return err
		}
	}
}

func (l *liar) change(method string, msg []byte) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case method == "HashKV" && l.hashKV != nil:
		return rewrite(msg, &pb.HashKVResponse{}, l.hashKV)
	case method == "Status" && l.status != nil:
		return rewrite(msg, &pb.StatusResponse{}, func(r *pb.StatusResponse) error { l.status(r); return nil })
	case method == "Snapshot" && l.stream != nil:
		return rewrite(msg, &pb.SnapshotResponse{}, func(r *pb.SnapshotResponse) error { l.stream(r); return nil })
	}
	return msg, nil
}

func rewrite[M proto.Message](msg []byte, m M, change func(M) error) ([]byte, error) {
	if err := proto.Unmarshal(msg, m); err != nil {
		return nil, err
	}
	if err := change(m); err != nil {
		return nil, err
	}
	return proto.Marshal(m)
}

func (l *liar) serveMetrics(w http.ResponseWriter, req *http.Request, url string) {
	res, err := http.Get(url + req.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.metrics != nil {
		page = []byte(l.metrics(string(page)))
	}
	_, _ = w.Write(page)
}

// rawCodec leaves messages as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
