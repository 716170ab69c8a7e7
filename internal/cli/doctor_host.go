package cli

import (
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

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dokku-backup/dokku-backup/internal/dokku"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/ui"
)

// The checks of doctor that are about the host.

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
