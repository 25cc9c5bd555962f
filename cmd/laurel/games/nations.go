package games

// nation is who sends athletes.
type nation struct {
	code, name string
	athletes   []string
}

var nations = []nation{
	{"GAU", "Gaul", []string{"Aerobix", "Logistix", "Harmonixa", "Athletix", "Ceramix", "Graphixa", "Statix", "Lyrixa"}},
	{"ROM", "Rome", []string{"Nonplus", "Cumulus", "Minima", "Terminus", "Modulus", "Formula", "Stimulus", "Spatula"}},
	{"EGY", "Egypt", []string{"Synopsis", "Thesis", "Oasis", "Emphasis", "Genesis", "Catharsis", "Axis", "Ellipsis"}},
	{"BRI", "Britain", []string{"Hatrax", "Thorax", "Syntaxa", "Surtax", "Minimax", "Relaxa", "Parallax", "Beeswaxa"}},
}

// neutrals are two villages that will not say on whose side they are. Their medals stay outside the table.
var neutrals = nation{"NEU", "Neutral Villagers", []string{"Old Neighbour", "Two Doors Down"}}

// Reasons, all of them known to historians. They are short enough for a line of a terminal.
var (
	notABoar = []string{"a legionary in disguise", "caught once before", "the referee's own boar", "it was a large hedgehog"}
	gaveUp   = []string{"stopped at an inn", "fell asleep under an oak", "followed a signpost to Lutetia", "showed a lost cohort the way"}
	omens    = []string{
		"The sky has not fallen on anybody's head so far.",
		"Spectators are asked not to feed the boars.",
		"The lost sandal can be had back at the east gate.",
		"No singing in the stands, please. There is a bard.",
		"Will the owner of the chariot on the pond please hurry.",
	}
)
