package main

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// admin serves asof.v1.Admin. Its errors get their codes from package server.
type admin struct {
	asofv1.UnimplementedAdminServer
	*serving
}

// Apply records definitions and goes by them.
func (s admin) Apply(ctx context.Context, req *asofv1.ApplyRequest) (*asofv1.ApplyResponse, error) {
	texts := map[string]string{}
	for _, f := range req.GetFiles() {
		texts[f.GetName()] = f.GetText()
	}
	next, err := definitions.LoadTexts(s.p.settings.Definitions, texts, definitions.LoadOptions{})
	if err != nil {
		return nil, err
	}
	current, version, err := s.p.appliedOrNone()
	if err != nil {
		return nil, err
	}
	answer := &asofv1.ApplyResponse{Version: uint32(version), Before: uint32(version), Plan: definitions.NewPlan(current, next).String()}
	if req.GetDryRun() {
		return answer, nil
	}
	now, err := s.p.registry.Apply(next, version)
	if err != nil {
		return nil, err
	}
	if now != version {
		s.p.a.log.Info("applied definitions", "version", now)
	}
	answer.Version = uint32(now)
	return answer, s.refit(ctx)
}

// Publish publishes views.
func (s admin) Publish(ctx context.Context, req *asofv1.PublishRequest) (*asofv1.PublishResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	model, err := s.p.applied()
	if err != nil {
		return nil, err
	}
	views, err := viewsOf(model, req.GetViews())
	if err != nil {
		return nil, err
	}
	sync := s.engine.Sync
	if req.GetRebuild() {
		sync = s.engine.SyncFull
	}
	published, err := sync(ctx, views)
	answer := &asofv1.PublishResponse{}
	for _, v := range views {
		if !v.Online {
			continue
		}
		done, ok := published[v.Name]
		if ok {
			s.monitor.Published(v.Name, done.Keys)
		}
		answer.Views = append(answer.Views, &asofv1.PublishedView{View: v.Name, Keys: done.Keys, Rebuilt: done.Rebuilt, Waits: !ok})
	}
	if err := errors.Join(err, s.refit(context.WithoutCancel(ctx))); err != nil {
		return nil, err
	}
	return answer, nil
}

// Materialize runs views and tells how it goes. One call at a time is served, beside the runs of the scheduler, so that memory is bounded.
func (s admin) Materialize(req *asofv1.MaterializeRequest, stream grpc.ServerStreamingServer[asofv1.MaterializeResponse]) error {
	if c := req.GetChunkMicros(); c < 0 || c > math.MaxInt64/int64(time.Microsecond) {
		return feature.Errorf(feature.ErrInvalid, "chunk_micros %d is no length of time: give 0 or more", c)
	}
	if !s.running.TryLock() {
		return feature.Errorf(feature.ErrUnavailable, "the server runs what somebody else has asked for: wait for that to end and try again")
	}
	defer s.running.Unlock()
	model, err := s.p.applied()
	if err != nil {
		return err
	}
	views, err := viewsOf(model, req.GetViews())
	if err != nil {
		return err
	}
	request := materialize.Request{Chunk: time.Duration(req.GetChunkMicros()) * time.Microsecond, NewestFirst: req.GetNewestFirst()}
	if req.FromMicros != nil {
		from := feature.Time(req.GetFromMicros())
		request.From = &from
	}
	if req.ToMicros != nil {
		to := feature.Time(req.GetToMicros())
		request.To = &to
	}
	run := &runStream{stream: stream}
	engine := *s.engine
	engine.Runs = s.p.runLog(s.monitor.Ran).By(materialize.ByCommand, 1)
	engine.Memory /= int64(s.p.settings.Scheduling.RunsMax)
	engine.Report = run
	results, runErr := engine.Run(stream.Context(), views, request)
	for _, r := range results {
		s.p.a.noteUncompacted(r)
		s.monitor.Published(r.View, r.Published.Keys)
		run.send(&asofv1.MaterializeResponse{Event: &asofv1.MaterializeResponse_Result{Result: &asofv1.MaterializedView{
			View: r.View, Summary: resultText(r), Rows: r.Rows, Keys: r.Published.Keys, WatermarkMicros: int64(r.Watermark), RunId: r.RunID}}})
	}
	if err := s.refit(context.WithoutCancel(stream.Context())); err != nil {
		return err
	}
	return runErr
}

// runStream tells a client of the progress of a run.
type runStream struct {
	mu     sync.Mutex // a stream takes one message at a time
	stream grpc.ServerStreamingServer[asofv1.MaterializeResponse]
}

// send sends a message. That the client is gone ends the run by its context.
func (r *runStream) send(m *asofv1.MaterializeResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.stream.Send(m)
}

// Start tells of a task; materialize.Reporter.
func (r *runStream) Start(task string, rows int64) materialize.Progress {
	t := &runTask{run: r, task: task, total: rows}
	t.tell(false)
	return t
}

// runTask is the progress of a task of a run.
type runTask struct {
	run   *runStream
	task  string
	total int64
	rows  atomic.Int64
	told  atomic.Int64 // the second of the last message
	ended atomic.Bool
}

// Add notes rows, and tells of them every second.
func (t *runTask) Add(rows int64) {
	t.rows.Add(rows)
	now, told := time.Now().Unix(), t.told.Load()
	if now > told && t.told.CompareAndSwap(told, now) {
		t.tell(false)
	}
}

// Done tells of the end.
func (t *runTask) Done(string) {
	if !t.ended.Swap(true) {
		t.tell(true)
	}
}

// Fail is Done of a task that failed: the error comes at the end of the run.
func (t *runTask) Fail() { t.Done("") }

func (t *runTask) tell(done bool) {
	t.run.send(&asofv1.MaterializeResponse{Event: &asofv1.MaterializeResponse_Progress{
		Progress: &asofv1.Progress{Task: t.task, Rows: t.rows.Load(), Total: t.total, Done: done}}})
}
