package console

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

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
		if !slices.Contains(formFields, field) && !isOption(field) {
			list = append(list, problems...)
		}
	}
	slices.SortFunc(list, func(x, y notice) int { return strings.Compare(x.line(), y.line()) })
	return list
}

// formFields lists the fields that show their own problems.
var formFields = []string{
	"name", "host", "port", "username", "password", "private_key", "passphrase", "certificate", "host_keys", "root_path", "include", "exclude", "max_parallel",
	"settle", "scan_interval", "transfer", "after_ingest", "move_to", "on_collision", "min_age", "done_marker", "sidecar_wait", "max_depth",
}

func isOption(field string) bool {
	return slices.ContainsFunc(ingest.OptionTable, func(info ingest.OptionInfo) bool { return info.Field == field })
}

// advancedDefaults are the values of new servers in the folded part of the form.
var advancedDefaults = url.Values{
	"transfer": {string(ingest.TransferAuto)}, "max_depth": {strconv.Itoa(ingest.MaxDepth)}, "min_age": {"0s"}, "sidecar_wait": {"0s"}, "done_marker": {""},
	"read_once": {""}, "legacy_algorithms": {""},
}

// advanced reports whether an advanced setting is invalid or differs from its default; then
// they are unfolded.
func (f serverForm) advanced() bool {
	for field := range advancedDefaults {
		if len(f.wrong[field]) > 0 || f.value(field) != advancedDefaults.Get(field) {
			return true
		}
	}
	var entered, defaults ingest.Options
	for _, info := range ingest.OptionTable {
		if len(f.wrong[info.Field]) > 0 || info.SetText(&entered, f.value(info.Field)) != nil {
			return true
		}
	}
	return !reflect.DeepEqual(entered, defaults)
}

func (c *Console) newServer(_ *http.Request, v *view) (answer, error) {
	form := serverForm{new: true, values: maps.Clone(advancedDefaults)}
	for field, value := range map[string]string{"port": "22", "root_path": "/", "max_parallel": "4", "after_ingest": "keep", "on_collision": "rename"} {
		form.values.Set(field, value)
	}
	return answer{title: v.T("Add a server"), body: serverFormView(v, form)}, nil
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
	return answer{title: server.Name, body: serverFormView(v, form)}, nil
}

func valuesOf(s ingest.Server) url.Values {
	values := url.Values{
		"name": {s.Name}, "host": {s.Host}, "port": {strconv.Itoa(s.Port)}, "username": {s.Username},
		"host_keys": {strings.Join(s.HostKeys, "\n")}, "root_path": {s.RootPath}, "include": {strings.Join(s.Include, "\n")},
		"exclude": {strings.Join(s.Exclude, "\n")}, "max_parallel": {strconv.Itoa(s.MaxParallel)}, "settle": {s.Settle.String()},
		"scan_interval": {s.ScanInterval.String()}, "transfer": {string(s.Transfer)}, "on_collision": {string(s.OnCollision)},
		"min_age": {s.MinAge.String()}, "done_marker": {s.DoneMarker}, "sidecar_wait": {s.SidecarWait.String()},
		"max_depth": {strconv.Itoa(s.MaxDepth)},
	}
	after, folder, _ := strings.Cut(string(s.AfterIngest), ":")
	values.Set("after_ingest", after)
	values.Set("move_to", folder)
	for _, info := range ingest.OptionTable {
		switch text := info.Text(s.Options); {
		case !info.Switch():
			values.Set(info.Field, text)
		case info.IsSet(s.Options):
			values.Set(info.Field, "true")
		}
	}
	for field, on := range map[string]bool{"read_once": s.ReadOnce, "legacy_algorithms": s.LegacyAlgorithms} {
		if on {
			values.Set(field, "yes")
		}
	}
	return values
}

// read returns a function that applies the entered settings. Unparsable values are added
// to wrong; package operations validates the others.
func (f *serverForm) read(v *view) func(*ingest.Server) {
	f.wrong = map[string][]notice{}
	number := func(field string) int {
		n, err := strconv.Atoi(strings.TrimSpace(f.value(field)))
		if err != nil && f.value(field) != "" {
			f.wrong[field] = append(f.wrong[field], plain(v.T("Use a whole number.")))
		}
		return n
	}
	duration := func(field string, missing time.Duration) time.Duration {
		if strings.TrimSpace(f.value(field)) == "" {
			return missing
		}
		d, err := time.ParseDuration(strings.TrimSpace(f.value(field)))
		if err != nil {
			f.wrong[field] = append(f.wrong[field], plain(v.T("Use a duration such as 10s, 5m or 1h30m.")))
		}
		return d
	}
	port, parallel, depth := number("port"), number("max_parallel"), number("max_depth")
	settle, interval := duration("settle", -1), duration("scan_interval", 0)
	age, wait := duration("min_age", 0), duration("sidecar_wait", 0)
	var options ingest.Options
	for _, info := range ingest.OptionTable {
		if err := info.SetText(&options, f.value(info.Field)); err != nil {
			f.wrong[info.Field] = append(f.wrong[info.Field], v.quote(v.T(info.Help), err.Error()))
		}
	}
	return func(s *ingest.Server) {
		s.Options = options
		s.Name, s.Host, s.Username = strings.TrimSpace(f.value("name")), strings.TrimSpace(f.value("host")), f.value("username")
		s.Port, s.MaxParallel, s.MaxDepth = port, parallel, depth
		s.HostKeys, s.Include, s.Exclude = lines(f.value("host_keys")), lines(f.value("include")), lines(f.value("exclude"))
		s.RootPath, s.DoneMarker = f.value("root_path"), strings.TrimSpace(f.value("done_marker"))
		s.Transfer = ingest.TransferSetting(f.value("transfer"))
		s.AfterIngest, s.OnCollision = f.afterIngest(), ingest.Collision(f.value("on_collision"))
		s.Settle, s.ScanInterval, s.MinAge, s.SidecarWait = settle, interval, age, wait
		s.ReadOnce, s.LegacyAlgorithms = f.checked("read_once"), f.checked("legacy_algorithms")
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

func lines(text string) (list []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
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
	form, err := readServerForm(r)
	if err != nil {
		return answer{}, err
	}
	form.new = true
	in := form.newServer(r, v)
	again := answer{title: v.T("Add a server"), status: http.StatusBadRequest}
	if len(form.wrong) > 0 {
		again.body = serverFormView(v, form.again())
		return again, nil
	}
	server, err := c.d.Operations.AddServer(r.Context(), in)
	switch {
	case err == nil:
		return answer{goTo: "/servers/" + server.Name, notice: plain(v.T("Server added. Test the connection."))}, nil
	case form.invalidated(v, err):
		again.body = serverFormView(v, form.again())
		return again, nil
	default:
		return answer{}, err
	}
}

// newServer returns the entered server.
func (f *serverForm) newServer(r *http.Request, v *view) operations.NewServer {
	in := operations.NewServer{Credentials: ingest.Credentials{Password: []byte(r.PostFormValue("password")), PrivateKey: keyOf(r)}, KeyExtras: extrasOf(r)}
	f.read(v)(&in.Server)
	return in
}

// testSettings tests the entered settings without saving them. The answer has status 200
// even for invalid settings, because htmx shows only successful answers.
func (c *Console) testSettings(r *http.Request, v *view) (answer, error) {
	form, err := readServerForm(r)
	if err != nil {
		return answer{}, err
	}
	form.new, form.tested = true, true
	in := form.newServer(r, v)
	if len(form.wrong) == 0 {
		result, err := c.d.Operations.TestSettings(r.Context(), in, r.PostFormValue("sample") != "")
		switch {
		case result.Server.UUID != "":
			form.test = &result
			if err != nil {
				form.problem = v.explain(err)
			}
		case !form.invalidated(v, err):
			return answer{}, err
		}
	}
	return answer{title: v.T("Add a server"), body: serverFormView(v, form.again())}, nil
}

func (c *Console) saveServer(r *http.Request, v *view) (answer, error) {
	form, err := readServerForm(r)
	if err != nil {
		return answer{}, err
	}
	form.name, form.version = r.PathValue("server"), r.PostFormValue("version")
	form.hasPassword, form.hasKey = r.PostFormValue("has_password") != "", r.PostFormValue("has_key") != ""
	edit := operations.ServerEdit{Settings: form.read(v), Password: replaced(r, "password", []byte(r.PostFormValue("password"))), PrivateKey: replaced(r, "private_key", keyOf(r)), KeyExtras: extrasOf(r)}
	again := answer{title: form.name, status: http.StatusBadRequest}
	if len(form.wrong) > 0 {
		again.body = serverFormView(v, form.again())
		return again, nil
	}
	server, err := c.d.Operations.EditServer(r.Context(), form.name, form.version, edit)
	switch {
	case err == nil:
		return answer{goTo: "/servers/" + server.Name, notice: plain(v.T("Saved."))}, nil
	case form.invalidated(v, err):
		again.body = serverFormView(v, form.again())
		return again, nil
	default:
		return answer{}, err
	}
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
		if field != "password" && field != "private_key" && field != "passphrase" { // secrets are only sealed, never shown
			values[field] = given
		}
	}
	return serverForm{values: values}, nil
}

// keyOf returns the private key with the line ends that browsers change.
func keyOf(r *http.Request) []byte {
	return []byte(strings.ReplaceAll(r.PostFormValue("private_key"), "\r\n", "\n"))
}

// extrasOf returns the passphrase of the private key.
func extrasOf(r *http.Request) operations.KeyExtras {
	return operations.KeyExtras{Passphrase: []byte(r.PostFormValue("passphrase"))}
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

// action returns the target of the form, back the page to return to.
func (f serverForm) action() string {
	if f.new {
		return "/servers"
	}
	return "/servers/" + f.name + "/edit"
}

func (f serverForm) back() string {
	if f.new {
		return "/servers"
	}
	return "/servers/" + f.name
}

func (f serverForm) invalid(field string) string { return strconv.FormatBool(len(f.wrong[field]) > 0) }

// describedBy returns the ids of a field's descriptions, its problem first.
func (f serverForm) describedBy(field string) string {
	switch hint := field + "-hint"; {
	case field == "on_collision": // its choices say it all
		return field + "-problem"
	case len(f.wrong[field]) > 0:
		return field + "-problem " + hint
	default:
		return hint
	}
}
