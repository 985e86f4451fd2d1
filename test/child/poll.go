package child

import (
	"context"
	"fmt"
	"time"
)

// Poll asks until ready answers nil, and returns its last answer when ctx ends first.
func Poll(ctx context.Context, every time.Duration, ready func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
