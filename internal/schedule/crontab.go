package schedule

import (
	"strconv"
	"strings"
	"time"
)

// ahead is for how long a crontab's minutes hold: longer than a year, with all changes of the clock in it.
const ahead = 400 * 24 * time.Hour

// Minutes is the minute field of the one line of a crontab that serves all the timings: the minutes of the hour, in the crontab's zone, at
// which any of them fires, and the full hour, when what was missed is caught up.
func Minutes(timings []Timing, zone *time.Location, now time.Time) string {
	found := map[int]bool{0: true}
	seen := map[string]bool{} // many services may have one timing, and a year takes a moment
	for _, t := range timings {
		key := t.text + " " + t.zone.String()
		if seen[key] {
			continue
		}
		seen[key] = true
		for at := t.Next(now); !at.IsZero() && at.Sub(now) < ahead && len(found) < 60; at = t.Next(at) {
			found[at.In(zone).Minute()] = true
		}
	}
	if len(found) == 60 {
		return "*"
	}
	var list []string
	for minute := range 60 {
		if found[minute] {
			list = append(list, strconv.Itoa(minute))
		}
	}
	return strings.Join(list, ",")
}
