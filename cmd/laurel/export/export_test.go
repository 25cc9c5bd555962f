package export

import (
	"testing"

	"laurel/score"
	"laurel/trust/access"
)

// A frontend that lies, or who has written the file, may have named the grants.
func TestACommandThatIsToBeCopiedDoesWhatItSaysWhateverTheSnapshotHas(t *testing.T) {
	g := &access.Grant{
		Name: "bard/a; rm -rf ~", Role: "$(boar)", Public: make([]byte, 32),
		Competitions: []string{"OG50BC", "`boar`"}, Types: []score.Type{"mark\nboar", "alert"},
	}
	const want = "laurel access grant 'bard/a; rm -rf ~' --role '$(boar)' " +
		"--key AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= " +
		"--competition OG50BC --competition '`boar`' --type 'mark boar' --type alert"
	if got := grantCommand(g); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
