package ec2launcher

import (
	"sync"
)

// troubles keep why a step that is taken again and again has failed last.
type troubles struct {
	mu    sync.Mutex
	known map[string]*refusal // by what it is about
}

// set notes why a step has failed, or with nil that it has not.
func (t *troubles) set(about string, why *refusal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = map[string]*refusal{}
	}
	if t.known[about] = why; why == nil {
		delete(t.known, about)
	}
}

func (t *troubles) of(about string) *refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[about]
}
