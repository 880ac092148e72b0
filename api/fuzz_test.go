package api

import (
	"testing"

	"stevedore/internal/ingest"
)

// FuzzCursor: a cursor is either valid and returns the id that it contains, or is
// refused. A cursor of another listing is always refused.
func FuzzCursor(f *testing.F) {
	for _, cursor := range []cursorOf{cursorFiles, cursorNewestFiles, cursorEvents} {
		f.Add(*cursor.write(7))
	}
	for _, text := range []string{"", "AAAA", "ZmlsZXMuMS4tMQ", "ZmlsZXMuMS4wMDc", "====", "\x00", "ZmlsZXMuMS45OTk5OTk5OTk5OTk5OTk5OTk5OTk"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := readFilesCursor(ingest.OrderOldest, &text)
		switch {
		case err != nil && !ingest.IsKind(err, ingest.KindInvalid), err != nil && id != 0, id < 0:
			t.Errorf("%q: %d, %v", text, id, err)
		case id > 0:
			if _, err := readFilesCursor(ingest.OrderNewest, &text); err == nil {
				t.Errorf("%q is taken in both orders", text)
			}
			if _, err := cursorEvents.read(&text); err == nil {
				t.Errorf("%q is taken by two listings", text)
			}
			if again, err := cursorFiles.read(cursorFiles.write(id)); err != nil || again != id {
				t.Errorf("%d is read as %d, %v", id, again, err)
			}
		}
	})
}
