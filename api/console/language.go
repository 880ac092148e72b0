package console

import (
	"net/http"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message/catalog"

	"stevedore/api/web"
	"stevedore/internal/ingest"
)

// languages lists the supported languages, the default first.
var languages = []language.Tag{language.English, language.Russian}

var matcher = language.NewMatcher(languages)

// languageOf returns the chosen language or else the one that the browser prefers.
func languageOf(r *http.Request) language.Tag {
	chosen := ""
	if cookie, ok := web.Cookie(r, languageCookie); ok {
		chosen = cookie
	}
	_, i := language.MatchStrings(matcher, chosen, r.Header.Get("Accept-Language"))
	return languages[i]
}

// setLanguage stores the choice for a year and reloads the page.
func (c *Console) setLanguage(w http.ResponseWriter, r *http.Request) {
	tag, err := language.Parse(r.PostFormValue("language"))
	if err != nil {
		c.fail(w, r, c.view(r), newError(ingest.KindInvalid, nil, "Unknown language."))
		return
	}
	_, i, _ := matcher.Match(tag)
	setCookie(w, r, languageCookie, languages[i].String(), 365*24*3600, http.SameSiteLaxMode)
	http.Redirect(w, r, localPath(r.PostFormValue("next")), http.StatusSeeOther)
}

// texts is the catalogue. The English text is the key. Messages are compiled in, because
// the two languages are maintained together with the pages.
var texts = newTexts()

func newTexts() *catalog.Builder {
	builder := catalog.NewBuilder(catalog.Fallback(language.English))
	for key, text := range russian {
		must(builder.SetString(language.Russian, key, text))
	}
	for _, p := range plurals {
		must(builder.Set(language.English, p.key, plural.Selectf(1, "%d", plural.One, p.english, plural.Other, p.key)))
		must(builder.Set(language.Russian, p.key, plural.Selectf(1, "%d",
			plural.One, p.russian[0], plural.Few, p.russian[1], plural.Many, p.russian[2], plural.Other, p.russian[1])))
	}
	return builder
}

func must(err error) {
	if err != nil {
		panic(err) // the texts are part of the program, and tests load them
	}
}
