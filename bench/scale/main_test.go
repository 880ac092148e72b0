package scale_test

import (
	"testing"

	"stevedore/internal/test/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }
