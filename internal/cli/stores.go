package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dokku-backup/dokku-backup/internal/atomicfile"
	"github.com/dokku-backup/dokku-backup/internal/backup"
	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/store"
)

// here is the word for this host's own repository where a store is named.
const here = "here"

// readers is how many objects are asked for at once where nothing is sent: many of them are small, and a store elsewhere takes its time. How
// many large ones are held is for those who ask.
const readers = 16

// remote is a store that was added: what is kept of it in data/backup/stores/<name>/store.json. Its secrets are in a file beside that, sealed.
type remote struct {
	Name      string    `json:"-"`
	URL       string    `json:"url"`
	Added     time.Time `json:"added"`
	ReadOnly  bool      `json:"read_only,omitempty"` // this host reads it only
	Bandwidth int64     `json:"bandwidth,omitempty"` // bytes a second; 0: as much as there is
	Parallel  int       `json:"parallel,omitempty"`  // transfers at once; 0: as many as are usual
}

// kind is the store's kind in a word: sftp, s3, ...
func (r remote) kind() string {
	kind, _, _ := strings.Cut(r.URL, ":")
	return kind
}

// The files of a store.
const (
	remoteFile  = "store.json"
	secretsFile = "secrets"
	copyFile    = "copy.json" // what is remembered of it
)

func (p *program) remotePath(name string, file ...string) string {
	return filepath.Join(append([]string{p.host.DataDir(), "stores", name}, file...)...)
}

// remotes are the stores that were added, by name.
func (p *program) remotes() ([]remote, error) {
	entries, err := os.ReadDir(p.remotePath(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list stores: %w", err)
	}
	var all []remote
	for _, e := range entries {
		if !store.ValidName(e.Name()) {
			continue // one that is being added
		}
		r, err := p.remote(e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// remote is the store of this name; one that was not added is a *backup.Problem.
func (p *program) remote(name string) (remote, error) {
	r := remote{Name: name}
	text, err := []byte(nil), fs.ErrNotExist
	if store.ValidName(name) {
		text, err = os.ReadFile(p.remotePath(name, remoteFile))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return r, &backup.Problem{
			Message: fmt.Sprintf("there is no store %q", name),
			Hints:   []string{"see those that there are: dokku backup:store-list", "add it: dokku backup:store-add NAME URL"},
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read what is kept of store %q: %w", name, err)
	}
	return r, nil
}

// addressed are the stores that backups are sent to.
func (p *program) addressed() ([]remote, error) {
	all, err := p.remotes()
	return slices.DeleteFunc(all, func(r remote) bool { return r.ReadOnly }), err
}

// open connects the store, with the secrets that repo opens.
func (p *program) open(ctx context.Context, r remote, repo *repository.Repository) (*store.Store, error) {
	location, err := store.ParseLocation(r.URL)
	if err != nil {
		return nil, err
	}
	secrets, err := p.secretsOf(r.Name, repo)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, location, secrets, store.Options{Bandwidth: r.Bandwidth, Parallel: r.Parallel})
	if err != nil {
		return nil, ofStore(r.Name, err)
	}
	return s, nil
}

// secretsName binds secrets to their store.
func secretsName(name string) string { return "stores/" + name }

// secretsOf are what a store needs to log in.
func (p *program) secretsOf(name string, repo *repository.Repository) (map[string]string, error) {
	secrets := map[string]string{}
	sealed, err := os.ReadFile(p.remotePath(name, secretsFile))
	if err == nil {
		err = repo.Unseal(secretsName(name), sealed, &secrets)
	}
	if err != nil {
		return nil, &backup.Problem{
			Message: fmt.Sprintf("the secrets of store %q cannot be read", name),
			Hints:   []string{"give them again: remove the store, and add it once more; its backups stay"},
			Err:     err,
		}
	}
	return secrets, nil
}

// resealSecrets seals the secrets of all stores to the current keys.
func (p *program) resealSecrets(repo *repository.Repository) error {
	all, err := p.remotes()
	if err != nil {
		return err
	}
	for _, r := range all {
		secrets, err := p.secretsOf(r.Name, repo)
		if err != nil {
			return err
		}
		sealed, err := repo.Seal(secretsName(r.Name), secrets)
		if err != nil {
			return err
		}
		if err := atomicfile.Replace(p.remotePath(r.Name, secretsFile), sealed); err != nil {
			return err
		}
	}
	return nil
}

// mayWrite refuses where this host does not write: in a store that it only reads, or that another host writes to.
func (p *program) mayWrite(ctx context.Context, there *repository.Repository, name string) error {
	if name == here {
		return nil
	}
	r, err := p.remote(name)
	if err != nil {
		return err
	}
	if r.ReadOnly {
		return readOnly(r)
	}
	host, err := p.self()
	if err != nil {
		return err
	}
	if err := there.Claim(ctx, host); err != nil {
		return ofStore(name, told(err))
	}
	return nil
}

// readOnly is the problem of a store that another host writes to.
func readOnly(r remote) error {
	return &backup.Problem{
		Message: fmt.Sprintf("store %q is read only here: another host writes to it", r.Name),
		Hints:   []string{fmt.Sprintf("when that host is gone, take it over: dokku backup:store-add %s '%s' --take-over", r.Name, r.URL)},
	}
}

// ofStore says which store an error is of.
func ofStore(name string, err error) error {
	var problem *backup.Problem
	if errors.As(err, &problem) {
		told := *problem
		told.Message = fmt.Sprintf("store %q: %s", name, problem.Message)
		return &told
	}
	return fmt.Errorf("store %q: %w", name, err)
}

// repositoryAt opens the repository of this host, for "" or here, or the copy of it in the store of that name.
func (p *program) repositoryAt(ctx context.Context, name string) (*repository.Repository, error) {
	repo, err := p.openRepository(ctx)
	if name == "" || name == here || err != nil {
		return repo, err
	}
	r, err := p.remote(name)
	if err != nil {
		return nil, err
	}
	r.Parallel = max(r.Parallel, readers)
	s, err := p.open(ctx, r, repo)
	if err != nil {
		return nil, err
	}
	there, err := repo.OpenAt(ctx, s)
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(*backup.Problem)) {
		return nil, &backup.Problem{
			Message: fmt.Sprintf("store %q holds no backups yet", name), Hints: []string{"send them: dokku backup:sync " + name},
		}
	}
	if err != nil {
		return nil, ofStore(name, err)
	}
	return there, nil
}

// mirror is the copy in a store, ready for a sync. The caller closes the store.
func (p *program) mirror(ctx context.Context, r remote, repo *repository.Repository) (*repository.Mirror, *store.Store, error) {
	host, err := p.self()
	if err != nil {
		return nil, nil, err
	}
	remembered, err := p.remembered(r.Name)
	if err != nil {
		return nil, nil, err
	}
	s, err := p.open(ctx, r, repo)
	if err != nil {
		return nil, nil, err
	}
	return &repository.Mirror{
		From: repo, To: s, Host: host, Copy: remembered, Workers: cmp.Or(r.Parallel, store.DefaultParallel),
		Keep: func() error { return p.remember(r.Name, remembered) },
	}, s, nil
}

// remembered is what this host remembers of a store.
func (p *program) remembered(name string) (*repository.Copy, error) {
	c := &repository.Copy{}
	text, err := os.ReadFile(p.remotePath(name, copyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is remembered of store %q: %w", name, err)
	}
	if json.Unmarshal(text, c) != nil {
		return &repository.Copy{}, nil // a memory only: the store itself is asked again
	}
	return c, nil
}

func (p *program) remember(name string, c *repository.Copy) error {
	return atomicfile.ReplaceJSON(p.remotePath(name, copyFile), c)
}

// self is this host as stores know it. Its id is made at the first use.
func (p *program) self() (repository.Host, error) {
	path := filepath.Join(p.host.DataDir(), "host-id")
	id, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		id = []byte(rand.Text() + "\n")
		err = atomicfile.Replace(path, id)
	}
	if err != nil {
		return repository.Host{}, fmt.Errorf("read this host's id: %w", err)
	}
	return repository.Host{ID: strings.TrimSpace(string(id)), Name: hostname(), Since: time.Now().UTC().Truncate(time.Second)}, nil
}

// holdStore waits until no other run writes to a store, and keeps others out until release is called.
func (p *program) holdStore(ctx context.Context, name string) (release func() error, err error) {
	for told := false; ; told = true {
		lock, err := lockFolder(p.remotePath(name), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return lock.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, err
		}
		if !told {
			p.ui.Detail("waiting: another run is sending to %s", name)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// copies tells, for a backup, which stores have it and which lack it, as far as this host remembers.
type copies struct {
	names   []string
	byStore map[string]*repository.Copy
}

func (p *program) copies() (copies, error) {
	all, err := p.addressed()
	if err != nil {
		return copies{}, err
	}
	c := copies{byStore: map[string]*repository.Copy{}}
	for _, r := range all {
		c.names = append(c.names, r.Name)
		if c.byStore[r.Name], err = p.remembered(r.Name); err != nil {
			return c, err
		}
	}
	return c, nil
}

// of is the state of a backup in each store, those left out whose own retention does not keep it.
func (c copies) of(id backup.ID) []copyState {
	var states []copyState
	for _, name := range c.names {
		state := copyState{Store: name, Confirmed: c.byStore[name].Confirmed[id]}
		if state.Confirmed.IsZero() && c.byStore[name].Unwanted[id] {
			continue
		}
		if v, verified := c.byStore[name].Verified[id]; verified {
			state.Verified = &v
		}
		states = append(states, state)
	}
	return states
}

// copyState says whether a store has a backup: when that was confirmed, or never.
type copyState struct {
	Store     string           `json:"store"`
	Confirmed time.Time        `json:"confirmed_at,omitzero"`
	Verified  *backup.Verified `json:"verified,omitempty"` // by verify --from
}

// missing are the stores that lack the backup.
func missing(states []copyState) []string {
	var names []string
	for _, s := range states {
		if s.Confirmed.IsZero() {
			names = append(names, s.Store)
		}
	}
	return names
}
