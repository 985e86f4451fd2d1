package bucket

import (
	"context"
	"errors"
	"fmt"

	"gocloud.dev/gcerrors"
)

// Remover may delete objects, which a Bucket cannot. Who takes snapshots never makes one.
type Remover struct{ b *Bucket }

// NewRemover returns what deletes from b. It is no method of Bucket: who is given one cannot delete
// by it.
func NewRemover(b *Bucket) Remover { return Remover{b} }

// Remove deletes an object. One that is not there is removed already: nil. On a store that keeps
// versions it only hides.
func (r Remover) Remove(ctx context.Context, key string) error {
	if err := r.b.ready(ctx, key); err != nil {
		return fmt.Errorf("remove %q: %w", key, err)
	}
	err := r.b.persist(ctx, func() error {
		err := r.b.blob.Delete(ctx, key)
		if err == nil {
			return nil
		}
		if gcerrors.Code(err) == gcerrors.NotFound {
			err = r.b.lookupFault(ctx, key, err)
			if errors.Is(err, ErrNotExist) {
				return nil
			}
			return err
		}
		return fault(ctx, err)
	})
	if err != nil {
		return fmt.Errorf("remove %q: %w", key, err)
	}
	return nil
}
