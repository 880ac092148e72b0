package scale_test

import (
	"testing"

	"stevedore/internal/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
