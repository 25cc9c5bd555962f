package cache

// The key of an answer is its URL path behind /v1/, so a request finds its answer by a
// part of itself, without allocating. A record's key is also the tag of the answers that
// are made from that record alone.

// AnyTag is the tag of answers that every event makes stale.
const AnyTag = "*"

// ScoreKey returns the key of a contest's record.
func ScoreKey(contestID string) string { return "scores/" + contestID }

// MedalsKey returns the key of a competition's medal table.
func MedalsKey(competition string) string { return "medals/" + competition }

// TimelineTag returns the tag of the pages of a contest's timeline.
func TimelineTag(contestID string) string { return "timeline/" + contestID }

// BoardTag returns the tag of the answers about a contest's leaderboard.
func BoardTag(contestID string) string { return "leaderboard/" + contestID }

// ListTag returns the tag of the lists of a competition's contests; for "", of the lists
// of all contests.
func ListTag(competition string) string {
	if competition == "" {
		return AnyTag
	}
	return "list/" + competition
}
