package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// keepLogs is how many runs of a service have a log.
const keepLogs = 100

// logSuffix ends the name of a log; before it stand the id of a run's backup and, of a practice run, practiceSuffix.
const (
	logSuffix      = ".log"
	practiceSuffix = ".practice"
)

// logsDir is where the logs of runs are, a file a run.
func (p *program) logsDir() string { return filepath.Join(p.host.LogsDir, "backup") }

// beginLog writes what is printed from now on to the log of that name too. Without room or permission there is none, and the run goes on.
func (p *program) beginLog(name, heading string) {
	p.endLog()
	err := os.MkdirAll(p.logsDir(), 0o750)
	if err == nil {
		p.log, err = os.OpenFile(filepath.Join(p.logsDir(), name+logSuffix), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	}
	if err != nil {
		p.log = nil
		p.ui.Warn("this run has no log: %v", err)
		return
	}
	p.ui.Log(p.log)
	p.logLine("%s", heading)
	forgetLogs(p.logsDir(), backup.ID(strings.TrimSuffix(name, practiceSuffix)).Service())
}

// logLine writes a line to the log alone.
func (p *program) logLine(format string, args ...any) {
	if p.log != nil {
		fmt.Fprintf(p.log, "%s %s\n", time.Now().Format(time.RFC3339), fmt.Sprintf(format, args...))
	}
}

func (p *program) endLog() {
	if p.log != nil {
		p.ui.Log(nil)
		_ = p.log.Close() // it was written to as far as that went
		p.log = nil
	}
}

// forgetLogs removes the oldest logs of a service. Where that fails they stay.
func forgetLogs(dir, service string) {
	names := logsOf(dir, service)
	for _, old := range names[min(len(names), keepLogs):] {
		_ = os.Remove(filepath.Join(dir, old))
	}
}

// logsOf names the logs of a service, newest first; "" means of all.
func logsOf(dir, service string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		id, err := backup.ParseID(strings.TrimSuffix(strings.TrimSuffix(e.Name(), logSuffix), practiceSuffix))
		if err == nil && (service == "" || id.Service() == service) {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return strings.Compare(logTime(b), logTime(a))
	})
	return names
}

// logTime orders logs: by the time of their backup, a practice run after it.
func logTime(name string) string {
	id := strings.TrimSuffix(strings.TrimSuffix(name, logSuffix), practiceSuffix)
	return id[strings.LastIndexByte(id, '-')+1:] + name
}

func (p *program) logsCommand() *cli.Command {
	return &cli.Command{
		Name: "logs", ArgsUsage: "[<id or service>]", Usage: "Show the log of a run or of the newest one",
		Description: fmt.Sprintf(`Shows what a run printed, with times: that of an id, or the newest of a service or of all. A run that failed has a log too.
The logs of the newest %d runs of each service are kept, in Dokku's folder for logs.`, keepLogs),
		UsageText: "dokku backup:logs happycows-db\ndokku backup:logs happycows-db-20261121T074700Z",
		Action:    p.logs,
	}
}

func (p *program) logs(c *cli.Context) error {
	name, err := argument(c)
	if err != nil {
		return err
	}
	var files []string
	if _, err := backup.ParseID(name); err == nil {
		files = []string{name + logSuffix, name + practiceSuffix + logSuffix}
	} else {
		name = name[strings.IndexByte(name, ':')+1:]
		files = logsOf(p.logsDir(), name)
		files = files[:min(1, len(files))]
	}
	shown := 0
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(p.logsDir(), file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		shown++
		p.print("%s", strings.TrimSuffix(string(text), "\n"))
	}
	if shown > 0 {
		return nil
	}
	message := "no run has left a log yet"
	if name != "" {
		message = fmt.Sprintf("there is no log of %q", name)
	}
	return &backup.Problem{Message: message, Hints: []string{"see all backups and failed runs: dokku backup:list"}}
}
