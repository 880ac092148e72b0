package ingest

// MaxGlobChoices bounds the combinations of alternatives in a glob. A matcher
// tries each of them on names chosen by the partner.
const MaxGlobChoices = 256

// GlobChoices returns the number of combinations of alternatives in a glob:
// "{a,b}/{c,d,e}" has 6. It stops counting above MaxGlobChoices.
func GlobChoices(glob string) int {
	product := 1
	var open []int // alternatives of each open group
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
