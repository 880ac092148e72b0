package console

import (
	"cmp"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"stevedore/internal/ingest"
)

var (
	usedText = regexp.MustCompile(`(?:\bT\(|\bNotef\(|\bcount\([^"\n]*|\bFormat:\s+|\bnewError\([^"\n]*)"((?:[^"\\]|\\.|" ?\+\s+")*)"`)
	joint    = regexp.MustCompile(`" ?\+\s+"`)
	verb     = regexp.MustCompile(`%[%a-z]`)
)

// used returns every text that pages show.
func used(t *testing.T) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	var sources []string
	for _, pattern := range []string{"*.go", "*.templ", "../../internal/ingest/note.go", "../../internal/orchestrator/progress.go"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		sources = append(sources, found...)
	}
	for _, source := range sources {
		if strings.HasSuffix(source, "_templ.go") || strings.HasSuffix(source, "_test.go") {
			continue
		}
		text, err := os.ReadFile(source)
		require.NoError(t, err)
		for _, found := range usedText.FindAllStringSubmatch(string(text), -1) {
			key, err := strconv.Unquote(`"` + joint.ReplaceAllString(found[1], "") + `"`)
			require.NoError(t, err)
			keys[key] = true
		}
	}
	for _, status := range ingest.Statuses {
		keys[string(status)] = true
	}
	for _, words := range []iter.Seq[string]{maps.Values(stepNames), maps.Values(eventNames), maps.Values(modeNames), maps.Values(transferNames), maps.Values(periodNames), maps.Values(idleReasons), maps.Values(detailNames), maps.Values(auditActions), maps.Values(reasonExamples)} {
		for word := range words {
			keys[word] = true
		}
	}
	for role, word := range roleNames {
		keys[word], keys[string(role)] = true, true
	}
	for _, words := range []map[string]string{fieldHints, errorKinds()} {
		for _, word := range words {
			keys[word] = true
		}
	}
	for _, notice := range actionNotices {
		keys[notice] = true
	}
	for _, reason := range ingest.OmissionReasons {
		if reason != ingest.OmitRejected && reason != ingest.OmitWaiting { // shown with a headline
			keys[reason.Format()] = true
		}
	}
	for _, unit := range units[1:] {
		keys[unit] = true
	}
	for _, name := range partNames {
		keys[name] = true
	}
	for _, badge := range badges {
		keys[badge.word] = true
	}
	for _, setting := range ingest.Settings {
		for _, word := range []string{setting.Label, setting.Help} {
			keys[word] = true
		}
		for _, choice := range setting.Choices {
			keys[cmp.Or(transferNames[ingest.TransferSetting(choice)], choice)] = true
		}
	}
	for _, word := range []string{
		"rename", "overwrite", "keep", "%d min", "%d h", "%d s", "%d files requeued", "%d workflows restarted",
		"%d uploads aborted", "%d staged files removed", "%d objects missing", "%d workers without heartbeat",
	} {
		keys[word] = true
	}
	return keys
}

func errorKinds() map[string]string {
	texts := map[string]string{}
	for kind, text := range kindTexts {
		texts[string(kind)] = text
	}
	return texts
}

func TestEveryTextIsThereInRussian(t *testing.T) {
	t.Parallel()
	translated := map[string]string{}
	maps.Copy(translated, russian)
	for _, p := range plurals {
		translated[p.key] = p.key // TestPluralFormsAreRight checks the forms
	}
	keys := used(t)
	for key := range keys {
		text, is := translated[key]
		assert.True(t, is, "no Russian for %q", key)
		if is {
			assert.Equal(t, verb.FindAllString(key, -1), verb.FindAllString(text, -1), "the arguments of %q", key)
		}
	}
	for key := range translated {
		assert.True(t, keys[key], "nothing shows %q", key)
	}
}

func TestPluralFormsAreRight(t *testing.T) {
	t.Parallel()
	english := message.NewPrinter(language.English, message.Catalog(texts))
	require.Equal(t, "1 file matches", english.Sprintf("%d files match", 1))
	require.Equal(t, "2,000 files match", english.Sprintf("%d files match", 2000))
	printer := message.NewPrinter(language.Russian, message.Catalog(texts))
	for n, want := range map[int64]string{
		0: "Найдено 0 файлов", 1: "Найден 1 файл", 2: "Найдено 2 файла", 5: "Найдено 5 файлов", 11: "Найдено 11 файлов",
		21: "Найден 21 файл", 22: "Найдено 22 файла", 112: "Найдено 112 файлов", 1001: "Найден 1\u00a0001 файл",
	} {
		require.Equal(t, want, printer.Sprintf("%d files match", n))
	}
	for key, want := range map[string][3]string{ // of 1, 21 and 5
		"At least %d files match":    {"Найдено не менее 1 файла", "Найдено не менее 21 файла", "Найдено не менее 5 файлов"},
		"%d workflows restarted":     {"1 процесс перезапущен", "21 процесс перезапущен", "5 процессов перезапущено"},
		"%d files requeued":          {"1 файл возвращён в очередь", "21 файл возвращён в очередь", "5 файлов возвращено в очередь"},
		"Not possible for %d files:": {"Невозможно для 1 файла:", "Невозможно для 21 файла:", "Невозможно для 5 файлов:"},
	} {
		require.Equal(t, want, [3]string{printer.Sprintf(key, 1), printer.Sprintf(key, 21), printer.Sprintf(key, 5)})
	}
	for _, p := range plurals {
		for _, n := range []int{1, 2, 5} {
			require.NotContains(t, printer.Sprintf(p.key, n), "%!", p.key)
			require.Contains(t, printer.Sprintf(p.key, n), strconv.Itoa(n), p.key)
		}
	}
}

func TestLanguageIsChosenOrPreferred(t *testing.T) {
	t.Parallel()
	_, c := full(ingest.RoleViewer)
	require.Contains(t, get(c, "/files").Body.String(), `<html lang="en">`)
	require.Contains(t, get(c, "/files", "Accept-Language", "ru-RU,ru;q=0.9,en;q=0.8").Body.String(), `<html lang="ru">`)
	require.Contains(t, get(c, "/files", "Accept-Language", "de").Body.String(), `<html lang="en">`)
	require.Contains(t, get(c, "/files", "Accept-Language", "en", "Cookie", languageCookie+"=ru").Body.String(), "Найден 1 файл")
	chosen := post(c, "/language", map[string][]string{"language": {"ru"}, "next": {"/files"}})
	require.Equal(t, "/files", chosen.Header().Get("Location"))
	require.True(t, slices.ContainsFunc(chosen.Result().Header["Set-Cookie"], func(s string) bool { return strings.HasPrefix(s, languageCookie+"=ru") }))
}

// TestEveryTermOfTheDomainHasText: new values of the domain need a text in the console.
func TestEveryTermOfTheDomainHasText(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join("..", "..", "internal", "ingest", "errors.go"))
	require.NoError(t, err)
	for _, match := range regexp.MustCompile(`(?m)^\tKind\w+\s+Kind = "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		assert.NotEmpty(t, kindTexts[ingest.Kind(match[1])], match[0])
	}
	for event, keys := range ingest.EventKeys {
		assert.NotEmpty(t, eventNames[event], event)
		for _, key := range keys {
			assert.NotEmpty(t, detailNames[key], key)
		}
	}
	actions := 0
	for _, folder := range []string{"operations", "access"} {
		sources, err := filepath.Glob("../../internal/" + folder + "/*.go")
		require.NoError(t, err)
		for _, name := range sources {
			source, err := os.ReadFile(name)
			require.NoError(t, err)
			for _, match := range regexp.MustCompile(`"((?:audit|console|file|key|scan|server|token)\.[a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
				assert.NotEmpty(t, auditActions[match[1]], name+": "+match[1])
				actions++
			}
		}
	}
	assert.Positive(t, actions)
	for _, health := range ingest.Healths {
		assert.NotEmpty(t, badges[health].word, health)
	}
	for _, info := range ingest.Steps {
		assert.NotEmpty(t, stepNames[info.Step], info.Step)
	}
	for _, mode := range ingest.Modes {
		assert.NotEmpty(t, modeNames[mode], mode)
	}
	transfer, _ := ingest.SettingOf("transfer")
	for _, choice := range transfer.Choices {
		assert.NotEmpty(t, transferNames[ingest.TransferSetting(choice)], choice)
	}
}
