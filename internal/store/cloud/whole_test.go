package cloud_test

import (
	"testing"

	"github.com/dokku-backup/dokku-backup/internal/repository"
	"github.com/dokku-backup/dokku-backup/internal/repository/repositorytest"
	"github.com/dokku-backup/dokku-backup/internal/store"
	"github.com/dokku-backup/dokku-backup/internal/store/cloud"
)

// TestWhole goes the whole way with each kind: proven, sent to, listed, read back, an unchanged backup sent, one deleted.
func TestWhole(t *testing.T) {
	cloud.EveryKind(t, func(t *testing.T, open func(t *testing.T) *cloud.Store) {
		kind := open(t)
		proof, err := store.Prove(t.Context(), kind, func(store.Step) {})
		repositorytest.Check(t, err)
		if err := proof.Err(); err != nil || len(proof.Left) > 0 {
			t.Fatalf("proof: got %v, left %q; want neither", err, proof.Left)
		}
		s := store.New(kind, store.Options{})
		r, remembered := repositorytest.New(t), &repository.Copy{}
		tables := [][]byte{repositorytest.Rows(1, 1000), repositorytest.Rows(2, 50), nil}
		repositorytest.Backup(t, r, repositorytest.ID(1), tables...)
		repositorytest.Check(t, repositorytest.Mirror(r, s, remembered).Sync(t.Context()))
		there, err := r.OpenAt(t.Context(), s)
		repositorytest.Check(t, err)
		repositorytest.WantWhole(t, there, 1)

		before := s.Counts()
		repositorytest.Backup(t, r, repositorytest.ID(2), tables...)
		repositorytest.Check(t, repositorytest.Mirror(r, s, remembered).Sync(t.Context()))
		after := s.Counts()
		if calls := after.Put + after.Get + after.List + after.Delete - before.Put - before.Get - before.List - before.Delete; calls > 10 {
			t.Errorf("a backup in which nothing changed: got %d calls, want at most 10", calls)
		}
		repositorytest.WantWhole(t, there, 2)
		repositorytest.Check(t, there.Delete(t.Context(), repositorytest.ID(1)))
		if _, err := there.Collect(t.Context()); err != nil {
			t.Errorf("collect: %v", err)
		}
		repositorytest.WantWhole(t, there, 1)
	})
}
