package simulation

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
)

// machine is the computer on which a history takes place.
type machine struct {
	disk      *platter
	processes []*process
	random    *rand.Rand // what the step that is going on is made of
	trace     []string
	broken    error         // of the simulation itself
	stopped   chan struct{} // an act has come to a pause, or to its end
}

func (m *machine) tell(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

// cut cuts the power: all processes die, and what was not synced is lost in part.
func (m *machine) cut() {
	for _, p := range m.processes {
		p.dead = true
	}
	m.broken = errors.Join(m.broken, m.disk.cut(m.random))
}

// act is what a process does while others do something too. One of them has its turn at a time, from one pause to the next, so that a
// history is the same each time that it is played.
type act struct {
	do    func() error
	turn  chan struct{}
	mu    sync.Mutex // a process pauses in one place at a time
	ended bool
	err   error
}

// pause lets other acts have their turns, before each thing that a process does to a disk or a store.
func (p *process) pause() {
	a := p.act
	if a == nil || p.dead {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p.machine.stopped <- struct{}{}
	<-a.turn
}

// together does acts in turns of random lengths, until all have ended.
func (m *machine) together(acts ...*act) {
	m.stopped = make(chan struct{})
	for _, a := range acts {
		a.turn = make(chan struct{})
		go func() { // which the loop below waits for
			<-a.turn
			a.err = a.do()
			a.ended = true
			m.stopped <- struct{}{}
		}()
	}
	for live := acts; len(live) > 0; {
		i := m.random.IntN(len(live))
		for range 1 + m.random.IntN(1<<m.random.IntN(7)) {
			live[i].turn <- struct{}{}
			<-m.stopped
			if live[i].ended {
				live = append(live[:i:i], live[i+1:]...)
				break
			}
		}
	}
}
