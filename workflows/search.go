package workflows

import (
	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
)

// The custom search attributes, typed.
var (
	searchServer = temporal.NewSearchAttributeKeyKeyword(ingest.SearchServer)
	searchStatus = temporal.NewSearchAttributeKeyKeyword(ingest.SearchStatus)
	searchSize   = temporal.NewSearchAttributeKeyInt64(ingest.SearchSize)
)
