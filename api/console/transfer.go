package console

import (
	"cmp"

	"stevedore/internal/ingest"
)

// transferNames labels the transfer modes of a server.
var transferNames = map[ingest.TransferSetting]string{
	ingest.TransferAuto:   "Automatic: by file size",
	ingest.TransferStaged: "Staged: on the worker's disk first",
	ingest.TransferDirect: "Direct: streamed into the object store",
}

// choice translates one of the choices of a setting.
func (v *view) choice(choice string) string {
	return v.T(cmp.Or(transferNames[ingest.TransferSetting(choice)], choice))
}

// modeNames labels the transfer modes of a file.
var modeNames = map[ingest.Mode]string{
	ingest.ModeMemory: "In memory, stored by one request",
	ingest.ModeStaged: "Staged on the worker's disk, then uploaded",
	ingest.ModeDirect: "Streamed into a multipart upload",
}

// mode translates a file's transfer mode; unknown modes are unchanged.
func (v *view) mode(m ingest.Mode) string {
	if word := modeNames[m]; word != "" {
		return v.T(word)
	}
	return string(m)
}
