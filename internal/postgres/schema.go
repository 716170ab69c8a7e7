package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dokku-backup/dokku-backup/internal/postgres/archive"
)

// object names an object of a database.
type object struct{ kind, schema, name string }

func (o object) String() string {
	in := ""
	if o.schema != "" {
		in = o.schema + "."
	}
	switch o.kind {
	case "ACL":
		return "grants on " + strings.Replace(o.name, " ", " "+in, 1) // its name is such as TABLE cows
	case "DEFAULT ACL":
		return strings.TrimSuffix(strings.ToLower(o.name)+" in schema "+o.schema, " in schema ")
	case "DATABASE PROPERTIES":
		return "settings of the database"
	}
	return strings.ToLower(o.kind) + " " + in + o.name
}

// rights tells whether it is not an object but what is granted on one, or set for one.
func (o object) rights() bool {
	return o.kind == "ACL" || o.kind == "DEFAULT ACL" || o.kind == "DATABASE PROPERTIES"
}

// compareHeads compares the objects that two dumps hold, before and after a restore, and says what differs. Compared are the
// objects' names and owners, and what is granted. Definitions are not: the same object can be written in another way after a
// restore, such as CHECK (a IN ('x')) of a varchar, and what pg_restore ran without an error was the backup's definition.
// Between major versions names are only looked for, and only those of kinds that all versions have in common.
func compareHeads(before, after *archive.Head) []string {
	same := sameMajor(before, after)
	was, is := objects(before), objects(after)
	var found []string
	for _, e := range before.Entries {
		o, old, ok := objectOf(before, &e)
		if !ok || !same && !slices.Contains(commonKinds(), o.kind) {
			continue
		}
		now, there := is[o]
		switch {
		case o.rights() && now != old:
			found = append(found, fmt.Sprintf("%s differ from the backup's", o))
		case !there:
			found = append(found, fmt.Sprintf("%s is missing", o))
		case same && now.owner != old.owner:
			found = append(found, fmt.Sprintf("%s belongs to %q, in the backup to %q", o, now.owner, old.owner))
		}
	}
	for _, e := range after.Entries {
		o, _, ok := objectOf(after, &e)
		_, there := was[o]
		switch {
		case !ok || !same || there:
		case o.rights():
			found = append(found, fmt.Sprintf("%s differ from the backup's", o))
		default:
			found = append(found, fmt.Sprintf("%s is not in the backup", o))
		}
	}
	return found
}

// commonKinds are the kinds of objects whose entries have looked the same since PostgreSQL 10.
func commonKinds() []string {
	return []string{"TABLE", "INDEX", "CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "FUNCTION", "TYPE", "DOMAIN", "EXTENSION", "POLICY"}
}

// state is what is compared of an object.
type state struct {
	owner  string
	grants string // sorted statements, of grants and of a database's settings
}

func objects(head *archive.Head) map[object]state {
	all := map[object]state{}
	for i := range head.Entries {
		if o, state, ok := objectOf(head, &head.Entries[i]); ok {
			all[o] = state
		}
	}
	return all
}

// objectOf is the object that an entry makes; ok is false for data, which a dump of the schema alone does not have. The
// database's own name is left out, since a restore gives it another.
func objectOf(head *archive.Head, e *archive.Entry) (o object, s state, ok bool) {
	isData := []string{"BLOB", "BLOB METADATA", "MATERIALIZED VIEW DATA"}
	if e.Section == archive.SectionData || slices.Contains(isData, e.Desc) || strings.HasPrefix(e.Tag, "LARGE OBJECT") {
		return object{}, state{}, false
	}
	o, s = object{e.Desc, e.Namespace, e.Tag}, state{owner: e.Owner}
	if e.Desc == "DATABASE" || e.Desc == "DATABASE PROPERTIES" || strings.HasPrefix(e.Tag, "DATABASE ") {
		o.name = "DATABASE"
	}
	if o.rights() {
		nameless := strings.NewReplacer("DATABASE "+quote(head.Database)+" ", "DATABASE ", "DATABASE "+head.Database+" ", "DATABASE ")
		lines := strings.Split(nameless.Replace(e.Defn), "\n")
		slices.Sort(lines)
		s.grants = strings.Join(lines, "\n")
	}
	return o, s, true
}

// sameMajor tells whether two dumps were made by programs of one major version.
func sameMajor(a, b *archive.Head) bool { return major(a.DumpVersion) == major(b.DumpVersion) }

// major is the part of a version before the dot: 15 of "15.18 (Debian 15.18-1)". Before PostgreSQL 10 that was not the major version;
// such servers are not supported.
func major(version string) string {
	digits := strings.TrimLeft(version, "0123456789")
	return version[:len(version)-len(digits)]
}
