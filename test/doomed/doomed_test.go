package doomed

import "testing"

func TestFatalfEndsWhatIsDoomedAndNoMore(t *testing.T) {
	went := false
	if said := Said(t, func(t testing.TB) { t.Fatalf("no %s", "server"); went = true }); said != "no server" || went {
		t.Errorf("Said is %q, and f went on: %v", said, went)
	}
	if said := Said(t, func(testing.TB) {}); said != "" {
		t.Errorf("Said of what does not fail is %q", said)
	}
}
