package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/dokku-backup/dokku-backup/internal/schedule"
)

// crontabCommand is what Dokku's crontab calls. It goes through the dokku program, since cron's environment is bare.
const crontabCommand = "dokku backup:schedule-run --log"

// systemCrontab is written by the plugin's install trigger, as root, where Dokku writes no crontab because k3s alone runs its apps.
const systemCrontab = "/etc/cron.d/dokku-backup"

// printCrontabLine prints what the trigger cron-entries gives to Dokku, nothing when nothing is to be done regularly. The line names no
// log file: a shell that cannot open one would not run the command.
func (p *program) printCrontabLine() error {
	minutes, err := p.crontabMinutes(time.Now())
	if err == nil && minutes != "" {
		fmt.Fprintf(p.stdout, "%s * * * *;%s\n", minutes, crontabCommand)
	}
	return err
}

// crontabMinutes is the minute field of the crontab's line. Schedules that cannot be read may be due at any minute.
func (p *program) crontabMinutes(now time.Time) (string, error) {
	all, err := p.schedules().All()
	if err != nil {
		p.ui.Warn("%v", err)
		return "*", nil
	}
	timings := make([]schedule.Timing, 0, len(all))
	for _, s := range all {
		timing, err := s.Timing()
		if err != nil {
			p.ui.Warn("%v", err)
			continue
		}
		timings = append(timings, timing)
	}
	if len(all) == 0 {
		if needed, err := p.looksAround(); err != nil || !needed {
			return "", err
		}
	}
	return schedule.Minutes(timings, time.Local, now), nil
}

// looksAround tells whether something is to be done every hour even without a schedule: stores are sent what they lack, somebody is to be
// told, or figures are written.
func (p *program) looksAround() (bool, error) {
	stores, err := p.stores().Addressed()
	if err != nil || len(stores) > 0 {
		return true, nil
	}
	receivers, err := p.receivers()
	if err != nil || len(receivers) > 0 {
		return true, nil // one that cannot be read may be there to be told
	}
	file, err := p.hostSetting("metrics-file")
	return file != "", err
}

// hourlyChanged lets Dokku write its crontab anew, after a change of what is to be done every hour. Whether cron calls this program doctor tells.
func (p *program) hourlyChanged(ctx context.Context) {
	if err := p.host.WriteCrontab(ctx); err != nil && !errors.Is(err, exec.ErrNotFound) {
		p.ui.Warn("%v", err)
	}
}

// refreshCrontab lets Dokku write its crontab anew, after a change of what is to be done regularly, and looks whether the line is there.
func (p *program) refreshCrontab(ctx context.Context) error {
	minutes, err := p.crontabMinutes(time.Now())
	if err != nil {
		return err
	}
	if err := p.host.WriteCrontab(ctx); err != nil {
		p.ui.Warn("%v", err)
	}
	if minutes == "" || p.called(ctx) {
		return nil
	}
	p.ui.Warn("nothing happens by itself yet: Dokku's crontab has no line for this plugin")
	p.ui.Warn("where k3s runs all apps, let the plugin write %s, as root: dokku plugin:install", systemCrontab)
	p.ui.Warn("or see what Dokku says to: plugn trigger scheduler-cron-write")
	return warnings{}
}

// called tells whether cron calls this program, as far as that can be seen.
func (p *program) called(ctx context.Context) bool {
	if _, err := os.Stat(systemCrontab); err == nil {
		return true
	}
	crontab, known := p.host.Crontab(ctx)
	return !known || strings.Contains(crontab, " "+crontabCommand)
}
