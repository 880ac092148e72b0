package ingest

import (
	"encoding/json"
	"errors"
	"path"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

var fuzzNames = []string{
	"", ".", "..", "a.csv", "x/..", "\x00", "a\nb", "\x1b[2J", "\u202egpj.exe", "\xff\xfe", "ä", "a\u0308", "\ufffd", "a\u2028b", "\u200b", "\U000e0001",
	strings.Repeat("a", 5000), strings.Repeat("\xff", 300), strings.Repeat("ü", 200) + ".tar.gz", "con:", `a\x00b`, "-rf", "=cmd|' /C calc'!A0", "<script>",
}

// FuzzDisplayPath checks that the result is one line that is harmless to
// terminals, pages and logs, and bounded in length.
func FuzzDisplayPath(f *testing.F) {
	for _, name := range fuzzNames {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		shown := DisplayPath(raw)
		if !utf8.ValidString(shown) || len(shown) > 4*len(raw)+100 {
			t.Errorf("%q is shown as %q", raw, shown)
		}
		for _, r := range shown {
			if !unicode.IsPrint(r) {
				t.Errorf("%q is shown with %q in it", raw, r)
			}
		}
		if again := DisplayPath(shown); again != shown {
			t.Errorf("%q is shown as %q, and that as %q", raw, shown, again)
		}
		if text := Wrap(KindTransient, errors.New(raw), "it failed").Error(); text != "it failed: "+shown {
			t.Errorf("error text %q", text)
		}
		if s := Summary(raw); len(s) > summaryBytes || !utf8.ValidString(s) {
			t.Errorf("%q has the summary %q", raw, s)
		}
	})
}

// FuzzSafeName checks that the result is a single, non-empty path element.
func FuzzSafeName(f *testing.F) {
	for _, name := range fuzzNames {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		safe := SafeName(raw)
		if safe == "" || len(safe) > safeNameBytes || !utf8.ValidString(safe) || strings.Contains(safe, "/") || path.Join("/files", safe) != "/files/"+safe {
			t.Errorf("%q becomes %q", raw, safe)
		}
		if again := SafeName(safe); again != safe {
			t.Errorf("%q becomes %q, and that %q", raw, safe, again)
		}
		key := ObjectKey(File{UUID: "0192aa00-0000-7000-8000-000000000001", Filename: raw, RemotePath: "/in/" + raw})
		if uuid, ours := FileOfKey(key); !ours || uuid != "0192aa00-0000-7000-8000-000000000001" {
			t.Errorf("%q gets the key %q, which is of %q", raw, key, uuid)
		}
	})
}

// FuzzOptions checks that valid options survive a round trip through JSON, and
// that invalid ones are rejected with one-line errors.
func FuzzOptions(f *testing.F) {
	for _, text := range []string{
		"{}", "null", `{"min_size":1}`, `{"min_size":-1}`, `{"login_timeout":"1h"}`, `{"login_timeout":5}`, `{"in_progress":["*.part"]}`,
		`{"login_timeout":"9999999999h"}`, `{"identity":"size"}`, `{"in_progress":[""]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var options Options
		if json.Unmarshal(text, &options) != nil {
			return
		}
		server := Server{Options: options}
		for _, setting := range Settings {
			setting.normalize(&server)
		}
		options = server.Options
		stored, err := json.Marshal(options)
		if err != nil {
			t.Fatalf("%s cannot be stored: %v", text, err)
		}
		var read Options
		if err := json.Unmarshal(stored, &read); err != nil {
			t.Fatalf("%s is stored as %s, which cannot be read: %v", text, stored, err)
		}
		if again, _ := json.Marshal(read); string(again) != string(stored) {
			t.Errorf("%s is stored as %s, read and stored as %s", text, stored, again)
		}
		for _, setting := range Settings {
			if err := setting.validate(server); err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %q", text, err)
			}
			var other Server
			if err := setting.SetText(&other, setting.Text(server)); err == nil && !reflect.DeepEqual(setting.Value(other), setting.Value(server)) && !setting.List() {
				t.Errorf("%s: %s %q is read as %v", text, setting.Field, setting.Text(server), setting.Value(other))
			}
		}
	})
}
