package remote

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

// sealed stands for credentials that are stored: the API never shows them.
var sealed = []byte("stored")

func toUnread(shown []oas.UnreadableFolder) (folders []ingest.UnreadFolder) {
	for _, f := range shown {
		folders = append(folders, ingest.UnreadFolder{Path: f.Path, Reason: f.Reason})
	}
	return folders
}

// toServer turns oas.FromServer round.
func toServer(s oas.Server) (ingest.Server, error) {
	server := ingest.Server{
		UUID: s.ServerUUID, Name: s.Name, Host: s.Host, Port: s.Port, Username: s.Username, RootPath: s.RootPath,
		Include: s.Include, Exclude: s.Exclude, MaxParallel: s.MaxParallel,
		Transfer: ingest.TransferSetting(s.Transfer), AfterIngest: ingest.AfterIngest(s.AfterIngest), OnCollision: ingest.Collision(s.OnCollision),
		DoneMarker: s.DoneMarker, MaxDepth: s.MaxDepth, ReadOnce: s.ReadOnce, LegacyAlgorithms: s.LegacyAlgorithms,
		Active: s.IsActive, State: ingest.ServerState(s.State), LastError: orZero(s.LastError),
		Unread: ingest.Unread{Count: s.UnreadableFolders, Folders: toUnread(s.Unreadable)}, LastScanAt: orZero(s.LastScanAt),
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
		Left: ingest.ServerLeft{
			Sources: s.SourcesLeft, InProgress: s.InProgress, Alone: s.Alone, Oldest: orZero(s.OldestAside), OldestSince: orZero(s.OldestAsideSince),
		},
		Attention: ingest.Attention{
			Held: ingest.HeldChanges{Files: s.HeldChanges}, HeldReason: orZero(s.HeldReason), Resent: s.ResentFiles, Note: orZero(s.LastScanNote),
			PutOff: orZero(s.PutOff),
		},
	}
	if s.HasPassword {
		server.PasswordEncrypted = sealed
	}
	if s.HasPrivateKey {
		server.PrivateKeyEncrypted = sealed
	}
	for _, key := range s.HostKeys {
		server.HostKeys = append(server.HostKeys, key.Key)
	}
	encoded, _ := json.Marshal(s)
	errs := []error{json.Unmarshal(encoded, &server.Options)} // the same names
	server.NormalizeOptions()
	for text, to := range map[*string]*time.Duration{
		&s.Settle: &server.Settle, &s.ScanInterval: &server.ScanInterval, &s.MinAge: &server.MinAge, &s.SidecarWait: &server.SidecarWait,
	} {
		var err error
		*to, err = time.ParseDuration(*text)
		errs = append(errs, err)
	}
	return server, ingest.Wrap(ingest.KindInvalid, errors.Join(errs...), "the API's answer about server %s cannot be read", ingest.Summary(s.Name))
}

// toFile turns oas.FromFile round.
func toFile(f oas.File) (ingest.File, error) {
	path, err := base64.StdEncoding.DecodeString(f.RemotePathBase64)
	raw := string(path)
	return ingest.File{
		UUID: f.FileUUID, ServerUUID: f.ServerUUID, ServerName: f.Server, RemotePath: raw, Filename: raw[strings.LastIndexByte(raw, '/')+1:],
		Size: f.SizeBytes, ModTime: f.Mtime, Status: ingest.Status(f.Status), Hash: orZero(f.FileHash), HashAlgo: orZero(f.HashAlgo),
		Mode: ingest.Mode(orZero(f.Mode)), Bucket: orZero(f.Bucket), ObjectKey: orZero(f.ObjectKey), Checksum: orZero(f.ObjectChecksum), WaitsFor: orZero(f.WaitsFor), SourceLeft: orZero(f.SourceLeft),
		ErrorKind: ingest.Kind(orZero(f.ErrorKind)), ErrorMessage: orZero(f.ErrorMessage),
		CreatedAt: f.CreatedAt, UpdatedAt: f.UpdatedAt, CompletedAt: orZero(f.CompletedAt),
	}, ingest.Wrap(ingest.KindInvalid, err, "the API's answer about file %s cannot be read", ingest.Summary(f.FileUUID))
}

// toEvent turns oas.FromEvent round.
func toEvent(e oas.Event) ingest.StoredEvent {
	return ingest.StoredEvent{ID: e.ID, Type: ingest.EventType(e.EventType), Timestamp: e.Timestamp, Details: e.Details}
}

// toProgress turns oas.FromProgress round.
func toProgress(p oas.Progress) admin.Progress {
	return admin.Progress{
		Step: ingest.Step(p.Step), Attempt: p.Attempt, Running: p.Running, Paused: p.Paused,
		NextTry: orZero(p.NextAttemptAt), Failure: orZero(p.Failure), Host: orZero(p.Host),
		Done: orZero(p.DoneBytes), Total: orZero(p.TotalBytes), Rate: orZero(p.BytesPerSecond),
	}
}

// toToken turns oas.FromToken round.
func toToken(t oas.Token) ingest.Token {
	return ingest.Token{
		Name: t.Name, Role: ingest.Role(t.Role), ExpiresAt: orZero(t.ExpiresAt), RevokedAt: orZero(t.RevokedAt),
		LastUsedAt: orZero(t.LastUsedAt), CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy,
	}
}

// settingsOf returns what AddServer sends. What the configuration of the
// service is to decide is left out.
func settingsOf(in admin.NewServer) oas.ServerSettings {
	s := in.Server
	transfer := oas.ServerSettingsTransfer(s.Transfer)
	after, collision := string(s.AfterIngest), oas.ServerSettingsOnCollision(s.OnCollision)
	settings := oas.ServerSettings{
		Name: &s.Name, Host: &s.Host, Port: orNil(s.Port), Username: &s.Username, RootPath: orNil(s.RootPath),
		MaxParallel: orNil(s.MaxParallel), Transfer: orNil(transfer), AfterIngest: orNil(after), OnCollision: orNil(collision),
		ScanInterval: duration(s.ScanInterval), MinAge: duration(s.MinAge), SidecarWait: duration(s.SidecarWait),
		DoneMarker: orNil(s.DoneMarker), MaxDepth: orNil(s.MaxDepth), ReadOnce: &s.ReadOnce, LegacyAlgorithms: &s.LegacyAlgorithms,
		Password: orNil(string(in.Credentials.Password)), PrivateKey: orNil(string(in.Credentials.PrivateKey)),
		Passphrase: orNil(string(in.Passphrase)), Certificate: orNil(string(in.Certificate)),
	}
	encoded, _ := json.Marshal(s.OptionValues()) // texts, numbers and switches: cannot fail
	_ = json.Unmarshal(encoded, &settings)
	if s.Settle >= 0 {
		text := s.Settle.String()
		settings.Settle = &text
	}
	for to, list := range map[**[]string][]string{&settings.HostKeys: s.HostKeys, &settings.Include: s.Include, &settings.Exclude: s.Exclude} {
		if len(list) > 0 {
			*to = &list
		}
	}
	return settings
}

func duration(d time.Duration) *string {
	if d == 0 {
		return nil
	}
	text := d.String()
	return &text
}

// orZero returns what the pointer points to; nil is nothing.
func orZero[T any](value *T) T {
	if value == nil {
		var zero T
		return zero
	}
	return *value
}

// orNil leaves out what says nothing.
func orNil[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}
