package positlaunchertest_test

import (
	"context"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// statuses tells of jobs when they have changed, and only of the latest change.
func (p *plugin) statuses(ctx context.Context, q wire.Request) {
	told := map[*entry]wire.JobStatus{}
	place := uint64(0)
	for {
		if p.is("streams are of all") {
			q.Username = wire.All
		}
		found := p.find(wire.Request{JobID: q.JobID, Username: q.Username})
		p.mu.Lock()
		changed := p.changed
		var news []wire.JobStatus
		for _, e := range found {
			now := wire.JobStatus{ID: e.ID, Name: e.Name, Status: e.Status, StatusCode: e.StatusCode, StatusMessage: e.StatusMessage}
			before, known := told[e]
			if known && reflect.DeepEqual(before, now) {
				continue
			}
			told[e] = now
			if p.is("streams do not say why") {
				now.StatusMessage = ""
			}
			if p.is("streams are of one's own") && !p.own[e] {
				continue
			}
			skip := p.is("ended jobs are not told") && !known && now.Status.Final() || p.is("running is not told") && now.Status == wire.Running
			if !skip {
				news = append(news, now)
			}
		}
		p.mu.Unlock()
		for _, m := range news {
			place++
			m.Header = wire.Header{Type: wire.JobStatusResponse}
			m.Sequences = []wire.Sequence{{RequestID: q.ID, SequenceID: place}}
			switch {
			case p.is("streams count together"):
				p.mu.Lock()
				p.places[0]++
				m.Sequences[0].SequenceID = p.places[0]
				p.mu.Unlock()
			case p.is("names are not told"):
				m.Name = ""
			case p.is("streams are named twice"):
				m.RequestID = q.ID
			case p.is("updates are lost"):
				select {
				case p.out <- &m:
				case <-time.After(time.Second):
					place--
				case <-ctx.Done():
				}
				continue
			}
			if !p.send(ctx, &m) {
				return
			}
		}
		if p.is("streams of all end at what is") && q.JobID == wire.All {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// output tells what a job has written, in pieces of whole characters.
func (p *plugin) output(ctx context.Context, q wire.Request, e *entry) error {
	if p.is("pending jobs have no output") && e.status() == wire.Pending {
		return wire.Errorf(wire.JobOutputNotFound, "not yet")
	}
	place, next := uint64(0), 0
	tell := func(o wire.JobOutput) bool {
		place++
		o.Header = wire.Header{Type: wire.JobOutputResponse, RequestID: q.ID}
		o.SequenceID = place
		return p.send(ctx, &o)
	}
	for {
		p.mu.Lock()
		changed, complete := p.changed, e.told
		if p.is("output comes at the end") && !complete {
			p.mu.Unlock()
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		chunks := e.chunks[min(next, len(e.chunks)):]
		next = len(e.chunks)
		if p.is("output is told once") {
			e.chunks, next = nil, 0
		}
		p.mu.Unlock()
		for _, c := range chunks {
			kind := map[string]wire.OutputType{"stdout": wire.Stdout, "stderr": wire.Stderr}[c.Stream]
			if q.OutputType == wire.Both && p.is("nothing is written on both") {
				continue
			}
			if q.OutputType != wire.Both && q.OutputType != kind && !p.is("streams are mixed") {
				continue
			}
			for text := c.Text; text != ""; {
				n := min(len(text), 32<<10)
				for n < len(text) && !utf8.RuneStart(text[n]) && !p.is("characters are cut") {
					n--
				}
				if place > 3 && p.is("output is dropped") {
					text = text[n:]
					continue
				}
				if !tell(wire.JobOutput{Output: text[:n], OutputType: kind}) {
					return nil
				}
				text = text[n:]
			}
		}
		if complete || p.is("output is complete too early") {
			if !p.is("output is never complete") {
				tell(wire.JobOutput{Complete: true})
			}
			if p.is("output goes on") {
				tell(wire.JobOutput{Complete: true})
			}
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// utilization tells what a job uses each second, until it has ended.
func (p *plugin) utilization(ctx context.Context, q wire.Request, e *entry) {
	for place := uint64(1); ; place++ {
		u := &wire.ResourceUtil{Header: wire.Header{Type: wire.ResourceUtilResponse}, Sequences: []wire.Sequence{{RequestID: q.ID, SequenceID: place}}}
		if u.Complete = e.status().Final(); !u.Complete && !p.is("nothing is used") {
			u.ResidentMemory, u.VirtualMemory, u.CPUPercent = 10, 20, 0.5
		}
		if u.Complete && p.is("use is never complete") || p.is("ended jobs hold their use") && u.Complete {
			return
		}
		if !p.send(ctx, u) || u.Complete {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}
