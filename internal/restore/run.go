package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// run is one run of a job, the first one or one that goes on.
type run struct {
	*Job
	opened Server
}

// record is the report so far.
func (r *run) record() *backup.Report { return &r.Journal.Report }

func (r *run) warn(format string, args ...any) {
	warning := fmt.Sprintf(format, args...)
	r.Report.Warn("%s", warning)
	if !slices.Contains(r.record().Warnings, warning) {
		r.record().Warnings = append(r.record().Warnings, warning)
	}
}

// server is the new service's, opened when it is needed first: a run that goes on may begin with any step.
func (r *run) server(ctx context.Context) (Server, error) {
	var err error
	if r.opened == nil {
		r.opened, err = r.Services.Open(ctx, r.Request.Service)
	}
	return r.opened, err
}

// Run does all steps. When a gate does not open it stops there: the error says what was left, and how to go on.
func Run(ctx context.Context, job *Job) (*backup.Report, error) {
	r := &run{Job: job}
	*r.record() = backup.Report{
		Backup: job.Backup, Practice: job.Practice, Service: job.Request.Service, App: job.App, Started: job.Journal.Started,
		RPO: job.Journal.Started.Sub(job.Manifest.CreatedAt).Milliseconds(), Sealed: job.Network != "", Steps: []backup.Timing{},
	}
	return r.from(ctx, stepCheck)
}

// Resume goes on where a run stopped or was killed. Making a service and loading it go together, and so do making an app, its
// code and its link: where one of them is not known to have ended well, it begins with the first again.
func Resume(ctx context.Context, job *Job) (*backup.Report, error) {
	at := job.Journal.Step
	switch at {
	case "":
		return Run(ctx, job)
	case stepLoad:
		at = stepCreate
	case stepCode, stepLink:
		at = stepApp
	}
	return (&run{Job: job}).from(ctx, at)
}

// from does the steps from the named one on.
func (r *run) from(ctx context.Context, name string) (*backup.Report, error) {
	steps := r.steps()
	first := slices.IndexFunc(steps, func(s step) bool { return s.name == name })
	if first < 0 {
		return nil, fmt.Errorf("the journal names a step %q that this version does not know", name)
	}
	r.record().Steps = slices.DeleteFunc(r.record().Steps, func(t backup.Timing) bool {
		return slices.ContainsFunc(steps[first:], func(s step) bool { return s.name == t.Step })
	})
	for i := first; i < len(steps); i++ {
		if err := r.do(ctx, steps[i], i+1, len(steps)); err != nil {
			return r.record(), err
		}
	}
	report := *r.record()
	return &report, nil
}

// do does one step, and writes it down before and after.
func (r *run) do(ctx context.Context, s step, n, of int) error {
	r.Journal.Step, r.Journal.Failed = s.name, ""
	if err := r.Journal.save(); err != nil {
		return err
	}
	if s.name != stepReport {
		r.Report.Step("%d/%d %s", n, of-1, s.doing)
	}
	began := time.Now()
	err := s.do(r, ctx)
	if err == nil {
		r.took(s.name, time.Since(began))
		return r.Journal.save()
	}
	if ctx.Err() != nil {
		return r.left(s, err) // as after a kill: the step may be half done
	}
	report := r.record()
	report.Failed, report.Finished = fmt.Sprintf("%s: %s", s.name, err), time.Now().UTC()
	r.Journal.Failed = err.Error()
	return r.left(s, errors.Join(err, r.Journal.save()))
}

// took notes a step's time; with it grows the time from the start to the app's answer, or to proven data.
func (r *run) took(name string, took time.Duration) {
	if name == stepReport || name == stepMove {
		return
	}
	report := r.record()
	report.Steps = append(report.Steps, backup.Timing{Step: name, Took: took.Milliseconds()})
	report.RTO = 0
	for _, t := range report.Steps {
		report.RTO += t.Took
	}
}

// left adds to a failure what was left, and how to go on.
func (r *run) left(s step, err error) error {
	if r.Practice {
		return err
	}
	problem := &backup.Problem{Message: err.Error(), Err: err}
	var said *backup.Problem
	if errors.As(err, &said) {
		problem.Message, problem.Code = said.Message, said.Code
		problem.Hints = slices.Clone(said.Hints)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) { // which would be told as a create's
		problem.Message, problem.Err = "disk full: this host has no room left for the restore", nil
	}
	if s.name == stepCheck || s.name == stepCreate {
		if left := r.takeBack(); left == nil {
			problem.Hints = append(problem.Hints, "nothing was left behind")
			return problem
		}
	}
	problem.Hints = append(problem.Hints, r.state(s),
		"go on after mending:  dokku backup:restore --resume "+r.Request.Service,
		"or remove it:         dokku backup:restore --abort "+r.Request.Service)
	return problem
}

// state says what there is after a step failed.
func (r *run) state(s step) string {
	service := "service " + r.Request.Service
	switch s.name {
	case stepCheck, stepCreate:
		return service + " may be there in part"
	case stepLoad, stepVerify, stepScript:
		before := ""
		if r.App != "" {
			before = "stopped before the app was created. "
		}
		return before + service + " is kept for you to look at; it is not proven"
	case stepChecks:
		return service + " is kept for you to look at; no app was created"
	case stepMove:
		return fmt.Sprintf("%s and app %s are kept; %s goes on with its old service", service, r.App, r.Replace)
	}
	if r.Verify == None {
		return fmt.Sprintf("%s, whose data were not verified, and app %s are kept for you to look at", service, r.App)
	}
	return fmt.Sprintf("the data in %s is proven; app %s is kept for you to look at", service, r.App)
}

// takeBackWait is how long taking back may take when the run itself was interrupted.
const takeBackWait = 2 * time.Minute

// takeBack removes what a restore that had hardly begun made. The run's own context may have ended.
func (r *run) takeBack() error {
	ctx, cancel := context.WithTimeout(context.Background(), takeBackWait)
	defer cancel()
	return Abort(ctx, r.Job)
}

// How often Abort tries, and how long it waits in between: what a run had called when it was killed may still be at work.
const (
	abortTries = 4
	abortPause = 3 * time.Second
)

// Abort removes all that the restore made, and its journal in the end. It can be repeated.
func Abort(ctx context.Context, job *Job) error {
	if job.Replace != "" && job.Journal.Step == stepMove {
		if err := errors.Join(job.putBack(ctx), job.Apps.Build(ctx, job.Replace)); err != nil {
			return err
		}
	}
	for try := 1; ; try++ {
		err := job.remove(ctx)
		if err == nil || try == abortTries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(abortPause):
		}
	}
}

// remove is one try of Abort.
func (j *Job) remove(ctx context.Context) error {
	mark := j.Journal.Mark
	r := j.Journal.Request
	if r.App != "" {
		if err := j.Apps.Destroy(ctx, r.App, mark, j.Journal.Started); err != nil {
			return err
		}
	}
	if err := j.Services.Destroy(ctx, r.Service, mark); err != nil {
		return err
	}
	if r.Network != "" {
		if err := j.Services.RemoveNetwork(ctx, r.Network, mark); err != nil {
			return err
		}
	}
	left, err := j.Services.Leftovers(ctx, mark)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return &backup.Problem{
			Message: "this could not be removed: " + strings.Join(left, ", "),
			Hints:   []string{"try again: dokku backup:restore --abort " + r.Service},
		}
	}
	return j.Journal.Remove()
}
