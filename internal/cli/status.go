package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "Show for each service its newest good backup and its problems",
		Description: `One line a service: its newest good backup, when one was last verified and practised, and what is wrong. Ends with 3 when anything is.`,
		UsageText:   "dokku backup:status\ndokku backup:status --format json",
		Flags:       []cli.Flag{formatFlag()},
		Action:      p.status,
	}
}

// serviceStatus is the line of one service.
type serviceStatus struct {
	Service   string    `json:"service"`
	Newest    backup.ID `json:"newest_good,omitempty"`
	At        time.Time `json:"newest_good_at,omitzero"`
	Backups   int       `json:"backups"`
	Verified  string    `json:"verified"`
	Practised string    `json:"practised"`
	Stores    []string  `json:"stores"` // that have the newest good backup
	Problems  []string  `json:"problems"`
}

func (p *program) status(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	if c.NArg() > 0 {
		return usage(c.Command, "takes no argument")
	}
	lines, err := p.lines(c.Context, here, "")
	if err != nil {
		return err
	}
	all, err := p.statusOf(c, lines)
	if err != nil {
		return err
	}
	ok := !slices.ContainsFunc(all, func(s serviceStatus) bool { return len(s.Problems) > 0 })
	if asJSON {
		err = p.printJSON(all)
	} else {
		err = p.printStatus(all)
	}
	if err == nil && !ok {
		err = warnings{}
	}
	return err
}

// statusOf sums up the lines of each service; services that have none are problems too.
func (p *program) statusOf(c *cli.Context, lines []line) ([]serviceStatus, error) {
	services, err := p.host.Services(c.Context)
	if err != nil {
		return nil, err
	}
	byService := map[string][]line{}
	var names []string
	for _, s := range services {
		if s.Type == "postgres" {
			names = append(names, s.String())
		}
	}
	for _, l := range lines {
		byService[l.Service] = append(byService[l.Service], l)
		names = append(names, l.Service)
	}
	records, _, err := p.journals().Unfinished()
	if err != nil {
		return nil, err
	}
	unfinished := map[string]bool{} // service -> of a practice run
	for _, r := range records {
		unfinished[r.Request.Service] = r.Request.Practice
	}
	slices.Sort(names)
	all := []serviceStatus{}
	for _, name := range slices.Compact(names) {
		bare := name[strings.IndexByte(name, ':')+1:]
		practice, open := unfinished[bare]
		if practice {
			continue
		}
		s := summarize(name, byService[name])
		if open {
			s.Problems = []string{fmt.Sprintf("not proven: a restore into it has not finished (dokku backup:restore --resume %[1]s, or --abort %[1]s)", bare)}
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b serviceStatus) int { return min(len(b.Problems), 1) - min(len(a.Problems), 1) })
	return all, nil
}

// summarize looks at a service's lines, newest first.
func summarize(name string, lines []line) serviceStatus {
	s := serviceStatus{Service: name, Verified: "never", Practised: "never", Stores: []string{}, Problems: []string{}}
	failed, why := 0, ""
	for _, l := range lines {
		if l.Failed != "" {
			if s.Newest == "" {
				if failed++; failed == 1 {
					why = l.Failed
				}
			}
			continue
		}
		s.Backups++
		if l.Verified != nil && !l.Verified.OK() {
			s.Problems = append(s.Problems, fmt.Sprintf("%s is damaged", l.ID))
			continue
		}
		if s.Newest == "" {
			s.Newest, s.At, s.Stores = l.ID, l.CreatedAt, append(s.Stores, here)
			for _, state := range l.Stores {
				if state.Confirmed.IsZero() {
					s.Problems = append(s.Problems, fmt.Sprintf("not at %s (dokku backup:sync %[1]s)", state.Store))
				} else {
					s.Stores = append(s.Stores, state.Store)
				}
			}
			if len(l.Warnings) > 0 {
				s.Problems = append(s.Problems, l.Warnings...)
			}
		}
		if l.Verified != nil && s.Verified == "never" {
			s.Verified = ui.Age(time.Since(l.Verified.At)) + " ago"
		}
		if l.Practised != nil && s.Practised == "never" {
			if !l.Practised.Passed {
				s.Practised = "FAILED"
				s.Problems = append(s.Problems, fmt.Sprintf("practice of %s failed: %s", l.ID, firstWords(l.Practised.Failed)))
				continue
			}
			s.Practised = ui.Age(time.Since(l.Practised.Started)) + " ago, " + took(l.Practised.RTO)
		}
	}
	if failed > 0 {
		s.Problems = append(s.Problems, fmt.Sprintf("%s failed since: %s", count(failed, "run"), why))
	}
	if s.Newest == "" {
		s.Problems = append(s.Problems, "no good backup")
	}
	return s
}

func (p *program) printStatus(all []serviceStatus) error {
	if len(all) == 0 {
		p.print("No services that can be backed up, and no backups.")
		return nil
	}
	rows := [][]string{{"     ", "SERVICE", "NEWEST GOOD", "BACKUPS", "STORES", "VERIFIED", "PRACTISED", "PROBLEMS"}}
	for _, s := range all {
		sign, newest, problems := " ok  ", "none", "-"
		if s.Newest != "" {
			newest = ui.Age(time.Since(s.At))
		}
		if len(s.Problems) > 0 {
			sign, problems = " !   ", strings.Join(s.Problems, "; ")
		}
		rows = append(rows, []string{sign, s.Service, newest, fmt.Sprint(s.Backups), strings.Join(s.Stores, ", "), s.Verified, s.Practised, problems})
	}
	return ui.Table(p.stdout, rows)
}
