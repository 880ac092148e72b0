package ingest

// MaxGlobChoices bounds the combinations of alternatives in a glob. A matcher tries
// each of them, and partners choose the names that it tries them on.
const MaxGlobChoices = 256

// GlobChoices returns how many combinations of alternatives a glob has: those of
// "{a,b}/{c,d,e}" are 6. It stops counting above MaxGlobChoices.
func GlobChoices(glob string) int {
	product := 1
	var open []int // alternatives of the groups that are not closed yet
	for i := 0; i < len(glob) && product <= MaxGlobChoices; i++ {
		last := len(open) - 1
		switch {
		case glob[i] == '\\':
			i++
		case glob[i] == '{':
			open = append(open, 1)
		case glob[i] == ',' && last >= 0:
			open[last]++
		case glob[i] == '}' && last >= 0:
			product *= open[last]
			open = open[:last]
		}
	}
	return product
}
