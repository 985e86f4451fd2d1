package main

import (
	"context"
	"fmt"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A transaction holds as many puts as etcd takes by default.
const putsPerTransaction = 128

// writeKeys writes n small keys, each once, in transactions.
func (s *server) writeKeys(ctx context.Context, n int) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	from := make(chan int)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for i := range from {
				if err := putKeys(ctx, client, i, min(n, i+putsPerTransaction)); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i += putsPerTransaction {
		from <- i
	}
	close(from)
	writers.Wait()
	return context.Cause(ctx)
}

func putKeys(ctx context.Context, client *clientv3.Client, from, to int) error {
	var puts []clientv3.Op
	for i := from; i < to; i++ {
		puts = append(puts, clientv3.OpPut(fmt.Sprintf("keys/%010d", i), "v"))
	}
	_, err := client.Txn(ctx).Then(puts...).Commit()
	return err
}
