package repository

import (
	"errors"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/backup"
)

// Told is an error as a person is told it.
func Told(err error) *backup.Problem {
	var problem *backup.Problem
	var other *OtherWriterError
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &other):
		return &backup.Problem{
			Message: other.Error() + "; two hosts never write to one place",
			Hints: []string{
				"give this host a place of its own: another path or prefix",
				"or, when that host is gone: dokku backup:store-add NAME URL --take-over",
			}, Err: err,
		}
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	told := &backup.Problem{Message: message, Err: err}
	if errors.As(err, new(*DamageError)) {
		told.Hints = []string{"find out what is damaged: dokku backup:verify --all"}
	}
	return told
}
