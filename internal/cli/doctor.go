package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/health"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/schedule"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

func (p *program) doctorCommand() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "Check this host and say how to mend what is wrong",
		Description: `Looks at all that backups depend on: Dokku and Docker, permissions, the services, room on the disk against growth, the clock, cron, stores,
the key, retention, practice runs and notifications. Below each thing that is wrong stands a command that mends it. It changes nothing.
Ends with 3 when anything is wrong.`,
		UsageText: "dokku backup:doctor\ndokku backup:doctor --format json",
		Flags:     []cli.Flag{formatFlag()},
		Action:    p.doctor,
	}
}

// finding is what one check found.
type finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	What  string `json:"found"`
	Do    string `json:"do,omitempty"` // a command to paste
}

// examination is what the checks look at.
type examination struct {
	*program
	ctx      context.Context
	now      time.Time
	health   *health.Health
	findings []finding
}

func (x *examination) fine(check, format string, args ...any) {
	x.findings = append(x.findings, finding{Check: check, OK: true, What: fmt.Sprintf(format, args...)})
}

func (x *examination) wrong(check, do, format string, args ...any) {
	x.findings = append(x.findings, finding{Check: check, What: fmt.Sprintf(format, args...), Do: do})
}

func (p *program) doctor(c *cli.Context) error {
	asJSON, err := wantsJSON(c)
	if err != nil {
		return err
	}
	if c.NArg() > 0 {
		return usage(c.Command, "takes no argument")
	}
	x := &examination{program: p, ctx: c.Context, now: time.Now()}
	x.dokku()
	x.docker()
	x.permissions()
	if x.health, err = p.assess(c.Context, ""); err != nil {
		x.wrong("backups", "", "how they stand cannot be told: %s", repository.Told(err).Message)
		x.health = &health.Health{}
	}
	for _, check := range []func(){x.services, x.disk, x.clock, x.cron, x.askStores, x.key, x.rules, x.practice, x.notifications, x.backups} {
		check()
	}
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	if asJSON {
		err = p.printJSON(x.findings)
	} else {
		p.printFindings(x.findings)
	}
	if err == nil && slices.ContainsFunc(x.findings, func(f finding) bool { return !f.OK }) {
		err = warnings{}
	}
	return err
}

func (p *program) printFindings(all []finding) {
	for _, f := range all {
		sign := " ok   "
		if !f.OK {
			sign = " !    "
		}
		p.print("%s%-14s %s", sign, f.Check, f.What)
		if f.Do != "" {
			p.print("%21s%s", "", f.Do)
		}
	}
}

func (x *examination) dokku() {
	v, err := x.host.Version(x.ctx)
	if err != nil {
		x.wrong("dokku", strings.Join(repository.Told(err).Hints, "; "), "%s", repository.Told(err).Message)
		return
	}
	x.fine("dokku", "%s, plugin %s", v, version)
}

func (x *examination) docker() {
	v, err := x.host.EngineVersion(x.ctx)
	if err != nil {
		x.wrong("docker", "systemctl status docker", "its engine does not answer: %s", repository.Told(err).Message)
		return
	}
	x.fine("docker", "%s", v)
}

// permissions sees that only the user that runs this can read what is kept, and that it can write.
func (x *examination) permissions() {
	data := x.host.DataDir()
	info, err := os.Stat(data)
	if err != nil {
		x.wrong("permissions", "dokku plugin:install # as root; it makes the folder", "%s cannot be opened: %v", data, err)
		return
	}
	found := len(x.findings)
	if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Geteuid() {
		x.wrong("permissions", "chown --recursive dokku:dokku "+data+" # as root", "%s belongs to user %s, not to %s, who makes backups", data, userName(int(owner)), userName(os.Geteuid()))
	}
	for _, path := range []string{x.keyPath(), x.repositoryPath()} {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
			x.wrong("permissions", "chmod go= "+path+" # as root", "%s can be read by others", path)
		}
	}
	for _, folder := range []string{data, x.repositoryPath(), x.logsDir()} {
		if err := unix.Access(folder, unix.W_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
			x.wrong("permissions", "chown --recursive dokku:dokku "+folder+" # as root", "%s takes no files: %v", folder, err)
		}
	}
	if len(x.findings) == found {
		x.fine("permissions", "only user %s reads what is kept in %s", userName(os.Geteuid()), data)
	}
}

// userName is the name of a user, or the number of one that has none.
func userName(id int) string {
	if u, err := user.LookupId(strconv.Itoa(id)); err == nil {
		return u.Username
	}
	return strconv.Itoa(id)
}

// services sees that all services run, since one that is stopped cannot be backed up, and on the image of their newest backup.
func (x *examination) services() {
	all, err := x.host.Services(x.ctx)
	if err != nil {
		x.wrong("services", "", "%s", repository.Told(err).Message)
		return
	}
	all = slices.DeleteFunc(all, func(s dokku.Service) bool { return s.Type != "postgres" })
	infos := make([]dokku.ServiceInfo, len(all))
	failed := make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(4)
	for i, s := range all {
		group.Go(func() error {
			infos[i], failed[i] = x.host.Info(x.ctx, s)
			return nil
		})
	}
	_ = group.Wait()
	images := map[string]int{}
	for i, s := range all {
		switch {
		case failed[i] != nil:
			x.wrong("services", "", "%s: %s", s, repository.Told(failed[i]).Message)
		case !infos[i].Running():
			x.wrong("services", fmt.Sprintf("dokku %s:start %s", s.Type, s.Name), "%s is stopped: no backup of it can be made", s)
		default:
			images[infos[i].Image]++
		}
	}
	var engines []string
	for image, n := range images {
		engines = append(engines, fmt.Sprintf("%d on %s", n, image))
	}
	slices.Sort(engines)
	if len(all) == 0 {
		x.fine("services", "none that can be backed up")
	} else if len(engines) > 0 {
		x.fine("services", "running: %s", strings.Join(engines, ", "))
	}
}

// fullSoon is how many days the disk should last.
const fullSoon = 14

// disk compares the room that is left with how backups have grown in the last month.
func (x *examination) disk() {
	free, err := x.host.FreeSpace()
	if err != nil {
		x.wrong("disk", "", "%v", err)
		return
	}
	perDay, largest := x.growth()
	room := "dokku backup:retention --global --keep-daily 14 --keep-weekly 8, then: dokku backup:prune --dry-run"
	switch days := int64(0); {
	case free < largest:
		x.wrong("disk", room, "%s free, and a backup that shares nothing with earlier ones takes up to %s", ui.Bytes(free), ui.Bytes(largest))
	case perDay == 0:
		x.fine("disk", "%s free", ui.Bytes(free))
	default:
		if days = free / perDay; days < fullSoon {
			x.wrong("disk", room, "%s free, and backups add %s a day: it is full in %s", ui.Bytes(free), ui.Bytes(perDay), ui.Plural(int(days), "day"))
			return
		}
		x.fine("disk", "%s free, backups add %s a day: it lasts %s", ui.Bytes(free), ui.Bytes(perDay), longTime(days))
	}
}

func longTime(days int64) string {
	if days > 3*365 {
		return "years"
	}
	return fmt.Sprintf("%d days", days)
}

// growth is how many bytes backups added a day, in the last 30 days or since the first of them, and the most that the newest backup of a
// service holds.
func (x *examination) growth() (perDay, largest int64) {
	month := x.now.AddDate(0, 0, -30)
	oldest, sum := x.now, int64(0)
	for _, s := range x.health.Services {
		for _, l := range s.Lines {
			if l.Failed != "" || l.CreatedAt.Before(month) {
				continue
			}
			sum += l.New
			largest = max(largest, l.New)
			if l.CreatedAt.Before(oldest) {
				oldest = l.CreatedAt
			}
		}
	}
	days := int64(x.now.Sub(oldest)/(24*time.Hour)) + 1
	return sum / days, largest
}

// clock asks the kernel whether something keeps its clock right, and looks for backups from the future.
func (x *examination) clock() {
	for _, s := range x.health.Services {
		for _, l := range s.Lines {
			if ahead := l.CreatedAt.Sub(x.now); ahead > time.Minute {
				x.wrong("clock", "timedatectl", "%s is from the future: the clock was wrong then, or is wrong now (%s)", l.ID, ui.Time(x.now))
				return
			}
		}
	}
	var timex unix.Timex
	state, err := unix.Adjtimex(&timex)
	switch {
	case err != nil:
		x.fine("clock", "%s; whether something keeps it right is not known here", ui.Time(x.now))
	case state == unix.TIME_ERROR || timex.Status&unix.STA_UNSYNC != 0:
		x.wrong("clock", "timedatectl set-ntp true # as root", "nothing keeps it right (the kernel says that it is not synchronized): schedules and ages depend on it")
	default:
		x.fine("clock", "synchronized, %s", ui.Time(x.now))
	}
}

// askStores asks each store what it has.
func (x *examination) askStores() {
	all, err := x.stores().All()
	if err != nil {
		x.wrong("stores", "", "%s", repository.Told(err).Message)
		return
	}
	if len(all) == 0 {
		x.wrong("stores", "dokku backup:store-add NAME URL", "none: backups are on this host alone, and go with it")
		return
	}
	for _, r := range all {
		state, err := x.storeState(x.ctx, r)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			x.fine("stores", "%s waits for the first backup", r.Name)
		case err != nil:
			x.wrong("stores", "dokku backup:store-check "+r.Name, "%s: %s", r.Name, repository.Told(err).Message)
		case state.State == "unreachable":
			x.wrong("stores", "dokku backup:store-check "+r.Name, "%s cannot be reached: %s", r.Name, state.Why)
		case state.State == "behind":
			x.wrong("stores", "dokku backup:sync "+r.Name, "%s lacks %s", r.Name, ui.Plural(state.Behind, "backup"))
		default:
			x.fine("stores", "%s holds %s, %s", r.Name, ui.Plural(state.Backups, "backup"), ui.Bytes(state.Bytes))
		}
	}
}

// key tells whether the recovery kit of the present keys was ever shown. Whether it is kept elsewhere only a person knows.
func (x *examination) key() {
	repo, err := x.openRepository(x.ctx)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		x.fine("key", "is made with the first backup")
		return
	}
	if err != nil {
		x.wrong("key", "", "%s", repository.Told(err).Message)
		return
	}
	shown, at := x.kitShown()
	switch {
	case repo.Sealed():
		x.fine("key", "is not on this host, which is sealed")
	case shown != repo.CheckWord():
		x.wrong("key", "dokku backup:key", "it is on this host alone, as far as is known: without it no copy of the backups can be read")
	default:
		x.fine("key", "the recovery kit was shown on %s; that it is kept elsewhere only you can know", at.Local().Format("2006-01-02"))
	}
}

// practiceEvery is how old the last practice run should be at most.
const practiceEvery = 92 * 24 * time.Hour

// practice sees that restores were tried.
func (x *examination) practice() {
	practised := 0
	for _, s := range x.health.Services {
		if s.Newest == "" {
			continue
		}
		i := slices.IndexFunc(s.Lines, func(l health.Line) bool { return l.Practised != nil })
		switch {
		case i < 0:
			x.wrong("practice", "dokku backup:practice "+s.Bare(), "a restore of %s was never tried", s.Bare())
		case !s.Lines[i].Practised.Passed:
			x.wrong("practice", "dokku backup:practice "+s.Bare(), "the last one of %s failed: %s", s.Bare(), ui.FirstWords(s.Lines[i].Practised.Failed))
		case x.now.Sub(s.Lines[i].Practised.Started) > practiceEvery:
			x.wrong("practice", "dokku backup:schedule "+s.Bare()+" monthly --practice", "the last one of %s is %s old", s.Bare(), ui.Age(x.now.Sub(s.Lines[i].Practised.Started)))
		default:
			practised++
		}
	}
	if practised > 0 {
		x.fine("practice", "of %s in the last three months", ui.Plural(practised, "service"))
	}
}

// backups says how many problems status has.
func (x *examination) backups() {
	problems := 0
	for _, s := range x.health.Services {
		problems += len(s.Problems)
	}
	if problems > 0 {
		x.wrong("backups", "dokku backup:status", "%s", ui.Plural(problems, "problem"))
	} else {
		x.fine("backups", "%s as they should be", ui.Plural(len(x.health.Services), "service"))
	}
}

// cron sees that every service has a schedule, and that cron calls them.
func (x *examination) cron() {
	all, err := x.schedules().All()
	if err != nil {
		x.wrong("schedules", "", "%s", repository.Told(err).Message)
		return
	}
	backups := 0
	for _, s := range x.health.Services {
		regular := slices.ContainsFunc(all, func(one schedule.Schedule) bool { return one.Service == s.Service && !one.Practice })
		switch {
		case !regular:
			x.wrong("schedules", "dokku backup:schedule "+s.Bare()+" daily", "nothing backs up %s by itself", s.Bare())
		case s.Off:
			x.wrong("schedules", "dokku backup:set "+s.Bare()+" automatic on", "those of %s are switched off", s.Bare())
		default:
			backups++
		}
	}
	if minutes, err := x.crontabMinutes(x.now); err != nil || minutes == "" {
		return
	}
	beat, err := x.schedules().Heartbeat()
	switch {
	case !x.called(x.ctx):
		x.wrong("cron", "dokku plugin:trigger scheduler-cron-write # as root", "nothing happens by itself: this user's crontab has no line for this plugin")
	case x.cronSilent(x.now) != "":
		x.wrong("cron", "systemctl status cron", "%s", x.cronSilent(x.now))
	case err != nil || beat.IsZero():
		x.fine("cron", "is told to look at the schedules of %s", ui.Plural(backups, "service"))
	default:
		x.fine("cron", "looked at the schedules of %s %s ago", ui.Plural(backups, "service"), ui.Age(x.now.Sub(beat)))
	}
}

// notifications sees that somebody is told when backups fail.
func (x *examination) notifications() {
	receivers, err := x.receivers()
	if err != nil {
		x.wrong("notifications", "", "%s", repository.Told(err).Message)
		return
	}
	failing := x.receiversFailing()
	for _, name := range failing {
		x.wrong("notifications", "dokku backup:notify-test "+name, "%s could not be told the last time", name)
	}
	switch {
	case len(receivers) == 0:
		x.wrong("notifications", "dokku backup:notify-add NAME URL", "nobody is told when a backup fails")
	case len(failing) == 0:
		x.fine("notifications", "%s", ui.Plural(len(receivers), "receiver"))
	}
}

// rules sees that backups do not pile up.
func (x *examination) rules() {
	with, without := 0, []string{}
	for _, s := range x.health.Services {
		r, err := x.program.rules().Of(s.Bare(), here)
		switch {
		case err != nil:
			x.wrong("retention", "dokku backup:retention "+s.Bare(), "%s: %s", s.Bare(), repository.Told(err).Message)
		case r.None() && r.Owner == "" && s.Backups > 0:
			without = append(without, s.Bare())
		default:
			with++
		}
	}
	if len(without) > 0 {
		x.wrong("retention", "dokku backup:retention --global --keep-last 7 --keep-daily 14 --keep-weekly 8 --keep-monthly 12",
			"every backup of %s is kept for ever", strings.Join(without, ", "))
	} else if with > 0 {
		x.fine("retention", "is set")
	}
}
