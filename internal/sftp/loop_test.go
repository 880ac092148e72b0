package sftp_test

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

// pathBehaviors are servers whose REALPATH resolves links, only cleans paths, or is not
// supported.
func pathBehaviors(follow bool) map[string]services.TreeFaults {
	return map[string]services.TreeFaults{
		"true paths":  {FollowsLinks: follow},
		"plain paths": {FollowsLinks: follow, PlainPaths: true},
		"no paths":    {FollowsLinks: follow, Request: refuse(services.StatusUnsupported, "REALPATH")},
	}
}

// TestDeepTreesAreNoLoops checks that deep chains of similar folders, with copies of the
// same file, are listed completely.
func TestDeepTreesAreNoLoops(t *testing.T) {
	t.Parallel()
	for name, ways := range pathBehaviors(false) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(12) {
				b, r := newBehaviorFixture(t, sftp.Config{}), rand.New(rand.NewPCG(seed, 1))
				var want []string
				put := func(at, content string) {
					if !b.Has(at) {
						b.File(at, content)
						want = append(want, at)
					}
				}
				for range 1 + r.IntN(3) {
					at, link := "", []string{"a", "b", "a/b"}[r.IntN(3)]
					copies := r.IntN(2) == 0
					for range 1 + r.IntN(28) {
						at = path.Join(at, link)
						if copies {
							put(at+"/f.csv", "same")
						}
					}
					put(at+"/"+[]string{"f.csv", "c.csv"}[r.IntN(2)]+strings.Repeat("x", r.IntN(2)), "the end")
				}
				b.SetFaults(ways)
				seen, unread := b.seen(t)
				slices.Sort(want)
				assert.Equal(t, want, sortedPaths(seen), "seed %d", seed)
				assert.Zero(t, unread.Count, "seed %d: %v", seed, unread)
			}
		})
	}
}

// TestEndsOfChainsAreNoLoops checks chains of equal folders whose last one is not
// readable, has a file of another size, or has a file with the chain's name.
func TestEndsOfChainsAreNoLoops(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("d/", 15)
	for name, end := range map[string]func(b *behaviorFixture) services.TreeFaults{
		"a file of the name": func(b *behaviorFixture) services.TreeFaults { b.File(deep+"d", "x"); return services.TreeFaults{} },
		"a copy of another size": func(b *behaviorFixture) services.TreeFaults {
			for i := range 15 {
				b.File(strings.Repeat("d/", i)+"f", "12")
			}
			b.File(deep+"f", "123")
			return services.TreeFaults{}
		},
		"may not be read": func(b *behaviorFixture) services.TreeFaults {
			b.Folder(deep)
			return services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
				if r.Op == "OPENDIR" && r.Path == strings.TrimSuffix("/in/"+deep, "/") {
					return services.StatusPermission
				}
				return 0
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBehaviorFixture(t, sftp.Config{})
			ways := end(b)
			ways.PlainPaths = true
			b.SetFaults(ways)
			_, unread := b.seen(t)
			for _, f := range unread.Folders {
				assert.NotContains(t, f.Reason, "same folder")
			}
		})
	}
}

// TestRandomLoopsEnd checks trees with random links to ancestors: every file is listed at
// its own path, and the listing ends long before its limits.
func TestRandomLoopsEnd(t *testing.T) {
	t.Parallel()
	for name, ways := range pathBehaviors(true) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(12) {
				b, r := newBehaviorFixture(t, sftp.Config{}), rand.New(rand.NewPCG(seed, 2))
				folders, files := []string{""}, []string{}
				for i := range 3 + r.IntN(4) {
					at := path.Join(folders[r.IntN(len(folders))], fmt.Sprint("f", i))
					folders, files = append(folders, at), append(files, at+"/x.csv")
					b.File(at+"/x.csv", strings.Repeat("x", i+1))
				}
				for i := range 1 + r.IntN(2) { // each to an ancestor
					in := folders[r.IntN(len(folders))]
					to := in
					for range r.IntN(3) {
						to = path.Dir(to)
					}
					b.Link(path.Join(in, fmt.Sprint("l", i)), path.Join("/in", to))
				}
				b.SetFaults(ways)
				seen, unread, err := b.listing(t, b.open(t), ingest.ListRequest{})
				require.NoError(t, err)
				for _, file := range files {
					assert.Contains(t, seen, file, "seed %d", seed)
				}
				assert.NotZero(t, unread.Count, "seed %d", seed)
				assert.Less(t, len(b.Requests("OPENDIR")), 3000, "seed %d", seed)
				t.Logf("seed %d: %d files, %d seen, %d folders opened", seed, len(files), len(seen), len(b.Requests("OPENDIR")))
			}
		})
	}
}
