package restore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// ThrowAway makes a request a practice run: names that nobody else has, one web process, exact verification unless told
// otherwise, and, unless open is set, a network that lets nothing out.
func (r Request) ThrowAway(service string, app string, open bool) Request {
	var random [3]byte
	rand.Read(random[:])
	name := "-practice-" + hex.EncodeToString(random[:])
	r.Practice, r.Service = true, service+name
	if app != "" {
		r.App, r.From = app+name, app
	}
	if !open {
		r.Network = r.Service
	}
	return r
}

// cleanUpWait is how long cleaning up may take after a practice run that was interrupted.
const cleanUpWait = 5 * time.Minute

// Practise is Run under throw-away names. Whatever comes of it, what it made is removed; the report says what could not be,
// and its journal then stays for a later CleanUp. With keep nothing is removed unless the run was interrupted.
func Practise(ctx context.Context, job *Job, keep bool) (*backup.Report, error) {
	report, err := Run(ctx, job)
	if keep && ctx.Err() == nil {
		job.Journal.Kept = true
		return report, errors.Join(err, job.Journal.save(), job.Journal.Close())
	}
	job.Report.Step("Cleaning up")
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpWait)
	defer cancel()
	if left := Abort(cleaning, job); left != nil {
		report.Left = append(report.Left, left.Error())
		return report, errors.Join(err, left, job.Journal.Close())
	}
	return report, err
}
