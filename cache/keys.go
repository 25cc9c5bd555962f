package cache

// Keys of answers are their paths in the interface behind /v1/, so that a request finds its answer by a part of itself. A record's key is also the tag
// of what is made from that record alone.

// AnyTag makes answers stale with every event.
const AnyTag = "*"

// ScoreKey is the key of a contest's record.
func ScoreKey(contestID string) string { return "scores/" + contestID }

// MedalsKey is the key of a competition's medal table.
func MedalsKey(competition string) string { return "medals/" + competition }

// TimelineTag makes the pages of a contest's timeline stale.
func TimelineTag(contestID string) string { return "timeline/" + contestID }

// BoardTag makes what was said of a contest's leaderboard stale.
func BoardTag(contestID string) string { return "leaderboard/" + contestID }

// ListTag makes the lists of a competition's contests stale; those of all competitions for "".
func ListTag(competition string) string {
	if competition == "" {
		return AnyTag
	}
	return "list/" + competition
}
