package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// askCommand makes this binary a program that looks at one endpoint, for a test that needs an
// environment of its own.
const askCommand = "ask-etcd"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == askCommand {
		if err := askOutside(os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// askOutside does over endpoint what a snapshot does. A client that heeds the environment's
// proxies must fail there, else the test would show nothing.
func askOutside(endpoint string) error {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	if res, err := http.Get(endpoint + "/version"); err == nil {
		res.Body.Close()
		return errors.New("a client that takes proxies reached etcd: the proxy variables do not bite")
	}
	c, err := Discover(ctx, Config{Endpoints: []string{endpoint}})
	if err != nil {
		return err
	}
	m := c.Members[0]
	if m.Endpoint() != endpoint {
		return fmt.Errorf("member was reached by %s, want %s", m.Endpoint(), endpoint)
	}
	if _, err := c.Metrics(ctx, m); err != nil {
		return err
	}
	conn, err := c.Connect(ctx, m)
	if err != nil {
		return err
	}
	return errors.Join(conn.Snapshot(ctx, Stream{To: io.Discard}), conn.Close())
}
