package console

import (
	"cmp"

	"stevedore/internal/ingest"
)

// detailNames labels the details of events and of the audit log; a server's settings have
// labels of their own.
var detailNames = map[string]string{
	"action": "Action", "actor": "Actor", "algo": "Algorithm", "attempt": "Attempt", "attempts": "Attempts", "bucket": "Bucket",
	"decision": "Decision", "deep": "Deep audit", "duration_sec": "Duration, s", "etag": "ETag", "expires": "Expires", "expires_at": "Expires",
	"files": "Files", "fingerprint": "Host key fingerprint", "from": "Start from", "hash": "Hash", "held": "Held", "is_active": "Active", "key": "Object key",
	"key_only": "Key only", "kind": "Error", "message": "Message", "message_id": "Message id", "new_key": "New key", "offset": "Offset, bytes",
	"part": "Which", "password": "Password", "path": "Path", "private_key": "Private key", "queue": "Queue", "reason": "Reason", "role": "Role",
	"server": "Server", "server_uuid": "Server UUID", "servers": "Servers", "settle_sec": "Settle time, s", "size_mb": "Size, MB", "source": "Source",
	"step": "Step", "target_bucket": "Bucket", "target_key": "Object key", "temp_path": "Staged file", "verified": "Verified",
}

// detail translates the name of a detail; unknown names are unchanged.
func (v *view) detail(name string) string {
	setting, _ := ingest.SettingOf(name)
	if label := cmp.Or(setting.Label, detailNames[name]); label != "" {
		return v.T(label)
	}
	return name
}

// auditActions labels the actions of the audit log.
var auditActions = map[string]string{
	"audit.start": "Start audit", "console.log_in": "Log in", "file.retry": "Retry", "file.skip": "Skip", "file.renotify": "Notify again", "file.reprocess": "Reprocess",
	"key.rotate": "Rotate the encryption key", "scan.start": "Start scan", "server.approve_host_key": "Pin host key", "server.changes": "Decide held changes",
	"server.create": "Add a server", "server.edit": "Change server", "server.pause": "Pause server", "server.remove": "Remove server", "server.resume": "Resume server",
	"server.test_resumes": "End suspension", "token.create": "Create token", "token.revoke": "Revoke token",
}
