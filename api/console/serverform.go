package console

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// serverForm has the entered settings of a server and the problems by field.
type serverForm struct {
	// values are the form's values by the field names of the API.
	values url.Values
	wrong  map[string][]notice
	// name and version identify the edited server; empty for a new one.
	name, version            string
	hasPassword, hasKey, new bool
	// tested is set by a test of the settings; test is its result unless they are invalid.
	tested  bool
	test    *operations.TestResult
	problem notice
}

func (f serverForm) value(field string) string { return f.values.Get(field) }

func (f serverForm) checked(field string) bool { return f.values.Get(field) != "" }

// rest returns the problems that no field of the form shows.
func (f serverForm) rest() (list []notice) {
	for field, problems := range f.wrong {
		if _, setting := ingest.SettingOf(field); !setting && !slices.Contains(secretFields, field) {
			list = append(list, problems...)
		}
	}
	slices.SortFunc(list, func(x, y notice) int { return strings.Compare(x.line(), y.line()) })
	return list
}

// secretFields lists the secrets of the form. They are never shown again.
var secretFields = []string{"password", "private_key", "passphrase", "certificate"}

// advanced reports whether an advanced setting is invalid or differs from its default; then
// they are unfolded.
func (f serverForm) advanced() bool {
	return slices.ContainsFunc(group(ingest.GroupAdvanced), func(setting ingest.Setting) bool {
		var entered ingest.Server
		return len(f.wrong[setting.Field]) > 0 || setting.SetText(&entered, f.value(setting.Field)) != nil || !setting.IsDefault(entered)
	})
}

// group returns the settings of a section.
func group(g ingest.SettingGroup) (settings []ingest.Setting) {
	for _, setting := range ingest.Settings {
		if setting.Group == g {
			settings = append(settings, setting)
		}
	}
	return settings
}

func (c *Console) newServer(_ *http.Request, v *view) (answer, error) {
	form := serverForm{new: true, values: valuesOf(ingest.Server{}.WithDefaults(ingest.ServerDefaults{}))}
	for _, setting := range ingest.Settings {
		if setting.Default != "" {
			form.values.Del(setting.Field)
		}
	}
	return answer{title: form.title(v), body: serverFormView(v, form)}, nil
}

func (c *Console) editServer(r *http.Request, v *view) (answer, error) {
	server, err := c.d.Operations.GetServer(r.Context(), r.PathValue("server"))
	if err != nil {
		return answer{}, err
	}
	form := serverForm{
		name: server.Name, version: operations.ServerVersion(server), values: valuesOf(server),
		hasPassword: len(server.PasswordEncrypted) > 0, hasKey: len(server.PrivateKeyEncrypted) > 0,
	}
	return answer{title: form.title(v), body: serverFormView(v, form)}, nil
}

// valuesOf returns the settings by field. The action after ingest is two fields: a choice
// and the folder of a move.
func valuesOf(s ingest.Server) url.Values {
	values := url.Values{}
	for _, setting := range ingest.Settings {
		if text := setting.Text(s); !setting.Switch() || text == "true" {
			values.Set(setting.Field, text)
		}
	}
	after, folder, _ := strings.Cut(string(s.AfterIngest), ":")
	values.Set("after_ingest", after)
	values.Set("move_to", folder)
	return values
}

// read returns a function that applies the entered settings. Unparsable values are added
// to wrong; package operations validates the others.
func (f *serverForm) read(v *view) func(*ingest.Server) {
	f.wrong = map[string][]notice{}
	var entered ingest.Server
	for _, setting := range ingest.Settings {
		text := f.value(setting.Field)
		if setting.Field == "after_ingest" {
			text = string(f.afterIngest())
		}
		if err := setting.SetText(&entered, text); err != nil {
			f.wrong[setting.Field] = append(f.wrong[setting.Field], v.quote(v.T(setting.Help), err.Error()))
		}
	}
	if strings.TrimSpace(f.value("settle")) == "" {
		entered.Settle = -1 // the default of the configuration
	}
	return func(s *ingest.Server) {
		for _, setting := range ingest.Settings {
			setting.Copy(s, entered)
		}
	}
}

// afterIngest returns the setting of the radio buttons and the folder.
func (f serverForm) afterIngest() ingest.AfterIngest {
	after := f.value("after_ingest")
	if after == "move" {
		after += ":" + strings.TrimSpace(f.value("move_to"))
	}
	return ingest.AfterIngest(after)
}

// invalidated adds the problems of an operation's error to wrong. It reports false for
// errors that are not about the form.
func (f *serverForm) invalidated(v *view, err error) bool {
	var invalid *ingest.InvalidError
	switch {
	case errors.As(err, &invalid):
		for _, field := range invalid.Fields {
			f.wrong[field.Field] = append(f.wrong[field.Field], v.field(field))
		}
	case ingest.IsKind(err, ingest.KindConflict):
		f.wrong["form"] = append(f.wrong["form"], v.explain(err))
	default:
		return false
	}
	return true
}

func (c *Console) addServer(r *http.Request, v *view) (answer, error) {
	form, in, err := readNewServer(r, v)
	if err != nil {
		return answer{}, err
	}
	return form.save(v, v.T("Server added. Test the connection."), func() (ingest.Server, error) { return c.d.Operations.AddServer(r.Context(), in) })
}

func (c *Console) saveServer(r *http.Request, v *view) (answer, error) {
	form, edit, err := readServerEdit(r, v)
	if err != nil {
		return answer{}, err
	}
	return form.save(v, v.T("Saved."), func() (ingest.Server, error) {
		return c.d.Operations.EditServer(r.Context(), form.name, form.version, edit)
	})
}

// testSettings tests the entered settings of a new server without saving them.
func (c *Console) testSettings(r *http.Request, v *view) (answer, error) {
	form, in, err := readNewServer(r, v)
	if err != nil {
		return answer{}, err
	}
	return form.try(v, func() (operations.TestResult, error) {
		return c.d.Operations.TestSettings(r.Context(), in, form.checked("sample"))
	})
}

// testEdit tests the entered settings of a server without saving them.
func (c *Console) testEdit(r *http.Request, v *view) (answer, error) {
	form, edit, err := readServerEdit(r, v)
	if err != nil {
		return answer{}, err
	}
	return form.try(v, func() (operations.TestResult, error) {
		return c.d.Operations.TestEdit(r.Context(), form.name, form.version, edit, form.checked("sample"))
	})
}

// save saves the entered settings, or shows them again with their problems.
func (f *serverForm) save(v *view, notice string, save func() (ingest.Server, error)) (answer, error) {
	if len(f.wrong) == 0 {
		server, err := save()
		if err == nil {
			return v.done("/servers/"+server.Name, notice, nil)
		}
		if !f.invalidated(v, err) {
			return answer{}, err
		}
	}
	return answer{title: f.title(v), status: http.StatusBadRequest, body: serverFormView(v, f.again())}, nil
}

// try tests the entered settings and shows them again with the result. The answer has
// status 200 even for invalid settings, because htmx shows only successful answers.
func (f *serverForm) try(v *view, test func() (operations.TestResult, error)) (answer, error) {
	f.tested = true
	if len(f.wrong) == 0 {
		result, err := test()
		switch {
		case result.Server.UUID != "":
			f.test = &result
			if err != nil {
				f.problem = v.explain(err)
			}
		case !f.invalidated(v, err):
			return answer{}, err
		}
	}
	return answer{title: f.title(v), body: serverFormView(v, f.again())}, nil
}

// again returns the form to show again, without the password in the proxy's address.
func (f serverForm) again() serverForm {
	if proxy := f.value("proxy"); strings.Contains(proxy, "@") {
		f.values = maps.Clone(f.values)
		scheme, _, _ := strings.Cut(proxy, "://")
		f.values.Set("proxy", scheme+"://"+proxy[strings.LastIndexByte(proxy, '@')+1:])
	}
	return f
}

func readServerForm(r *http.Request) (serverForm, error) {
	if err := r.ParseForm(); err != nil {
		return serverForm{}, formError(err)
	}
	values := url.Values{}
	for field, given := range r.PostForm {
		if !slices.Contains(secretFields, field) {
			values[field] = given
		}
	}
	return serverForm{values: values}, nil
}

// readNewServer returns the entered server.
func readNewServer(r *http.Request, v *view) (form serverForm, in operations.NewServer, err error) {
	if form, err = readServerForm(r); err != nil {
		return form, in, err
	}
	form.new, v.url = true, &url.URL{Path: "/servers/new"}
	in = operations.NewServer{Credentials: ingest.Credentials{Password: []byte(r.PostFormValue("password")), PrivateKey: keyOf(r)}, KeyExtras: extrasOf(r)}
	form.read(v)(&in.Server)
	return form, in, nil
}

// readServerEdit returns the entered changes of a server.
func readServerEdit(r *http.Request, v *view) (form serverForm, edit operations.ServerEdit, err error) {
	if form, err = readServerForm(r); err != nil {
		return form, edit, err
	}
	form.name, form.version = r.PathValue("server"), form.value("version")
	form.hasPassword, form.hasKey = form.checked("has_password"), form.checked("has_key")
	v.url = &url.URL{Path: form.action()}
	return form, operations.ServerEdit{
		Settings: form.read(v), Password: replaced(r, "password", []byte(r.PostFormValue("password"))), PrivateKey: replaced(r, "private_key", keyOf(r)), KeyExtras: extrasOf(r),
	}, nil
}

// keyOf returns the private key with the line ends that browsers change.
func keyOf(r *http.Request) []byte {
	return []byte(strings.ReplaceAll(r.PostFormValue("private_key"), "\r\n", "\n"))
}

// extrasOf returns the passphrase and the certificate of the private key.
func extrasOf(r *http.Request) operations.KeyExtras {
	return operations.KeyExtras{Passphrase: []byte(r.PostFormValue("passphrase")), Certificate: []byte(strings.TrimSpace(r.PostFormValue("certificate")))}
}

// replaced returns the credential of an edit: nil keeps the stored one, empty removes it.
func replaced(r *http.Request, field string, given []byte) []byte {
	switch {
	case r.PostFormValue("remove_"+field) != "":
		return []byte{}
	case len(given) == 0:
		return nil
	default:
		return given
	}
}

func keyPinned(s ingest.Server, fingerprint string) bool {
	return slices.ContainsFunc(s.HostKeys, func(line string) bool { return operations.Fingerprint(line) == fingerprint })
}

// action returns the target of the form, testAction that of a test, back the page to
// return to.
func (f serverForm) action() string {
	if f.new {
		return "/servers"
	}
	return "/servers/" + f.name + "/edit"
}

func (f serverForm) testAction() string { return f.action() + "/test" }

func (f serverForm) back() string { return strings.TrimSuffix(f.action(), "/edit") }

func (f serverForm) title(v *view) string {
	if f.new {
		return v.T("Add a server")
	}
	return v.T("Edit %s", f.name)
}

func (f serverForm) invalid(field string) string { return strconv.FormatBool(len(f.wrong[field]) > 0) }

// describedBy returns the ids of a field's descriptions, its problem first.
func (f serverForm) describedBy(field string) string {
	if hint := field + "-hint"; len(f.wrong[field]) == 0 {
		return hint
	}
	return field + "-problem " + field + "-hint"
}
