package defrag

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// TestALostCallMayStillBeOnItsWay: one look at a member that does nothing settles nothing.
func TestALostCallMayStillBeOnItsWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{})
	one := r.single()
	s, err := one.wellScene(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lost := fmt.Errorf("defragment: %w: reset by peer", etcd.ErrConnectionLost)
	f := following{run: one, s: s, m: s.seen[0], began: time.Now(), refused: lost}
	for look := 1; look < settled; look++ {
		if over, err := f.over(t.Context()); over {
			t.Fatalf("settled at look %d: %v", look, err)
		}
	}
	if over, err := f.over(t.Context()); !over || !errors.Is(err, ErrFailed) || !errors.Is(err, lost) {
		t.Errorf("at look %d: %t, %v, want ErrFailed", settled, over, err)
	}
	late := following{run: one, s: s, m: s.seen[0], began: time.Now(), refused: lost}
	if over, err := late.over(t.Context()); over {
		t.Fatalf("settled at the first look: %v", err)
	}
	if _, err := r.c.Client(t).Defragment(t.Context(), r.c.Endpoints()[0]); err != nil {
		t.Fatal(err)
	}
	if over, err := late.over(t.Context()); !over || err != nil {
		t.Errorf("it came late: %t, %v, want success", over, err)
	}
}

// TestNobodyCanTellOfABlindMember whose call was lost and which serves: it is left as running when the run
// gives up, and no other member is touched.
func TestNobodyCanTellOfABlindMember(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Failpoints: true})
	r.fragment(2)
	first := r.followers()[0]
	name := r.c.Members[first].Name
	r.slow(time.Minute, first)
	wait := r.whenBegun(first, func() {
		r.c.Members[first].Kill(t)
		r.c.Members[first].Restart(t)
	})
	r.Etcd.MetricsEndpoints, r.BlindOK, r.GiveUp = []string{"http://127.0.0.1:1"}, true, 12*time.Second
	report, err := r.run()
	wait()
	if !errors.Is(err, ErrRunning) || errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), " serves after ") || !strings.Contains(err.Error(), "nobody can tell whether it is still defragmenting") {
		t.Errorf("Run = %v", err)
	}
	if got := verdicts(report); strings.Count(got, "running") != 1 || !strings.Contains(got, name+" running") || strings.Contains(got, "defragmented") || len(r.spells()) != 1 {
		t.Errorf("verdicts: %s", got)
	}
}

// TestAMemberThatIsGoneIsToldOf: it does not come back, and whoever reads that must not wait for it as
// for one at work.
func TestAMemberThatIsGoneIsToldOf(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3, Failpoints: true})
	r.fragment(2)
	first := r.followers()[0]
	name := r.c.Members[first].Name
	r.slow(time.Minute, first)
	wait := r.whenBegun(first, func() { r.c.Members[first].Kill(t) })
	r.GiveUp = 4 * time.Second
	report, err := r.run()
	wait()
	if !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), "("+name+") does not answer after ") {
		t.Errorf("Run = %v", err)
	}
	if n := strings.Count(r.log.String(), "member in defragmentation does not answer"); n != 1 || !strings.Contains(verdicts(report), name+" running") || len(r.spells()) != 1 {
		t.Errorf("told %d times, verdicts %s", n, verdicts(report))
	}
}

// hook is a log at which something happens.
type hook struct {
	to   io.Writer
	text string
	do   func()
}

func (h hook) Write(p []byte) (int, error) {
	if strings.Contains(string(p), h.text) {
		h.do()
	}
	return h.to.Write(p)
}

// TestWhatWasDoneIsWrittenWhenStopped: size and note of a member that was done just when the signal came.
func TestWhatWasDoneIsWrittenWhenStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, etcdtest.Options{Members: 3})
	r.fragment(2)
	first := r.followers()[0]
	stopped := errors.New("stopped by a signal")
	ctx, stop := context.WithCancelCause(t.Context())
	r.Log = logTo(hook{r.log, "has been defragmented", func() { stop(stopped) }})
	report, err := r.runWith(ctx)
	if !errors.Is(err, stopped) || strings.Count(verdicts(report), "defragmented") != 1 || len(r.spells()) != 1 {
		t.Errorf("Run = %v, %+v", err, report)
	}
	line := report.Members[first]
	if n := r.note(first); line.SizeAfter == 0 || n == nil || n.Running || n.After != line.SizeAfter || len(report.Warnings) > 0 {
		t.Errorf("the note is %+v of %+v, warnings %q", n, line, report.Warnings)
	}
}
